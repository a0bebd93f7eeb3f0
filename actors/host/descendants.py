"""The processes that a process has started, and their end.

What is started in a job may start others, move to a group or a session of its own,
and lose its parent. A keeper (see ``keeper``) is then its parent, so that all of it
is found by going down from there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: How long killed processes may take to be gone, in seconds.
GONE_WITHIN_S = 2.0
#: In the environment of what a stage starts: the pid of the stage, and of its keeper.
STAGE = "LOWTIDE_STAGE"
KEEPER = "LOWTIDE_KEEPER"


@dataclass(frozen=True, slots=True)
class Process:
    """What the kernel says about a process.

    Source: proc_pid_stat(5).
    """

    pid: int
    state: str
    parent: int
    group: int
    session: int

    @property
    def is_gone(self) -> bool:
        """Whether it has ended and is only remembered."""
        return self.state in "ZXx"


def running() -> dict[int, Process]:
    """Every process that runs now, by its pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = path.read_text(errors="replace")
        except OSError:
            continue  # it has just ended
        state, parent, group, session = stat.rpartition(")")[2].split()[:4]
        pid = int(path.parent.name)
        process = Process(pid, state, int(parent), int(group), int(session))
        if not process.is_gone:
            found[pid] = process
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return sorted(each.pid for each in running().values() if each.parent == pid)


def below(
    pid: int, processes: dict[int, Process], spared: Collection[int] = ()
) -> Iterator[Process]:
    """Every process below one, but for those that are spared and all below them."""
    by_parent = defaultdict(list)
    for each in processes.values():
        by_parent[each.parent].append(each)
    waiting = [pid]
    while waiting:
        for each in by_parent[waiting.pop()]:
            if each.pid not in spared:
                yield each
                waiting.append(each.pid)


def is_detached(process: Process, processes: dict[int, Process]) -> bool:
    """Whether it was let go on purpose: a service, as daemon(7) has it detached.

    That is a session of its own, whose leader has ended: ``setsid``, and a second
    fork after it.
    """
    return process.session != process.pid and process.session not in processes


def end_all(top: int, spared: Collection[int] = ()) -> None:
    """End every process below ``top``, and each that these start meanwhile.

    Services that were detached stay, and those that are spared; so does what is
    below them.
    """
    # The leader of a session may be one that was ended here just now.
    ended = {os.getsid(top)}
    deadline = time.monotonic() + GONE_WITHIN_S
    while time.monotonic() < deadline:
        now = running()
        services = {
            each.pid
            for each in now.values()
            if each.parent == top
            and each.session not in ended
            and is_detached(each, now)
        }
        found = list(below(top, now, services | set(spared)))
        if not found:
            return
        for each in found:
            ended.add(each.session)
            kill(each.pid)
        time.sleep(0.005)


def end_kept(keeper: int) -> None:
    """End what a keeper has left that was killed: its session, and what it kept.

    Services that were detached stay, as they do elsewhere.
    """
    now = running()
    for each in now.values():
        is_kept = not is_detached(each, now) and keeper in _named(each, KEEPER)
        if each.session == keeper or is_kept:
            kill(each.pid)


def kill(pid: int) -> None:
    """Send SIGKILL. Does nothing if the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def stage_of(process: Process) -> set[int]:
    """The stages that a process may belong to, by their pids."""
    return {process.group} | _named(process, STAGE)


def _named(process: Process, variable: str) -> set[int]:
    """The pid that a variable in a process's environment names, if it does."""
    try:
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return set()
    pairs = (each.partition(b"=") for each in environment)
    return {
        int(value)
        for name, _, value in pairs
        if name == variable.encode() and value.isdigit()
    }
