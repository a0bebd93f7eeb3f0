"""What happened to a job: what the journal keeps, and what the log tells.

A rule that changes a job returns the events of it. They are committed
before anything that follows from them leaves the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from actors.demand.job import Failure, Job, Process


class JobFetched(NamedTuple):
    """A job was taken from the source; ``first`` of those that were made of it."""

    job: Job
    first: bool = True


class JobRouted(NamedTuple):
    """It has been found out where a job goes that was kept before."""

    job: Job


class JobLeased(NamedTuple):
    """A job was handed to a processor for its ``job.attempt``-th attempt."""

    job: Job
    process: Process


#: Why a processor that lives gives a job back.
NOT_BEGUN = "not begun"


class JobReturned(NamedTuple):
    """A job is ready again: the processor that had it is gone, or has no time."""

    job: Job
    process: Process
    reason: str


class JobDone(NamedTuple):
    """A job came to its end with a result."""

    job: Job
    attempt: int
    process: Process
    result: Any
    duration_s: float


class JobFailed(NamedTuple):
    """An attempt failed and another follows in ``retry_in_s`` seconds."""

    job: Job
    process: Process
    failure: Failure
    retry_in_s: float


class JobQuarantined(NamedTuple):
    """A job was set aside for a person to look at; ``process`` had it last."""

    job: Job
    process: Process | None
    failure: Failure


class JobReleased(NamedTuple):
    """Somebody took a job out of the quarantine: it is ready, as if new."""

    job: Job


class JobDropped(NamedTuple):
    """A job was given up, by a choice that the configuration made."""

    job: Job
    reason: str


class StateMoved(NamedTuple):
    """A source told its state, JSON, after the jobs in the events before this one."""

    text: str


class JobsSent(NamedTuple):
    """This many jobs leave under a rate limit, which counts them for ``forget_s``."""

    jobs: int
    forget_s: float


class OutcomeIgnored(NamedTuple):
    """An outcome came for an attempt that no longer counts."""

    key: int
    attempt: int
    reason: str


JobEvent: TypeAlias = (
    JobFetched
    | JobRouted
    | JobLeased
    | JobReturned
    | JobDone
    | JobFailed
    | JobQuarantined
    | JobReleased
    | JobDropped
    | StateMoved
    | JobsSent
    | OutcomeIgnored
)
