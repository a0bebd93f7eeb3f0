"""Which signals are ours to catch, and what a crash leaves to be read.

A handler in Python for a fault of the processor (SIGSEGV and its like) returns to
the instruction that failed, which fails again, without end. Those signals keep
their default action, and the interpreter writes the stack first.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal

from actors.host import forks

#: What ends a process at once, as in any other program.
LEFT_ALONE = frozenset(
    getattr(signal, name)
    for name in (
        "SIGSEGV",
        "SIGBUS",
        "SIGFPE",
        "SIGILL",
        "SIGABRT",
        "SIGTRAP",
        "SIGSYS",
        "SIGALRM",
        "SIGVTALRM",
        "SIGPROF",
        "SIGXCPU",
        "SIGXFSZ",
    )
    if hasattr(signal, name)  # as it may not, on other systems
)

#: Bytes of a crash's stack that are read.
_TRACE_BYTES = 4096

_crash_fd = -1


def set_handler(number: int, handler: object) -> None:
    """Set a handler, except for a signal that is to be left alone."""
    if number not in LEFT_ALONE:
        forks.handle(number, handler)


def prepare_crash() -> int:
    """Make the file that the next process to be forked writes its stack to.

    Returns:
        Its descriptor, for `take_crash` once that process has ended.
    """
    global _crash_fd  # noqa: PLW0603 - the child finds it here
    _crash_fd = forks.keep(os.memfd_create("crash", os.MFD_CLOEXEC))
    return _crash_fd


def write_crashes() -> None:
    """Have the interpreter write the stack of this process where its parent looks."""
    if _crash_fd >= 0:
        # The thread that failed, not all: it is to fit into a line of the log.
        faulthandler.enable(_crash_fd, all_threads=False)


def take_crash(descriptor: int) -> str:
    """Read the stack that a process has left, and close the file; empty if none."""
    with contextlib.suppress(OSError):
        trace = os.pread(descriptor, _TRACE_BYTES, 0).decode(errors="replace")
        forks.give_up(descriptor)
        os.close(descriptor)
        return trace
    return ""


def name_of(exit_code: int | None) -> str | None:
    """The signal that ended a process, by the exit code that Python has for it."""
    if exit_code is None or exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
