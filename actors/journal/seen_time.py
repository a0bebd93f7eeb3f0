"""What time it is for what is forgotten, where a clock may be wrong at a start."""

from __future__ import annotations

#: A machine whose clock is wrong as it starts has it set by then.
DOUBT_S = 3600.0
#: An absence that nobody doubts, once the machine itself has run for so long.
ABSENCE_S = 90 * 86400.0


class SeenTime:
    """The time that runs have seen pass, while this one may have begun ahead of it.

    Between two runs nothing tells a long absence from a clock that is ahead. What
    would be over by such a clock only is not forgotten before there was an hour for
    somebody to set it: where the machine has only just started, or the absence would
    be one of months. Otherwise short runs, one a day, would never forget anything.
    """

    def __init__(self, latest: float | None, elapsed: float, wall: float) -> None:
        """Begin.

        Args:
            latest: What an earlier run wrote last, by its wall clock; None if nothing.
            elapsed: Since the machine started, by a clock that nobody can set.
            wall: The wall clock, now.
        """
        is_odd = latest is not None and wall - latest > ABSENCE_S
        self._latest = latest if elapsed < DOUBT_S or is_odd else None
        self._began = elapsed

    def now(self, wall: float, elapsed: float) -> float:
        """What time it is for what ends with time."""
        if (latest := self._in_doubt(elapsed)) is None:
            return wall
        return min(wall, latest + elapsed - self._began)

    def right_until(self, wall: float, by_s: float, elapsed: float) -> float | None:
        """Until when what is kept was right already, though the clock was set.

        Args:
            wall: What it was set to.
            by_s: By how much; set back where that is negative.
            elapsed: By a clock that nobody can set.

        Returns:
            What an earlier run wrote last, if that was by a clock as it is now;
            otherwise everything goes along with the clock, and it is None.
        """
        latest = self._in_doubt(elapsed)
        is_right_now = latest is not None and by_s < 0 and latest <= wall
        return latest if is_right_now else None

    def _in_doubt(self, elapsed: float) -> float | None:
        return self._latest if elapsed - self._began < DOUBT_S else None
