"""One subscription as its consumer sees it, and the window that it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from actors.demand.messages import Cancel, Demand, Done, Subscribe
from actors.demand.sizes import in_parts
from actors.demand.unconfirmed import bytes_of

if TYPE_CHECKING:
    from actors.demand.messages import (
        Assignment,
        Jobs,
        Outcome,
        Process,
        SubscriptionId,
    )

#: What gets no answer is repeated after this many seconds.
AGAIN_S = 1.0
#: After so many seconds without a sign of the producer the totals are told
#: again: one that has ended the subscription answers that with ``Cancel``.
QUIET_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How much a consumer asks for.

    Attributes:
        max_demand: The most jobs asked for and not worked off; 1 suits a quiet
            source, where the next free processor should get the next job.
        min_demand: It asks again when it is down to this; half of the maximum
            unless given, as in GenStage.
    """

    max_demand: int = 1
    min_demand: int | None = None

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
        return self.max_demand // 2 if self.min_demand is None else self.min_demand


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
class Feed:
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
