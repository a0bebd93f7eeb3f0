"""One run of a fetcher's worker: ask the source for job after job."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from operator import is_not
from typing import Any, NamedTuple, TypeAlias

from actors.actor_system.worker import Permits
from actors.demand.job import (
    LONGEST_ID,
    RAW,
    Failure,
    JobId,
    as_json,
    id_of,
    is_too_long,
    known_by,
    pending,
)
from actors.demand.polling import Lengths
from actors.host.texts import class_name, encodable, text_of
from actors.user_code.failures import (
    LONGEST_ERROR,
    attribute,
    describe,
    masked,
    status_of,
)

#: Of what cannot be used, so much is kept: enough to recover a job by hand.
KEPT_BYTES = 64 * 1024

#: Statuses that no later try with the same configuration is likely to mend.
FAULTS = (401, 403, 404)

#: Statuses by which a gateway says that it got no whole answer from what is behind it.
NO_ANSWER = (502, 504, 520, 524)


class Fetched(NamedTuple):
    """The source gave a job; ``id`` is the source's own, if it has one."""

    payload: Any
    id: JobId | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """The source gave something that is no job, and may have forgotten it.

    Attributes:
        payload: ``raw``, the content up to `KEPT_BYTES`, its ``encoding``
            (``utf-8``, ``base64``, or ``repr`` of a Python value), and an ``id``
            that is the same for the same content: a source that goes on serving
            it is not to fill the quarantine.
    """

    payload: dict[str, str]
    failure: Failure

    @property
    def id(self) -> JobId:
        """What it is known by when it comes again."""
        return self.payload["id"]


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over.

    Attributes:
        outcome: ``none`` (the source has no more), ``full`` (there is no more
            room), ``error``, ``faulted`` (an error that only a change of the
            configuration mends), ``throttled`` (the source asks to be left alone,
            which is no error), or ``stopped``.
        failure: With ``error``, ``faulted`` and ``throttled``, what was said.
        took_s: How long the last call took.
        unknown: Whether the source may have handed out a job that never arrived:
            the failure's exception says so by its ``unknown_outcome``.
    """

    outcome: str
    failure: Failure | None = None
    took_s: float = 0.0
    unknown: bool = False


class Page(NamedTuple):
    """What a source with a state handed out at once, to be kept as one.

    Attributes:
        jobs: In order.
        given: The state that this follows from, JSON.
        told: The next one, JSON.
    """

    jobs: tuple[Fetched | Unusable, ...]
    given: str
    told: str


FetchStep: TypeAlias = Fetched | Unusable | Page | RunEnded


def own_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options for one call of a user's function, which may do with them what it likes.

    What is neither an array nor an object cannot be changed, or is not ours to copy.
    """
    return {name: _own(value) for name, value in options.items()}


def _own(value: Any) -> Any:
    if type(value) is dict:
        return own_options(value)
    return [_own(each) for each in value] if type(value) is list else value


def served_body(error: BaseException) -> bytes:
    """What a source served that ``fetch`` could not use, if a job may be in it.

    The rule: an exception's attribute ``body``, if it is bytes or text, unless its
    ``status`` is 400 or above: such an answer says itself that it holds no job.
    """
    body, status = (
        attribute(error, "body"),
        status_of(error),
    )
    refused = status is not None and status >= 400  # noqa: PLR2004
    if refused or not issubclass(type(body), (bytes, bytearray, memoryview, str)):
        return b""
    try:
        if issubclass(type(body), str):
            return str.encode(body, errors="surrogatepass")
        # One of a subclass becomes plain.
        return body.tobytes() if type(body) is memoryview else b"".join((body,))
    except Exception:  # noqa: BLE001 - one that was released, or of a class of the user's
        return b""


def item_of(value: Any) -> Fetched | Unusable:
    """One of the things that ``fetch`` handed over where jobs were meant.

    What a class of the user's that is a ``dict`` says by its attribute ``job_id`` is
    what the job is known by, in place of ``id``.
    """
    try:
        job = as_json(value)
    except BaseException as error:  # noqa: BLE001 - it may be of a class of the user's
        return unusable_value(value, error)
    job_id = id_of(job)
    if type(value) is not dict and type(own := attribute(value, "job_id")) in _IDS:
        job_id = own
    if job_id is None:
        return Fetched(job, None)
    if is_too_long(job_id):
        failure = Failure(f"{_ID_TOO_LONG}, got {_length_of(job_id)}", permanent=True)
        return _unusable(json.dumps(job).encode(), failure)
    return Fetched(job, known_by(job_id))


_IDS = (str, int)
_ID_TOO_LONG = f"expected an id of at most {LONGEST_ID} characters, or 100 digits"


def _length_of(job_id: JobId) -> str:
    if isinstance(job_id, int):
        return f"an integer of {job_id.bit_length()} bits"
    return f"{len(job_id)} characters"


