"""What was seen of one producer's jobs, and what may become of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.demand.job import Accounting, Job, JobState
from actors.demand.job_events import (
    JobDone,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReturned,
    OutcomeIgnored,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.job import Process
    from actors.demand.messages import Outcome

ENDS = frozenset({JobState.DONE, JobState.QUARANTINED})


class Book:
    """The jobs of one producer; a restarted one gets a new book."""

    def __init__(self, first_key: int = 1, kept: Iterable[Job] = ()) -> None:
        self.next_key = first_key
        self.jobs = {job.key: replace(job) for job in kept}
        self.retrying = self._in_state(JobState.RETRYING)
        self.ready = self._in_state(JobState.READY)
        self.taken_up = self._in_state(JobState.LEASED)
        for job in self.taken_up:
            job.state = JobState.READY
        self.kept = replace(self.accounting(), retrying=0)
        self._holders: dict[int, Process] = {}
        self._unheard: set[int] = set()

    def note(self, events: Iterable[JobEvent]) -> None:
        for event in events:
            match event:
                case JobFetched(job):
                    self.jobs[job.key] = job
                    self.next_key = job.key + 1
                case JobLeased(job, process):
                    assert job.key not in self._holders, "leased twice"
                    self._holders[job.key] = process
                case JobReturned(job, process):
                    assert self._holders.pop(job.key) == process, "not its own"
                case JobDone(job) | JobFailed(job) | JobQuarantined(job):
                    self._holders.pop(job.key, None)
                    if isinstance(event, JobQuarantined) and _is_unheard(event):
                        self._unheard.add(job.key)
                case _:
                    pass

    def expect(self, outcome: Outcome) -> tuple[type[JobEvent], ...]:
        """Which events may follow from an outcome that arrives now."""
        job = self.jobs.get(outcome.key)
        succeeded = outcome.begun and outcome.failure is None
        late = succeeded and outcome.key in self._unheard
        if job is None or job.state is JobState.DONE:
            return (OutcomeIgnored,)
        if job.state is JobState.QUARANTINED and not late:
            return (OutcomeIgnored,)
        if succeeded:
            return (JobDone,)
        if not outcome.begun:
            standing = (job.state, job.attempt) == (JobState.LEASED, outcome.attempt)
            return (JobReturned,) if standing else (OutcomeIgnored,)
        if (job.state, job.attempt) == (JobState.LEASED, outcome.attempt):
            return (JobFailed, JobQuarantined)
        return (OutcomeIgnored,)

    def keys(self, state: JobState) -> list[int]:
        return sorted(job.key for job in self._in_state(state))

    @property
    def unfinished(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state not in ENDS]

    def _in_state(self, state: JobState) -> list[Job]:
        return [job for job in self.jobs.values() if job.state is state]

    def accounting(self) -> Accounting:
        count = Counter(job.state for job in self.jobs.values())
        return Accounting(
            fetched=len(self.jobs),
            done=count[JobState.DONE],
            buffered=count[JobState.READY],
            in_flight=count[JobState.LEASED],
            retrying=count[JobState.RETRYING],
            quarantined=count[JobState.QUARANTINED],
        )


def _is_unheard(event: JobQuarantined) -> bool:
    # It was set aside by what became of others, not by its own failure.
    return "was gone" in event.failure.error or "before it heard" in event.failure.error
