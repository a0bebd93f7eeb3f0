"""One producer and its consumers, joined by a perfect wire; a test runs the jobs."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.consumer import Consumer, Send
from actors.demand.dispatchers import DemandDispatcher, Dispatcher
from actors.demand.job import Failure, Process
from actors.demand.job_routing import Incoming, Routes
from actors.demand.job_store import JobStore
from actors.demand.messages import (
    Demand,
    Done,
    Outcome,
    SubscriptionId,
    ToConsumer,
    ToProducer,
)
from actors.demand.producer import Decision, Producer
from tests.support.consuming import next_of

if TYPE_CHECKING:
    from actors.demand.job import Job
    from actors.demand.job_events import JobEvent
    from actors.demand.manual_demand import ManualDemand
    from actors.demand.windows import Window


def process(name: str, kind: str = "") -> Process:
    return Process(name=name, run=f"{name}.1", pid=1, host="here", kind=kind)


def hand(producer: Producer, message: ToProducer, now: float) -> Decision:
    return producer.receive(message, now, lambda: 0.5)


class Line:
    """What was asked, run and told is kept, in order.

    Attributes:
        asks: By consumer, by how much each message raised its total.
        ran: Consumer and payload of each job that was begun.
        events: What the producer decided.
        answers: What the producer sent, with the consumer it went to.
    """

    def __init__(
        self,
        *,
        buffer: int = 5000,
        keep: str | None = None,
        dispatcher: Dispatcher[Job] | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.now = 100.0
        self.store = JobStore(
            Buffer(buffer), retry or RetryPolicy(jitter=0.0), keep=keep
        )
        self.producer = Producer(self.store, dispatcher or DemandDispatcher())
        self.consumers: dict[str, Consumer] = {}
        self.asks: defaultdict[str, list[int]] = defaultdict(list)
        self.ran: list[tuple[str, Any]] = []
        self.events: list[JobEvent] = []
        self.answers: list[tuple[str, ToConsumer]] = []
        self._totals: defaultdict[SubscriptionId, int] = defaultdict(int)
        self._routes: dict[SubscriptionId, str] = {}
        self._wire: deque[tuple[str, ToConsumer]] = deque()

    def join(
        self,
        name: str,
        window: Window | None = None,
        *,
        need: int | None = None,
        manual_demand: ManualDemand | None = None,
    ) -> Consumer:
        kind = name.partition("-")[0]
        consumer = Consumer(process(name, kind), window, manual_demand)
        consumer.need = need
        self.consumers[name] = consumer
        self.send(name, consumer.open("source", self.now))
        return consumer

    def fetch(self, *payloads: Any) -> None:
        self.carry_out(self.producer.fetched([(None, p) for p in payloads], self.now))

    def route(self, *jobs: tuple[Any, str]) -> None:
        incoming = [
            Incoming(None, payload, Routes((route,))) for payload, route in jobs
        ]
        self.carry_out(self.producer.fetched(incoming, self.now))

    def send(self, name: str, sends: Iterable[Send]) -> None:
        for _, message in sends:
            self._routes[message.subscription] = name
            if isinstance(message, Demand | Done):
                more = message.total - self._totals[message.subscription]
                if more > 0:
                    self._totals[message.subscription] += more
                    self.asks[name].append(more)
            decide = hand(self.producer, message, self.now)
            self.carry_out(decide)

    def carry_out(self, decision: Decision) -> None:
        self.events += decision.events
        for message in decision.sends:
            name = self._routes[message.subscription]
            self.answers.append((name, message))
            self._wire.append((name, message))
        while self._wire:
            self._hear(*self._wire.popleft())

    def work(
        self, name: str, count: int = 1, failure: Failure | None = None
    ) -> list[Any]:
        """Run up to so many jobs of a consumer, one after another."""
        worked = []
        for _ in range(count):
            task = next_of(self.consumers[name])
            if task is None:
                break
            worked.append(task.assignment.payload)
            self.ran.append((name, task.assignment.payload))
            job = task.assignment
            outcome = Outcome(job.key, job.attempt, "done", failure)
            self.send(name, self.consumers[name].finished(outcome, self.now))
        return worked

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out(self.producer.tick(self.now))
        for name, consumer in self.consumers.items():
            self.send(name, consumer.tick(self.now))

    def gone(self, name: str) -> None:
        consumer = self.consumers.pop(name)
        self.carry_out(self.producer.gone(consumer.process, "killed", self.now))

    def payloads(self, kind: type[Any]) -> list[Any]:
        """The payloads of the jobs that events of one kind are about."""
        return [event.job.payload for event in self.events if isinstance(event, kind)]

    def _hear(self, name: str, message: ToConsumer) -> None:
        if name in self.consumers:
            self.send(name, self.consumers[name].received(message, self.now))
