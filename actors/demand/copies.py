"""What a broadcast's copies of a job come to, together: its source gave one job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job import JobState
from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobFetched,
    JobQuarantined,
    JobRouted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.job import Job, JobId
    from actors.demand.job_events import JobEvent

#: The ends of a job, the best first.
ENDS = (JobState.DONE, JobState.DROPPED, JobState.QUARANTINED)


class Copy(NamedTuple):
    """A copy of a job as the journal has it."""

    key: int
    route: str
    state: JobState


def end_of(event: JobDone | JobQuarantined | JobDropped) -> dict[str, Any]:
    """What an event says about the end of its job."""
    match event:
        case JobDone(result=result):
            return {"state": JobState.DONE.value, "result": result}
        case JobQuarantined(failure=failure):
            return {"state": JobState.QUARANTINED.value, "error": failure.error}
        case JobDropped(reason=reason):
            return {"state": JobState.DROPPED.value, "error": reason}


def worst_of(states: Iterable[JobState]) -> JobState:
    """What several copies come to."""
    return max(states, key=ENDS.index)


class Ended(NamedTuple):
    """What a job comes to, as its source is told."""

    job: Job
    outcome: dict[str, Any]


@dataclass(slots=True)
class _Whole:
    """The copies of one job.

    Attributes:
        id: The job's, with its type.
        live: Keys of those whose end is still to come.
        ends: What the others came to, by their kinds.
        quarantined: Keys of those that are set aside: they may come to another end.
    """

    id: tuple[type, JobId]
    live: set[int] = field(default_factory=set)
    ends: dict[str, dict[str, Any]] = field(default_factory=dict)
    quarantined: set[int] = field(default_factory=set)

    def outcome(self) -> dict[str, Any]:
        """The worst of their states, and what became of each kind's."""
        state = worst_of(JobState(each["state"]) for each in self.ends.values())
        said: dict[str, Any] = {"state": state.value, "kinds": dict(self.ends)}
        if state is JobState.DONE:
            said["result"] = {
                kind: each.get("result") for kind, each in self.ends.items()
            }
        else:
            errors = (
                f"{kind}: {each.get('error', 'no more is known')}"
                for kind, each in self.ends.items()
                if each["state"] == state.value
            )
            said["error"] = "; ".join(errors)
        return said


class Copies:
    """Puts together what the copies of a job come to, once the last has ended.

    Over the end of the process the journal has which are left, and which are set
    aside; of those that are done or dropped it is then known that they have ended.
    """

    def __init__(self) -> None:
        self._by_key: dict[int, _Whole] = {}
        self._open: dict[tuple[type, JobId], _Whole] = {}

    def is_open(self, job_id: JobId) -> bool:
        """Whether the end of a copy of this job is still to come."""
        return (type(job_id), job_id) in self._open

    def made(self, events: Iterable[JobEvent]) -> None:
        """Note which copies were made, of what was decided together."""
        firsts: dict[tuple[type, JobId], Job] = {}
        for event in events:
            if isinstance(event, JobRouted) or (
                isinstance(event, JobFetched) and event.first
            ):
                firsts[type(event.job.id), event.job.id] = event.job
            elif isinstance(event, JobFetched):
                job = event.job
                first = firsts[type(job.id), job.id]  # decided just before
                whole = self._by_key.get(first.key) or self._whole(job.id)
                for key in (first.key, job.key):
                    whole.live.add(key)
                    self._by_key[key] = whole

    def taken_up(self, job: Job, copies: Iterable[Copy]) -> None:
        """Note the copies of a job that an earlier run left."""
        copies = tuple(copies)
        if job.key in self._by_key or len(copies) < len(("itself", "another")):
            return
        whole = self._whole(job.id)
        for copy in copies:
            if copy.state not in ENDS:
                whole.live.add(copy.key)
                self._by_key[copy.key] = whole
                continue
            whole.ends[copy.route] = {"state": copy.state.value}
            if copy.state is JobState.QUARANTINED:
                whole.quarantined.add(copy.key)
                self._by_key[copy.key] = whole

    def ended(self, event: JobEvent) -> Ended | None:
        """What the job of an event comes to, if this is the last end of it."""
        if not isinstance(event, JobDone | JobQuarantined | JobDropped):
            return None
        job, said = event.job, end_of(event)
        whole = self._by_key.get(job.key)
        if whole is None:
            return Ended(job, said)
        whole.live.discard(job.key)
        whole.ends[job.route] = said
        if isinstance(event, JobQuarantined):
            whole.quarantined.add(job.key)
        else:
            whole.quarantined.discard(job.key)
            del self._by_key[job.key]
        if whole.live:
            return None
        self._open.pop(whole.id, None)
        return Ended(job, whole.outcome())

    def _whole(self, job_id: JobId) -> _Whole:
        whole = _Whole((type(job_id), job_id))
        self._open[whole.id] = whole
        return whole
