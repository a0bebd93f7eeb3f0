"""How often a stage may be restarted before its supervisor gives up."""

from __future__ import annotations

from collections import deque


class Restarts:
    """Allow ``intensity`` restarts in any ``period_s``, with growing delay.

    The first restart after a quiet period is immediate. Each further one waits
    twice as long as the one before, from ``base_s`` up to ``cap_s``.

    Source: Erlang/OTP's restart intensity, with Elixir's defaults (3 in 5 s).
    """

    def __init__(
        self,
        *,
        intensity: int = 3,
        period_s: float = 5.0,
        base_s: float = 0.2,
        cap_s: float = 30.0,
    ) -> None:
        self._intensity = intensity
        self._period_s = period_s
        self._base_s = base_s
        self._cap_s = cap_s
        self._exits: deque[float] = deque()

    def exited(self, now: float) -> float | None:
        """Record an exit at ``now``, in monotonic seconds.

        Returns:
            The seconds to wait before the restart, or None to give up.
        """
        while self._exits and now - self._exits[0] >= self._period_s:
            self._exits.popleft()
        recent = len(self._exits)
        self._exits.append(now)
        if recent >= self._intensity:
            return None
        if recent == 0:
            return 0.0
        return min(self._cap_s, self._base_s * 2.0 ** (recent - 1))
