"""How many jobs are worth one message, by how long a job takes."""

from __future__ import annotations

from actors.demand.consumer_subscription import Window

#: A window holds about so much work, in seconds: long beside the millisecond that
#: a message between processes costs, short beside what a person notices.
WORK_S = 0.05
#: A job that has run for so long keeps none waiting behind it, in seconds.
LATE_S = WORK_S / 2
#: The most jobs that are asked for, however short they are.
MOST = 1024
#: How much a shorter job counts beside those before it: after a long one, each that
#: is trivial doubles the window. One that is too large costs little, since what
#: waits behind a job for `LATE_S` is given back.
WEIGHT = 0.5


class Pace:
    """Follows the measured time of a job.

    A longer job counts at once, shorter ones by half (an exponentially
    weighted mean): a window that is too large holds up jobs that another
    processor could do, one that is too small only costs messages.
    """

    def __init__(self) -> None:
        self._mean_s: float | None = None
        self._most = 1

    @property
    def window(self) -> Window:
        """What to ask for: begins at 1, doubles at each job at the most."""
        return Window(max_demand=self._most)

    @property
    def share(self) -> int:
        """How many jobs to begin together: a part of what is here."""
        return max(1, self._most // 4)

    def excess(self, waiting: int, running_s: float) -> int:
        """How many of those that wait are better off elsewhere.

        What was asked for by the measure of short jobs can be long ones.

        Args:
            waiting: Jobs that are here and not begun.
            running_s: For how long the one before them has been running.
        """
        if running_s >= LATE_S:
            return waiting
        return max(0, waiting - self._most)

    def measured(self, duration_s: float) -> bool:
        """Take a job's time into account; returns whether the window changed."""
        mean_s = self._mean_s
        if mean_s is None or duration_s >= mean_s:
            mean_s = duration_s
        else:
            mean_s += WEIGHT * (duration_s - mean_s)
        self._mean_s = mean_s
        before = self._most
        fitting = MOST if mean_s * MOST <= WORK_S else max(1, int(WORK_S / mean_s))
        # In powers of two, lest each job's chance moves it.
        self._most = min(1 << (fitting.bit_length() - 1), before * 2)
        return self._most != before
