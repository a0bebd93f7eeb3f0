"""Virtual time: what is to happen, in the order of when."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Where monotonic time begins, in seconds: not at 0, as on a real machine.
START_S = 1000.0
#: Wall time at monotonic 0: the first minute of 2026, UTC.
EPOCH_S = 1767225600.0


class Agenda:
    """A clock that stands still until the next thing happens.

    What is due at the same moment happens in the order in which it was put down.
    """

    def __init__(self) -> None:
        self.now = START_S
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    @property
    def wall(self) -> float:
        """Seconds since the epoch."""
        return EPOCH_S + self.now

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self.now - START_S

    def after(self, delay_s: float, act: Callable[[], None]) -> None:
        """Put something down for ``delay_s`` seconds from now."""
        self.at(self.now + delay_s, act)

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Put something down for a moment; one that is past counts as now."""
        self._count += 1
        heapq.heappush(self._events, (max(when, self.now), self._count, act))

    def step(self, until: float) -> bool:
        """Let the next thing happen; False where none is due by ``until``."""
        if not self._events or self._events[0][0] > until:
            return False
        self.now, _, act = heapq.heappop(self._events)
        act()
        return True

    def run(self, until: float) -> None:
        """Let everything happen that is due by ``until``; then it is ``until``."""
        while self.step(until):
            pass
        self.now = max(self.now, until)
