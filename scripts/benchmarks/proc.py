"""What the kernel says of processes: CPU, memory, wake-ups. Linux."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PROC = Path("/proc")


def descendants(pid: int) -> list[int]:
    """A process and everything below it, parents first."""
    children = defaultdict(list)
    for path in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            children[int(fields[1])].append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += children[each]
    return found


def parent(pid: int) -> int:
    """The process that started this one."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


def cpu_s(pids: Iterable[int]) -> float:
    """CPU time that the processes took so far, all threads, user and system.

    The scheduler's own account, in nanoseconds: ``utime`` and ``stime`` count in
    steps of 10 ms, which is much for what is idle.
    """
    total = 0
    for pid in pids:
        for path in PROC.glob(f"{pid}/task/*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(path.read_text().split()[0])
    return total / 1e9


def wakes(pid: int) -> int:
    """How often its threads went to sleep of their own accord so far."""
    total = 0
    for path in PROC.glob(f"{pid}/task/*/status"):
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
    return total


def pss_mb(pids: Iterable[int]) -> float:
    """Memory in MB (10^6 bytes), what is shared counted in shares (PSS)."""
    kib = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kib += int(line.split()[1])
    return kib * 1024 / 1e6


def peak_mb(pid: int) -> float:
    """What a process had in memory at its most, in MB of 10^6 bytes."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    [peak] = [line for line in status if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024 / 1e6


def gone(pids: Iterable[int], within_s: float) -> bool:
    """Wait until none of the processes is there; whether it came to that."""
    deadline = time.monotonic() + within_s
    left = set(pids)
    while left:
        left = {pid for pid in left if _is_alive(pid)}
        if left and time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _is_alive(pid: int) -> bool:
    # One that is dead and was not waited for is as good as gone.
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
