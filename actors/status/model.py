"""The status of a system, as ``status --json`` answers it.

These are the keys that scripts, the page and ``/metrics`` rely on; the schema in the
docs is made from them. What a stage says of itself is an *answer*; what the root makes
of it, and shows, is a *status*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict, final

if TYPE_CHECKING:
    from actors.demand.job import AccountingCounts
    from actors.demand.producer import KindCounts
    from actors.host.logs import Event


class HistogramCounts(TypedDict):
    """How long something took.

    Attributes:
        counts: How many took up to each bound; the last one is of all.
        sum_s: All of them together, in seconds.
    """

    counts: list[int]
    sum_s: float


class Tallied(TypedDict):
    """What a fetcher has counted since its process started.

    Attributes:
        fetched: Jobs taken from the source.
        dispatched: Jobs sent to processors, repeated ones too.
        stale: Outcomes of attempts that no longer counted.
        duplicates: Jobs that the source sent again.
        polls: Polls, by how they ended.
        skipped: Polls that were due and not made, by the reason.
        finished: Attempts and jobs, by their end.
        redelivered: Jobs that had to be sent again, by the reason.
        poll_s: How long polls took.
        job_s: How long processors took over a job.
        wait_s: From a job's fetch to its first attempt.
    """

    fetched: int
    dispatched: int
    stale: int
    duplicates: int
    polls: dict[str, int]
    skipped: dict[str, int]
    finished: dict[str, int]
    redelivered: dict[str, int]
    poll_s: HistogramCounts
    job_s: HistogramCounts
    wait_s: HistogramCounts


class FetcherTally(Tallied):
    """All counts of a fetcher, its journal's among them.

    Attributes:
        commit_s: How long commits to the journal took.
    """

    commit_s: HistogramCounts


class FetcherBasics(TypedDict):
    """What is shown of a fetcher, whether it answers or not.

    Attributes:
        state: ``running``, ``paused``, ``draining``, or ``faulted`` by its source; of
            one that does not answer ``starting``, ``backoff`` (its process died),
            ``fatal`` (it died too often) or ``silent``.
        waiting_for: Why nothing moves, in a word; null if it does not answer.
        buffered: Jobs that wait for demand.
        demand: Jobs asked for and not yet sent.
        fetching_s: For how long the fetch has been running, if one is.
        last_poll_age_s: How long ago the source was polled, if it ever was.
        next_poll_s: When it is polled next, if that is known.
        oldest_job_age_s: Age of the oldest unfinished job, if there is one.
    """

    state: str
    waiting_for: str | None
    buffered: int
    demand: int
    fetching_s: float | None
    last_poll_age_s: float | None
    next_poll_s: float | None
    oldest_job_age_s: float | None


class FetcherDetails(TypedDict, total=False):
    """What is shown of a fetcher that answers.

    Attributes:
        fetching: Whether a fetch is running.
        fetch_may_take_s: How long one may take.
        every_s: How often the source is polled.
        on_demand: Whether no more is fetched than what was asked for.
        capacity: Jobs that are held before polling stops.
        buffered_bytes: Bytes of the jobs that wait.
        capacity_bytes: Bytes that are held before polling stops, if there is a limit.
        in_flight_bytes: Bytes of the jobs in processors' hands.
        backlog: Jobs of an earlier run that are still in the journal only.
        low_water: Polling goes on when no more jobs than these wait.
        kinds: With ``broadcast``, by kind of processor.
        rate_next_s: When the rate limit lets the next job through, if it holds one.
        unrouted: Jobs for which a ``partition_by`` or ``selector`` still runs.
        in_flight: Jobs in a processor's hands.
        retrying: Jobs that failed and wait for another attempt.
        quarantined: Jobs that were set aside.
        quarantined_bytes: Bytes of those.
        quarantine_full: Whether the quarantine keeps the fetcher from polling.
        journal_full: Whether the journal has reached ``--journal-mib``.
        last_error: Why the last poll failed, if it did.
        throttled_s: How long the source is left alone, as it asked, if it did.
        throttled_by: What it said then.
        unknown_outcomes: Answers that never arrived whole.
        state_age_s: How long ago the state of the source last changed, if it has one.
        state_bytes: How large that is.
        tally: What was counted since the process started.
        journal_error: Why the journal cannot be written, if it cannot.
    """

    fetching: bool
    fetch_may_take_s: float
    every_s: float
    on_demand: bool
    capacity: int
    buffered_bytes: int
    capacity_bytes: int | None
    in_flight_bytes: int
    backlog: int
    low_water: int
    kinds: dict[str, KindCounts]
    rate_next_s: float | None
    unrouted: int
    in_flight: int
    retrying: int
    quarantined: int
    quarantined_bytes: int
    quarantine_full: bool
    journal_full: bool
    last_error: str | None
    throttled_s: float | None
    throttled_by: str | None
    unknown_outcomes: int
    state_age_s: float | None
    state_bytes: int | None
    tally: FetcherTally
    journal_error: str | None


class FetcherAnswer(FetcherBasics, FetcherDetails):
    """What a fetcher says of itself.

    Attributes:
        pid: Of its process.
    """

    pid: int


@final
class FetcherStatus(FetcherBasics, FetcherDetails):
    """One fetcher.

    Attributes:
        name: As it is configured.
        pid: Of its process, if it ever had one.
        restarts: How often it was started again.
    """

    name: str
    pid: int | None
    restarts: int


class JobProgress(TypedDict):
    """How far a job is that has called ``actors.progress``.

    Attributes:
        taken_from: The fetcher or step that it came from.
        id: The job's; of a list of jobs the first one's. 200 characters of it.
        jobs: How many jobs run in the same call.
        fraction: From 0 to 1; null where the job does not know.
        text: What it is doing.
        age_s: How long ago it said something new.
    """

    taken_from: str
    id: int | str
    jobs: int
    fraction: float | None
    text: str
    age_s: float


class ProcessorAnswer(TypedDict):
    """What a processor says of itself.

    Attributes:
        pid: Of its process.
        host: Its machine.
        state: ``running`` or ``draining``.
        in_flight: Jobs in its hands.
        demand: Jobs that it has asked for and not yet got.
        manual: Whether it asks when it is told to, and only then.
        done: Jobs that it has done.
        failed: Attempts that failed.
        progress: Of jobs that say how far they are; the first ten.
        restarts: How often it was started again, told by its machine.
    """

    pid: int | None
    host: str | None
    state: str
    in_flight: int
    demand: int
    manual: bool
    done: int
    failed: int
    progress: list[JobProgress]
    restarts: NotRequired[int]


@final
class ProcessorStatus(TypedDict):
    """One processor.

    Attributes:
        name: As ``detach`` takes it.
        pid: Of its process, if it ever had one.
        host: Its machine, once it has answered.
        state: ``running`` or ``draining``; of one that does not answer ``starting``,
            ``backoff`` (its process died), ``fatal`` (it died too often), ``silent``,
            or ``away`` (the line to its machine ended).
        in_flight: Jobs in its hands.
        demand: Jobs that it has asked for and not yet got.
        manual: Whether it asks when it is told to, and only then.
        done: Jobs that it has done.
        failed: Attempts that failed.
        progress: Of jobs that say how far they are; the first ten.
        restarts: How often it was started again.
        waiting_for: Why it does nothing, in a word; null while it works.
        kind: The name of its table in the configuration.
        takes_from: The fetchers and steps that it takes jobs from.
    """

    name: str
    pid: int | None
    host: str | None
    state: str
    in_flight: int
    demand: int
    manual: bool
    done: int
    failed: int
    progress: list[JobProgress]
    restarts: int
    waiting_for: str | None
    kind: str
    takes_from: list[str]


@final
class SystemStatus(TypedDict):
    """A system, as its root shows it.

    Attributes:
        state: ``running``, ``paused`` (all fetchers are) or ``draining``.
        accounting: Where every job is.
        fetchers: In the order of the configuration.
        processors: Those of this machine, then those of others.
        events: The last lines of the log that are not ``debug``, oldest first.
        drain_left_s: How long the drain may still take, if there is one.
        why: One line that says why nothing moves, or what does.
    """

    state: Literal["running", "paused", "draining"]
    accounting: AccountingCounts
    fetchers: list[FetcherStatus]
    processors: list[ProcessorStatus]
    events: list[Event]
    drain_left_s: float | None
    why: str


class MemberProcessorStatus(TypedDict):
    """A processor of a machine that joined, as that machine shows it.

    Attributes:
        name: As ``detach`` takes it.
        pid: Of its process.
        host: Its machine.
        state: ``running``, ``draining``, or ``silent`` if it does not answer.
        in_flight: Jobs in its hands.
        demand: Jobs that it has asked for and not yet got.
        manual: Whether it asks when it is told to, and only then.
        done: Jobs that it has done.
        failed: Attempts that failed.
        progress: Of jobs that say how far they are; the first ten.
        restarts: How often it was started again.
    """

    name: str
    pid: int | None
    host: str | None
    state: str
    in_flight: NotRequired[int]
    demand: NotRequired[int]
    manual: NotRequired[bool]
    done: NotRequired[int]
    failed: NotRequired[int]
    progress: NotRequired[list[JobProgress]]
    restarts: NotRequired[int]


@final
class StandbyStatus(TypedDict):
    """A system that waits to take over from another one.

    Attributes:
        state: ``standby``.
        why: Who leads, or why this one cannot.
        error: The same, for whoever asked for something that only a leader does.
    """

    state: Literal["standby"]
    why: str
    error: str


class NoCounts(TypedDict):
    """Nothing: the jobs are counted where they are fetched."""


@final
class MemberStatus(TypedDict):
    """A machine that joined a system, as it shows itself at its own port.

    Attributes:
        state: ``running``, ``away`` (the line to the leader ended) or ``draining``.
        accounting: Nothing.
        fetchers: None.
        processors: Those of this machine.
        why: For which leader it works, or waits.
    """

    state: Literal["running", "away", "draining"]
    accounting: NoCounts
    fetchers: list[FetcherStatus]
    processors: list[MemberProcessorStatus]
    why: str
