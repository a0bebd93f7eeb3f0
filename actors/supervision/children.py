"""Who belongs to the system, in what state, and who is to be started when."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from actors.demand.cancel_modes import Fate
from actors.supervision.restarts import Restarts

if TYPE_CHECKING:
    from collections.abc import Iterator

C = TypeVar("C")


class StageState(enum.Enum):
    """Where a stage is between its start and its end."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    REPLACING = "replacing"
    BACKOFF = "backoff"
    FATAL = "fatal"


@dataclass(slots=True, eq=False)
class Member(Generic[C]):
    """One stage under supervision.

    Attributes:
        name: Unique in the system.
        config: What it is started with.
        run: Unique for each start.
        starts: How often it was started.
        start_at: When it is to be started, monotonic seconds; None if it was.
    """

    name: str
    config: C
    run: str = ""
    pid: int | None = None
    state: StageState = StageState.STARTING
    starts: int = 0
    start_at: float | None = None
    restarts: Restarts = field(default_factory=Restarts)


class Roster(Generic[C]):
    """The stages of one kind: one-for-one supervision."""

    def __init__(self, incarnation: str) -> None:
        self._incarnation = incarnation
        self._members: dict[str, Member[C]] = {}
        self._starts = 0

    def __iter__(self) -> Iterator[Member[C]]:
        return iter(tuple(self._members.values()))

    def __len__(self) -> int:
        return len(self._members)

    def get(self, name: str) -> Member[C] | None:
        """The member of this name."""
        return self._members.get(name)

    def add(self, name: str, config: C, now: float) -> Member[C]:
        """Admit a stage, to be started at once."""
        member = Member(name, config, start_at=now)
        self._members[name] = member
        return member

    def add_numbered(self, base: str, config: C, now: float) -> Member[C]:
        """Admit a stage under the first free name of ``base-1``, ``base-2``..."""
        number = 1
        while f"{base}-{number}" in self._members:
            number += 1
        return self.add(f"{base}-{number}", config, now)

    def remove(self, name: str) -> None:
        """Forget a member; unknown ones are ignored."""
        self._members.pop(name, None)

    def give_up(self, name: str) -> None:
        """Start a member no more; it stays to be seen."""
        if (member := self._members.get(name)) is not None:
            member.state, member.start_at, member.pid = StageState.FATAL, None, None

    def due(self, now: float) -> list[Member[C]]:
        """Take those that are to be started now; each gets a new run."""
        due = [
            each
            for each in self._members.values()
            if each.start_at is not None and each.start_at <= now
        ]
        for member in due:
            self._starts += 1
            member.run = f"{self._incarnation}.{member.name}.{self._starts}"
            member.starts += 1
            member.start_at = None
            member.state = StageState.STARTING
        return due

    def next_start(self) -> float | None:
        """When ``due`` has somebody next."""
        times = [each.start_at for each in self if each.start_at is not None]
        return min(times, default=None)

    def started(self, name: str, pid: int) -> None:
        """A stage said that it is ready."""
        member = self._members.get(name)
        if member is not None and member.state is StageState.STARTING:
            member.state = StageState.RUNNING
            member.pid = pid

    def exited(self, name: str, now: float) -> Fate:
        """A stage's process has ended; decide whether it comes back."""
        member = self._members.get(name)
        if member is None or member.state in (StageState.BACKOFF, StageState.FATAL):
            return Fate.UNKNOWN
        if member.state is StageState.DRAINING:
            del self._members[name]
            return Fate.REMOVED
        if member.state is StageState.REPLACING:
            # Ended on purpose: that says nothing about how well it is.
            member.state, member.start_at = StageState.BACKOFF, now
            return Fate.RESTART
        delay = member.restarts.exited(now)
        if delay is None:
            member.state = StageState.FATAL
            return Fate.FATAL
        member.state = StageState.BACKOFF
        member.start_at = now + delay
        return Fate.RESTART
