"""How long to wait after a failure, and how often to try again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.demand.job import Failure


#: No source and no error may hold a job for longer than this, in seconds.
MAX_RETRY_AFTER_S = 3600.0

#: Delays grow no further after this many attempts, since they would outgrow a float.
MAX_STEPS = 100


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow with each failure in a row.

    Attributes:
        base_s: After the first failure.
        cap_s: The longest.
        factor: How much longer each wait is than the one before.
    """

    base_s: float
    cap_s: float
    factor: float = 2.0

    def longest_s(self, failures: int) -> float:
        """Return the wait after this many failures in a row, with no chance in it."""
        steps = min(failures - 1, MAX_STEPS)
        return min(self.cap_s, self.base_s * self.factor**steps)


def obeyed(retry_after_s: float) -> float:
    """Return how long to wait where the other side has asked for this many seconds."""
    # In this order, what is not a number becomes 0.
    return min(max(0.0, retry_after_s), MAX_RETRY_AFTER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed job is tried again, and when it is not.

    Attributes:
        attempts: How often a job may be tried in all.
        crashes: How many processors a job may take down with it. Counted apart,
            since a processor that dies costs its other jobs an attempt too.
        base_s: The delay after the first failure; each next one is ``factor``
            times longer, up to ``cap_s``.
        jitter: The share by which a delay may be shorter or longer, so that
            jobs that failed together do not come back together.
    """

    attempts: int = 5
    crashes: int = 3
    base_s: float = 1.0
    factor: float = 4.0
    cap_s: float = 300.0
    jitter: float = 0.25

    def __post_init__(self) -> None:
        """Refuse a policy under which no job could run."""
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts}")

    def delay_s(self, attempt: int, failure: Failure, chance: float) -> float | None:
        """Say how long to wait after the failure of the ``attempt``-th attempt.

        Args:
            attempt: Counted from 1.
            failure: What went wrong.
            chance: Uniform in 0 to 1, for the jitter.

        Returns:
            Seconds, or None where the job is not to be tried again.
        """
        if failure.permanent or attempt >= self.attempts:
            return None
        if failure.retry_after_s is not None:
            return obeyed(failure.retry_after_s)
        delay = Backoff(self.base_s, self.cap_s, self.factor).longest_s(attempt)
        return delay * (1 + self.jitter * (2 * chance - 1))
