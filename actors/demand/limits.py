"""No more than so many jobs in so long: for what stands behind the processors."""

from __future__ import annotations

from collections import deque


class Rate:
    """Allows ``count`` jobs in any stretch of ``interval_s`` seconds.

    In any stretch, not in fixed windows: two bursts never meet at a boundary.
    What is over the limit waits in the buffer, so that a full one stops the
    poller as it does without a limit.
    """

    def __init__(self, count: int, interval_s: float) -> None:
        self._sent: deque[tuple[float, int]] = deque()
        self._spent = 0
        self.change(count, interval_s)

    def change(self, count: int, interval_s: float) -> None:
        """Set another limit; what was sent before counts towards it.

        Raises:
            ValueError: Nothing could ever be sent.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        if not interval_s > 0:
            raise ValueError(f"interval_s must be above 0, got {interval_s}")
        self.count = count
        self.interval_s = interval_s

    def allowed(self, now: float) -> int:
        """How many jobs may be sent at ``now``, in monotonic seconds."""
        while self._sent and self._sent[0][0] + self.interval_s <= now:
            self._spent -= self._sent.popleft()[1]
        return max(0, self.count - self._spent)

    def spent(self, count: int, now: float) -> None:
        """Record that so many were sent."""
        self._sent.append((now, count))
        self._spent += count

    @property
    def next_at(self) -> float | None:
        """When more may be sent, in monotonic seconds; None if it may be now."""
        if self._spent < self.count:
            return None
        return self._sent[0][0] + self.interval_s
