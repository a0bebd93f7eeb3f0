"""What happened to a job: what the journal keeps, and what the log tells.

A rule that changes a job's life returns the facts of it. They are committed
before anything that follows from them leaves the process.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict

from actors.demand.sizes import size_of

if TYPE_CHECKING:
    from actors.demand.messages import Failure, JobId, Process


class JobState(enum.Enum):
    """Where a job is in its life."""

    READY = "ready"
    LEASED = "leased"
    RETRYING = "retrying"
    DONE = "done"
    QUARANTINED = "quarantined"
    DROPPED = "dropped"


@dataclass(slots=True, eq=False)
class Job:
    """A job from its fetch to its end, as its fetcher knows it.

    Attributes:
        key: The fetcher's own number for it, rising in the order of fetching.
        id: The source's ``id``, or one that the fetcher made up.
        own_id: Whether it is the source's: that job is known when it comes again.
        payload: Any JSON value; what ``process`` gets.
        route: Where it is to go, for dispatchers that look at it.
        fetched_at: Monotonic seconds.
        attempt: How often it was leased; the running lease's epoch.
        crashes: How many processors went while they had it, as far as it may be
            to blame.
        place: Rises with each job that its fetcher comes to hold.
        not_before: When a job that is retried becomes ready, monotonic seconds.
        is_routed: Whether its route is known; where none is needed, it is.
        forgiven: Attempts that do not count: those before somebody released it
            from the quarantine, and those that were not begun. The number of an
            attempt is not used again, or the late word of an earlier one would
            end it.
        size: What its payload takes, in bytes; see ``sizes``.
    """

    key: int
    id: JobId
    payload: Any
    fetched_at: float
    own_id: bool = True
    attempt: int = 0
    crashes: int = 0
    state: JobState = JobState.READY
    not_before: float = 0.0
    route: str = ""
    place: int = 0
    forgiven: int = 0
    is_routed: bool = True
    size: int = field(default=-1)

    def __post_init__(self) -> None:
        """Measure the payload, unless that was done before."""
        if self.size < 0:
            self.size = size_of(self.payload)

    @property
    def tries(self) -> int:
        """How many attempts count."""
        return self.attempt - self.forgiven


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
    """A source told its state, JSON, after the jobs in the facts before this one."""

    text: str


class OutcomeIgnored(NamedTuple):
    """An outcome came for an attempt that no longer counts."""

    key: int
    attempt: int
    reason: str


Fact: TypeAlias = (
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
    | OutcomeIgnored
)


class AccountingCounts(TypedDict):
    """Where every job is that was ever fetched.

    Attributes:
        fetched: Jobs taken from the sources: the sum of all others.
        done: Jobs whose last step ended well.
        buffered: Jobs that wait for demand.
        in_flight: Jobs in a processor's hands.
        retrying: Jobs that failed and wait for another attempt.
        quarantined: Jobs that were set aside.
        dropped: Jobs that were discarded.
    """

    fetched: int
    done: int
    buffered: int
    in_flight: int
    retrying: int
    quarantined: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Where every job that was ever fetched is now."""

    fetched: int = 0
    done: int = 0
    buffered: int = 0
    in_flight: int = 0
    retrying: int = 0
    quarantined: int = 0
    dropped: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every fetched job is in exactly one place."""
        return self.fetched == self.left + self.done + self.quarantined + self.dropped

    @property
    def left(self) -> int:
        """Jobs whose end is still to come."""
        return self.buffered + self.in_flight + self.retrying

    def as_dict(self) -> AccountingCounts:
        """The counts by name."""
        return {
            "fetched": self.fetched,
            "done": self.done,
            "buffered": self.buffered,
            "in_flight": self.in_flight,
            "retrying": self.retrying,
            "quarantined": self.quarantined,
            "dropped": self.dropped,
        }

    def __add__(self, other: Accounting) -> Accounting:
        return Accounting(
            **{
                name: getattr(self, name) + getattr(other, name)
                for name in self.__dataclass_fields__
            }
        )
