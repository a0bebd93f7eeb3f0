"""A job as its fetcher knows it: a JSON value, its id, its state, and where all are.

An id is an integer or a text, and ``17`` is another than ``"17"``. A person types a
word: ``17`` is the integer, or where there is none the text; ``"17"``, with the
quotes, is the text.
"""

from __future__ import annotations

import enum
import json
import re
import types
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias, TypedDict

from actors.host.texts import json_pieces

#: Integers of less than so many bits are written without a second thought; of
#: the long ones some cannot be (see ``sys.set_int_max_str_digits``).
_SHORT = 1 << 63

#: Nested deeper than this, a value is left to the encoder to judge.
_DEPTH = 32

#: Arrays and objects inside each other. JSON and pickle fail where the
#: interpreter's stack ends, each at another depth, and another in each process:
#: what one can write the other may not, and a job would be under way for good.
MAX_DEPTH = 200

_encode = json.JSONEncoder(allow_nan=False).encode


def as_json(value: Any) -> Any:
    """Return a copy of ``value`` as JSON would give it back: plain dicts, lists.

    A job or a result is what it was at the moment it was handed over: whoever made
    it may fill the same dict again, and does so in another thread.

    Raises:
        TypeError: It has something that JSON has not.
        ValueError: It has ``NaN``, an infinity, an integer too long to write, or
            itself in it, is nested more than `MAX_DEPTH` deep, or has two keys
            that are one in JSON, as ``1`` and ``"1"`` are.
    """
    # A copy of what is plain already costs little more than the look at it, and a
    # third of writing it as JSON and reading that.
    is_object = type(value) is dict
    copy = _copy_object(value, _DEPTH - 1) if is_object else _copy(value, _DEPTH)
    if copy is not _ODD:
        return copy
    try:
        text = _encode(value)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # There are no more levels than brackets, and those are quick to count.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value, MAX_DEPTH)
    return _decode(text)


_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"

#: Stands for a value that is not plain.
_ODD = object()


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, dict | list | tuple):
        return
    if not left:
        raise ValueError(_TOO_DEEP)
    for each in value.values() if isinstance(value, dict) else value:
        _check_depth(each, left - 1)


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"two of its keys are {json.dumps(twice)} in JSON")
    return made


_decode = json.JSONDecoder(object_pairs_hook=_object_of).decode


