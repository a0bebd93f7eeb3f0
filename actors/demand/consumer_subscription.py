"""A subscription as its consumer sees it, and the outcomes that are owed there."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from actors.demand.job import size_of
from actors.demand.messages import Cancel, Demand, Done, Subscribe, in_parts
from actors.demand.windows import WINDOW_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.job import Process
    from actors.demand.messages import Assignment, Jobs, Outcome, SubscriptionId
    from actors.demand.windows import Window


_key_and_attempt = itemgetter(1, 2)

#: What gets no answer is repeated after this many seconds.
AGAIN_S = 1.0

#: After this many seconds without a sign of the producer the totals are told
#: again: what was asked for last may be lost, and one that has ended the
#: subscription answers that with ``Cancel``.
QUIET_S = 40.0


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
        without_outcome: Those of its jobs (key, attempt) that have none yet; in a
            step they are worked off before.
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
    without_outcome: set[tuple[int, int]] = field(default_factory=set)
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
    def ended(self) -> int:
        """Jobs ever received that have their outcome."""
        return self.received - len(self.without_outcome)

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self.closed_at is not None and self.received >= self.closed_at

    @property
    def is_quiet(self) -> bool:
        """Whether no answer of the producer is waited for."""
        return self.known and not self.closing

    def heard(self, now: float) -> None:
        """Note a sign of the producer, which is no answer to a request to cancel."""
        self.known = True
        if self.closed:
            self.again_at = None
        elif not self.closing:
            self.again_at = now + QUIET_S

    def raise_total(
        self, window: Window, need: int | None = None, *, at_once: bool = False
    ) -> bool:
        """Ask for more if what is outstanding is down to the window's floor.

        Args:
            window: How much to ask for.
            need: Ask for no more than this, if it is given.
            at_once: Ask above the floor as well.
        """
        most = window.max_demand if need is None else min(need, window.max_demand)
        outstanding = self.outstanding
        floor = window.max_demand if at_once else window.floor
        if self.closing or outstanding > floor or outstanding >= most:
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
        self.without_outcome.update(map(_key_and_attempt, fresh))
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
            ended=self.ended,
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
                ended=self.ended,
            )
            for part in parts or [()]
        ]

    def cancel(self, reason: str) -> Cancel:
        """The request to end this subscription."""
        return Cancel(subscription=self.id, reason=reason)


#: Outcomes that are not confirmed are repeated after this many seconds at least.
REPEAT_S = 2.0

#: And after this many at the most, however long an answer takes.
LONGEST_REPEAT_S = 60.0

#: A finished job's outcome waits for company at most this many seconds.
FLUSH_S = 0.05

#: What came back sooner counts by this share in the measured round trip.
_WEIGHT = 0.25


@dataclass(slots=True)
class Unconfirmed:
    """What one producer is owed; it outlives the subscription to it.

    What is not confirmed is repeated after twice the measured time of a confirmation,
    and after twice as long each time that none has come: a way that is slow is not
    made faster by what is sent again behind itself.
    """

    held: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    unsent: list[Outcome] = field(default_factory=list)
    flush_at: float | None = None
    sent_at: float | None = None
    size: int = 0
    round_trip_s: float = 0.0
    _sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    # In the order of the last time that each was sent.
    _sent: dict[tuple[int, int], float] = field(default_factory=dict)
    _repeated: set[tuple[int, int]] = field(default_factory=set)
    _misses: int = 0

    def __bool__(self) -> bool:
        return bool(self.held)

    @property
    def is_full(self) -> bool:
        """Whether what is not confirmed is as large as it may be."""
        return self.size >= WINDOW_BYTES

    @property
    def repeat_s(self) -> float:
        """How long an answer may take before what was sent is repeated."""
        least_s = max(REPEAT_S, 2 * self.round_trip_s)
        return min(LONGEST_REPEAT_S, least_s * 2.0 ** min(self._misses, 8))

    @property
    def repeat_at(self) -> float | None:
        """When what was sent first of all that is not confirmed is repeated."""
        if not self._sent:
            return None
        return next(iter(self._sent.values())) + self.repeat_s

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

    def confirm(self, confirmed: Iterable[tuple[int, int]], now: float) -> None:
        """Forget what the producer has kept."""
        measured_s = None
        for key in confirmed:
            if self.held.pop(key, None) is None:
                continue
            self.size -= self._sizes.pop(key)
            sent_at = self._sent.pop(key, None)
            self._misses = 0
            # Of what was sent twice nobody knows which of the two is answered.
            if key in self._repeated:
                self._repeated.remove(key)
            elif sent_at is not None:
                measured_s = now - sent_at
        if measured_s is not None:
            change_s = measured_s - self.round_trip_s
            self.round_trip_s += change_s if change_s > 0 else _WEIGHT * change_s

    def take_unsent(self, now: float) -> tuple[Outcome, ...]:
        """What has not been sent yet, to be sent now."""
        outcomes = tuple(self.unsent)
        self.unsent, self.flush_at = [], None
        if outcomes:
            self.sent_at = now
            keys = ((each.key, each.attempt) for each in outcomes)
            self._sent.update((key, now) for key in keys if key in self.held)
        return outcomes

    def take_all(self, now: float) -> tuple[Outcome, ...]:
        """Everything that is not confirmed, to be sent now."""
        return self._take_sent_by(now, now)

    def take_overdue(self, now: float) -> tuple[Outcome, ...]:
        """What was not confirmed though there was time, and what is still unsent."""
        return self._take_sent_by(now - self.repeat_s, now)

    def take_repeated(self, now: float) -> tuple[Outcome, ...]:
        """What is due at ``repeat_at`` or soon after, and what is still unsent."""
        taken = self._take_sent_by(now - self.repeat_s / 2, now)
        self._misses += 1
        return taken

    def next_tick(self) -> float | None:
        """When something is to be sent, in monotonic seconds."""
        times = [each for each in (self.flush_at, self.repeat_at) if each is not None]
        return min(times, default=None)

    def _take_sent_by(self, latest: float, now: float) -> tuple[Outcome, ...]:
        again = [key for key, at in self._sent.items() if at <= latest]
        outcomes = [self.held[key] for key in again]
        for key in again:
            del self._sent[key]
            self._sent[key] = now
        self._repeated.update(again)
        if outcomes:
            self.sent_at = now
        return (*outcomes, *self.take_unsent(now))


def bytes_of(outcome: Outcome) -> int:
    """Estimate what an outcome takes in a message."""
    failure = outcome.failure
    if failure is not None:
        return size_of(failure.error) + size_of(failure.trace)
    return size_of(outcome.result)
