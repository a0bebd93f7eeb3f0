"""A step in the middle: it consumes upstream, and produces for the next step.

Rule 1: it asks upstream for no more than is asked of it and not yet covered, and
begins a job only while something is asked of it; so a last step that is slow
stops the poller at the first. One that takes jobs in batches rounds up to a batch.
Rule 2: a job's outcome goes upstream when the last step is done with it; until
then the fetcher's lease stands, and a step that dies costs no job.
Rule 3: a job that a later step cannot do is tried again at that step; when it is
given up there, it fails upstream for good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job_events import JobDone, JobDropped, JobFetched, JobQuarantined
from actors.demand.job_routing import ANYWHERE, Incoming
from actors.demand.messages import Outcome
from actors.demand.producer import Decision

if TYPE_CHECKING:
    from actors.demand.consumer import Consumer, Send, Task
    from actors.demand.job import Failure
    from actors.demand.job_events import JobEvent
    from actors.demand.job_routing import Routes
    from actors.demand.messages import CallOff
    from actors.demand.producer import Producer


@dataclass(slots=True)
class Passage:
    """A job that was passed on, once or, by broadcast, as several.

    Attributes:
        task: The job as it came.
        duration_s: What it took up to here, then with what later steps took.
        left: How many of those that were made of it have not ended.
        results: What they came to, by route.
        failure: Why one of them was given up.
    """

    task: Task
    duration_s: float
    left: int = 0
    results: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None

    @property
    def lease(self) -> tuple[int, int]:
        """The job's key, and the attempt."""
        return self.task.assignment.key, self.task.assignment.attempt

    def outcome(self) -> Outcome:
        """What the job comes to: the result, or the results by route."""
        job = self.task.assignment
        results = self.results
        result: Any = results
        if len(results) <= 1:
            result = next(iter(results.values()), None)
        if self.failure is not None:
            result = None
        return Outcome(job.key, job.attempt, result, self.failure, self.duration_s)


class Turn(NamedTuple):
    """What a step is to do: messages upstream, and a decision downstream."""

    sends: list[Send]
    decision: Decision


class Step:
    """Joins a consumer and a producer over the jobs that went through both."""

    def __init__(self, consumer: Consumer, producer: Producer) -> None:
        self.consumer = consumer
        self.producer = producer
        self._passages: dict[int, Passage] = {}
        self._update_need()

    @property
    def passed_on(self) -> int:
        """Jobs whose outcome is up to later steps."""
        return len(self._passages)

    @property
    def drained(self) -> bool:
        """Whether nothing is left to get, to do, to see to its end, or to deliver."""
        return self.consumer.drained and not self._passages

    def task_of(self, key: int) -> Task | None:
        """What came in, of a job that has gone on."""
        passage = self._passages.get(key)
        return None if passage is None else passage.task

    def take(self, most: int) -> tuple[Task, ...]:
        """Take up to this many jobs to run, as far as their results are wanted."""
        wanted = (self.consumer.need or 0) - self.consumer.running_count
        return self.consumer.take(max(0, min(most, wanted)))

    def finished(
        self,
        outcome: Outcome,
        now: float,
        routes: Routes = ANYWHERE,
        ticket: int | None = None,
    ) -> Turn:
        """Pass a result on; None, or a failure, is the job's outcome already.

        Args:
            outcome: Of the job's run here.
            now: Monotonic seconds.
            routes: Where the result goes.
            ticket: The job's; without it, it is the one that was taken first.
        """
        if outcome.failure is not None or outcome.result is None:
            tickets = None if ticket is None else (ticket,)
            sends = self.consumer.all_finished((outcome,), now, tickets)
            return Turn(sends, Decision())
        passage = Passage(self.consumer.passed_on(ticket), outcome.duration_s)
        job_id = passage.task.assignment.id
        incoming = Incoming(job_id, outcome.result, routes)
        decision = self.producer.fetched([incoming], now)
        for event in decision.events:
            if isinstance(event, JobFetched):
                passage.left += 1
                self._passages[event.job.key] = passage
        return Turn(self.decided(decision, now), decision)

    def called_off(self, message: CallOff, now: float) -> Turn:
        """Cancel what became of jobs that have gone on to later steps."""
        source = self.consumer.source_of(message.subscription)
        wanted = set(message.jobs)
        keys = [
            key
            for key, passage in self._passages.items()
            if passage.task.source == source and passage.lease in wanted
        ]
        decision = self.producer.called_off(keys, now)
        return Turn(self.decided(decision, now), decision)

    def decided(self, decision: Decision, now: float) -> list[Send]:
        """Say upstream what a decision of the producer comes to there."""
        self._update_need()
        sends = []
        for event in decision.events:
            passage = self._ended(event)
            if passage is not None and not passage.left:
                source = passage.task.source
                sends += self.consumer.record_outcomes(source, [passage.outcome()], now)
        return sends + self.consumer.ask()

    def _ended(self, event: JobEvent) -> Passage | None:
        match event:
            case JobDone(job, _, _, result, duration_s):
                passage = self._passages.pop(job.key, None)
                if passage is None:
                    return None  # it was given up here, and that was told
                passage.results[job.route] = result
                passage.duration_s += duration_s
            case JobQuarantined(job, process, failure):
                passage = self._passages.pop(job.key)
                step = f" (at {process.name})" if process else ""
                passage.failure = failure._replace(
                    error=failure.error + step, permanent=True, retry_after_s=None
                )
            case JobDropped(job, _):
                passage = self._passages.pop(job.key)
            case _:
                return None
        passage.left -= 1
        return passage

    def _update_need(self) -> None:
        # Results that wait for a retry, or for the one processor that may have
        # them, take room; beyond that they stop the step as a full buffer does.
        wanted, room = self.producer.demand, self.producer.store.room
        if wanted and room:
            # A batch is begun as a whole: what is not asked for yet of its results
            # waits in the buffer.
            wanted = max(wanted, min(self.consumer.batch_size, room))
        self.consumer.need = wanted if room else 0
