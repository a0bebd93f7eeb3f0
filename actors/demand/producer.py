"""The producer's side of the protocol: what each message leads to.

Every method takes what came in and returns a ``Decision``: the events to keep
first, then the messages to send, in order. Nothing that a peer sends can make
one raise, and a message that comes twice decides nothing the second time.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, TypedDict

from actors.demand.dispatchers import BroadcastDispatcher
from actors.demand.job import JobState
from actors.demand.job_events import JobReturned, JobsSent
from actors.demand.messages import (
    Cancel,
    Confirm,
    Crossing,
    Demand,
    Done,
    Ping,
    Subscribe,
    Subscribed,
    SubscriptionId,
    ToConsumer,
    ToProducer,
)
from actors.demand.producer_subscription import ProducerSubscription
from actors.demand.rate_limit import Rate
from actors.demand.suspects import Suspects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from actors.demand.dispatchers import Dispatcher
    from actors.demand.job import Failure, Job, JobId, Process
    from actors.demand.job_events import JobEvent
    from actors.demand.job_routing import Incoming, Routes
    from actors.demand.job_store import JobStore


#: The reason of a Cancel for a subscription that its receiver has not opened.
UNKNOWN = "unknown_subscription"
#: Subscriptions that have ended are remembered: a late request must not open one
#: anew, since its totals would start from 0 and its consumer's would not.
FORMER = 1024
#: What a process sent before its end may arrive behind the word of it, by this many
#: seconds: there is an order for each sender only. One that lives asks again.
LATE_S = 2.0

_key_and_attempt = itemgetter(0, 1)


@dataclass(slots=True)
class Decision:
    """What is to be done: keep the events, then send the messages.

    Attributes:
        events: Changes of jobs, in order.
        sends: Messages, in order, each for the consumer of its subscription.
        lost: Processes whose lease ended without a sign of them.
        fetched: How many jobs came from the source, those made of one counted once.
        useful: How many of these are not set aside for what they are.
        pages: How many pages of a source with a state; its fetch waits for them.
    """

    events: list[JobEvent] = field(default_factory=list)
    sends: list[ToConsumer] = field(default_factory=list)
    lost: list[Process] = field(default_factory=list)
    fetched: int = 0
    useful: int = 0
    pages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasePolicy:
    """How long a consumer may be silent.

    Attributes:
        lease_s: A consumer that holds jobs and gives no sign for so long has
            lost them: they are ready again.
        ping_s: After so long without a sign it is asked for one, if it holds
            jobs, or asks for none while some wait.
    """

    lease_s: float = 60.0
    ping_s: float = 5.0

    @classmethod
    def of(cls, lease_s: float) -> LeasePolicy:
        """A policy with this lease, in which a few pings may be lost."""
        return cls(lease_s=lease_s, ping_s=min(5.0, lease_s / 4))


class KindCounts(TypedDict):
    """With ``broadcast``, what is there for one kind of processor.

    Attributes:
        buffered: Jobs that wait for its demand.
        demand: Jobs that it has asked for.
    """

    buffered: int
    demand: int


class Producer:
    """Serves subscriptions from a ``JobStore``'s buffer, against demand only."""

    def __init__(
        self,
        store: JobStore,
        dispatcher: Dispatcher[Job],
        policy: LeasePolicy | None = None,
        rate: Rate | None = None,
    ) -> None:
        self.store = store
        self.rate = rate
        self.gate_open = True
        self._dispatcher = dispatcher
        self._suspects = Suspects(dispatcher)
        self._resting: set[SubscriptionId] = set()
        self._full: set[SubscriptionId] = set()
        self._policy = policy or LeasePolicy()
        self._subscriptions: dict[SubscriptionId, ProducerSubscription] = {}
        self._former: deque[SubscriptionId] = deque(maxlen=FORMER)
        self._gone: dict[str, float] = {}
        self._late: deque[SubscriptionId] = deque(maxlen=FORMER)

    @property
    def subscriptions(self) -> tuple[ProducerSubscription, ...]:
        """Those that are open, oldest first."""
        return tuple(self._subscriptions.values())

    @property
    def subscription_ids(self) -> Collection[SubscriptionId]:
        """The ids of those that are open."""
        return self._subscriptions.keys()

    def ids_of(self, *processes: Process) -> list[SubscriptionId]:
        """The ids of those that are open and these processes'."""
        runs = {each.run for each in processes}
        return [each.id for each in self.subscriptions if each.process.run in runs]

    @property
    def demand(self) -> int:
        """Jobs that were asked for, not yet sent, and could be sent."""
        return self._dispatcher.demand

    def lacking(self, kinds: Collection[str] = ()) -> int:
        """How many more jobs could be sent at once, beside those that are here.

        Args:
            kinds: With broadcast, all that get a copy of each job: what the one can
                take that asks for least, since the others' copies come with it.
        """
        if not isinstance(self._dispatcher, BroadcastDispatcher) or not kinds:
            lacking = self.demand - self.store.waiting
        else:
            demand = self._dispatcher.demand_by_kind()
            here = (*self.store.buffer, *self.store.suspects)
            demand.subtract(job.route for job in here)
            lacking = min(demand[kind] for kind in kinds)
        return max(0, lacking - self.store.unrouted_count)

    @property
    def is_limited(self) -> bool:
        """Whether its rate lets nothing through now."""
        return self.rate is not None and self.rate.next_at is not None

    def limited_until(self, now: float) -> float | None:
        """When its rate lets a job through that is here and asked for, if not now."""
        at = self.rate.next_at if self.rate is not None else None
        waits = self.store.waiting and self.demand and at is not None and at > now
        return at if waits else None

    @property
    def kinds(self) -> dict[str, KindCounts]:
        """With broadcast, what each kind of processor has here and has asked for."""
        if not isinstance(self._dispatcher, BroadcastDispatcher):
            return {}
        buffered = Counter(job.route for job in self.store.buffer)
        demand = self._dispatcher.demand_by_kind()
        return {
            kind: {"buffered": buffered[kind], "demand": demand[kind]}
            for kind in sorted(buffered | demand)
        }

    def is_resting(self, subscription: ProducerSubscription) -> bool:
        """Whether it gave jobs back, and has not been heard of since.

        What it asked for stands, but is not served: it would get the same again.
        """
        return subscription.id in self._resting

    def is_full(self, subscription: ProducerSubscription) -> bool:
        """Whether it holds as much as it may, in bytes: what it asked for waits."""
        return subscription.id in self._full

    def isolates(self, subscription: ProducerSubscription) -> bool:
        """Whether it gets one job at a time now, to find who crashes it."""
        return subscription.is_isolated

    def limit(self, count: int | None, interval_s: float) -> None:
        """Send no more than this many jobs in so long from now on; None lifts it.

        Raises:
            ValueError: Nothing could ever be sent.
        """
        if count is None:
            self.rate = None
        elif self.rate is None:
            self.rate = Rate(count, interval_s)
        else:
            self.rate.change(count, interval_s)

    def fetched(
        self, jobs: Sequence[Incoming | tuple[JobId | None, Any]], now: float
    ) -> Decision:
        """Take in jobs from the source, and send what was asked for."""
        events, count = self.store.fetched(jobs, now), len(jobs)
        decision = Decision(events=events, fetched=count, useful=count)
        return self._dispatch(decision, now)

    def routed(self, found: Iterable[tuple[int, Routes]], now: float) -> Decision:
        """Let jobs go where they are to, and send what was asked for."""
        return self._dispatch(Decision(events=self.store.routed(found)), now)

    def set_aside(
        self, own_id: JobId | None, payload: Any, failure: Failure, now: float
    ) -> Decision:
        """Quarantine what the source served and no processor can use."""
        events = self.store.set_aside(own_id, payload, failure, now)
        return Decision(events=events, fetched=1)

    def taken_up(self, jobs: Iterable[Job], now: float, *, more: bool) -> Decision:
        """Take in jobs that an earlier run left, and send what was asked for."""
        events = self.store.take_up(jobs, more=more)
        return self._dispatch(Decision(events=events), now)

    def released(self, jobs: Iterable[Job], now: float) -> Decision:
        """Take jobs out of the quarantine, and send what was asked for."""
        events = [self.store.released(job) for job in jobs]
        return self._dispatch(Decision(events=events), now)

    def called_off(self, keys: Iterable[int], now: float) -> Decision:
        """Set jobs aside that a person has cancelled, and have those ended that run.

        A job whose end is not to come, or that is not in memory, is passed over.
        """
        decision = Decision()
        found = map(self.store.live, dict.fromkeys(keys))
        for job in filter(None, found):
            holder = None
            for each in self.subscriptions:
                lease = each.leases.get(job.key)
                if lease is not None and lease[1] == job.attempt:
                    each.called_off[job.key], holder = job.attempt, each
            if job.state is not JobState.LEASED:
                holder = None
            process = None if holder is None else holder.process
            decision.events.append(self.store.called_off(job, process))
        decision.sends += [
            each.call_off(now) for each in self.subscriptions if each.called_off
        ]
        return self._dispatch(decision, now)

    def discarded(self, jobs: Iterable[Job], reason: str) -> Decision:
        """Give quarantined jobs up."""
        return Decision(events=[self.store.discarded(job, reason) for job in jobs])

    def receive(
        self, message: ToProducer, now: float, chance: Callable[[], float]
    ) -> Decision:
        """Take what a consumer sent.

        Args:
            message: Of any subscription, open or not.
            now: Monotonic seconds.
            chance: Uniform in 0 to 1, for the delay after a failure.
        """
        match message:
            case Subscribe():
                return self.subscribe(message, now)
            case Demand():
                return self.demanded(message, now)
            case Done():
                return self.done(message, now, chance())
            case Cancel():
                return self.cancelled(message, now)
            case Crossing():
                return self.crossing(message, now)

    def subscribe(self, message: Subscribe, now: float) -> Decision:
        """Open a subscription; a repeated request is answered again.

        A process that is gone opens none: its jobs would wait for the lease to end.
        """
        if message.subscription in self._former:
            return _unknown(message.subscription)
        subscription = self._subscriptions.get(message.subscription)
        if subscription is None:
            if self._gone.get(message.process.run, -math.inf) > now - LATE_S:
                # Nor is it answered: one that lives would ask again at once, for ever.
                self._late.append(message.subscription)
                return Decision()
            subscription = ProducerSubscription(
                message.subscription, message.process, now, now
            )
            self._dispatcher.subscribe(message.subscription, message.process)
            self._subscriptions[message.subscription] = subscription
        subscription.heard_at = now
        return Decision(sends=[Subscribed(subscription=message.subscription)])

    def demanded(self, message: Demand, now: float) -> Decision:
        """Raise a subscription's demand, and serve it from the buffer."""
        subscription = self._heard(message, now)
        if subscription is None:
            return self._unknown(message.subscription)
        decision = Decision()
        if message.resend:
            decision.sends += subscription.send_again()
            self._reopen(subscription)
        self._serve(subscription)
        self._close_if_finished(subscription)
        return self._dispatch(decision, now)

    def done(self, message: Done, now: float, chance: float) -> Decision:
        """Apply outcomes, confirm them, and serve the demand that came along."""
        subscription = self._heard(message, now)
        if subscription is None:
            return self._unknown(message.subscription)
        decision = Decision()
        process, settle = subscription.process, self.store.settle
        confirmed = tuple(map(_key_and_attempt, message.outcomes))
        subscription.release(confirmed)
        self._reopen(subscription)
        self._serve(subscription)
        decision.events += [
            settle(outcome, process, now, chance)
            for outcome in message.outcomes
            if outcome.begun
        ]
        not_begun = [outcome for outcome in message.outcomes if not outcome.begun]
        returned = self.store.hand_back(not_begun, process)
        if any(isinstance(event, JobReturned) for event in returned):
            self._rest(subscription)
        decision.events += returned
        decision.sends.append(Confirm(subscription=subscription.id, outcomes=confirmed))
        self._close_if_finished(subscription)
        return self._dispatch(decision, now)

    def cancelled(self, message: Cancel, now: float) -> Decision:
        """Withdraw a consumer's unused demand; it finishes what it holds.

        A consumer that disowns the subscription holds nothing of it.
        """
        subscription = self._subscriptions.get(message.subscription)
        if subscription is None:
            return _unknown(message.subscription)
        if message.reason == UNKNOWN:
            returned = self._end(subscription, UNKNOWN, crash=False)
            return self._dispatch(Decision(events=returned), now)
        subscription.heard_at = now
        subscription.closing = True
        self._dispatcher.cancel(subscription.id)
        self._resting.discard(subscription.id)
        self._full.discard(subscription.id)
        self._suspects.forget(subscription)
        answer = Cancel(
            subscription=subscription.id, reason="cancelled", sent=subscription.sent
        )
        self._close_if_finished(subscription)
        return Decision(sends=[answer])

    def crossing(self, message: Crossing, now: float) -> Decision:
        """Begin a consumer's lease no sooner than its jobs arrive."""
        subscription = self._subscriptions.get(message.subscription)
        if subscription is not None:
            subscription.heard_at = now
        return Decision()

    def gone(
        self,
        process: Process,
        reason: str,
        now: float,
        *,
        crash: bool = True,
        others: Iterable[Process] = (),
    ) -> Decision:
        """End all that a process had here: it is no more.

        Args:
            process: Which.
            reason: What happened to it, for the log.
            now: Monotonic seconds.
            crash: Whether what it held may have taken it down.
            others: Those that went with it: ended before anything is sent, lest
                one of them be given what another held.
        """
        decision = Decision()
        runs = {process.run, *(each.run for each in others)}
        recent = {run: at for run, at in self._gone.items() if at > now - LATE_S}
        self._gone = recent | dict.fromkeys(runs, now)
        for subscription in self.subscriptions:
            if subscription.process.run in runs:
                decision.events += self._end(subscription, reason, crash=crash)
        return self._dispatch(decision, now)

    def excuse(self, now: float) -> None:
        """Count no silence up to now: what is sent does not leave this process."""
        for subscription in self.subscriptions:
            subscription.heard_at = now

    def tick(self, now: float) -> Decision:
        """Do what time brings: retries, pings, and the end of silent leases."""
        self.store.retry_due(now)
        decision = Decision()
        for subscription in self.subscriptions:
            if subscription.called_off and now >= subscription.call_off_at:
                decision.sends.append(subscription.call_off(now))
            if not self._owes_a_sign(subscription) or now < self._ping_at(subscription):
                continue
            if self._is_lost(subscription, now):
                decision.events += self._end(subscription, "lease ended", crash=True)
                decision.lost.append(subscription.process)
                cancel = Cancel(subscription=subscription.id, reason="lease ended")
                decision.sends.append(cancel)
            else:
                subscription.pinged_at = now
                ping = Ping(subscription=subscription.id, sent=subscription.sent)
                decision.sends.append(ping)
        return self._dispatch(decision, now)

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do next, in monotonic seconds."""
        starved = self._starves
        times = []
        for each in self._subscriptions.values():
            if each.leases or (starved and not each.closing):
                times.append(self._ping_at(each))
            if each.called_off:
                times.append(each.call_off_at)
        if self.store.next_retry is not None:
            times.append(self.store.next_retry)
        waiting = starved and self.demand
        if waiting and self.rate and (next_at := self.rate.next_at) is not None:
            times.append(next_at)
        return min(times, default=None)

    def _unknown(self, subscription: SubscriptionId) -> Decision:
        # A request to end one is always answered: it is not followed by another.
        waits = subscription in self._late and subscription not in self._former
        return Decision() if waits else _unknown(subscription)

    def _heard(self, message: Demand | Done, now: float) -> ProducerSubscription | None:
        subscription = self._subscriptions.get(message.subscription)
        if subscription is None:
            return None
        subscription.heard_at = now
        subscription.note_received(message.received, message.ended)
        subscription.raise_asked(message.total)
        self._resting.discard(subscription.id)
        return subscription

    def _serve(self, subscription: ProducerSubscription) -> None:
        """Let the dispatcher know what it may be sent now."""
        if not self._is_served(subscription):
            return
        more = subscription.credit - self._dispatcher.credit(subscription.id)
        if more < 0:
            self._withhold(subscription)
            more = subscription.credit
        if more > 0:
            self._dispatcher.ask(subscription.id, more)

    def _is_served(self, subscription: ProducerSubscription) -> bool:
        return not (
            subscription.closing
            or subscription.is_isolated
            or subscription.id in self._full
            or subscription.id in self._resting
        )

    def _rest(self, subscription: ProducerSubscription) -> None:
        if not (subscription.closing or subscription.is_isolated):
            self._withhold(subscription)
            self._resting.add(subscription.id)

    def _withhold(self, subscription: ProducerSubscription) -> None:
        # What it asked for stands; for now the dispatcher is to know nothing of it.
        self._dispatcher.cancel(subscription.id)
        self._dispatcher.subscribe(subscription.id, subscription.process)

    def _reopen(self, subscription: ProducerSubscription) -> None:
        if subscription.id in self._full and not subscription.is_full:
            self._full.discard(subscription.id)
            if self._is_served(subscription):
                self._dispatcher.ask(subscription.id, subscription.credit)

    def _dispatch(self, decision: Decision, now: float) -> Decision:
        if not self.gate_open:
            return decision
        self._dispatch_suspects(decision, now)
        while self._dispatch_fitting(decision, now):
            pass
        return decision

    def _dispatch_fitting(self, decision: Decision, now: float) -> bool:
        """Lease what fits; returns whether more may fit others."""
        most = None if self.rate is None else self.rate.allowed(now)
        if not self.store.buffer:  # as it mostly is
            return False
        sent = self._dispatcher.dispatch(self.store.buffer, self._held(), most)
        too_much: list[Job] = []
        for subscription_id, jobs in sent:
            subscription = self._subscriptions[subscription_id]
            if fitting := subscription.fitting(jobs):
                self._lease(subscription, jobs[:fitting], decision, now)
            too_much += jobs[fitting:]
            if subscription.is_full:
                self._full.add(subscription.id)
                self._withhold(subscription)
        # In the order in which they came to be held, whomever they were for.
        self.store.buffer.put_back(sorted(too_much, key=attrgetter("place")))
        return bool(too_much)

    def _held(self) -> Iterator[tuple[SubscriptionId, Job]]:
        # Jobs that wait to be sent alone keep others of their route from passing.
        for job in self.store.suspects:
            yield "", job
        yield from self._leased()

    def _leased(self) -> Iterator[tuple[SubscriptionId, Job]]:
        for subscription in self._subscriptions.values():
            for job, _ in subscription.leases.values():
                yield subscription.id, job

    def _dispatch_suspects(self, decision: Decision, now: float) -> None:
        suspects = self.store.suspects if self.store.has_suspects else ()
        taken = {job.route for _, job in self._leased()} if suspects else set()
        for job in suspects:
            if self.rate is not None and not self.rate.allowed(now):
                return
            if self._dispatcher.exclusive and job.route in taken:
                continue
            taken.add(job.route)
            held = len(self._suspects.held)
            subscription = self._suspects.choose(self.subscriptions, job)
            if subscription is None and len(self._suspects.held) > held:
                # A batch there would wait for jobs that do not come.
                decision.sends.append(self._suspects.held[-1].nothing_follows())
            if subscription is not None:
                self.store.take_suspect(job)
                self._lease(subscription, (job,), decision, now)
        if self._suspects.held:
            self._suspects.release(self.store.suspects)

    def _lease(
        self,
        subscription: ProducerSubscription,
        jobs: Sequence[Job],
        decision: Decision,
        now: float,
    ) -> None:
        if not subscription.leases:
            subscription.heard_at = now
        if self.rate is not None:
            self.rate.spent(len(jobs), now)
            decision.events.append(JobsSent(len(jobs), self.rate.interval_s))
        decision.events += self.store.leased(jobs, subscription.process)
        decision.sends += subscription.send(jobs)

    @property
    def _starves(self) -> bool:
        """Whether jobs wait that could be sent."""
        return self.gate_open and self.store.waiting > 0

    def _owes_a_sign(self, subscription: ProducerSubscription) -> bool:
        if subscription.leases:
            return True
        return self._starves and not subscription.closing

    def _is_lost(self, subscription: ProducerSubscription, now: float) -> bool:
        ends_at = subscription.heard_at + self._policy.lease_s
        # A producer that was itself held up asks once more before it gives up.
        was_asked = subscription.pinged_at >= ends_at - self._policy.ping_s
        return bool(subscription.leases) and now >= ends_at and was_asked

    def _ping_at(self, subscription: ProducerSubscription) -> float:
        last = max(subscription.heard_at, subscription.pinged_at)
        return last + self._policy.ping_s

    def _end(
        self, subscription: ProducerSubscription, reason: str, *, crash: bool
    ) -> list[JobEvent]:
        self._remove(subscription)
        leases = subscription.leases.values()
        return self.store.give_back(leases, subscription.process, reason, crash=crash)

    def _close_if_finished(self, subscription: ProducerSubscription) -> None:
        if subscription.closing and not subscription.leases:
            self._remove(subscription)

    def _remove(self, subscription: ProducerSubscription) -> None:
        self._dispatcher.cancel(subscription.id)
        self._resting.discard(subscription.id)
        self._full.discard(subscription.id)
        self._suspects.forget(subscription)
        del self._subscriptions[subscription.id]
        self._former.append(subscription.id)


def _unknown(subscription: SubscriptionId) -> Decision:
    cancel = Cancel(subscription=subscription, reason=UNKNOWN)
    return Decision(sends=[cancel])
