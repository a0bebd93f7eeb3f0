"""What Linux offers to keep processes from outliving those they belong to."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


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
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def kill(pid: int) -> None:
    """Send SIGKILL; a process that is gone already is as good."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def allow_descriptors(count: int) -> int:
    """Have this process, and those it starts, open so many files, if that may be.

    Returns:
        How many it may open now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
        return count
    return soft


def descriptors_left() -> int:
    """How many more files this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - sum(1 for _ in Path("/proc/self/fd").iterdir())


def descriptor(pid: int) -> int:
    """A descriptor that can be read once the process has ended."""
    return os.pidfd_open(pid)


def close(fd: int) -> None:
    """Close a descriptor."""
    os.close(fd)
