"""What time it is for what is forgotten, where a clock may be wrong at a start."""

from __future__ import annotations

import math

#: A machine whose clock is wrong as it starts has it set by then.
DOUBT_S = 3600.0
#: An absence that nobody doubts, once the machine itself has run for so long.
ABSENCE_S = 90 * 86400.0


def doubted_since(wall: float, elapsed: float) -> float:
    """Since when, by the wall clock, one that is wrong now may have been so.

    Args:
        wall: The wall clock, now.
        elapsed: Since the machine started, by a clock that nobody can set.
    """
    return wall - min(elapsed, DOUBT_S)


class SeenTime:
    """The time that runs have seen pass, while this one may have begun ahead of it.

    Between two runs nothing tells a long absence from a clock that is ahead. What
    would be over by such a clock only is not forgotten before there was an hour for
    somebody to set it: where the machine has only just started, or the absence would
    be one of months. Otherwise short runs, one a day, would never forget anything.

    Attributes:
        latest: What was written before; None where the clock is believed.
    """

    def __init__(self, latest: float | None, elapsed: float, wall: float) -> None:
        """Begin.

        Args:
            latest: What was written last before ``doubted_since``, by the wall clock;
                None if nothing.
            elapsed: Since the machine started, by a clock that nobody can set.
            wall: The wall clock, now.
        """
        is_odd = latest is not None and wall - latest > ABSENCE_S
        self.latest = latest if elapsed < DOUBT_S or is_odd else None
        self._began = elapsed
        self._since = doubted_since(wall, elapsed)

    def now(self, wall: float, elapsed: float) -> float:
        """What time it is for what ends with time."""
        if (latest := self._in_doubt(elapsed)) is None:
            return wall
        return min(wall, latest + elapsed - self._began)

    def to_move(self, wall: float, by_s: float, elapsed: float) -> tuple[float, float]:
        """What was written by a clock as it was before it was set.

        Args:
            wall: What it was set to.
            by_s: By how much; set back where that is negative.
            elapsed: By a clock that nobody can set.

        Returns:
            Times as they were written, of which that is behind the first, and no later
            than the second. What an earlier run wrote by a clock as it is now is right
            as it is, and so is what is in times to come by the clock that was.
        """
        latest, since = self._in_doubt(elapsed), self._since
        if by_s < 0:
            is_right = latest is not None and latest <= wall
            return (latest if is_right and latest else -math.inf), math.inf
        # A little more than it was: both are reckoned with fractions of seconds.
        return (-math.inf if latest is None else since), wall - by_s + 1.0

    def moved(self, by_s: float) -> None:
        """Note that what was written by it goes along."""
        self._since += by_s

    def _in_doubt(self, elapsed: float) -> float | None:
        return self.latest if elapsed - self._began < DOUBT_S else None
