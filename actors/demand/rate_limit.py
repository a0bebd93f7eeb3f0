"""No more than a number of jobs in a time: for what stands behind the processors."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Rate:
    """Allows ``count`` jobs in any stretch of ``interval_s`` seconds.

    In any stretch, not in fixed windows: two bursts never meet at a boundary.
    What is over the limit waits in the buffer, so that a full one stops the
    poller as it does without a limit.

    What is sent has to be kept first (see ``JobsSent``), so that the limit holds over
    the end of the process. While that cannot be written nothing leaves: it is
    ``held``, nothing more is allowed, and what waits counts from when it leaves.
    """

    def __init__(self, count: int, interval_s: float) -> None:
        self._sent: deque[tuple[float, int]] = deque()
        self._spent = 0
        self._held_since: float | None = None
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
        if self._held_since is not None:
            return 0
        while self._sent and self._sent[0][0] + self.interval_s <= now:
            self._spent -= self._sent.popleft()[1]
        return max(0, self.count - self._spent)

    def spent(self, count: int, now: float) -> None:
        """Record that this many were sent."""
        self._sent.append((now, count))
        self._spent += count

    def resume(self, sent: Iterable[tuple[float, int]]) -> None:
        """Count what an earlier run has sent: when, monotonic, and how many."""
        for at, count in sorted(sent):
            self.spent(count, at)

    @property
    def is_held(self) -> bool:
        """Whether what was sent last has not left yet."""
        return self._held_since is not None

    def hold(self, now: float) -> None:
        """What was sent just now has not left yet; let nothing follow."""
        if self._held_since is None:
            self._held_since = now

    def release(self, now: float) -> None:
        """What was held leaves now, and counts from now on."""
        since, self._held_since = self._held_since, None
        if since is None:
            return
        late = [count for at, count in self._sent if at >= since]
        for _ in late:
            self._sent.pop()
        if late:
            self._sent.append((now, sum(late)))

    @property
    def next_at(self) -> float | None:
        """When more may be sent, in monotonic seconds; None if it may be now."""
        if self._held_since is not None or self._spent < self.count:
            return None
        return self._sent[0][0] + self.interval_s
