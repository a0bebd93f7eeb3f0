"""A source, steps and last consumers over a network that a test may spoil."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.consumer import Consumer, Send
from actors.demand.dispatchers import PartitionDispatcher
from actors.demand.job import Failure, Job, JobState, Process
from actors.demand.job_routing import Incoming, Routes
from actors.demand.job_store import JobStore
from actors.demand.manual_demand import ManualDemand
from actors.demand.messages import (
    Cancel,
    Crossing,
    Demand,
    Done,
    Outcome,
    Subscribe,
    ToConsumer,
    ToProducer,
)
from actors.demand.producer import Decision, Producer
from actors.demand.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from actors.demand.dispatchers import Dispatcher
    from actors.demand.windows import Window

    Make: TypeAlias = Callable[[], Dispatcher[Job]]

Message: TypeAlias = ToProducer | ToConsumer
SOURCE = "source"
STEPS = ("a", "b")
LAST = ("x", "y")
#: More jobs than any chain has.
PLENTY = 10_000
#: Rounds in which a chain without faults comes to its end; more is a hang.
ROUNDS = 400


@dataclass(slots=True)
class Node:
    """A step, or a last consumer, in one of its runs."""

    name: str
    consumer: Consumer
    middle: Step | None = None

    @property
    def run(self) -> str:
        return self.consumer.process.run


@dataclass(slots=True)
class Chain:
    """Everything that is sent waits on a wire until it is delivered."""

    window: Window
    first: Make
    second: Make
    routes: Sequence[str]
    manual: bool = False
    now: float = 100.0
    wires: defaultdict[tuple[str, str], list[Message]] = field(
        default_factory=lambda: defaultdict(list)
    )
    nodes: dict[str, Node] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)
    count: int = 0
    source: Producer = field(init=False)

    def __post_init__(self) -> None:
        self.source = self._producer(self.first, 1)
        for name in (*STEPS, *LAST):
            self.start(name)

    def start(self, name: str) -> None:
        """Start a node, and make it known as the root does."""
        self.starts[name] += 1
        run = f"{name}.{self.starts[name]}"
        process = Process(name=name, run=run, pid=1, host="here", kind=name)
        manual = self.manual and name in STEPS
        manual_demand = ManualDemand([SOURCE]) if manual else None
        consumer = Consumer(process, self.window, manual_demand)
        node = self.nodes[name] = Node(name, consumer)
        if name in LAST:
            for step in STEPS:
                self._send(node, consumer.open(step, self.now))
            return
        producer = self._producer(self.second, 1_000_000 * sum(self.starts.values()))
        node.middle = Step(consumer, producer)
        self._send(node, consumer.open(SOURCE, self.now))
        for last in LAST:
            if taker := self.nodes.get(last):
                self._send(taker, taker.consumer.open(name, self.now))

    def kill(self, name: str) -> None:
        """End a node's process, tell those it took from, and start it again."""
        process = self.nodes[name].consumer.process
        for ends in tuple(self.wires):
            if name in ends:
                del self.wires[ends]
        if name in STEPS:
            self.carry_out(SOURCE, self.source.gone(process, "killed", self.now))
        else:
            for step in STEPS:
                middle = self.middle(step)
                self.turn(step, middle.producer.gone(process, "killed", self.now))
        self.start(name)

    def grant(self, name: str, count: int) -> None:
        """Let a node with manual demand ask for more jobs."""
        node = self.nodes[name]
        self._send(node, node.consumer.grant(count))

    def fetch(self, count: int) -> None:
        jobs = []
        for _ in range(count):
            self.count += 1
            routes = [self.routes[self.count % len(self.routes)]]
            if self.routes == STEPS:
                routes = [*STEPS]
            jobs.append(Incoming(None, self.count, Routes(tuple(routes))))
        self.carry_out(SOURCE, self.source.fetched(jobs, self.now))

    def middle(self, step: str) -> Step:
        middle = self.nodes[step].middle
        assert middle is not None
        return middle

    @property
    def busy(self) -> list[tuple[str, str]]:
        return [ends for ends, wire in self.wires.items() if wire]

    def deliver(self, ends: tuple[str, str]) -> None:
        sender, receiver = ends
        message = self.wires[ends].pop(0)
        node = self.nodes.get(receiver)
        if isinstance(message, Cancel) and node is not None:
            upward = not node.consumer.issued(message.subscription)
        else:
            upward = isinstance(message, Subscribe | Demand | Done | Cancel)
        if not upward:
            assert node is not None
            assert not isinstance(message, Subscribe | Demand | Done | Crossing)
            self._send(node, node.consumer.received(message, self.now))
            return
        assert isinstance(message, Subscribe | Demand | Done | Cancel)
        if not message.subscription.startswith(f"{self.nodes[sender].run}/"):
            return  # its sender is no more, and nobody would get the answer
        producer = self.source if receiver == SOURCE else self.middle(receiver).producer
        decision = self._decide(producer, message)
        if receiver == SOURCE:
            self.carry_out(SOURCE, decision)
        else:
            self.turn(receiver, decision)

    def work(self, name: str, outcome: Failure | str | None) -> None:
        """Run a job of a node: to a failure, to a result, or to None."""
        node = self.nodes[name]
        tasks = node.middle.take(1) if node.middle else node.consumer.take(1)
        for task in tasks:
            job = task.assignment
            failure = outcome if isinstance(outcome, Failure) else None
            result = job.payload if outcome == "result" else None
            ended = Outcome(job.key, job.attempt, result, failure)
            if node.middle is None:
                self._send(node, node.consumer.finished(ended, self.now))
                continue
            routes = Routes((str(ended.result % 3),)) if ended.result else Routes()
            turn = node.middle.finished(ended, self.now, routes)
            self._send(node, turn.sends)
            self.carry_out(name, turn.decision)

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out(SOURCE, self.source.tick(self.now))
        for node in tuple(self.nodes.values()):
            self._send(node, node.consumer.tick(self.now))
            if node.middle is not None and self.nodes[node.name] is node:
                self.turn(node.name, node.middle.producer.tick(self.now))

    def turn(self, step: str, decision: Decision) -> None:
        self._send(self.nodes[step], self.middle(step).decided(decision, self.now))
        self.carry_out(step, decision)

    def carry_out(self, sender: str, decision: Decision) -> None:
        for message in decision.sends:
            name = message.subscription.partition(".")[0]
            if message.subscription.startswith(f"{self.nodes[name].run}/"):
                self.wires[sender, name].append(message)
        for process in decision.lost:
            if self.nodes[process.name].run == process.run:
                self.kill(process.name)

    def settle(self) -> None:
        """No more faults: every job comes to its end, at every step."""
        for name in STEPS if self.manual else ():
            self.grant(name, PLENTY)
        for _ in range(ROUNDS):
            while self.busy:
                self.deliver(self.busy[0])
            for name in self.nodes:
                self.work(name, "result")
            self.check()
            if not self.busy and not self.source.store.accounting().left:
                return
            self.tick(0.5)
        raise AssertionError(f"stuck: {self.source.store.accounting()}")

    def check(self) -> None:
        """Hold every producer and every consumer against the rules."""
        relays = [node.middle for node in self.nodes.values() if node.middle]
        for producer in (self.source, *(middle.producer for middle in relays)):
            _check_producer(producer)
        for middle in relays:
            assert middle.passed_on == middle.producer.store.accounting().left
            assert (middle.consumer.need or 0) <= middle.producer.demand
        for node in self.nodes.values():
            for subscription in node.consumer.subscriptions:
                outstanding = (
                    subscription.total - subscription.received + subscription.unfinished
                )
                assert outstanding >= 0
                manual = node.consumer.manual_demand is not None
                assert manual or outstanding <= self.window.max_demand

    def _producer(self, make: Make, first_key: int) -> Producer:
        retry = RetryPolicy(attempts=3, crashes=3, jitter=0.0)
        return Producer(JobStore(Buffer(6), retry, first_key=first_key), make())

    def _send(self, node: Node, sends: Iterable[Send]) -> None:
        for source, message in sends:
            self.wires[node.name, source].append(message)

    def _decide(self, producer: Producer, message: ToProducer) -> Decision:
        return producer.receive(message, self.now, lambda: 0.5)


def _check_producer(producer: Producer) -> None:
    assert producer.store.accounting().balanced
    places: defaultdict[str, set[str]] = defaultdict(set)
    for each in producer.subscriptions:
        assert each.received <= each.sent <= each.asked
        for job, attempt in each.leases.values():
            if job.state is JobState.LEASED and job.attempt == attempt:
                places[job.route].add(each.id)
    if isinstance(producer._dispatcher, PartitionDispatcher):  # noqa: SLF001
        assert all(len(each) == 1 for each in places.values())
