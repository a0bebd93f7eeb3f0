"""The jobs of one fetcher: ready, leased, retrying, done, quarantined.

Rule 1: a job is in exactly one state, and in exactly one of the places that go
with the states (buffer, leases, retries).
Rule 2: every lease has its number, the attempt; a failure counts only for the
lease that stands (fencing), a success for any: the work was done.
Rule 3: a job is leased ``attempts`` times at most, whatever became of each lease;
only what was not begun does not count. One whose last lease ended without a word
is set aside, and a success that comes late still ends it well.
Rule 4: each change returns its events; nothing is told that did not happen.
Rule 5: a job whose route has to be found out is held apart until it is: it is in
no buffer, and nobody gets it.
"""

from __future__ import annotations

import heapq
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.demand.buffer import Quarantine
from actors.demand.job import CALLED_OFF, Accounting, Failure, Job, JobState
from actors.demand.job_events import (
    NOT_BEGUN,
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
    JobRouted,
    OutcomeIgnored,
)
from actors.demand.job_routing import Incoming, Routes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.backoff import RetryPolicy
    from actors.demand.buffer import Buffer
    from actors.demand.job import JobId, Process
    from actors.demand.messages import Outcome


#: An enumeration's members are looked up slowly: these, once for each job.
_LEASED = JobState.LEASED
_DONE = JobState.DONE
# A named tuple's own constructor is written in Python; likewise.
_job_fetched = partial(tuple.__new__, JobFetched)
_job_leased = partial(tuple.__new__, JobLeased)
_job_done = partial(tuple.__new__, JobDone)


