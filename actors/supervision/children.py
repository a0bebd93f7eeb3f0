"""The stages that one supervisor has, each from its start to its end.

How often a child may be restarted is Erlang/OTP's restart intensity, with Elixir's
defaults (3 in 5 s). What becomes of a processor when a stage that it takes from
ends is GenStage's three modes of a subscription, carried out by the supervisor: it
alone knows whether a stage ended as it was told to.

==========  ======================  ===================================
mode        the source has left     the source has died, or is given up
==========  ======================  ===================================
temporary   stays                   stays
transient   stays                   is started anew
permanent   leaves as well          is started anew
==========  ======================  ===================================

One that stays subscribes to what comes back. One that is started anew holds
nothing any more: its jobs are given back without blame, and its restart does not
count against it, since it is not the one that failed.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from actors.config.model import PERMANENT, TEMPORARY
from actors.demand.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterator

C = TypeVar("C")


class Role(enum.Enum):
    """What a child is, and with that the class of its actor."""

    FETCHER = "fetcher"
    PROCESSOR = "processor"
    GATE = "gate"


class StageState(enum.Enum):
    """Where a stage is between its start and its end."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    REPLACING = "replacing"
    BACKOFF = "backoff"
    FATAL = "fatal"


#: The states in which a stage takes part in the protocol.
READY = (StageState.RUNNING, StageState.DRAINING)


class Fate(enum.Enum):
    """What follows from a stage's exit."""

    UNKNOWN = "unknown"
    RESTART = "restart"
    REMOVED = "removed"
    FATAL = "fatal"

    @property
    def is_final(self) -> bool:
        """Whether the stage does not come back."""
        return self in (Fate.REMOVED, Fate.FATAL)


class Follow(enum.Enum):
    """What a processor is to do about the end of its source."""

    STAY = "stay"
    LEAVE = "leave"
    RESTART = "restart"


def follow(mode: str, fate: Fate) -> Follow:
    """Say what a subscription's mode makes of its source's end.

    Args:
        mode: One of ``CANCEL_MODES``.
        fate: What the supervisor has decided about the source.
    """
    if mode == TEMPORARY or fate is Fate.UNKNOWN:
        return Follow.STAY
    if fate is Fate.REMOVED:
        return Follow.LEAVE if mode == PERMANENT else Follow.STAY
    return Follow.RESTART


class Restarts:
    """Allow ``intensity`` restarts in any ``period_s``, with growing delay.

    The first restart after a quiet period is immediate. Each further one waits
    twice as long as the one before, from ``base_s`` up to ``cap_s``.
    """

    def __init__(
        self,
        *,
        intensity: int = 3,
        period_s: float = 5.0,
        base_s: float = 0.2,
        cap_s: float = 30.0,
    ) -> None:
        self._intensity = intensity
        self._period_s = period_s
        self._base_s = base_s
        self._cap_s = cap_s
        self._exits: deque[float] = deque()

    def exited(self, now: float) -> float | None:
        """Record an exit at ``now``, in monotonic seconds.

        Returns:
            The seconds to wait before the restart, or None to give up.
        """
        while self._exits and now - self._exits[0] >= self._period_s:
            self._exits.popleft()
        recent = len(self._exits)
        self._exits.append(now)
        if recent >= self._intensity:
            return None
        if recent == 0:
            return 0.0
        return Backoff(self._base_s, self._cap_s).longest_s(recent)


@dataclass(slots=True, eq=False)
class Child(Generic[C]):
    """One stage under supervision.

    Attributes:
        name: Unique in the system.
        config: What it is started with.
        run: Unique for each start.
        address: Where its process is reached; None while there is no process.
        starts: How often it was started.
        start_at: When it is to be started, monotonic seconds; None if it was.
        waits_for: What keeps it from being ready, if it said so.
    """

    name: str
    config: C
    role: Role = Role.PROCESSOR
    run: str = ""
    pid: int | None = None
    address: Any = None
    state: StageState = StageState.STARTING
    starts: int = 0
    start_at: float | None = None
    waits_for: str | None = None
    restarts: Restarts = field(default_factory=Restarts)

    @property
    def is_ready(self) -> bool:
        """Whether it takes part in the protocol."""
        return self.state in READY and self.address is not None

    @property
    def restarted(self) -> int:
        """How often it was started again."""
        return max(0, self.starts - 1)


class Children(Generic[C]):
    """The stages of one role, each started and restarted by itself."""

    def __init__(self, incarnation: str, role: Role = Role.PROCESSOR) -> None:
        self._incarnation = incarnation
        self._role = role
        self._children: dict[str, Child[C]] = {}
        self._starts = 0

    def __iter__(self) -> Iterator[Child[C]]:
        return iter(tuple(self._children.values()))

    def __len__(self) -> int:
        return len(self._children)

    def get(self, name: str) -> Child[C] | None:
        """The child of this name."""
        return self._children.get(name)

    def add(self, name: str, config: C, now: float) -> Child[C]:
        """Admit a stage, to be started at once."""
        child = Child(name, config, self._role, start_at=now)
        self._children[name] = child
        return child

    def add_numbered(self, base: str, config: C, now: float) -> Child[C]:
        """Admit a stage under the first free name of ``base-1``, ``base-2``..."""
        number = 1
        while f"{base}-{number}" in self._children:
            number += 1
        return self.add(f"{base}-{number}", config, now)

    def remove(self, name: str) -> None:
        """Forget a child; unknown ones are ignored."""
        self._children.pop(name, None)

    def give_up(self, name: str) -> None:
        """Start a child no more; it stays to be seen."""
        if (child := self._children.get(name)) is not None:
            child.state, child.start_at, child.pid = StageState.FATAL, None, None

    def due(self, now: float) -> list[Child[C]]:
        """Take those that are to be started now; each gets a new run."""
        due = [
            each
            for each in self._children.values()
            if each.start_at is not None and each.start_at <= now
        ]
        for child in due:
            self._starts += 1
            child.run = f"{self._incarnation}.{child.name}.{self._starts}"
            child.starts += 1
            child.start_at = child.waits_for = None
            child.state = StageState.STARTING
        return due

    def next_start(self) -> float | None:
        """When ``due`` has a child next."""
        times = [each.start_at for each in self if each.start_at is not None]
        return min(times, default=None)

    def started(self, name: str, pid: int) -> None:
        """Note that a stage is ready."""
        child = self._children.get(name)
        if child is not None and child.state is StageState.STARTING:
            child.state = StageState.RUNNING
            child.pid, child.waits_for = pid, None

    def exited(self, name: str, now: float) -> Fate:
        """Decide whether a stage whose process has ended comes back."""
        child = self._children.get(name)
        if child is None or child.state in (StageState.BACKOFF, StageState.FATAL):
            return Fate.UNKNOWN
        if child.state is StageState.DRAINING:
            del self._children[name]
            return Fate.REMOVED
        if child.state is StageState.REPLACING:
            # Ended on purpose: that says nothing about how well it is.
            child.state, child.start_at = StageState.BACKOFF, now
            return Fate.RESTART
        delay = child.restarts.exited(now)
        if delay is None:
            child.state = StageState.FATAL
            return Fate.FATAL
        child.state = StageState.BACKOFF
        child.start_at = now + delay
        return Fate.RESTART