def unusable_value(value: Any, error: BaseException) -> Unusable:
    """What ``fetch`` returned, where that is no JSON value.

    An exception stands for one item of an answer that cannot be used.
    """
    if issubclass(type(value), BaseException):
        return _unusable(served_body(value) or value, describe(value))
    why = f"got {class_name(value)}: {text_of(error)}"
    text = f"fetch must return a JSON value, {why}"
    return _unusable(value, Failure(masked(text, LONGEST_ERROR)))


def failed(error: BaseException) -> Unusable | RunEnded:
    """What an exception of ``fetch`` comes to."""
    failure = describe(error)
    if body := served_body(error):
        return _unusable(body, failure)
    outcome = "faulted" if _is_fault(error) else "error"
    if attribute(error, "throttled") is True:
        outcome = "throttled"
    return RunEnded(outcome, failure, unknown=_is_unknown(error))


def _is_unknown(error: BaseException) -> bool:
    said = attribute(error, "unknown_outcome")
    if type(said) is bool:
        return said
    # Of any client's exception: what is behind the gateway may have answered.
    return status_of(error) in NO_ANSWER


def _is_fault(error: BaseException) -> bool:
    permanent = attribute(error, "permanent") is True
    return permanent or status_of(error) in FAULTS


def _unusable(content: Any, failure: Failure) -> Unusable:
    raw, encoding = _as_text(content)
    digest = hashlib.sha256(raw.encode(errors="surrogatepass")).hexdigest()
    payload = {"id": f"{RAW}{digest[:16]}", "raw": raw, "encoding": encoding}
    return Unusable(payload, failure)


def _as_text(content: Any) -> tuple[str, str]:
    if type(content) is not bytes:
        try:
            return encodable(repr(content))[:KEPT_BYTES], "repr"
        except BaseException:  # noqa: BLE001 - the user's class
            return f"<{class_name(content)}>", "repr"
    content = content[:KEPT_BYTES]
    try:
        return content.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(content).decode(), "base64"


def is_raw(job_id: JobId) -> bool:
    """Whether a job's id says that it is no job but what `Unusable` kept."""
    return isinstance(job_id, str) and job_id.startswith(RAW)


#: Of one answer, this many jobs may be under way to the journal at a time.
AHEAD = 1000

#: The most jobs that one answer may have: an endless one would fill the disk.
MOST = 100_000


@dataclass(slots=True)
class Signals:
    """How a fetcher speaks to its running fetch.

    Attributes:
        kept: Released once for each job that is in the journal.
        waits_next: Called before a step behind which nothing comes but the wait for
            ``kept``.
        stop: Begin no further call.
        full: There is no room any more, though there was when the run began.
        last: The ids that the answer before had: the run's own note.
        next_s: When the fetch said to ask next, in seconds from the end of its run.
        pace: What the running call says so by.
        moved: A person has set another state than the one that the run goes by.
        under_way: Jobs that were handed over and not waited for: likewise.
        last_list: The list that the last answer was: likewise.
        lengths: What the lengths of its answers say of whether there is more.
    """

    kept: Permits = field(default_factory=Permits)
    waits_next: Callable[[], object] = bool
    stop: bool = False
    full: bool = False
    last: set[JobId] = field(default_factory=set)
    next_s: float | None = None
    pace: object = None
    moved: bool = False
    under_way: int = 0
    last_list: list[Any] | None = None
    lengths: Lengths = field(default_factory=Lengths)


def fetch_run(
    fetch: Callable[..., Any], options: dict[str, Any], room: int, signals: Signals
) -> Iterator[FetchStep]:
    """Call ``fetch`` until it has no more, fails, or ``room`` jobs are here.

    Each answer is kept before the next is asked for: where the process dies, at
    most one is lost that the source has handed out. An answer is one job, or an
    iterator of jobs, which is taken whole: there is no telling what it holds that
    the source has forgotten. A source that gives the same twice running only
    shows what it has; that counts as no more. A list that is returned is one job,
    which has no id: the same list twice running is taken, and counts likewise.
    What an iterator of several says by its length is known by `Lengths`.
    """
    signals.lengths.begin()
    while room > 0 and not signals.full:
        if signals.stop:
            yield RunEnded("stopped")
            return
        began = time.monotonic()
        answer = _called(fetch, options)
        shown = type(answer) is list and _is_shown_again(answer, signals)
        several = is_iterator(answer)
        count, end = yield from _take(answer, signals, several=several)
        if shown and end is None:
            end = RunEnded("none", took_s=time.monotonic() - began)
        if end is None and (not count or signals.next_s is not None):
            end = RunEnded("none", took_s=time.monotonic() - began)
        if several and _is_last(count, end, signals):
            end = end or RunEnded("none", took_s=time.monotonic() - began)
        if end is not None:
            yield end
            return
        room -= count
    yield RunEnded("full")