class JobStore:
    """Holds every job that a fetcher has not seen the end of.

    A full buffer leaves no room. With ``keep`` it drops jobs instead: ``first``
    drops what is fetched then, ``last`` what has waited longest. A ``quarantine``
    that is full leaves no room either. With ``routed`` each job needs a route: one
    that comes without, from the journal or the quarantine, has to be given it.
    """

    def __init__(
        self,
        buffer: Buffer[Job],
        retry: RetryPolicy,
        *,
        first_key: int = 1,
        kept: Accounting | None = None,
        keep: str | None = None,
        routed: bool = False,
    ) -> None:
        kept = kept or Accounting()
        self.buffer = buffer
        self.keep = keep
        self.quarantine = Quarantine(count=kept.quarantined)
        self.backlog = kept.buffered
        self._retry = retry
        self._next_key = first_key
        self._suspects: deque[Job] = deque()
        self._live: dict[int, Job] = {}
        self._routed = routed
        self._unrouted: dict[int, Job] = {}
        self._unheard: dict[int, Job] = {}
        self._place = 0
        self._retries: list[tuple[float, int]] = []
        self._in_flight = 0
        self._retrying = 0
        self._retrying_bytes = 0
        self._fetched = kept.fetched
        self._done = kept.done
        self._dropped = kept.dropped

    @property
    def room(self) -> int:
        """How many jobs to fetch now; those waiting for a retry take room as well."""
        if self.backlog or self.is_quarantine_full:
            return 0
        if self.keep is not None:
            return max(0, self.buffer.size - len(self._unrouted))
        if self.buffer.is_full_with(self._retrying_bytes + self.unrouted_bytes):
            return 0
        return max(0, self.buffer.room - self._retrying - len(self._unrouted))

    @property
    def is_quarantine_full(self) -> bool:
        """Whether so many jobs are set aside that no more should be fetched."""
        return self.quarantine.is_full

    @property
    def waiting(self) -> int:
        """How many ready jobs are here."""
        return len(self.buffer) + len(self._suspects)

    @property
    def unrouted(self) -> tuple[Job, ...]:
        """Ready jobs whose route is to be found out, oldest first."""
        return tuple(self._unrouted.values())

    @property
    def unrouted_count(self) -> int:
        """How many those are."""
        return len(self._unrouted)

    @property
    def unrouted_bytes(self) -> int:
        """What they come to."""
        if not self._unrouted:  # as it mostly is
            return 0
        return sum(job.size for job in self._unrouted.values())

    @property
    def suspects(self) -> tuple[Job, ...]:
        """Ready jobs that are to be sent alone, oldest first."""
        return tuple(self._suspects)

    @property
    def has_suspects(self) -> bool:
        """Whether there are ready jobs that are to be sent alone."""
        return bool(self._suspects)

    def take_suspect(self, job: Job | None = None) -> Job:
        """Remove a job that is to be sent alone, the oldest unless it is given."""
        job = self._suspects[0] if job is None else job
        self._suspects.remove(job)
        return job

    @property
    def wants_backlog(self) -> bool:
        """Whether to take in more of what an earlier run left in the journal."""
        if not self.backlog:
            return False
        held = len(self.buffer) + len(self._unrouted)
        few = held <= self.buffer.low_water
        large = self.buffer.is_full_with(self.unrouted_bytes)
        return self.buffer.is_low and few and not large

    @property
    def next_retry(self) -> float | None:
        """When the next retry may be due, in monotonic seconds."""
        return self._retries[0][0] if self._retries else None

    @property
    def oldest_fetched_at(self) -> float | None:
        """When the oldest job was fetched whose end is still to come."""
        return next((job.fetched_at for job in self._live.values()), None)

    @property
    def place(self) -> int:
        """Where the next job will stand that comes to be held."""
        return self._place

    def holds_before(self, place: int) -> bool:
        """Whether a job is held that came before ``place`` was the next.

        Jobs are held in the order in which they came, so the first one decides.
        """
        first = next(iter(self._live.values()), None)
        return first is not None and first.place < place

    def live(self, key: int) -> Job | None:
        """A job whose end is still to come, by its key."""
        return self._live.get(key)

    def accounting(self) -> Accounting:
        """Count where every job is."""
        return Accounting(
            fetched=self._fetched,
            done=self._done,
            buffered=self.waiting + len(self._unrouted) + self.backlog,
            in_flight=self._in_flight,
            retrying=self._retrying,
            quarantined=self.quarantine.count,
            dropped=self._dropped,
        )

    def fetched(
        self, jobs: Iterable[Incoming | tuple[JobId | None, Any]], now: float
    ) -> list[JobEvent]:
        """Take in jobs from the source, oldest first; they are ready.

        One that the source gives no id gets one that says its key. Of several
        made from one, for several routes, the first stands for the source's id.
        One that any processor may have needs no more than its id and payload.
        """
        events: list[JobEvent] = []
        ready: list[Job] = []
        for each in jobs:
            if isinstance(each, Incoming):
                events += self._take_in(each, now, ready)
            elif self.keep is not None:
                events += self._take_in(Incoming(*each), now, ready)
            else:
                job = self._admit(*each, now)
                events.append(_job_fetched((job, True)))
                ready.append(job)
        self.buffer.store(ready)
        return events

    def routed(self, found: Iterable[tuple[int, Routes]]) -> list[JobEvent]:
        """Let jobs go where they are to, which is known by now.

        Args:
            found: Keys and routes, in the order in which the jobs came; those that
                have ended meanwhile are passed over.
        """
        events: list[JobEvent] = []
        ready: list[Job] = []
        newest = next(reversed(self._live.values()), None)
        for key, routes in found:
            job = self._unrouted.pop(key, None)
            if job is not None:
                job.is_routed = True
                first = routes.names[:1]
                job.route = first[0] if first else ""
                events.append(JobRouted(job))
                events += self._let_go(job, routes, ready)
        self.buffer.store(ready)
        copies = [event.job for event in events if type(event) is JobFetched]
        if newest and any(each.place < newest.place for each in copies):
            by_place = sorted(self._live.items(), key=lambda each: each[1].place)
            self._live = dict(by_place)
        return events

    def set_aside(
        self, own_id: JobId | None, payload: Any, failure: Failure, now: float
    ) -> list[JobEvent]:
        """Take in what the source served and no processor can use: quarantined."""
        job_id = f"#{self._next_key}" if own_id is None else own_id
        job = Job(self._next_key, job_id, payload, now, own_id=own_id is not None)
        self._next_key += 1
        self._fetched += 1
        self.quarantine.put(payload)
        job.state = JobState.QUARANTINED
        return [JobFetched(job), JobQuarantined(job, None, failure)]

    def take_up(self, jobs: Iterable[Job], *, more: bool) -> list[JobEvent]:
        """Take in jobs that an earlier run left in the journal, oldest first.

        Those that were out at its end may have had their last attempt there.

        Args:
            jobs: Ready or retrying; those that are here already are passed over.
            more: Whether there are ready ones behind them.
        """
        events: list[JobEvent] = []
        ready: list[Job] = []
        new = [job for job in jobs if job.key not in self._live]
        counted = sum(job.state is JobState.READY for job in new)
        for job in new:
            self._hold(job)
            if self._is_spent(job):
                events.append(self._quarantine_unheard(job, _spent(job), None))
                continue
            job.is_routed = bool(job.route) or not self._routed
            if job.state is JobState.RETRYING:
                self._retry_later(job)
            else:
                ready.append(job)
        self._store(ready)
        self.backlog = max(0, self.backlog - counted) if more else 0
        return events

    def released(self, job: Job) -> JobEvent:
        """Make a quarantined job ready again, with all its attempts before it."""
        self.quarantine.take(job.payload)
        self._unheard.pop(job.key, None)
        job.state, job.forgiven, job.crashes = JobState.READY, job.attempt, 0
        job.is_routed = bool(job.route) or not self._routed
        self._hold(job)
        self._store([job])
        return JobReleased(job)

    def discarded(self, job: Job, reason: str) -> JobEvent:
        """Give a quarantined job up."""
        self.quarantine.take(job.payload)
        self._unheard.pop(job.key, None)
        self._dropped += 1
        job.state = JobState.DROPPED
        return JobDropped(job, reason)

    def called_off(self, job: Job, process: Process | None) -> JobEvent:
        """Set a job aside that a person has cancelled, wherever it is.

        Args:
            job: One whose end is still to come.
            process: Who has it, if it is out; what that says of it counts no more.
        """
        self._unplace(job)
        return self._quarantine(job, CALLED_OFF, process)

    def leased(self, jobs: Iterable[Job], process: Process) -> list[JobEvent]:
        """Record that jobs, already taken from the buffer, go to a processor."""
        events: list[JobEvent] = []
        for job in jobs:
            job.state = _LEASED
            job.attempt += 1
            events.append(_job_leased((job, process)))
        self._in_flight += len(events)
        return events

    def settle(
        self, outcome: Outcome, process: Process, now: float, chance: float
    ) -> JobEvent:
        """Apply an outcome, whenever and however often it comes."""
        key, attempt, result, failure, duration_s, _ = outcome
        job = self._live.get(key)
        if job is None:
            return self._settle_late(outcome, process)
        if failure is None:
            self._end_well(job)
            return _job_done((job, attempt, process, result, duration_s))
        if job.state is not _LEASED or job.attempt != attempt:
            return OutcomeIgnored(key, attempt, "its lease has ended")
        self._unplace(job)
        return self._fail(job, failure, process, now, chance)

    def hand_back(
        self, outcomes: Iterable[Outcome], process: Process
    ) -> list[JobEvent]:
        """Make jobs ready again that a processor has not begun, oldest first."""
        events: list[JobEvent] = []
        ready: list[Job] = []
        for key, attempt, *_ in outcomes:
            job = self._live.get(key)
            if job is None or job.state is not _LEASED or job.attempt != attempt:
                events.append(OutcomeIgnored(key, attempt, "its lease has ended"))
                continue
            self._unplace(job)
            job.state, job.forgiven = JobState.READY, job.forgiven + 1
            (self._suspects if job.crashes else ready).append(job)
            events.append(JobReturned(job, process, NOT_BEGUN))
        self.buffer.put_back(ready)
        return events

    def give_back(
        self,
        leases: Iterable[tuple[Job, int]],
        process: Process,
        reason: str,
        *,
        crash: bool,
    ) -> list[JobEvent]:
        """Make leased jobs ready again: the processor that had them is gone.

        Args:
            leases: Jobs with the attempt of the lease, in the order of sending;
                those whose lease no longer stands are passed over.
            process: The processor that had them.
            reason: What happened to it.
            crash: Whether the jobs may be what took it down.
        """
        standing = [
            job
            for job, attempt in leases
            if job.state is JobState.LEASED and job.attempt == attempt
        ]
        events: list[JobEvent] = []
        ready = []
        for job in standing:
            self._unplace(job)
            if crash:
                self._blame(job, alone=len(standing) == 1)
            if self._is_spent(job) or (crash and self._is_poison(job)):
                gone = _gone(job, reason)
                events.append(self._quarantine_unheard(job, gone, process))
                continue
            job.state = JobState.READY
            ready.append(job)
            events.append(JobReturned(job, process, reason))
        if crash:
            self._suspects.extend(ready)
        else:
            self.buffer.put_back(ready)
        return events

    def retry_due(self, now: float) -> None:
        """Make jobs ready whose delay is over."""
        ready = []
        while self._retries and self._retries[0][0] <= now:
            not_before, key = heapq.heappop(self._retries)
            job = self._live.get(key)
            if job and job.state is JobState.RETRYING and job.not_before == not_before:
                self._count_retrying(job, -1)
                job.state = JobState.READY
                ready.append(job)
        self._store(ready)

    def _admit(self, job_id: JobId | None, payload: Any, now: float) -> Job:
        key = self._next_key
        known_by = f"#{key}" if job_id is None else job_id
        job = Job(key, known_by, payload, now, job_id is not None)
        job.place = self._place
        self._place += 1
        self._next_key = key + 1
        self._fetched += 1
        self._live[key] = job
        return job

    def _take_in(
        self, incoming: Incoming, now: float, ready: list[Job]
    ) -> list[JobEvent]:
        routes = incoming.routes
        job = self._admit(incoming.id, incoming.payload, now)
        if routes is None:
            job.is_routed = False
            self._unrouted[job.key] = job
            return [JobFetched(job)]
        job.route = routes.names[0] if routes.names else ""
        return [JobFetched(job), *self._let_go(job, routes, ready)]

    def _let_go(self, job: Job, routes: Routes, ready: list[Job]) -> list[JobEvent]:
        if not routes.names:
            return [self._drop(job, "no selector takes it")]
        events = self._put_in_place(job, routes, ready)
        for route in routes.names[1:]:
            copy = self._admit(job.id, job.payload, job.fetched_at)
            copy.route, copy.own_id, copy.place = route, False, job.place
            events.append(JobFetched(copy, first=False))
            events += self._put_in_place(copy, routes, ready)
        return events

    def _store(self, ready: Iterable[Job]) -> None:
        routed = []
        for job in ready:
            if job.is_routed:
                routed.append(job)
            else:
                self._unrouted[job.key] = job
        self.buffer.store(routed)

    def _hold(self, job: Job) -> None:
        job.place = self._place
        self._place += 1
        self._live[job.key] = job

    def _put_in_place(
        self, job: Job, routes: Routes, ready: list[Job]
    ) -> list[JobEvent]:
        if (failure := routes.failures.get(job.route)) is not None:
            return [self._quarantine(job, failure, None)]
        if self.keep is None:
            ready.append(job)
            return []
        self.buffer.store([job])
        events = []
        while self.buffer.is_over:
            keeps_last = self.keep == "last"
            [dropped] = self.buffer.take(1) if keeps_last else self.buffer.pop()
            reason = f"the buffer is full and keeps the {self.keep}"
            events.append(self._drop(dropped, reason))
        return events

    def _drop(self, job: Job, reason: str) -> JobEvent:
        del self._live[job.key]
        self._dropped += 1
        job.state = JobState.DROPPED
        return JobDropped(job, reason)

    def _end_well(self, job: Job) -> None:
        if job.state is _LEASED:
            self._in_flight -= 1
        else:
            self._unplace(job)
        job.state = _DONE
        del self._live[job.key]
        self._done += 1

    def _settle_late(self, outcome: Outcome, process: Process) -> JobEvent:
        key, attempt, result, failure, duration_s, _ = outcome
        job = self._unheard.get(key)
        if job is None or failure is not None:
            return OutcomeIgnored(key, attempt, "the job has ended")
        del self._unheard[key]
        self.quarantine.take(job.payload)
        job.state = _DONE
        self._done += 1
        return JobDone(job, attempt, process, result, duration_s)

    def _fail(
        self, job: Job, failure: Failure, process: Process, now: float, chance: float
    ) -> JobEvent:
        delay = self._retry.delay_s(job.tries, failure, chance)
        if delay is None:
            return self._quarantine(job, failure, process)
        job.not_before = now + delay
        self._retry_later(job)
        return JobFailed(job, process, failure, delay)

    def _retry_later(self, job: Job) -> None:
        job.state = JobState.RETRYING
        self._count_retrying(job, 1)
        heapq.heappush(self._retries, (job.not_before, job.key))

    def _count_retrying(self, job: Job, sign: int) -> None:
        self._retrying += sign
        self._retrying_bytes += sign * job.size

    def _quarantine(
        self, job: Job, failure: Failure, process: Process | None
    ) -> JobEvent:
        job.state = JobState.QUARANTINED
        del self._live[job.key]
        self.quarantine.put(job.payload)
        return JobQuarantined(job, process, failure)

    def _quarantine_unheard(
        self, job: Job, failure: Failure, process: Process | None
    ) -> JobEvent:
        self._unheard[job.key] = job
        return self._quarantine(job, failure, process)

    def _blame(self, job: Job, *, alone: bool) -> None:
        # Among others, a job is under suspicion once, however often it happens.
        job.crashes = job.crashes + 1 if alone else max(1, job.crashes)

    def _is_spent(self, job: Job) -> bool:
        return job.tries >= self._retry.attempts

    def _is_poison(self, job: Job) -> bool:
        return job.crashes >= self._retry.crashes

    def _unplace(self, job: Job) -> None:
        match job.state:
            case JobState.LEASED:
                self._in_flight -= 1
            case JobState.RETRYING:
                self._count_retrying(job, -1)
            case JobState.READY if job in self._suspects:
                self._suspects.remove(job)
            case JobState.READY if job.key in self._unrouted:
                del self._unrouted[job.key]
            case JobState.READY:
                self.buffer.remove(job)
            case _:
                raise AssertionError(job)


def _gone(job: Job, reason: str) -> Failure:
    text = f"the processor was gone ({reason}) at attempt {job.attempt}"
    return Failure(text)


def _spent(job: Job) -> Failure:
    last = f"no attempt is left after attempt {job.attempt}"
    if job.state is JobState.RETRYING:
        return Failure(f"{last}, which failed")
    return Failure(f"{last}: the fetcher ended before it heard of that")
