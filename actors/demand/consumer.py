"""A consumer's side of the protocol: what it asks for, and what it still owes.

For each subscription, what was asked for and has not been worked off is never
above ``max_demand``; when it falls to ``min_demand`` the consumer asks again,
up to ``max_demand``. Since a job counts until its work is finished, a busy
consumer asks for nothing: that is the back-pressure.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from itertools import count, islice, repeat
from typing import TYPE_CHECKING, NamedTuple

from actors.demand.consumer_subscription import (
    AGAIN_S,
    QUIET_S,
    ConsumerSubscription,
    Unconfirmed,
)
from actors.demand.job import CALLED_OFF, size_of
from actors.demand.messages import (
    Assignment,
    CallOff,
    Cancel,
    Confirm,
    Jobs,
    Outcome,
    Ping,
    Subscribed,
    SubscriptionId,
    ToConsumer,
    ToProducer,
)
from actors.demand.windows import WINDOW_BYTES, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from actors.demand.job import Process
    from actors.demand.manual_demand import ManualDemand

#: Subscriptions that have ended are remembered, to answer what comes late.
FORMER = 64


class Send(NamedTuple):
    """A message for the producer that is known by this name."""

    source: str
    message: ToProducer


class Task(NamedTuple):
    """A job to run, and where it came from.

    Attributes:
        ticket: Tells it from every other that its consumer had: two producers may
            give their jobs the same key.
    """

    source: str
    assignment: Assignment
    ticket: int = 0


# A named tuple's own constructor is written in Python.
_task = partial(tuple.__new__, Task)


class Consumer:
    """One processor's subscriptions, the jobs it holds, the outcomes it owes.

    ``need`` bounds what is asked for below ``max_demand``: a step asks for no
    more than is asked of it. None is no bound. ``windows`` holds those of single
    producers, by their kind, which stand whatever ``window`` becomes. With a
    ``batch_size`` above 1 jobs are taken together: what a batch still lacks is asked
    for at once, however little that is, since nothing else would make it whole.
    ``concurrency`` is how many jobs, or batches, run at the same time.
    """

    def __init__(
        self,
        process: Process,
        window: Window | None = None,
        manual_demand: ManualDemand | None = None,
        windows: Mapping[str, Window] | None = None,
        batch_size: int = 1,
        concurrency: int = 1,
    ) -> None:
        self.batch_size = batch_size
        self.concurrency = concurrency
        self.process = process
        self.window = window or Window()
        self.windows = windows or {}
        self.manual_demand = manual_demand
        self.need: int | None = None
        self.draining = False
        self.excess = 0
        self._subscriptions: dict[str, ConsumerSubscription] = {}
        self._queue: deque[Task] = deque()
        self._alone = False
        self._running: dict[int, Task] = {}
        self._calls: dict[int, int] = {}
        self._tickets = count(1)
        self._given: set[str] = set()
        self._unconfirmed: dict[str, Unconfirmed] = {}
        self._issued: dict[SubscriptionId, str] = {}
        self._opened = 0

    @property
    def subscriptions(self) -> tuple[ConsumerSubscription, ...]:
        """The subscriptions that stand, oldest first."""
        return tuple(self._subscriptions.values())

    @property
    def demand(self) -> int:
        """Jobs asked for that have not arrived, those still to be asked included."""
        allowed = self.manual_demand.total if self.manual_demand else 0
        unmet = sum(
            subscription.total - subscription.received
            for subscription in self._subscriptions.values()
        )
        return allowed + unmet

    @property
    def held(self) -> int:
        """Jobs that are here and not worked off."""
        return len(self._queue) + len(self._running)

    @property
    def queued(self) -> int:
        """Jobs that are here and not begun."""
        return len(self._queue)

    @property
    def queued_bytes(self) -> int:
        """What they come to."""
        return sum(size_of(task.assignment.payload) for task in self._queue)

    @property
    def running(self) -> Task | None:
        """The job that runs; of several, the one that was taken first."""
        return next(iter(self._running.values()), None)

    @property
    def running_count(self) -> int:
        """Jobs that were taken to be run, and have not ended."""
        return len(self._running)

    def runs(self, ticket: int) -> bool:
        """Whether this job was taken to be run, and has not ended."""
        return ticket in self._running

    def tasks(self, tickets: Iterable[int]) -> list[Task]:
        """The jobs with these tickets that run."""
        return [self._running[each] for each in tickets if each in self._running]

    @property
    def may_begin(self) -> bool:
        """Whether jobs that are here may be begun.

        Not while as many run as can, while the results that are not confirmed are as
        large as they may be, or while no more is asked of a step.
        """
        return not (
            self.free_places <= 0
            or (self.need is not None and self.need <= len(self._running))
            or any(self._unconfirmed[each].is_full for each in self._subscriptions)
        )

    @property
    def free_places(self) -> int:
        """How many jobs, or batches, can be begun beside those that run."""
        calls = len(set(self._calls.values())) if self._calls else len(self._running)
        return self.concurrency - calls

    @property
    def lacks(self) -> bool:
        """Whether a batch waits for jobs."""
        few = len(self._queue) < self.batch_size
        return self.batch_size > 1 and self.free_places > 0 and few

    @property
    def is_whole(self) -> bool:
        """Whether nothing that was asked for follows what is here before it has ended.

        A producer sends no more to a consumer that holds as much as it may, nor to one
        that is to find out which job takes its processor down.
        """
        return self._alone or self.queued_bytes >= WINDOW_BYTES

    @property
    def has_unconfirmed(self) -> bool:
        """Whether an outcome is not confirmed."""
        return any(self._unconfirmed.values())

    @property
    def drained(self) -> bool:
        """Whether nothing is left to get, to do or to deliver."""
        closed = all(
            subscription.closed for subscription in self._subscriptions.values()
        )
        return self.draining and closed and not self.held and not self.has_unconfirmed

    def addressed(self, message: ToProducer) -> list[Send]:
        """A message of this consumer, for the producer of its subscription."""
        source = self._issued.get(message.subscription)
        return [] if source is None else [Send(source, message)]

    def source_of(self, subscription_id: SubscriptionId) -> str | None:
        """The name of the producer that a subscription was opened with."""
        return self._issued.get(subscription_id)

    def issued(self, subscription_id: SubscriptionId) -> bool:
        """Whether this consumer opened the subscription, at any time."""
        return subscription_id.startswith(f"{self.process.run}/")

    def open(self, source: str, now: float, kind: str = "") -> list[Send]:
        """Subscribe to a producer, anew if there was a subscription before.

        What had arrived by an earlier one and was not begun is dropped: the
        producer has taken it back.

        Args:
            source: The producer's name.
            now: Monotonic seconds.
            kind: What stands for it in the configuration, if not its name.
        """
        self._forget(source)
        subscription = ConsumerSubscription(source, self._new_id(source), now + AGAIN_S)
        subscription.kind = kind or source
        subscription.window = self.windows.get(subscription.kind)
        subscription.unfinished = sum(
            task.source == source for task in self._running.values()
        )
        if self.draining:
            subscription.closing, subscription.closed_at = True, 0
        self._subscriptions[source] = subscription
        self._unconfirmed.setdefault(source, Unconfirmed())
        subscribe = Send(source, subscription.subscribe(self.process))
        # What was granted for a step may now be asked of others of its processes; and
        # what a batch lost with the former subscription others may have.
        is_shared = self.manual_demand is not None or self.lacks
        return [subscribe, *(self.ask() if is_shared else self._ask(subscription))]

    def received(  # noqa: PLR0911 - one a message
        self, message: ToConsumer, now: float
    ) -> list[Send]:
        """Take what a producer sent, and say what to answer."""
        subscription = self._subscription(message.subscription)
        if subscription is None:
            return self._disown(message)
        subscription.heard(now)
        match message:
            case Subscribed():
                return self._deliver_all(subscription, now)
            case Jobs():
                self._unconfirmed[subscription.source].confirm(message.confirmed, now)
                return self._take_in(subscription, message, now)
            case Confirm():
                self._unconfirmed[subscription.source].confirm(message.outcomes, now)
                return []
            case Ping():
                missing = subscription.received < message.sent
                demand = Send(subscription.source, subscription.demand(resend=missing))
                # What was sent just now is on its way, however slow that is.
                overdue = self._unconfirmed[subscription.source].take_overdue(now)
                return [demand, *(_done(subscription, overdue) if overdue else ())]
            case CallOff():
                return self.called_off(message, now)[1]
            case Cancel():
                return self._cancelled(subscription, message, now)

    def take(self, most: int) -> tuple[Task, ...]:
        """Take up to this many jobs to run; with a ``batch_size`` they run together.

        None while nothing may begin.
        """
        if not self.may_begin:
            return ()
        self._alone = False
        taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
        self._running.update((task.ticket, task) for task in taken)
        if self.batch_size > 1:
            self._calls.update((task.ticket, taken[0].ticket) for task in taken)
        return tuple(taken)

    def untake(self, count: int) -> None:
        """The last this many of those that were taken have not been begun after all."""
        for _ in range(count):
            ticket, task = self._running.popitem()
            self._calls.pop(ticket, None)
            self._queue.appendleft(task)

    def called_off(self, message: CallOff, now: float) -> tuple[list[Task], list[Send]]:
        """Give up jobs that are here and nobody wants; returns those that run."""
        source = self._issued.get(message.subscription)
        wanted = set(message.jobs)

        def is_meant(task: Task) -> bool:
            job = task.assignment
            return task.source == source and (job.key, job.attempt) in wanted

        subscription = self._subscription(message.subscription)
        if subscription is not None:
            subscription.heard(now)
        given = [task for task in self._queue if is_meant(task)]
        sends: list[Send] = []
        if given and subscription is not None:
            self._queue = deque(task for task in self._queue if not is_meant(task))
            subscription.unfinished -= len(given)
            outcomes = [
                Outcome(job.key, job.attempt, None, CALLED_OFF) for _, job, _ in given
            ]
            sends = self.record_outcomes(subscription.source, outcomes, now)
        return [task for task in self._running.values() if is_meant(task)], sends

    def hand_back(self, keep: int, now: float) -> list[Send]:
        """Give back what waits behind a running job, but for the first ``keep``.

        Like any outcome, that is repeated until it is confirmed. Where nothing
        runs, nothing waits for long; and what a user asked for by hand stays, but
        for a processor that leaves.
        """
        if not self._running or (self.manual_demand is not None and not self.draining):
            return []
        given = [self._queue.pop() for _ in range(len(self._queue) - keep)]
        for source, job, _ in reversed(given):
            subscription = self._subscriptions[source]
            subscription.unfinished -= 1
            returned = Outcome(job.key, job.attempt, begun=False)
            self._unconfirmed[source].add([returned], now)
            subscription.without_outcome.discard((job.key, job.attempt))
            if self.manual_demand is not None:
                self.manual_demand.give_back(subscription.kind, 1)
        sources = {task.source for task in given}
        self._given |= sources
        return [
            send
            for source, subscription in self._subscriptions.items()
            if source in sources
            for send in _done(subscription, self._unconfirmed[source].take_unsent(now))
        ]

    def finished(self, outcome: Outcome, now: float) -> list[Send]:
        """Record the outcome of the job that runs, and ask for more if it is time."""
        return self.all_finished((outcome,), now)

    def all_finished(
        self,
        outcomes: Sequence[Outcome],
        now: float,
        tickets: Sequence[int] | None = None,
    ) -> list[Send]:
        """The same for several that have ended; without tickets, for the first ones."""
        if tickets is None:
            tickets = list(islice(self._running, len(outcomes)))
        if len(tickets) != len(outcomes) or not self._running.keys() >= set(tickets):
            raise AssertionError(outcomes)
        done: dict[str, list[Outcome]] = {}
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            done.setdefault(self.passed_on(ticket).source, []).append(outcome)
        sends = []
        for source, ended in done.items():
            sends += self.record_outcomes(source, ended, now)
        if self.lacks:
            # The last outcome was one source's; what is lacking all of them may have.
            sends += self.ask()
        if not self._given:
            return sends
        # What was given back was asked for; only now is there time for it again.
        given, self._given = self._given, set()
        asked = {send.source for send in sends}
        for source in sorted((given & self._subscriptions.keys()) - asked):
            subscription = self._subscriptions[source]
            self._raise(subscription)
            sends.append(Send(source, subscription.demand()))
        return sends

    def passed_on(self, ticket: int | None = None) -> Task:
        """A job's work here is done, while its outcome is still to come.

        Without its ticket, it is the one that was taken first.
        """
        ticket = next(iter(self._running)) if ticket is None else ticket
        task = self._running.pop(ticket)
        self._calls.pop(ticket, None)
        if (subscription := self._subscriptions.get(task.source)) is not None:
            subscription.unfinished -= 1
        return task

    def record_outcomes(
        self, source: str, outcomes: Sequence[Outcome], now: float
    ) -> list[Send]:
        """Record outcomes of jobs that run no more, and ask if it is time."""
        unconfirmed = self._unconfirmed.get(source)
        if unconfirmed is None:
            return []
        unconfirmed.add(outcomes, now)
        subscription = self._subscriptions.get(source)
        if subscription is None:
            return []
        for outcome in outcomes:
            subscription.without_outcome.discard((outcome.key, outcome.attempt))
        more = self._queue or len(self._running) > 1 or not unconfirmed.is_quiet(now)
        due = self._raise(subscription) or not more or subscription.closing
        if due or (unconfirmed.flush_at is not None and now >= unconfirmed.flush_at):
            return _done(subscription, unconfirmed.take_unsent(now))
        return []

    def retune(self, window: Window) -> list[Send]:
        """Ask within another window; what was asked for before stands."""
        self.window = window
        return self.ask()

    def grant(self, count: int, source: str | None = None) -> list[Send]:
        """Ask for this many more jobs, of each source or of one.

        Raises:
            ValueError: The demand is not manual, or ``ManualDemand`` refuses it.
        """
        if self.manual_demand is None:
            raise ValueError("it asks by itself")
        self.manual_demand.grant(count, source)
        return self.ask()

    def ask(self) -> list[Send]:
        """Ask for more wherever it is time to, as when ``need`` has risen."""
        return [
            send
            for subscription in self.subscriptions
            for send in self._ask(subscription)
        ]

    def close(self, source: str) -> list[Send]:
        """Forget a producer that is gone for good, and what it was owed.

        What it was asked for by hand others of its kind are asked for.
        """
        self._forget(source)
        self._unconfirmed.pop(source, None)
        is_shared = self.manual_demand is not None or self.lacks
        return self.ask() if is_shared else []

    def drain(self, now: float) -> list[Send]:
        """Ask for no more; finish and deliver what is here."""
        self.draining = True
        sends = []
        for subscription in self._subscriptions.values():
            if subscription.closing:
                continue
            subscription.closing, subscription.again_at = True, now + AGAIN_S
            sends.append(Send(subscription.source, subscription.cancel("drain")))
        return sends

    def tick(self, now: float) -> list[Send]:
        """Send what waited for company, repeat what got no answer."""
        sends = []
        for subscription in self._subscriptions.values():
            sends += self._ask_again(subscription, now)
            unconfirmed = self._unconfirmed[subscription.source]
            if unconfirmed.repeat_at is not None and now >= unconfirmed.repeat_at:
                sends += _done(subscription, unconfirmed.take_repeated(now))
            elif unconfirmed.flush_at is not None and now >= unconfirmed.flush_at:
                sends += _done(subscription, unconfirmed.take_unsent(now))
        return sends

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do next, in monotonic seconds."""
        return min(self._times(), default=None)

    def _times(self) -> Iterator[float]:
        for subscription in self._subscriptions.values():
            for at in (
                subscription.again_at,
                self._unconfirmed[subscription.source].next_tick(),
            ):
                if at is not None:
                    yield at

    def _take_in(
        self, subscription: ConsumerSubscription, message: Jobs, now: float
    ) -> list[Send]:
        arrival = subscription.receive(message)
        if arrival.gap:
            missing = [Send(subscription.source, subscription.demand(resend=True))]
            return missing if subscription.misses(now) else []
        self.excess += arrival.excess
        self._alone |= message.alone
        if self.manual_demand is not None:
            self.manual_demand.give_back(subscription.kind, arrival.left_out)
        arrived = zip(repeat(subscription.source), arrival.fresh, self._tickets)
        self._queue.extend(map(_task, arrived))
        return [] if arrival.fresh else self._ask(subscription)

    def _cancelled(
        self, subscription: ConsumerSubscription, message: Cancel, now: float
    ) -> list[Send]:
        if subscription.closing and message.sent is not None:
            subscription.closed_at = message.sent
            subscription.again_at = None if subscription.closed else now + AGAIN_S
            return (
                []
                if subscription.closed
                else [Send(subscription.source, subscription.demand(resend=True))]
            )
        if (
            self.draining
            and not self._unconfirmed[subscription.source]
            and self.running is None
        ):
            self._forget(subscription.source)
            return []
        return self.open(subscription.source, now, subscription.kind)

    def _disown(self, message: ToConsumer) -> list[Send]:
        source = self._issued.get(message.subscription)
        if source is None or isinstance(message, Cancel | Confirm):
            return []
        cancel = Cancel(
            subscription=message.subscription, reason="unknown_subscription"
        )
        return [Send(source, cancel)]

    def _ask(self, subscription: ConsumerSubscription) -> list[Send]:
        if self._raise(subscription):
            return [Send(subscription.source, subscription.demand())]
        return []

    def _raise(self, subscription: ConsumerSubscription) -> bool:
        if (manual_demand := self.manual_demand) is not None:
            more = subscription.raise_by(
                self._allowed(subscription, manual_demand), self.need
            )
            manual_demand.spend(subscription.kind, more)
            return more > 0
        window = subscription.window or self.window
        return subscription.raise_total(window, self.need, at_once=self.lacks)

    def _allowed(
        self, subscription: ConsumerSubscription, manual_demand: ManualDemand
    ) -> int:
        if subscription.kind == subscription.source:
            return manual_demand.left(subscription.kind)
        # One of a step's processes, which share what is allowed.
        if subscription.total > subscription.received:
            return 0
        open_ones = sum(
            each.kind == subscription.kind and not each.closing
            for each in self._subscriptions.values()
        )
        return manual_demand.share(subscription.kind, open_ones)

    def _ask_again(self, subscription: ConsumerSubscription, now: float) -> list[Send]:
        if subscription.again_at is None or now < subscription.again_at:
            return []
        if subscription.known and subscription.closed:
            subscription.again_at = None
            return []
        subscription.again_at = now + (QUIET_S if subscription.is_quiet else AGAIN_S)
        if subscription.closing and subscription.closed_at is None:
            return [Send(subscription.source, subscription.cancel("drain"))]
        missing = subscription.closing and not subscription.closed
        demand = Send(subscription.source, subscription.demand(resend=missing))
        if subscription.known:
            return [demand]
        return [Send(subscription.source, subscription.subscribe(self.process)), demand]

    def _deliver_all(
        self, subscription: ConsumerSubscription, now: float
    ) -> list[Send]:
        outcomes = self._unconfirmed[subscription.source].take_all(now)
        return _done(subscription, outcomes) if outcomes else []

    def _subscription(
        self, subscription_id: SubscriptionId
    ) -> ConsumerSubscription | None:
        subscription = self._subscriptions.get(self._issued.get(subscription_id, ""))
        return (
            subscription
            if subscription and subscription.id == subscription_id
            else None
        )

    def _forget(self, source: str) -> None:
        subscription = self._subscriptions.pop(source, None)
        queued = len(self._queue)
        self._queue = deque(task for task in self._queue if task.source != source)
        if subscription is not None and self.manual_demand is not None:
            never_ran = (
                subscription.total - subscription.received + queued - len(self._queue)
            )
            self.manual_demand.give_back(subscription.kind, never_ran)

    def _new_id(self, source: str) -> SubscriptionId:
        former = [each for each in self._issued if self._subscription(each) is None]
        if len(former) > FORMER:
            del self._issued[former[0]]
        self._opened += 1
        new = f"{self.process.run}/{self._opened}"
        self._issued[new] = source
        return new


def _done(
    subscription: ConsumerSubscription, outcomes: tuple[Outcome, ...]
) -> list[Send]:
    return [
        Send(subscription.source, message) for message in subscription.done(outcomes)
    ]
