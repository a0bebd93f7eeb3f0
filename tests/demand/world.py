"""Producers and consumers that face each other over a network one can spoil.

Nothing here waits or draws: a test says what is delivered, lost or repeated,
and what time it is. What goes over the wires is held against what each side may
say, and ``check`` compares what both sides believe with what was seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from actors.demand.backoff import RetryPolicy
from actors.demand.barriers import Barriers
from actors.demand.buffer import Buffer
from actors.demand.consumer import Consumer, Send, Task
from actors.demand.dispatchers import DemandDispatcher
from actors.demand.job import Failure, JobState, Process
from actors.demand.job_store import JobStore
from actors.demand.manual_demand import ManualDemand
from actors.demand.messages import (
    Cancel,
    Crossing,
    Demand,
    Done,
    Jobs,
    Outcome,
    Subscribe,
    SubscriptionId,
    ToConsumer,
    ToProducer,
)
from actors.demand.producer import UNKNOWN, Decision, LeasePolicy, Producer
from actors.demand.windows import Window
from tests.demand import rules
from tests.demand.book import Book
from tests.support.consuming import next_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.demand.job_events import JobEvent

Message: TypeAlias = ToProducer | ToConsumer

#: Far more rounds than any settling took; one that needs more is stuck.
ROUNDS = 150
#: More jobs than any world has.
PLENTY = 10_000
#: Messages in one round: two sides that go on for longer answer each other for ever.
CHATTER = 3000


class Wire(NamedTuple):
    """One direction between a producer and one run of a consumer."""

    source: str
    run: str
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a world is made of."""

    producers: int = 1
    consumers: int = 2
    window: Window = field(default_factory=Window)
    buffer: int = 20
    retry: RetryPolicy = field(
        default_factory=lambda: RetryPolicy(attempts=3, crashes=2, jitter=0.0)
    )
    lease: LeasePolicy = field(default_factory=LeasePolicy)
    manual: bool = False
    is_step: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """What stands for the producers where a consumer is told what to ask for."""
        names = tuple(f"p{number}" for number in range(self.producers))
        return ("step",) if self.is_step else names


