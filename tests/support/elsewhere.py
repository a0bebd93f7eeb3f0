"""What other systems have not, taken away from this process, as they would lack it.

    import tests.support.elsewhere as elsewhere
    elsewhere.pretend("win32")

To be called before anything of ours is imported.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

#: Whatever of Python's own, or of what we use, looks at the platform itself.
KNOWN = (
    *("asyncio", "concurrent.futures", "ctypes", "faulthandler", "getpass"),
    *("http.server", "inspect", "logging.handlers", "multiprocessing.context"),
    *("multiprocessing.util", "os", "pathlib", "platform", "select", "selectors"),
    *("shutil", "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess"),
    *("tempfile", "threading", "urllib.request", "uuid", "webbrowser"),
    *("pytest", "requests", "structlog"),
)
LINUX_ONLY = {
    "os": "pidfd_open eventfd memfd_create MFD_CLOEXEC P_PIDFD pipe2 "
    "sched_getaffinity sched_setaffinity splice copy_file_range setns unshare",
    "signal": "pidfd_send_signal sigtimedwait sigwaitinfo SIGPWR SIGRTMIN SIGPOLL",
    "select": "epoll EPOLLIN EPOLLOUT EPOLLHUP EPOLLERR",
    "socket": "MSG_NOSIGNAL SO_PEERCRED SO_PASSCRED SOCK_CLOEXEC SOCK_NONBLOCK "
    "SO_BINDTODEVICE TCP_USER_TIMEOUT TCP_KEEPIDLE IP_FREEBIND",
    "time": "CLOCK_BOOTTIME",
}
UNIX_ONLY = {
    "os": "fork forkpty geteuid getuid getgid getegid getpgid setsid killpg "
    "O_NOFOLLOW O_CLOEXEC O_NONBLOCK O_DIRECTORY register_at_fork set_blocking "
    "mkfifo waitid posix_spawn sysconf statvfs uname wait3 wait4 WNOHANG fchmod "
    "fchown chown getloadavg",
    "signal": "SIGKILL SIGUSR1 SIGUSR2 SIGTSTP SIGCONT SIGSTOP SIGCHLD SIGHUP "
    "SIGALRM SIGQUIT SIGPIPE SIGBUS SIGTRAP SIGSYS SIGVTALRM SIGPROF SIGXCPU "
    "SIGXFSZ SIGTTIN SIGTTOU setitimer pthread_sigmask pthread_kill sigwait "
    "SIG_BLOCK SIG_UNBLOCK SIG_SETMASK",
    "select": "poll POLLIN POLLOUT POLLHUP",
    "socket": "AF_UNIX send_fds recv_fds SO_REUSEPORT MSG_DONTWAIT",
}
UNIX_MODULES = frozenset(
    ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog", "posix")
)


class _Missing:
    def find_spec(self, name: str, *_: Any) -> None:
        if name in UNIX_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def pretend(platform: str) -> None:
    """Make this process look as on ``win32`` or ``darwin`` to what comes after."""
    known = {name: importlib.import_module(name) for name in KNOWN}
    takes = [LINUX_ONLY] if platform == "darwin" else [LINUX_ONLY, UNIX_ONLY]
    for names in takes:
        for module, attributes in names.items():
            for attribute in attributes.split():
                vars(known.get(module) or importlib.import_module(module)).pop(
                    attribute, None
                )
    if platform == "win32":
        for name in UNIX_MODULES:
            sys.modules.pop(name, None)
        sys.meta_path.insert(0, _Missing())
    sys.platform = platform
