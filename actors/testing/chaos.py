"""Everything that goes wrong in one schedule, drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.testing.base import LATENCY_S, LOSABLE, POINTS, Calm, Route
from actors.testing.instructions import Killed

if TYPE_CHECKING:
    from actors.testing.base import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How long and how hard a schedule is.

    Attributes:
        faults_s: How long things go wrong, virtual seconds; then they heal.
        jobs: How many the sources hand out in that time, at the most.
        troubles: How many processes are stopped, killed or cut off, at the most.
        shots: How many processes die at a named point, at the most.
        calm: The share of schedules in which nothing goes wrong.
        call_s: How long a call takes, at the most.
    """

    faults_s: float = 3600.0
    jobs: int = 200
    troubles: int = 24
    shots: int = 6
    calm: float = 0.0
    call_s: float = 3.0


class Chaos(Calm):
    """Loses, repeats, delays and cuts off messages, and kills at named points.

    Only the demand protocol loses messages, since it heals that. What root and
    stages tell each other is repeated and delayed, and lost with a process.
    """

    def __init__(self, seed: int, profile: Profile) -> None:
        super().__init__(seed)
        draw = self.random
        self.seed = seed
        self.profile = profile
        self.active = draw.random() >= profile.calm
        self.losing = draw.choice((0.0, 0.01, 0.05, 0.2)) if self.active else 0.0
        self.repeating = draw.choice((0.0, 0.02, 0.1)) if self.active else 0.0
        self.delaying = draw.choice((0.0, 0.02, 0.2)) if self.active else 0.0
        self.delay_s = draw.choice((0.01, 1.0, 10.0))
        self.disk_error: str | None = None
        self.done: list[str] = []
        self._slow = draw.random()
        self._cuts: set[frozenset[str]] = set()
        self._shots: dict[str, list[int]] = {}
        for _ in range(draw.randint(0, profile.shots) if self.active else 0):
            point = draw.choice(POINTS)
            self._shots.setdefault(point, []).append(draw.randint(1, 300))

    def calm_down(self) -> None:
        """Let nothing go wrong any more."""
        self.losing = self.repeating = self.delaying = 0.0
        self.disk_error = None
        self._cuts.clear()
        self._shots.clear()

    def cut(self, one: str, other: str) -> None:
        """Let nothing through between two processes."""
        self._cuts.add(frozenset((one, other)))

    def join(self, one: str, other: str) -> None:
        """Let it through again."""
        self._cuts.discard(frozenset((one, other)))

    def route(self, sender: Node, receiver: Node, message: Any) -> Route:
        """Lose a message, repeat it, delay it, or let it be."""
        losable = isinstance(message, LOSABLE)
        if losable and frozenset((sender.name, receiver.name)) in self._cuts:
            return ()
        if losable and self.losing and self.chance() < self.losing:
            return ()
        first = self._copy(in_order=not losable)
        if self.repeating and self.chance() < self.repeating:
            return (first, self._copy(in_order=not losable))
        return (first,)

    def reach(self, point: str, node: Node) -> None:
        """Kill the process if a shot was meant for this point."""
        if not (shots := self._shots.get(point)):
            return
        shots[:] = [each - 1 for each in shots]
        if 0 in shots:
            shots.remove(0)
            self.done.append(f"{node.name} died at {point}")
            raise Killed

    def commit_error(self, node: Node) -> str | None:  # noqa: ARG002
        """The disk's error, while it has one."""
        return self.disk_error

    def duration_s(self, worker: str) -> float:  # noqa: ARG002
        """Mostly nothing, now and then long."""
        chance = self.chance()
        return chance * self.profile.call_s if self.chance() < self._slow else 0.0

    def _copy(self, *, in_order: bool) -> tuple[float, bool]:
        if self.delaying and self.chance() < self.delaying:
            return (LATENCY_S + self.chance() * self.delay_s, in_order)
        return (LATENCY_S, True)
