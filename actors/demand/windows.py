"""How much a consumer asks for, and how many jobs go together."""

from __future__ import annotations

from dataclasses import dataclass

#: Bytes.
MIB = 1 << 20

#: A consumer that holds jobs of this many bytes is sent no more, whatever it asked for,
#: and one that owes results of this many bytes begins none.
WINDOW_BYTES = 4 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How much a consumer asks for.

    Attributes:
        max_demand: The most jobs asked for and not worked off; 1 suits a quiet
            source, where the next free processor should get the next job.
        min_demand: It asks again when it is down to this; half of the maximum
            unless given, as in GenStage, but before a place for a job is empty.
        concurrency: Jobs that can run at the same time.
    """

    max_demand: int = 1
    min_demand: int | None = None
    concurrency: int = 1

    def __post_init__(self) -> None:
        """Refuse windows that could never ask again."""
        if self.max_demand < 1:
            raise ValueError(f"max_demand must be at least 1, got {self.max_demand}")
        if not 0 <= self.floor < self.max_demand:
            raise ValueError(
                f"min_demand must be from 0 to max_demand - 1 "
                f"({self.max_demand - 1}), got {self.min_demand}"
            )

    @property
    def floor(self) -> int:
        """The demand at which to ask again."""
        if self.min_demand is not None:
            return self.min_demand
        # Where fewer are left than can run at once, a place is empty.
        places = min(self.concurrency, self.max_demand)
        return max(self.max_demand // 2, places - 1)


#: A window holds about so much work, in seconds: long beside the millisecond that
#: a message between processes costs, short beside what a person notices.
WORK_S = 0.05

#: A job that has run for so long keeps none waiting behind it, in seconds.
LATE_S = WORK_S / 2

#: The most jobs that are asked for, however short they are.
MOST = 1024

#: A window is judged by this many times the jobs that it holds: a long one among many
#: short ones is then part of the measure. Each costs what waits behind it twice, since
#: that is given back: a window that forgets it too soon is larger than what it gains.
WINDOWS = 2


class AutoWindow:
    """Follows the measured time of a job.

    It doubles once as many jobs as two windows hold took no longer than one may,
    and is halved once they took twice as long as they may. Two long jobs in a row
    count at once: a window that is too large holds up jobs that another processor
    could do, one that is too small only costs messages.
    """

    def __init__(self, concurrency: int = 1) -> None:
        self._concurrency = concurrency
        self._most = 1
        self._last_s = 0.0
        self._count = 0
        self._worked_s = 0.0

    @property
    def window(self) -> Window:
        """What to ask for: begins at 1 for each place, in powers of two."""
        return Window(max_demand=self._all, concurrency=self._concurrency)

    @property
    def share(self) -> int:
        """How many jobs to begin together: a part of what is here."""
        return max(self._concurrency, self._all // 4)

    @property
    def _all(self) -> int:
        return max(self._concurrency, min(MOST, self._most * self._concurrency))

    def excess(self, waiting: int, running_s: float) -> int:
        """How many of those that wait are better off elsewhere.

        What was asked for by the measure of short jobs can be long ones.

        Args:
            waiting: Jobs that are here and not begun.
            running_s: For how long the one before them has been running.
        """
        if running_s >= LATE_S:
            return waiting
        return max(0, waiting - self._all)

    def measured(self, duration_s: float) -> bool:
        """Take a job's time into account; returns whether the window changed."""
        before = self._most
        self._count += 1
        self._worked_s += duration_s
        is_judged = self._count >= WINDOWS * before
        if self._worked_s > WINDOWS * WORK_S:
            self._most = max(1, before // 2)
        elif is_judged and self._worked_s * 2 <= WINDOWS * WORK_S:
            self._most = min(MOST, before * 2)
        self._most = min(self._most, _fitting(min(duration_s, self._last_s)))
        self._last_s = duration_s
        if is_judged or self._most != before:
            self._count, self._worked_s = 0, 0.0
        return self._most != before


def _fitting(job_s: float) -> int:
    if job_s * MOST <= WORK_S:
        return MOST
    # In powers of two, lest each job's chance moves it.
    return 1 << (max(1, int(WORK_S / job_s)).bit_length() - 1)


#: Where no more may come, a batch waits for company no longer than this, in seconds:
#: long beside a message, short beside what a stop may take.
FLUSH_S = 0.1

#: How long that holds without being said again, in seconds.
FLUSHING_S = 2.5


class Batching:
    """Waits for ``size`` jobs, or until the first of them has waited long enough."""

    def __init__(self, size: int, timeout_s: float) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        if not timeout_s >= 0:
            raise ValueError(f"timeout_s must be at least 0, got {timeout_s}")
        self.size = size
        self.timeout_s = timeout_s
        self.due_at: float | None = None
        self._flush_until = 0.0

    def flush(self, now: float) -> None:
        """Let no batch wait for long, for a while: its source may give no more."""
        self._flush_until = now + FLUSHING_S
        if self.due_at is not None:
            self.due_at = min(self.due_at, now + FLUSH_S)

    def due(self, queued: int, now: float, *, flush: bool = False) -> int:
        """How many to hand over now; 0 is to wait.

        Args:
            queued: Jobs that are here.
            now: Monotonic seconds.
            flush: No more are to come.
        """
        if not queued:
            self.due_at = None
            return 0
        if self.due_at is None:
            is_short = now < self._flush_until
            wait_s = min(self.timeout_s, FLUSH_S) if is_short else self.timeout_s
            self.due_at = now + wait_s
        if queued < self.size and now < self.due_at and not flush:
            return 0
        self.due_at = None
        return min(queued, self.size)
