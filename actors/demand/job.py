"""A job as its fetcher knows it: its id, its state, and where all jobs are.

An id is an integer or a text, and ``17`` is another than ``"17"``. A person types a
word: ``17`` is the integer, or where there is none the text; ``"17"``, with the
quotes, is the text.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypedDict

from actors.demand.json_values import size_of

#: What a source calls its job, or what its fetcher called it: unique per fetcher.
JobId: TypeAlias = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One run of a consumer: a restarted one has the same name and a new run.

    Attributes:
        name: The processor's name, unique in the system.
        run: Unique for each start, so that a late message of an earlier one
            is told apart.
        pid: Operating system's process id, on ``host``.
        kind: What it is one of: its name in the configuration.
    """

    name: str
    run: str
    pid: int
    host: str
    kind: str = ""


class Failure(NamedTuple):
    """Why an attempt failed, as text: the exception itself may not unpickle.

    Attributes:
        error: One line, ``ClassName: message``.
        permanent: Another attempt would fail as well.
        retry_after_s: The delay that the error asked for, if it did.
        trace: The traceback, or an empty string.
    """

    error: str
    permanent: bool = False
    retry_after_s: float | None = None
    trace: str = ""


class JobState(enum.Enum):
    """Where a job is on its way."""

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


_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,99}")


def id_of(payload: Any) -> JobId | None:
    """The source's own ``id`` of a job, if it has one."""
    job_id = payload.get("id") if type(payload) is dict else None
    return job_id if type(job_id) in (int, str) else None


def odd_id_of(payload: Any) -> str | None:
    """What the ``id`` of a job is that is none of those; None if there is none."""
    if type(payload) is not dict or (job_id := payload.get("id")) is None:
        return None
    return _ODD.get(type(job_id))


_ODD: dict[type, str] = {
    bool: "true or false",
    float: "a number with a point",
    list: "an array",
    dict: "an object",
}


def word_of(job_id: JobId) -> str:
    """The word that names this id and no other."""
    if isinstance(job_id, int):
        return str(job_id)
    plain = not (_INTEGER.fullmatch(job_id) or job_id.startswith('"'))
    return job_id if plain else json.dumps(job_id)


def named_by(word: str) -> list[JobId]:
    """The ids that a word may name: the first that is there is meant."""
    ids: list[JobId] = [word]
    if _INTEGER.fullmatch(word):
        ids.insert(0, int(word))
    elif word.startswith('"'):
        try:
            text = json.loads(word)
        except ValueError:
            return ids
        ids.insert(0, text)
    return ids
