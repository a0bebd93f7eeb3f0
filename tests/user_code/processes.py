"""Job functions that start processes and end them, as users write them."""

from __future__ import annotations

import atexit
import ctypes
import gzip
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

#: How long what is started would live, in seconds, were it not ended.
_LONG_S = "6000"


def four() -> Any:
    """Hand out four jobs."""
    if not four.__dict__.get("done"):
        four.__dict__["done"] = True
        yield from ({"id": number} for number in range(1, 5))


def one() -> Any:
    """Hand out one job."""
    if not one.__dict__.get("done"):
        one.__dict__["done"] = True
        yield {"id": 1}


def _square(number: int) -> int:
    return number * number


def pools(job: Any) -> Any:
    """Use a pool of forks for every little thing."""
    found = []
    for _ in range(150):
        with multiprocessing.Pool(2) as pool:
            found.append(pool.map(_square, range(4)))
    return found == [[0, 1, 4, 9]] * 150


def programs(job: Any) -> None:
    """Start what does not end, and wait.

    A fork; a program in the background, whose shell has ended; and one that is
    waited for.
    """
    multiprocessing.Process(target=time.sleep, args=(float(_LONG_S),)).start()
    subprocess.run(f"sleep {_LONG_S} &", shell=True, check=False)  # noqa: S602
    subprocess.run(["sleep", _LONG_S], check=False)


def programs_and_a_session(job: Any) -> None:
    """Start a program in a session of its own, and those of ``programs``."""
    with subprocess.Popen(["sleep", _LONG_S], start_new_session=True):
        programs(job)


def forks_and_forgets(job: Any) -> int:
    """Leave a fork that does not end, and return."""
    fork = multiprocessing.Process(target=time.sleep, args=(float(_LONG_S),))
    fork.daemon = True
    fork.start()
    return int(job["id"])


def service(job: Any) -> int:
    """Detach a service, as daemon(7) says."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", _LONG_S])  # noqa: S606
        os._exit(0)
    return int(job["id"])


def service_in_c(job: Any) -> int:
    """Detach a service that no hook of Python's sees, and that runs no program."""
    libc = ctypes.CDLL(None)
    if libc.fork() == 0:
        libc.setsid()
        if libc.fork() == 0:
            Path(os.environ["TEST_EFFECTS"]).write_text(str(os.getpid()))
            libc.sleep(int(_LONG_S))
        libc._exit(0)  # noqa: SLF001 - of the C library
    return int(job["id"])


def fork_falls_through(job: Any) -> int:
    """Fork, and forget that there are two now."""
    os.fork()
    return int(job["id"])


def fork_exits(job: Any) -> int:
    """Fork, and have the fork exit as a program would."""
    pid = os.fork()
    if pid == 0:
        sys.exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def forked_by_fetch() -> Any:
    """Fork while jobs are handed out, and forget that there are two now."""
    for job in four():
        os.fork()
        yield job


def inherited(job: Any) -> Any:
    """Say what a fork, and a program, have of their parent's."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        handled = [
            number.name
            for number in signal.valid_signals()
            if callable(signal.getsignal(number)) and number != signal.SIGINT
        ]
        lines = [*map(str, handled), *_files()]
        os.write(writer, "\n".join(lines).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:  # noqa: PTH123 - a descriptor
        in_fork = file.read().split("\n")
    program = "import os; print(*os.listdir('/proc/self/fd'))"
    command = [sys.executable, "-c", program]
    out = subprocess.run(
        command, close_fds=False, capture_output=True, text=True, check=True
    )
    return {"fork": in_fork, "program": [int(each) for each in out.stdout.split()]}


def _files() -> list[str]:
    found = []
    for each in Path("/proc/self/fd").iterdir():
        if int(each.name) > 2:
            try:
                found.append(str(each.readlink()))
            except OSError:
                continue
    return found


def crashes(job: Any) -> int:
    """Crash in C, and by signals that are for crashes."""
    if job["id"] == 1:
        ctypes.CDLL(None).strlen(None)
    if job["id"] == 2:
        signal.raise_signal(signal.SIGFPE)
    if job["id"] == 3:
        signal.alarm(1)
        time.sleep(float(_LONG_S))
    return int(job["id"])


def crashing_fetch() -> Any:
    """Hand out four jobs, and crash in C the first time."""
    path = Path(os.environ["TEST_EFFECTS"])
    if not path.exists():
        path.touch()
        ctypes.CDLL(None).strlen(None)
    yield from four()


def ends_its_group(job: Any) -> int:
    """End the group of processes that it is in, by way of cleaning up."""
    if job["id"] == 1:
        os.killpg(0, signal.SIGKILL)
    return int(job["id"])


def prints(job: Any) -> int:
    """Print, and leave something to do at the end."""
    atexit.register(print, f"end {job['id']}")
    print(f"job {job['id']}")
    print("no newline", end="|")
    return int(job["id"])


def printing_fetch() -> Any:
    """Print, and leave something to do at the end."""
    if not four.__dict__.get("done"):
        atexit.register(print, "end of fetching")
        print("fetching")
    yield from four()


def ends_slowly(job: Any) -> int:
    """Leave a thread and an exit handler that take for ever."""
    import threading  # noqa: PLC0415

    threading.Thread(target=time.sleep, args=(float(_LONG_S),)).start()
    atexit.register(time.sleep, float(_LONG_S))
    atexit.register(print, "the end")
    return int(job["id"])


def writes(job: Any) -> int:
    """Write to files that stay open, as one does who opens them once."""
    if "text" not in writes.__dict__:
        place = Path(os.environ["WRITTEN"]) / str(os.getpid())
        writes.__dict__["text"] = open(f"{place}.txt", "w")  # noqa: PTH123, SIM115
        writes.__dict__["packed"] = gzip.open(f"{place}.gz", "wt")  # noqa: SIM115
        target = logging.FileHandler(f"{place}.log")
        logging.getLogger("kept").addHandler(MemoryHandler(100, target=target))
    for name in ("text", "packed"):
        writes.__dict__[name].write(f"job {job['id']}\n")
    logging.getLogger("kept").warning("job %s", job["id"])
    return int(job["id"])
