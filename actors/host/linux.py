"""What Linux offers to keep processes from outliving those they belong to."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
from pathlib import Path

from actors.host import forks

with contextlib.suppress(ModuleNotFoundError):
    # Not on Windows; only a process of ours needs it.
    import resource

_PR_SET_PDEATHSIG = 1
_CAP_SYS_ADMIN = 21
_CAP_SYS_RESOURCE = 24


@functools.cache
def libc() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process the moment its parent is gone.

    It counts the thread that started this process, not only its process.

    Args:
        parent_pid: Who started it. Asked for since the parent may be gone
            before this call: then there is nothing to wait for.

    Raises:
        OSError: The kernel refused.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def kill(pid: int) -> None:
    """Send SIGKILL; nothing happens if it is gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def allow_descriptors(count: int) -> int:
    """Have this process, and those it starts, open this many files, if that may be.

    Returns:
        How many it may open now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
        return count
    return soft


def allow_all_descriptors() -> bool:
    """Have this process, and those it starts, open as many files as may be.

    Returns:
        Whether these are more than before.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft != hard


def descriptors_left() -> int:
    """How many more files this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - sum(1 for _ in Path("/proc/self/fd").iterdir())


def allow_tasks(count: int) -> int | None:
    """Have this user start this many more processes and threads, if that may be.

    Returns:
        How many may be started now; None for any number, as root may.

    Source: fork(2), EAGAIN; capabilities(7).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft == resource.RLIM_INFINITY or os.getuid() == 0 or _is_unlimited():
        return None
    used = sum(map(_tasks, Path("/proc").glob("[0-9]*/status")))
    if soft < used + count and (hard == resource.RLIM_INFINITY or soft < hard):
        most = used + count
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
    return soft - used


def _is_unlimited() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return bool(effective & (1 << _CAP_SYS_RESOURCE | 1 << _CAP_SYS_ADMIN))


def _tasks(status: Path) -> int:
    try:
        text = status.read_text()
    except OSError:
        return 0  # it has just ended
    if int(text.partition("Uid:")[2].split()[0]) != os.getuid():
        return 0
    return int(text.partition("Threads:")[2].split()[0])


def descriptor(pid: int) -> int:
    """A descriptor that can be read once the process has ended."""
    return forks.keep(os.pidfd_open(pid))


def close(fd: int) -> None:
    """Close a descriptor."""
    forks.give_up(fd)
    os.close(fd)