def _copy(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return value if -_SHORT < value < _SHORT else _ODD
    if kind is float:
        return value if value - value == 0.0 else _ODD
    if not depth:
        return _ODD
    if kind is dict:
        return _copy_object(value, depth - 1)
    return _copy_array(value, depth - 1) if kind is list else _ODD


def _copy_object(value: dict[Any, Any], depth: int) -> Any:
    # In one step, before anybody can come in between.
    copy = value.copy()
    for key, each in copy.items():
        if type(key) is not str:
            return _ODD
        # What most jobs are made of, without a call for each.
        kind = type(each)
        if kind is str or (kind is int and -_SHORT < each < _SHORT):
            continue
        if (own := _copy(each, depth)) is not each:
            if own is _ODD:
                return _ODD
            copy[key] = own
    return copy


def _copy_array(value: list[Any], depth: int) -> Any:
    copy = value.copy()
    for index, each in enumerate(copy):
        if type(each) is not str and (own := _copy(each, depth)) is not each:
            # At the first: one that holds itself, twice over, has no end.
            if own is _ODD:
                return _ODD
            copy[index] = own
    return copy


_pieces = json_pieces()
_quoted = json.encoder.encode_basestring_ascii


def json_text(value: Any) -> str:
    """What `json.dumps` makes of a plain value, as fast as it can be made."""
    kind = type(value)
    if kind is str:
        return _quoted(value)
    if kind is int or (kind is float and value - value == 0.0):
        return repr(value)
    return "".join(_pieces(value, 0))


#: What a value takes beside its content: quotes, commas, a number's digits.
_AROUND = 8


def size_of(value: Any) -> int:
    """Estimate the bytes that a JSON value takes in a message or a file.

    It is the same for equal values, on both sides of a message.
    """
    if type(value) is str:
        length = len(value) if value.isascii() else len(value.encode(errors="replace"))
        return length + _AROUND
    if type(value) is dict:
        total = _AROUND + len(value) * _AROUND
        for key, each in value.items():
            # The keys here and not one by one: most often they are half of the calls.
            total += len(key) if key.isascii() else len(key.encode(errors="replace"))
            total += size_of(each)
        return total
    if type(value) is list:
        return _AROUND + sum(map(size_of, value))
    if type(value) is int:
        return _AROUND + value.bit_length() // 8
    return _AROUND


_PENDING: dict[type, str] = {
    types.CoroutineType: "a coroutine",
    types.GeneratorType: "a generator",
    types.AsyncGeneratorType: "an async generator",
}


def pending(value: Any) -> str | None:
    """What a value is that stands for work still to be done, in words.

    The call of an async function or of a generator returns such a value. A
    coroutine is closed here: nobody is going to run it, and Python would complain
    of that on standard error.

    Args:
        value: Anything; no code of its class is run.

    Returns:
        ``a coroutine`` and the like; None where it is none of them.
    """
    kind = type(value)
    if kind is types.CoroutineType:
        # One that runs, or ends otherwise than it should, is the user's affair.
        with suppress(BaseException):
            value.close()
    if kind in _PENDING:
        return _PENDING[kind]
    classes = type.__dict__["__mro__"].__get__(kind)
    return "something to await" if any(map(_is_awaited, classes)) else None


def _is_awaited(kind: type) -> bool:
    return "__await__" in type.__dict__["__dict__"].__get__(kind)


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
        concurrency: How many jobs it runs at the same time.
    """

    name: str
    run: str
    pid: int
    host: str
    kind: str = ""
    concurrency: int = 1


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


#: What a job that a person has cancelled comes to.
CALLED_OFF = Failure("JobCancelledError: cancelled by hand", permanent=True)


class JobState(enum.Enum):
    """Where a job is on its way."""

    READY = "ready"
    LEASED = "leased"
    RETRYING = "retrying"
    DONE = "done"
    QUARANTINED = "quarantined"
    DROPPED = "dropped"


#: A payload of so many characters as JSON is written once; it is held beside what it
#: is made of.
SHORT_TEXT = 1024


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
        text: Its payload as JSON, once that was written, where it is short.
        shown: What the log shows of it, once it has, if it has no secret.
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
    text: str = field(default="", repr=False)
    shown: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Measure the payload, unless that was done before."""
        if self.size < 0:
            self.size = size_of(self.payload)

    def written(self) -> str:
        """Its payload as JSON, for the journal and for the log."""
        if self.text:
            return self.text
        text = json_text(self.payload)
        if len(text) <= SHORT_TEXT:
            self.text = text
        return text

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

    def without_what_is_left(self) -> Accounting:
        """The same of those jobs alone that have come to their end."""
        return replace(
            self, fetched=self.fetched - self.left, buffered=0, in_flight=0, retrying=0
        )

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


#: Characters of a source's id; digits of one that is an integer are a hundred at most.
LONGEST_ID = 512
_LONGEST_BITS = 332

#: What lowtide itself calls jobs: a source that gives no id, or served no job.
RAW = "raw:"
_OURS = re.compile(r"raw:|source:|#[0-9]")


def is_too_long(job_id: JobId) -> bool:
    """Whether nobody can type, show, or keep an id."""
    if isinstance(job_id, int):
        return job_id.bit_length() > _LONGEST_BITS
    return len(job_id) > LONGEST_ID


def known_by(job_id: JobId) -> JobId:
    """What a job is known by that its source calls so: no name of our own making."""
    if isinstance(job_id, str) and _OURS.match(job_id):
        return f"source:{job_id}"
    return job_id


def odd_id_of(payload: Any) -> str | None:
    """What the ``id`` of a job is that is none of those; None if there is none."""
    if type(payload) is not dict or (job_id := payload.get("id")) is None:
        return None
    return _ODD_IDS.get(type(job_id))


_ODD_IDS: dict[type, str] = {
    bool: "true or false",
    float: "a number with a point",
    list: "an array",
    dict: "an object",
}


def word_of(job_id: JobId) -> str:
    """The word that names this id and no other."""
    if isinstance(job_id, int):
        return str(job_id)
    odd = not job_id or _INTEGER.fullmatch(job_id) or job_id.startswith('"')
    return json.dumps(job_id) if odd else job_id


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
