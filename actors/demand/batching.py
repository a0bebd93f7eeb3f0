"""When jobs are handed over together, as one list."""

from __future__ import annotations


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
            self.due_at = now + self.timeout_s
        if queued < self.size and now < self.due_at and not flush:
            return 0
        self.due_at = None
        return min(queued, self.size)
