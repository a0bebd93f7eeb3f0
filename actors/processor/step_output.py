"""A step's other side: it serves the processors that take its results."""

from __future__ import annotations

import secrets
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from actors.demand.buffer import Buffer
from actors.demand.job_events import JobDone, JobFailed, JobLeased, JobReturned
from actors.demand.job_store import JobStore
from actors.demand.messages import Cancel, Demand, Done, Subscribe
from actors.demand.producer import Decision, LeasePolicy, Producer
from actors.demand.producer_subscription import Linger
from actors.demand.retries import RetryPolicy
from actors.demand.step import Relay
from actors.demand.windows import MIB
from actors.status.job_log import log_events
from actors.supervision.messages import ProcessLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from actors.actor_system.stage import Address
    from actors.config.model import ProcessorConfig, SystemConfig
    from actors.demand.consumer import Consumer, Send
    from actors.demand.job import Job
    from actors.demand.job_events import JobEvent
    from actors.demand.job_routing import Routes, Routing
    from actors.demand.messages import Outcome, SubscriptionId, ToProducer
    from actors.supervision.messages import ProcessGone


class Downstream:
    """Carries out what a relay decides towards the processors behind this one.

    Nothing is kept on disk here: the fetcher's lease covers the whole way, so a
    step that dies costs no job; it starts over at the first step.

    Attributes:
        routing: Where its results go; found where they are made, in the thread that
            ``process`` runs in.
    """

    def __init__(
        self,
        config: ProcessorConfig,
        system: SystemConfig,
        consumer: Consumer,
        log: FilteringBoundLogger,
        routing: Routing,
    ) -> None:
        self.routing = routing
        buffer: Buffer[Job] = Buffer(
            config.buffer, config.buffer_mib * MIB, attrgetter("size")
        )
        # Keys of an earlier run of this step must not be taken for its own.
        first_key = secrets.randbits(40) << 20
        store = JobStore(
            buffer, RetryPolicy(attempts=system.retries), first_key=first_key
        )
        lease = LeasePolicy.of(system.lease_s)
        producer = Producer(store, config.new_dispatcher(), lease)
        self.relay = Relay(consumer, producer)
        self._linger = Linger()
        self._addresses: dict[SubscriptionId, Address] = {}
        self._log = log

    def received(
        self, message: ToProducer, sender: Address, now: float, chance: float
    ) -> tuple[list[Send], Decision]:
        """Take what a processor behind this one sent."""
        self._addresses[message.subscription] = sender
        self._linger.heard(message)
        return self._turn(self._decide(message, now, chance), now)

    def failed(
        self, message: Done, now: float, chance: float
    ) -> tuple[list[Send], Decision]:
        """A job cannot be sent to who is behind this one."""
        return self._turn(self._decide(message, now, chance), now)

    def finished(
        self, outcome: Outcome, now: float, routes: Routes
    ) -> tuple[list[Send], Decision]:
        """Pass a result on."""
        turn = self.relay.finished(outcome, now, routes)
        self._tell(turn.decision.events)
        return turn

    def gone(self, message: ProcessGone, now: float) -> tuple[list[Send], Decision]:
        """A processor behind this one is no more."""
        decision = self.relay.producer.gone(
            message.process,
            message.reason,
            now,
            crash=message.crash,
            others=message.others,
        )
        return self._turn(decision, now)

    def tick(self, now: float) -> tuple[list[Send], Decision]:
        """Do what time brings to leases and retries."""
        return self._turn(self.relay.producer.tick(now), now)

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do next, in monotonic seconds."""
        times = [self.relay.producer.next_tick(), self._linger.next_tick()]
        return min((each for each in times if each is not None), default=None)

    def carry_out(
        self,
        decision: Decision,
        send: Callable[[Address, Any], None],
        root: Address,
        now: float,
    ) -> None:
        """Send what was decided, and what has waited for company."""
        due = self._linger.due(now)
        for message in (*due, *self._linger.put(decision.sends, now)):
            if (address := self._addresses.get(message.subscription)) is not None:
                send(address, message)
        for process in decision.lost:
            send(root, ProcessLost(process=process))
        self._forget_closed()

    def _decide(self, message: ToProducer, now: float, chance: float) -> Decision:
        producer = self.relay.producer
        match message:
            case Subscribe():
                return producer.subscribe(message, now)
            case Demand():
                return producer.demanded(message, now)
            case Done():
                return producer.done(message, now, chance)
            case Cancel():
                return producer.cancelled(message, now)

    def _turn(self, decision: Decision, now: float) -> tuple[list[Send], Decision]:
        sends = self.relay.decided(decision, now)
        self._tell(decision.events)
        return sends, decision

    def _tell(self, events: Iterable[JobEvent]) -> None:
        # The job's fetcher tells of its end; here is told what it does not hear.
        log_events(
            self._log,
            [each for each in events if isinstance(each, JobFailed | JobReturned)],
        )
        for event in events:
            match event:
                case JobLeased(job, process):
                    self._log.debug(
                        "job.passed_on", job_id=job.id, to=process.name, job=job.payload
                    )
                case JobDone(job, attempt, process):
                    self._log.debug(
                        "step.done", job_id=job.id, attempt=attempt, by=process.name
                    )
                case _:
                    pass

    def _forget_closed(self) -> None:
        subscriptions = self.relay.producer.subscriptions
        if len(self._addresses) > len(subscriptions):
            still = {each.id for each in subscriptions}
            self._addresses = {
                key: address for key, address in self._addresses.items() if key in still
            }
            self._linger.keep(still)
