"""A subscription as its consumer sees it, and the outcomes that are owed there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from actors.demand.job import size_of
from actors.demand.messages import Cancel, Demand, Done, Subscribe, in_parts
from actors.demand.windows import WINDOW_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.job import Process
    from actors.demand.messages import Assignment, Jobs, Outcome, SubscriptionId
    from actors.demand.windows import Window


#: What gets no answer is repeated after this many seconds.
AGAIN_S = 1.0

#: After so many seconds without a sign of the producer the totals are told
#: again: one that has ended the subscription answers that with ``Cancel``.
QUIET_S = 300.0


class Arrival(NamedTuple):
    """What a ``Jobs`` message brought.

    Attributes:
        fresh: Jobs not seen before, in order.
        gap: Something before them is missing, so none was taken.
        excess: How many more there are than were asked for.
        left_out: How many the producer had taken back meanwhile.
    """

    fresh: tuple[Assignment, ...] = ()
    gap: bool = False
    excess: int = 0
    left_out: int = 0


@dataclass(slots=True)
class ConsumerSubscription:
    """One subscription's totals.

    Attributes:
        source: The producer's name.
        id: The subscription's.
        again_at: When to repeat what has no answer: the request to subscribe, or
            to cancel; or when to ask whether the producer is still there.
        known: The producer has given a sign that it is open.
        total: Jobs ever asked for.
        received: Jobs ever received, those that were taken back included.
        unfinished: Jobs that are here and not worked off.
        closing: Cancelled by this consumer.
        closed_at: What ``received`` comes to when all has arrived, once closed.
        kind: What stands for the producer in its consumer's configuration: for
            each process of a step it is the step's name.
        window: How much to ask this producer for, where that is otherwise.
    """

    source: str
    id: SubscriptionId
    again_at: float | None
    known: bool = False
    total: int = 0
    received: int = 0
    unfinished: int = 0
    closing: bool = False
    closed_at: int | None = None
    kind: str = ""
    window: Window | None = None
    _missed: int = -1
    _missed_until: float = 0.0

    @property
    def outstanding(self) -> int:
        """Jobs asked for and not worked off."""
        return self.total - self.received + self.unfinished

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self.closed_at is not None and self.received >= self.closed_at

    @property
    def settled(self) -> bool:
        """Whether no answer of the producer is waited for."""
        return self.known and not self.closing

    def heard(self, now: float) -> None:
        """Note a sign of the producer, which is no answer to a request to cancel."""
        self.known = True
        if self.closed:
            self.again_at = None
        elif not self.closing:
            self.again_at = now + QUIET_S

    def raise_total(self, window: Window, need: int | None = None) -> bool:
        """Ask for more if what is outstanding is down to the window's floor.

        Args:
            window: How much to ask for.
            need: Ask for no more than this, if it is given.
        """
        most = window.max_demand if need is None else min(need, window.max_demand)
        outstanding = self.outstanding
        if self.closing or outstanding > window.floor or outstanding >= most:
            return False
        self.total += most - outstanding
        return True

    def raise_by(self, allowed: int, need: int | None = None) -> int:
        """Ask for what is allowed, as far as it is needed; returns how much."""
        more = allowed if need is None else min(allowed, need - self.outstanding)
        if self.closing or more <= 0:
            return 0
        self.total += more
        return more

    def misses(self, now: float) -> bool:
        """Note that something is missing; returns whether to ask for it now.

        What follows it on the way tells the same: asked for each time, all of it
        would be sent as often.
        """
        asked = self._missed == self.received and now < self._missed_until
        if not asked:
            self._missed, self._missed_until = self.received, now + AGAIN_S
        return not asked

    def receive(self, message: Jobs) -> Arrival:
        """Note what arrived: each job once and in order."""
        if message.first > self.received:
            return Arrival(gap=True)
        fresh = message.jobs
        if message.first < self.received:
            fresh = tuple(each for each in fresh if each.number >= self.received)
        news = max(0, message.upto - self.received)
        self.received += news
        self.unfinished += len(fresh)
        excess = max(0, self.received - self.total)
        self.total += excess
        return Arrival(fresh, excess=excess, left_out=news - len(fresh))

    def subscribe(self, process: Process) -> Subscribe:
        """The request to open this subscription."""
        return Subscribe(subscription=self.id, process=process)

    def demand(self, *, resend: bool = False) -> Demand:
        """The totals as they stand."""
        return Demand(
            subscription=self.id,
            total=self.total,
            received=self.received,
            resend=resend,
        )

    def done(self, outcomes: tuple[Outcome, ...]) -> list[Done]:
        """Outcomes, with the totals as they stand, in as few messages as hold them."""
        parts = [tuple(part) for part, _ in in_parts(outcomes, bytes_of)]
        return [
            Done(
                subscription=self.id,
                outcomes=part,
                total=self.total,
                received=self.received,
            )
            for part in parts or [()]
        ]

    def cancel(self, reason: str) -> Cancel:
        """The request to end this subscription."""
        return Cancel(subscription=self.id, reason=reason)


#: Outcomes that are not confirmed are repeated after this many seconds.
REPEAT_S = 2.0

#: A finished job's outcome waits for company at most this many seconds.
FLUSH_S = 0.05


@dataclass(slots=True)
class Unconfirmed:
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
            self.repeat_at = now + REPEAT_S
        return outcomes

    def take_all(self, now: float) -> tuple[Outcome, ...]:
        """Everything that is not confirmed, to be sent now."""
        self.unsent, self.flush_at = [], None
        if self.held:
            self.sent_at = now
        self.repeat_at = now + REPEAT_S if self.held else None
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
