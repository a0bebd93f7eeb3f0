"""Outcomes that a consumer owes: held until confirmed, repeated until then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.demand.sizes import WINDOW_BYTES, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.messages import Outcome

#: Outcomes that are not confirmed are repeated after this many seconds.
AGAIN_S = 2.0
#: A finished job's outcome waits for company at most this many seconds.
FLUSH_S = 0.05


@dataclass(slots=True)
class Owed:
    """What one producer is owed; it outlives the subscription to it."""

    held: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    unsent: list[Outcome] = field(default_factory=list)
    flush_at: float | None = None
    repeat_at: float | None = None
    sent_at: float | None = None
    size: int = 0
    _sizes: dict[tuple[int, int], int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.held)

    @property
    def is_full(self) -> bool:
        """Whether what is not confirmed is as large as it may be."""
        return self.size >= WINDOW_BYTES

    def is_quiet(self, now: float) -> bool:
        """Whether nothing was sent just before, so that company is unlikely."""
        return self.sent_at is None or now >= self.sent_at + FLUSH_S

    def add(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Hold outcomes, to be sent soon."""
        for outcome in outcomes:
            key = outcome.key, outcome.attempt
            size = bytes_of(outcome)
            self.size += size - self._sizes.get(key, 0)
            self.held[key], self._sizes[key] = outcome, size
            self.unsent.append(outcome)
        if self.flush_at is None:
            self.flush_at = now + FLUSH_S

    def confirm(self, settled: Iterable[tuple[int, int]]) -> None:
        """Forget what the producer has kept."""
        for key in settled:
            self.held.pop(key, None)
            self.size -= self._sizes.pop(key, 0)
        if not self.held:
            self.repeat_at = None

    def take_unsent(self, now: float) -> tuple[Outcome, ...]:
        """What has not been sent yet, to be sent now."""
        outcomes = tuple(self.unsent)
        self.unsent, self.flush_at = [], None
        if outcomes:
            self.sent_at = now
        # Not later than before: new outcomes must not put off a lost one for ever.
        if self.held and self.repeat_at is None:
            self.repeat_at = now + AGAIN_S
        return outcomes

    def take_all(self, now: float) -> tuple[Outcome, ...]:
        """Everything that is not confirmed, to be sent now."""
        self.unsent, self.flush_at = [], None
        if self.held:
            self.sent_at = now
        self.repeat_at = now + AGAIN_S if self.held else None
        return tuple(self.held.values())

    def next_tick(self) -> float | None:
        """When something is to be sent, in monotonic seconds."""
        times = [each for each in (self.flush_at, self.repeat_at) if each is not None]
        return min(times, default=None)


def bytes_of(outcome: Outcome) -> int:
    """Estimate what an outcome takes in a message."""
    failure = outcome.failure
    if failure is not None:
        return size_of(failure.error) + size_of(failure.trace)
    return size_of(outcome.result)
