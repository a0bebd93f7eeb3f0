"""A consumer's side of the protocol: what it asks for, and what it still owes.

For each subscription, what was asked for and has not been worked off is never
above ``max_demand``; when it falls to ``min_demand`` the consumer asks again,
up to ``max_demand``. Since a job counts until its work is finished, a busy
consumer asks for nothing: that is the back-pressure.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from actors.demand.consumer_subscription import AGAIN_S, QUIET_S, Feed, Window
from actors.demand.messages import (
    Assignment,
    Cancel,
    Confirm,
    Jobs,
    Outcome,
    Ping,
    Process,
    Subscribed,
    SubscriptionId,
    ToConsumer,
    ToProducer,
)
from actors.demand.sizes import size_of
from actors.demand.unconfirmed import Owed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from actors.demand.manual_demand import Allowance

#: Subscriptions that have ended are remembered, to answer what comes late.
FORMER = 64


class Send(NamedTuple):
    """A message for the producer that is known by this name."""

    source: str
    message: ToProducer


class Task(NamedTuple):
    """A job to run, and where it came from."""

    source: str
    assignment: Assignment


# A named tuple's own constructor is written in Python.
_task = partial(tuple.__new__, Task)


class Consumer:
    """One processor's subscriptions, the jobs it holds, the outcomes it owes.

    ``need`` bounds what is asked for below ``max_demand``: a step asks for no
    more than is asked of it. None is no bound. ``windows`` holds those of single
    producers, by their kind, which stand whatever ``window`` becomes.
    """

    def __init__(
        self,
        process: Process,
        window: Window | None = None,
        allowance: Allowance | None = None,
        windows: Mapping[str, Window] | None = None,
    ) -> None:
        self.process = process
        self.window = window or Window()
        self.windows = windows or {}
        self.allowance = allowance
        self.need: int | None = None
        self.draining = False
        self.excess = 0
        self._feeds: dict[str, Feed] = {}
        self._queue: deque[Task] = deque()
        self._running: deque[Task] = deque()
        self._given: set[str] = set()
        self._owed: dict[str, Owed] = {}
        self._issued: dict[SubscriptionId, str] = {}
        self._opened = 0

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """The subscriptions that stand, oldest first."""
        return tuple(self._feeds.values())

    @property
    def demand(self) -> int:
        """Jobs asked for that have not arrived, those still to be asked included."""
        allowed = self.allowance.total if self.allowance else 0
        unmet = sum(feed.total - feed.received for feed in self._feeds.values())
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
        """The job that runs, the first of those that were taken together."""
        return self._running[0] if self._running else None

    @property
    def owes(self) -> bool:
        """Whether an outcome is not confirmed."""
        return any(self._owed.values())

    @property
    def drained(self) -> bool:
        """Whether nothing is left to get, to do or to deliver."""
        closed = all(feed.closed for feed in self._feeds.values())
        return self.draining and closed and not self.held and not self.owes

    def addressed(self, message: ToProducer) -> list[Send]:
        """A message of this consumer, for the producer of its subscription."""
        source = self._issued.get(message.subscription)
        return [] if source is None else [Send(source, message)]

    def issued(self, subscription: SubscriptionId) -> bool:
        """Whether this consumer opened the subscription, at any time."""
        return subscription.startswith(f"{self.process.run}/")

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
        feed = Feed(source, self._new_id(source), now + AGAIN_S)
        feed.kind = kind or source
        feed.window = self.windows.get(feed.kind)
        feed.unfinished = sum(task.source == source for task in self._running)
        if self.draining:
            feed.closing, feed.closed_at = True, 0
        self._feeds[source] = feed
        self._owed.setdefault(source, Owed())
        subscribe = Send(source, feed.subscribe(self.process))
        # What was granted for a step may now be asked of others of its processes.
        asks = self._ask(feed) if self.allowance is None else self.ask()
        return [subscribe, *asks]

    def received(self, message: ToConsumer, now: float) -> list[Send]:
        """Take what a producer sent, and say what to answer."""
        feed = self._feed(message.subscription)
        if feed is None:
            return self._disown(message)
        feed.heard(now)
        match message:
            case Subscribed():
                return self._deliver_all(feed, now)
            case Jobs():
                self._owed[feed.source].confirm(message.confirmed)
                return self._take_in(feed, message, now)
            case Confirm():
                self._owed[feed.source].confirm(message.outcomes)
                return []
            case Ping():
                missing = feed.received < message.sent
                demand = Send(feed.source, feed.demand(resend=missing))
                return [demand, *self._deliver_all(feed, now)]
            case Cancel():
                return self._cancelled(feed, message, now)

    def next(self) -> Task | None:
        """Take the next job to run; None while one runs or none is here."""
        return next(iter(self.take(1)), None)

    def take(self, count: int) -> tuple[Task, ...]:
        """Take up to so many jobs to run one after another, once none runs.

        None while the results that are not confirmed are as large as they may be.
        """
        if self._running or any(self._owed[each].is_full for each in self._feeds):
            return ()
        count = min(count, len(self._queue))
        self._running.extend(self._queue.popleft() for _ in range(count))
        return tuple(self._running)

    def untake(self, count: int) -> None:
        """The last so many of those that were taken have not been begun after all."""
        for _ in range(count):
            self._queue.appendleft(self._running.pop())

    def hand_back(self, keep: int, now: float) -> list[Send]:
        """Give back what waits behind a running job, but for the first ``keep``.

        Like any outcome, that is repeated until it is confirmed. Where nothing
        runs, nothing waits for long; and what a user asked for by hand stays, but
        for a processor that leaves.
        """
        if not self._running or (self.allowance is not None and not self.draining):
            return []
        given = [self._queue.pop() for _ in range(len(self._queue) - keep)]
        for source, job in reversed(given):
            feed = self._feeds[source]
            feed.unfinished -= 1
            self._owed[source].add([Outcome(job.key, job.attempt, begun=False)], now)
            if self.allowance is not None:
                self.allowance.give_back(feed.kind, 1)
        sources = {task.source for task in given}
        self._given |= sources
        return [
            send
            for source, feed in self._feeds.items()
            if source in sources
            for send in _done(feed, self._owed[source].take_unsent(now))
        ]

    def finished(self, outcome: Outcome, now: float) -> list[Send]:
        """Record the running job's outcome, and ask for more if it is time."""
        return self.all_finished((outcome,), now)

    def all_finished(self, outcomes: Sequence[Outcome], now: float) -> list[Send]:
        """The same for those that run one after another, as many as have ended."""
        if len(outcomes) > len(self._running):
            raise AssertionError(outcomes)
        done: dict[str, list[Outcome]] = {}
        for outcome in outcomes:
            done.setdefault(self.passed_on().source, []).append(outcome)
        sends = []
        for source, ended in done.items():
            sends += self.settled(source, ended, now)
        if not self._given:
            return sends
        # What was given back was asked for; only now is there time for it again.
        given, self._given = self._given, set()
        told = {send.source for send in sends}
        for source in sorted((given & self._feeds.keys()) - told):
            feed = self._feeds[source]
            self._raise(feed)
            sends.append(Send(source, feed.demand()))
        return sends

    def passed_on(self) -> Task:
        """The running job's work here is done, while its outcome is still to come."""
        task = self._running.popleft()
        if (feed := self._feeds.get(task.source)) is not None:
            feed.unfinished -= 1
        return task

    def settled(
        self, source: str, outcomes: Iterable[Outcome], now: float
    ) -> list[Send]:
        """Record outcomes of jobs that run no more, and ask if it is time."""
        owed = self._owed.get(source)
        if owed is None:
            return []
        owed.add(outcomes, now)
        feed = self._feeds.get(source)
        if feed is None:
            return []
        more = self._queue or len(self._running) > 1 or not owed.is_quiet(now)
        due = self._raise(feed) or not more or feed.closing
        if due or (owed.flush_at is not None and now >= owed.flush_at):
            return _done(feed, owed.take_unsent(now))
        return []

    def retune(self, window: Window) -> list[Send]:
        """Ask within another window; what was asked for before stands."""
        self.window = window
        return self.ask()

    def grant(self, count: int, source: str | None = None) -> list[Send]:
        """Ask for so many more jobs, of each source or of one.

        Raises:
            ValueError: The demand is not manual, or ``Allowance`` refuses it.
        """
        if self.allowance is None:
            raise ValueError("it asks by itself")
        self.allowance.grant(count, source)
        return self.ask()

    def ask(self) -> list[Send]:
        """Ask for more wherever it is time to, as when ``need`` has risen."""
        return [send for feed in self.feeds for send in self._ask(feed)]

    def close(self, source: str) -> list[Send]:
        """Forget a producer that is gone for good, and what it was owed.

        What it was asked for by hand others of its kind are asked for.
        """
        self._forget(source)
        self._owed.pop(source, None)
        return self.ask() if self.allowance is not None else []

    def drain(self, now: float) -> list[Send]:
        """Ask for no more; finish and deliver what is here."""
        self.draining = True
        sends = []
        for feed in self._feeds.values():
            if feed.closing:
                continue
            feed.closing, feed.again_at = True, now + AGAIN_S
            sends.append(Send(feed.source, feed.cancel("drain")))
        return sends

    def tick(self, now: float) -> list[Send]:
        """Send what waited for company, repeat what got no answer."""
        sends = []
        for feed in self._feeds.values():
            sends += self._ask_again(feed, now)
            owed = self._owed[feed.source]
            if owed.repeat_at is not None and now >= owed.repeat_at:
                sends += self._deliver_all(feed, now)
            elif owed.flush_at is not None and now >= owed.flush_at:
                sends += _done(feed, owed.take_unsent(now))
        return sends

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do next, in monotonic seconds."""
        return min(self._times(), default=None)

    def _times(self) -> Iterator[float]:
        for feed in self._feeds.values():
            for at in (feed.again_at, self._owed[feed.source].next_tick()):
                if at is not None:
                    yield at

    def _take_in(self, feed: Feed, message: Jobs, now: float) -> list[Send]:
        arrival = feed.receive(message)
        if arrival.gap:
            missing = [Send(feed.source, feed.demand(resend=True))]
            return missing if feed.misses(now) else []
        self.excess += arrival.excess
        if self.allowance is not None:
            self.allowance.give_back(feed.kind, arrival.left_out)
        self._queue.extend(map(_task, zip(repeat(feed.source), arrival.fresh)))
        return [] if arrival.fresh else self._ask(feed)

    def _cancelled(self, feed: Feed, message: Cancel, now: float) -> list[Send]:
        if feed.closing and message.sent is not None:
            feed.closed_at = message.sent
            feed.again_at = None if feed.closed else now + AGAIN_S
            return [] if feed.closed else [Send(feed.source, feed.demand(resend=True))]
        if self.draining and not self._owed[feed.source] and self.running is None:
            self._forget(feed.source)
            return []
        return self.open(feed.source, now, feed.kind)

    def _disown(self, message: ToConsumer) -> list[Send]:
        source = self._issued.get(message.subscription)
        if source is None or isinstance(message, Cancel | Confirm):
            return []
        cancel = Cancel(
            subscription=message.subscription, reason="unknown_subscription"
        )
        return [Send(source, cancel)]

    def _ask(self, feed: Feed) -> list[Send]:
        if self._raise(feed):
            return [Send(feed.source, feed.demand())]
        return []

    def _raise(self, feed: Feed) -> bool:
        if (allowance := self.allowance) is not None:
            more = feed.raise_by(self._allowed(feed, allowance), self.need)
            allowance.spend(feed.kind, more)
            return more > 0
        return feed.raise_total(feed.window or self.window, self.need)

    def _allowed(self, feed: Feed, allowance: Allowance) -> int:
        if feed.kind == feed.source:
            return allowance.left(feed.kind)
        # One of a step's processes, which share what is allowed.
        if feed.total > feed.received:
            return 0
        open_ones = sum(
            each.kind == feed.kind and not each.closing for each in self._feeds.values()
        )
        return allowance.share(feed.kind, open_ones)

    def _ask_again(self, feed: Feed, now: float) -> list[Send]:
        if feed.again_at is None or now < feed.again_at:
            return []
        if feed.known and feed.closed:
            feed.again_at = None
            return []
        feed.again_at = now + (QUIET_S if feed.settled else AGAIN_S)
        if feed.closing and feed.closed_at is None:
            return [Send(feed.source, feed.cancel("drain"))]
        missing = feed.closing and not feed.closed
        demand = Send(feed.source, feed.demand(resend=missing))
        if feed.known:
            return [demand]
        return [Send(feed.source, feed.subscribe(self.process)), demand]

    def _deliver_all(self, feed: Feed, now: float) -> list[Send]:
        outcomes = self._owed[feed.source].take_all(now)
        return _done(feed, outcomes) if outcomes else []

    def _feed(self, subscription: SubscriptionId) -> Feed | None:
        feed = self._feeds.get(self._issued.get(subscription, ""))
        return feed if feed and feed.id == subscription else None

    def _forget(self, source: str) -> None:
        feed = self._feeds.pop(source, None)
        queued = len(self._queue)
        self._queue = deque(task for task in self._queue if task.source != source)
        if feed is not None and self.allowance is not None:
            never_ran = feed.total - feed.received + queued - len(self._queue)
            self.allowance.give_back(feed.kind, never_ran)

    def _new_id(self, source: str) -> SubscriptionId:
        former = [each for each in self._issued if self._feed(each) is None]
        if len(former) > FORMER:
            del self._issued[former[0]]
        self._opened += 1
        new = f"{self.process.run}/{self._opened}"
        self._issued[new] = source
        return new


def _done(feed: Feed, outcomes: tuple[Outcome, ...]) -> list[Send]:
    return [Send(feed.source, message) for message in feed.done(outcomes)]
