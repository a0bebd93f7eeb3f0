"""Who is still there: signs of life, and when too many have been missed.

Rule 1: whoever gave no sign between ``misses`` beats running, for at least the
limit in all, is silent.
Rule 2: what counts is beats that were due and seen to, not time alone: one who was
held up itself (a machine that slept, a process that was stopped) waits for as many
beats more before it takes anybody for dead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

#: Questions to a stage in a row without an answer.
MISSES = 3
#: No stage is taken for dead sooner: a disk can hold a process up for long.
LEAST_S = 15.0
#: How long a beat may wait for another, in seconds, so that one wake-up does for both.
ALONG_S = 0.5
#: Beats in the longest silence that a line to another machine bears.
LINE_BEATS = 5
#: A machine dials anew after so long without a sign of its leader, in seconds, also
#: where both bear a longer silence: the line may be back, and TCP not know it yet.
PATIENCE_S = 7.0

N = TypeVar("N")


@dataclass(slots=True)
class _Watched:
    heard_at: float
    limit_s: float
    missed: int = 0


class Heartbeat(Generic[N]):
    """Says when to ask whom, and who is silent; all are asked at the same moments.

    Args:
        limit_s: How long one may be silent; counted as at least ``least_s``.
        beats: How many beats there are in that time.
        misses: After how many without a sign one is silent.
        least_s: The least that a limit may be.
    """

    def __init__(
        self,
        limit_s: float,
        *,
        beats: int = MISSES,
        misses: int = MISSES,
        least_s: float = LEAST_S,
    ) -> None:
        self._beats = beats
        self._misses = misses
        self._least_s = least_s
        self.bear(limit_s)
        self._watched: dict[N, _Watched] = {}
        self._beat_at = 0.0

    @classmethod
    def of_lines(cls, limit_s: float) -> Heartbeat[N]:
        """The heartbeat over lines between machines, where each side beats unasked."""
        # One that is silent for the whole limit has let all but the last one pass.
        # The other side may bear less: it gets beats enough for that.
        beats = LINE_BEATS * max(1, math.ceil(limit_s / PATIENCE_S))
        return cls(limit_s, beats=beats, misses=LINE_BEATS - 1, least_s=0.0)

    def bear(self, limit_s: float) -> None:
        """Take another limit from now on."""
        self.limit_s = max(self._least_s, limit_s)
        self.every_s = self.limit_s / self._beats

    def begin(self, name: N, now: float, limit_s: float | None = None) -> None:
        """Watch somebody, from a first sign on; ``limit_s`` where it is its own."""
        if not self._watched:
            self._beat_at = now + self.every_s
        self._watched[name] = _Watched(now, 0.0 if limit_s is None else limit_s)

    def heard(self, name: N, now: float) -> None:
        """Note a sign; of one who is not watched it says nothing."""
        if (watched := self._watched.get(name)) is not None:
            watched.heard_at, watched.missed = now, 0

    def end(self, name: N) -> None:
        """Stop watching ``name``. Does nothing if it is not watched."""
        self._watched.pop(name, None)

    def due(self, now: float) -> list[N]:
        """Take those who are to be asked, or given a sign, now."""
        if now < self._beat_at:
            return []
        self._beat_at = now + self.every_s
        for watched in self._watched.values():
            watched.missed += 1
        return list(self._watched)

    def silent(self, now: float) -> list[N]:
        """Those who are taken for dead; to be asked for before ``due``."""
        if now < self._beat_at:
            return []
        return [
            name
            for name, each in self._watched.items()
            if each.missed >= self._misses
            and now - each.heard_at >= (each.limit_s or self.limit_s)
        ]

    def next_tick(self) -> float | None:
        """When to ask, or to give somebody up; monotonic seconds."""
        return self._beat_at if self._watched else None

    def next_alone(self) -> float | None:
        """The same for who is woken by another's beat, at about that time, anyway."""
        at = self.next_tick()
        return None if at is None else at + ALONG_S
