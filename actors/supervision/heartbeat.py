"""Who is still there: a sign of life is asked for, and missed three times running.

Rule 1: whoever answered none of the last three questions, and gave no other sign
since, for at least the limit in all, is silent.
Rule 2: what counts is questions that were put, not time alone: one who was held
up itself (a machine that slept, a process that was stopped) asks anew before it
takes anybody for dead.
"""

from __future__ import annotations

from dataclasses import dataclass

#: So many questions in a row without an answer.
MISSES = 3
#: Nobody is taken for dead sooner: a disk can hold a process up for long.
LEAST_S = 15.0


@dataclass(slots=True)
class _Watched:
    heard_at: float
    asked: int = 0


class Pulse:
    """Says when to ask whom, and who is silent; all are asked at the same moments.

    Args:
        limit_s: How long one may be silent; counted as at least `LEAST_S`.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = max(LEAST_S, limit_s)
        self._every_s = self.limit_s / MISSES
        self._watched: dict[str, _Watched] = {}
        self._ask_at = 0.0

    def begin(self, name: str, now: float) -> None:
        """Watch somebody, from a first sign on."""
        if not self._watched:
            self._ask_at = now + self._every_s
        self._watched[name] = _Watched(now)

    def heard(self, name: str, now: float) -> None:
        """A sign came; of one who is not watched it says nothing."""
        if (watched := self._watched.get(name)) is not None:
            watched.heard_at, watched.asked = now, 0

    def end(self, name: str) -> None:
        """Watch no more; one who is not watched is as good."""
        self._watched.pop(name, None)

    def due(self, now: float) -> list[str]:
        """Take those who are to be asked now."""
        if now < self._ask_at:
            return []
        self._ask_at = now + self._every_s
        for watched in self._watched.values():
            watched.asked += 1
        return list(self._watched)

    def silent(self, now: float) -> list[str]:
        """Those who are taken for dead; to be asked for before ``due``."""
        if now < self._ask_at:
            return []
        return [
            name
            for name, each in self._watched.items()
            if each.asked >= MISSES and now - each.heard_at >= self.limit_s
        ]

    def next_tick(self) -> float | None:
        """When to ask, or to give somebody up; monotonic seconds."""
        return self._ask_at if self._watched else None