class World:
    """A network, and the stages at its ends."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.now = 1000.0
        self.producers: dict[str, Producer] = {}
        self.consumers: dict[str, Consumer] = {}
        self.books: dict[str, Book] = {}
        self.wires: defaultdict[Wire, list[Message]] = defaultdict(list)
        self.obituaries: list[tuple[str, Process]] = []
        self.unnoticed: list[tuple[str, str]] = []
        self.lost: list[Process] = []
        self.started: list[tuple[str, Task]] = []
        self.granted: Counter[str] = Counter()
        self.marks: dict[str, Barriers] = {}
        self.marked: dict[tuple[str, int], set[int]] = {}
        self._mark_count = 0
        self.disturbed = False
        self._runs: Counter[str] = Counter()
        self._routes: dict[SubscriptionId, str] = {}
        self._asked: Counter[SubscriptionId] = Counter()
        self._places: dict[tuple[str, int, int], tuple[SubscriptionId, int]] = {}
        self._last_place: dict[SubscriptionId, int] = {}
        for number in range(options.producers):
            self._produce(f"p{number}", Book())
        for number in range(options.consumers):
            self.join(f"c{number}")

    def join(self, name: str) -> str:
        """Start a consumer, which subscribes to every producer."""
        self._runs[name] += 1
        run = f"{name}.{self._runs[name]}"
        process = Process(name=name, run=run, pid=1, host="here")
        manual_demand = (
            ManualDemand(self.options.kinds) if self.options.manual else None
        )
        self.consumers[run] = Consumer(process, self.options.window, manual_demand)
        for source in self.producers:
            self._open(run, source)
        return run

    def grant(self, run: str, count: int, source: str | None = None) -> None:
        """Let a consumer with manual demand ask for more jobs."""
        self.granted[run] += count * (1 if source else len(self.options.kinds))
        self._send(run, self.consumers[run].grant(count, source))

    def mark(self, source: str) -> None:
        """Set a mark behind all that a producer holds."""
        marks = self.marks[source]
        number = self._mark_count = self._mark_count + 1
        self.marked[source, number] = self._unfinished(source)
        marks.put(number, self.producers[source].store)
        self._see_marks(source)

    def fetch(self, source: str, count: int) -> None:
        first = self.books[source].next_key
        jobs = [(f"{source}:{first + n}", first + n) for n in range(count)]
        self._carry_out(source, self.producers[source].fetched(jobs, self.now))

    @property
    def busy_wires(self) -> list[Wire]:
        return [wire for wire, messages in self.wires.items() if messages]

    def deliver(self, wire: Wire) -> None:
        """Take the first message from a wire, and carry out what it leads to."""
        message = self.wires[wire].pop(0)
        if wire.up:
            self._routes[message.subscription] = wire.run
            expected = self._expect(wire.source, message)
            decision = self._hand(self.producers[wire.source], message)
            for event, types in zip(decision.events, expected, strict=False):
                assert isinstance(event, types)
            self._carry_out(wire.source, decision)
        elif consumer := self.consumers.get(wire.run):
            assert not isinstance(message, Subscribe | Demand | Done | Crossing)
            self._send(wire.run, consumer.received(message, self.now))

    def deliver_all(self) -> None:
        """Deliver everything, and what it leads to; no job is run."""
        for _ in range(CHATTER):
            if not (wires := self.busy_wires):
                return
            self.deliver(wires[0])
        raise AssertionError("both sides answer each other for ever")

    def start(self, run: str) -> None:
        """Begin the next job, if there is one and none runs."""
        task = next_of(self.consumers[run])
        if task is None:
            return
        lease = task.source, task.assignment.key, task.assignment.attempt
        assert all(lease != _lease(each) for _, each in self.started), "ran twice"
        subscription, place = self._places[lease]
        assert self._last_place.get(subscription, -1) < place, "out of order"
        self._last_place[subscription] = place
        self.started.append((run, task))

    def finish(self, run: str, failure: Failure | None = None) -> None:
        """End the running job."""
        consumer = self.consumers[run]
        assert consumer.running is not None
        job = consumer.running.assignment
        outcome = Outcome(job.key, job.attempt, failure=failure)
        self._send(run, consumer.finished(outcome, self.now))

    def hand_back(self, run: str, keep: int) -> None:
        """Give back what waits behind the running job."""
        consumer = self.consumers[run]
        self._send(run, consumer.hand_back(min(keep, consumer.queued), self.now))

    def kill(self, run: str) -> None:
        """End a process; its producers are told later, each on its own."""
        process = self.consumers.pop(run).process
        self.disturbed = True
        self.obituaries += [(source, process) for source in self.producers]
        for wire in self.wires:
            if wire.run == run and not wire.up:
                self.wires[wire].clear()

    def tell_gone(self, source: str, process: Process) -> None:
        self.obituaries.remove((source, process))
        decision = self.producers[source].gone(process, "killed", self.now)
        self._carry_out(source, decision)

    def give_up(self, source: str, run: str) -> None:
        """Take a consumer for gone that is alive, as when a host is cut off."""
        self.disturbed = True
        process = self.consumers[run].process
        decision = self.producers[source].gone(process, "cut off", self.now)
        self._carry_out(source, decision)

    def reopen(self, run: str, source: str) -> None:
        """Tell a consumer once more that a producer is there."""
        self._open(run, source)

    def restart(self, source: str, *, journal: bool = True) -> None:
        """Lose a producer's memory; a journal has the jobs, or its source again."""
        self.disturbed = True
        self.unnoticed += [(run, source) for run in self.consumers]
        book = self.books[source]
        if not journal:
            self._produce(source, Book(book.next_key))
            self._mark_anew(source)
            self.fetch(source, len(book.unfinished))
            return
        kept = Book(book.next_key, book.jobs.values())
        self._produce(source, kept)
        left = [*kept.taken_up, *kept.retrying]
        taken_up = self.producers[source].taken_up(left, self.now, more=True)
        self._mark_anew(source)
        self._carry_out(source, taken_up)
        decision = self.producers[source].taken_up(kept.ready, self.now, more=False)
        self._carry_out(source, decision)

    def tell_restarted(self, run: str, source: str) -> None:
        self.unnoticed.remove((run, source))
        if run in self.consumers:
            self._open(run, source)

    def drain(self, run: str) -> None:
        self._send(run, self.consumers[run].drain(self.now))

    def open_gate(self, source: str, *, is_open: bool) -> None:
        self.producers[source].gate_open = is_open
        self.tick_producer(source)

    def tick_producer(self, source: str) -> None:
        # Once more, since a lease that ends can leave jobs that nobody asks for.
        producer = self.producers[source]
        self._carry_out(source, producer.tick(self.now))
        self._carry_out(source, producer.tick(self.now))
        at = producer.next_tick()
        assert at is None or at > self.now, "a tick that is due again at once"

    def tick_consumer(self, run: str) -> None:
        consumer = self.consumers[run]
        self._send(run, consumer.tick(self.now))
        at = consumer.next_tick()
        assert at is None or at > self.now, "a tick that is due again at once"

    def tick_due(self) -> None:
        """Tick those who asked for it."""
        for source, producer in self.producers.items():
            if (at := producer.next_tick()) is not None and at <= self.now:
                self.tick_producer(source)
        for run, consumer in self.consumers.items():
            if (at := consumer.next_tick()) is not None and at <= self.now:
                self.tick_consumer(run)

    def flow(self) -> None:
        """Deliver and run everything, until all is quiet."""
        for _ in range(CHATTER):
            if wires := self.busy_wires:
                self.deliver(wires[0])
            elif held := [run for run, each in self.consumers.items() if each.held]:
                self.start(held[0])
                self.finish(held[0])
            else:
                return
        raise AssertionError("both sides answer each other for ever")

    def settle(self) -> None:
        """End all faults, and see every job to its end."""
        for source, process in tuple(self.obituaries):
            self.tell_gone(source, process)
        for run, source in tuple(self.unnoticed):
            self.tell_restarted(run, source)
        for source in self.producers:
            self.open_gate(source, is_open=True)
        if all(each.draining for each in self.consumers.values()):
            self.join("late")
        if self.options.manual:
            for run in self.consumers:
                self.grant(run, PLENTY)
        self._until(lambda: self.settled, "jobs that never end")

    def retire(self) -> None:
        """Drain every consumer."""
        for run in self.consumers:
            self.drain(run)
        everyone = self.consumers.values()
        self._until(lambda: all(each.drained for each in everyone), "a drain")
        self._until(
            lambda: all(each.next_tick() is None for each in everyone),
            "a drained consumer that will not be quiet",
        )

    @property
    def settled(self) -> bool:
        leases = [
            each.leases for one in self.producers.values() for each in one.subscriptions
        ]
        unfinished = [job for book in self.books.values() for job in book.unfinished]
        return not unfinished and not any(leases) and self._agreed

    @property
    def _agreed(self) -> bool:
        """Whether both sides of each subscription count the same."""
        served = {
            (source, each.id): (each.asked, each.sent)
            for source, producer in self.producers.items()
            for each in producer.subscriptions
        }
        return all(
            served.get((subscription.source, subscription.id))
            == (subscription.total, subscription.received)
            for consumer in self.consumers.values()
            for subscription in consumer.subscriptions
            if not consumer.draining
        )

    def check(self) -> None:
        """Hold both sides against the rules, and against each other."""
        for source, producer in self.producers.items():
            rules.check_accounting(producer, self.books[source])
            rules.check_places(producer, self.books[source])
            rules.check_leases(producer, self.books[source])
            rules.check_attempts(self.books[source], self.options.retry.attempts)
            rules.check_ledger(producer, self._asked)
            if not self.options.manual:
                rules.check_windows(producer, self.options.window)
        for consumer in self.consumers.values():
            rules.check_consumer(consumer)
        if self.options.manual:
            self._check_grants()

    def _check_grants(self) -> None:
        begun = Counter(run for run, _ in self.started)
        for run, consumer in self.consumers.items():
            here = consumer.demand + consumer.queued + begun[run]
            assert here == self.granted[run], "what was granted is not what comes"

    def _until(self, reached: Callable[[], bool], what: str) -> None:
        for _ in range(ROUNDS):
            self.flow()
            self.check()
            if reached():
                return
            self._wait()
        raise AssertionError(f"stuck: {what}")

    def _wait(self) -> None:
        # Only what is asked for by next_tick happens: a stage that forgets to
        # ask for it would hang in production as it does here.
        stages: list[Producer | Consumer] = [*self.producers.values()]
        stages += self.consumers.values()
        times = [at for each in stages if (at := each.next_tick()) is not None]
        assert times, "stuck: nothing is left to wait for"
        self.now = max(self.now, min(times))
        self.tick_due()

    def _produce(self, source: str, book: Book) -> None:
        store = JobStore(
            Buffer(self.options.buffer),
            self.options.retry,
            first_key=book.next_key,
            kept=book.kept,
        )
        producer = Producer(store, DemandDispatcher(), self.options.lease)
        self.producers[source] = producer
        self.books[source] = book
        self.marks[source] = Barriers()

    def _open(self, run: str, source: str) -> None:
        kind = "step" if self.options.is_step else source
        self._send(run, self.consumers[run].open(source, self.now, kind))

    def _hand(self, producer: Producer, message: Message) -> Decision:
        if not isinstance(message, Subscribe | Demand | Done | Cancel):
            raise AssertionError(message)
        return producer.receive(message, self.now, lambda: 0.5)

    def _expect(
        self, source: str, message: Message
    ) -> list[tuple[type[JobEvent], ...]]:
        producer, book = self.producers[source], self.books[source]
        if not isinstance(message, Done):
            return []
        if message.subscription not in {each.id for each in producer.subscriptions}:
            return []
        keys = [outcome.key for outcome in message.outcomes]
        if len(keys) > len(set(keys)):
            # Of two outcomes of one job the second depends on the first.
            return []
        # Those that are handed back are ready again behind what the others bring.
        outcomes = sorted(message.outcomes, key=lambda each: not each.begun)
        return [book.expect(outcome) for outcome in outcomes]

    def _carry_out(self, source: str, decision: Decision) -> None:
        self.books[source].note(decision.events)
        self._see_marks(source)
        if decision.lost:
            self.disturbed = True
        self.lost += decision.lost
        for message in decision.sends:
            if isinstance(message, Jobs):
                self._see_jobs(source, message)
            run = self._routes[message.subscription]
            if run in self.consumers:
                self.wires[Wire(source, run, up=False)].append(message)

    def _see_marks(self, source: str) -> None:
        unfinished = self._unfinished(source)
        for number in self.marks[source].passed(self.producers[source].store):
            held_up = self.marked.pop((source, number)) & unfinished
            assert not held_up, "a mark has overtaken jobs"
        for (of_source, _), before in self.marked.items():
            assert of_source != source or before & unfinished, "a mark is held up"

    def _mark_anew(self, source: str) -> None:
        # As the root does: a new producer knows nothing of the marks of the old, and
        # takes them to be behind all that it has.
        for number in [number for of, number in self.marked if of == source]:
            self.marked[source, number] = self._unfinished(source)
            self.marks[source].put(number, self.producers[source].store)

    def _unfinished(self, source: str) -> set[int]:
        return {job.key for job in self.books[source].unfinished}

    def _see_jobs(self, source: str, message: Jobs) -> None:
        assert message.upto <= self._asked[message.subscription], "over-sent"
        for each in message.jobs:
            job = self.books[source].jobs[each.key]
            assert job.state is JobState.LEASED, "sent without a lease"
            assert job.attempt == each.attempt, "sent for an old lease"
            lease = source, each.key, each.attempt
            place = message.subscription, each.number
            assert self._places.setdefault(lease, place) == place

    def _send(self, run: str, sends: Iterable[Send]) -> None:
        for source, message in sends:
            if isinstance(message, Demand | Done):
                asked = max(self._asked[message.subscription], message.total)
                self._asked[message.subscription] = asked
            disowned = isinstance(message, Cancel) and message.reason == UNKNOWN
            self.disturbed = self.disturbed or disowned or self._is_reopened(message)
            self.wires[Wire(source, run, up=True)].append(message)

    def _is_reopened(self, message: ToProducer) -> bool:
        _, _, number = message.subscription.rpartition("/")
        return int(number) > len(self.producers)


def _lease(task: Task) -> tuple[str, int, int]:
    return task.source, task.assignment.key, task.assignment.attempt