class _Raised(Exception):  # noqa: N818 - not raised: it stands for what was
    """What ``fetch`` raised instead of an answer."""


def _called(fetch: Callable[..., Any], options: dict[str, Any]) -> Any:
    try:
        return fetch(**own_options(options))
    except BaseException as error:  # noqa: BLE001 - sys.exit() would end the thread
        return _Raised(error)


def run_failed(signals: Signals, error: BaseException) -> Iterator[FetchStep]:
    """End a run that ended in none of the ways it should."""
    yield from all_kept(signals)
    yield RunEnded("error", describe(error))


def all_kept(signals: Signals) -> Iterator[Any]:
    """Wait until the journal has what was handed over."""
    waited_for, signals.under_way = signals.under_way, 0
    yield from signals.kept.passed(waited_for)


def _is_last(count: int, end: RunEnded | None, signals: Signals) -> bool:
    if end is None:
        return not signals.lengths.may_have_more(count)
    if end.outcome == "none" and signals.next_s is None:
        signals.lengths.nothing()
    return True


def _each(answer: Any, *, several: bool) -> Iterator[Any]:
    if type(answer) is _Raised:
        return _raising(answer.args[0])
    return filter(_is_job, answer if several else iter((answer,)))


def is_iterator(answer: Any) -> bool:
    """Whether it is one, as far as it says."""
    if type(answer) in _NONE:
        return False
    with suppress(BaseException):  # it is asked for its class, which is the user's
        return isinstance(answer, Iterator)
    return False


#: What most answers are that are none, without being asked.
_NONE = frozenset((dict, list, tuple, str, type(None), _Raised))


def _raising(error: BaseException) -> Iterator[Any]:
    yield from ()
    raise error


_is_job = partial(is_not, None)


def _take(
    answer: Any, signals: Signals, *, several: bool
) -> Generator[FetchStep, None, tuple[int, RunEnded | None]]:
    """Yield an answer's jobs as they come; returns how many, and why it ended."""
    count = 0
    end: RunEnded | None = None
    unusable: Failure | None = None
    seen: list[JobId | None] = []
    jobs = _each(answer, several=several)
    # Behind one of several the user's code comes again, and may take long.
    before_step = bool if several else signals.waits_next
    while end is None:
        step, end = _next(jobs)
        if step is None:
            break
        before_step()
        signals.under_way += 1
        yield step
        if isinstance(step, Unusable):
            unusable = unusable or step.failure
        else:
            seen.append(step.id)
        count += 1
        if signals.under_way == AHEAD:
            signals.under_way -= AHEAD // 2
            yield from signals.kept.passed(AHEAD // 2)
        if count == MOST:
            end = RunEnded("error", Failure(f"fetch yielded more than {MOST} jobs"))
    yield from all_kept(signals)
    if end is None and unusable is not None:
        end = _with_unusable(unusable, seen)
    if end is None and _came_before(seen, signals, several=several):
        end = RunEnded("none")
    return count, end


def _with_unusable(failure: Failure, seen: list[JobId | None]) -> RunEnded:
    # One item that cannot be used is no fault of a source whose others can be: it is
    # set aside, and the source is asked again in its time, sooner than after a fault.
    return RunEnded("none") if seen else RunEnded("error", failure)


def _next(jobs: Iterator[Any]) -> tuple[Fetched | Unusable | None, RunEnded | None]:
    try:
        for payload in jobs:
            item = item_of(payload)
            return (item, None) if type(item) is Fetched else _not_taken(item, payload)
    except BaseException as error:  # noqa: BLE001 - the user's function
        step = failed(error)
        if isinstance(step, RunEnded):
            return None, step
        return step, RunEnded("error", step.failure)
    return None, None


def _not_taken(
    item: Fetched | Unusable, payload: Any
) -> tuple[Fetched | Unusable | None, RunEnded | None]:
    if (what := pending(payload)) is None:
        return item, None
    text = (
        f"fetch must return a JSON value, got {what}, which nobody runs: it must "
        "be an ordinary function that returns when its work is done"
    )
    return None, RunEnded("faulted", Failure(text, permanent=True))


def _is_shown_again(answer: list[Any], signals: Signals) -> bool:
    last, signals.last_list = signals.last_list, None
    # Taken as it is now, and compared as such: what is in it is the user's.
    with suppress(BaseException):
        signals.last_list = as_json(answer)
        return last is not None and last == signals.last_list
    return False


def _came_before(ids: list[JobId | None], signals: Signals, *, several: bool) -> bool:
    if not ids:
        return False
    named = {each for each in ids if each is not None}
    last, signals.last = signals.last, named
    if len(named) < len(ids):
        return False
    # A list that shows what it has shows most of it again, beside what is new.
    return bool(named & last) if several else named <= last
