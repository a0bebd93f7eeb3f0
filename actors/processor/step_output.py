"""A step's other side: it serves the processors that take its results."""

from __future__ import annotations

import secrets
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from actors.actor_system.stage import Address
from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.job_events import JobDone, JobFailed, JobLeased, JobReturned
from actors.demand.job_store import JobStore
from actors.demand.messages import Jobs
from actors.demand.producer import Decision, LeasePolicy, Producer
from actors.demand.producer_subscription import ProducerSender
from actors.demand.step import Step
from actors.demand.windows import MIB
from actors.hooks import spans
from actors.status.job_log import log_events
from actors.supervision.messages import ProcessLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from actors.config.model import ProcessorConfig, SystemConfig
    from actors.demand.consumer import Consumer, Send
    from actors.demand.job import Job
    from actors.demand.job_events import JobEvent
    from actors.demand.job_routing import Routes, Routing
    from actors.demand.messages import (
        CallOff,
        Done,
        Outcome,
        ToConsumer,
        ToProducer,
    )
    from actors.supervision.messages import ProcessGone


class StepOutput:
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
        send: Callable[[Address, Any], None],
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
        self.step = Step(consumer, producer)
        self._sender = ProducerSender[Address](send)
        self._log = log

    def received(
        self,
        message: ToProducer,
        sender: Address,
        now: float,
        chance: Callable[[], float],
    ) -> tuple[list[Send], Decision]:
        """Take what a processor behind this one sent."""
        self._sender.received(message, sender)
        return self._turn(self.step.producer.receive(message, now, chance), now)

    def failed(
        self, message: Done, now: float, chance: Callable[[], float]
    ) -> tuple[list[Send], Decision]:
        """A job cannot be sent to who is behind this one."""
        return self._turn(self.step.producer.receive(message, now, chance), now)

    def finished(
        self, outcome: Outcome, now: float, routes: Routes, ticket: int
    ) -> tuple[list[Send], Decision]:
        """Pass a result on."""
        turn = self.step.finished(outcome, now, routes, ticket)
        self._tell(turn.decision.events)
        return turn

    def called_off(self, message: CallOff, now: float) -> tuple[list[Send], Decision]:
        """End what became of jobs that nobody wants any more."""
        turn = self.step.called_off(message, now)
        self._tell(turn.decision.events)
        return turn

    def gone(self, message: ProcessGone, now: float) -> tuple[list[Send], Decision]:
        """A processor behind this one is no more."""
        producer = self.step.producer
        self._sender.forget(producer.ids_of(message.process, *message.others))
        decision = producer.gone(
            message.process,
            message.reason,
            now,
            crash=message.crash,
            others=message.others,
        )
        return self._turn(decision, now)

    def tick(self, now: float) -> tuple[list[Send], Decision]:
        """Do what time brings to leases and retries."""
        return self._turn(self.step.producer.tick(now), now)

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do next, in monotonic seconds."""
        times = [self.step.producer.next_tick(), self._sender.next_tick()]
        return min((each for each in times if each is not None), default=None)

    def carry_out(
        self,
        decision: Decision,
        send: Callable[[Address, Any], None],
        root: Address,
        now: float,
    ) -> None:
        """Send what was decided, and what has waited for company."""
        self._sender.tick(now)
        sends = decision.sends
        if spans.of_now() is not None:
            sends = [self._traced(each) for each in sends]
        self._sender.put(sends, now)
        for process in decision.lost:
            send(root, ProcessLost(process=process))
        self._sender.keep([each.id for each in self.step.producer.subscriptions])

    def _traced(self, message: ToConsumer) -> ToConsumer:
        """Say of jobs which span they come from."""
        if not isinstance(message, Jobs):
            return message
        jobs = [
            each._replace(trace=spans.parent_of(task))
            if (task := self.step.task_of(each.key)) is not None
            else each
            for each in message.jobs
        ]
        return replace(message, jobs=tuple(jobs))

    def _turn(self, decision: Decision, now: float) -> tuple[list[Send], Decision]:
        sends = self.step.decided(decision, now)
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
