"""One run of a fetcher's worker: ask the source for job after job."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from actors.flow.messages import Failure, JobId
from actors.runtime.redaction import redact
from actors.runtime.worker import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Of what cannot be used, so much is kept: enough to recover a job by hand.
KEPT_BYTES = 64 * 1024
#: Statuses that no later try with the same configuration is likely to mend.
FAULTS = (401, 403, 404)

_RAW = "raw:"


@dataclass(frozen=True, slots=True)
class Fetched:
    """The source gave a job."""

    payload: Any


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


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over.

    Attributes:
        outcome: ``none`` (the source has no more), ``full`` (there is no more
            room), ``error``, ``faulted`` (an error that only a change of the
            configuration mends), or ``stopped``.
        failure: With ``error`` and ``faulted``, what went wrong.
        took_s: How long the last call took.
        unknown: Whether the source may have handed out a job that never arrived:
            the failure's exception says so by its ``unknown_outcome``.
    """

    outcome: str
    failure: Failure | None = None
    took_s: float = 0.0
    unknown: bool = False


FetchStep: TypeAlias = Fetched | Unusable | RunEnded


@dataclass(frozen=True, slots=True)
class Signals:
    """How a fetcher speaks to its running fetch.

    Attributes:
        kept: Released once for each job that is in the journal.
        stop: Begin no further call.
        last: The id that the job before had, if any: the run's own note.
    """

    kept: Gate = field(default_factory=Gate)
    stop: threading.Event = field(default_factory=threading.Event)
    last: list[JobId | None] = field(default_factory=list)


def fetch_run(
    fetch: Callable[..., Any], options: dict[str, Any], room: int, signals: Signals
) -> Iterator[FetchStep]:
    """Call ``fetch`` until it has no more, fails, or ``room`` jobs are here.

    Each job is kept before the next is asked for: where the process dies, at
    most one is lost that the source has handed out. A source that gives the same
    one twice running only shows what it has; that counts as no more.
    """
    for _ in range(room):
        if signals.stop.is_set():
            yield RunEnded("stopped")
            return
        step = _ask(fetch, options)
        yield step
        if isinstance(step, RunEnded):
            return
        yield from signals.kept.passed()
        if isinstance(step, Unusable):
            yield RunEnded("error", step.failure)
            return
        if _came_before(step, signals):
            yield RunEnded("none")
            return
    yield RunEnded("full")


def _came_before(step: Fetched, signals: Signals) -> bool:
    job_id = job_id_of(step.payload)
    again = job_id is not None and signals.last == [job_id]
    signals.last[:] = [job_id]
    return again


def _ask(fetch: Callable[..., Any], options: dict[str, Any]) -> FetchStep:
    began = time.monotonic()
    try:
        payload = fetch(**options)
    except BaseException as error:  # noqa: BLE001 - sys.exit() would end the thread
        failure = describe(error)
        if body := served_body(error):
            return _unusable(body, failure)
        outcome = "faulted" if _is_fault(error) else "error"
        unknown = getattr(error, "unknown_outcome", False) is True
        return RunEnded(outcome, failure, unknown=unknown)
    if payload is None:
        return RunEnded("none", took_s=time.monotonic() - began)
    try:
        json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        kind = type(payload).__name__
        text = f"fetch must return a JSON value, got {kind}: {error}"
        return _unusable(payload, Failure(text))
    return Fetched(payload)


def served_body(error: BaseException) -> bytes:
    """What a source served that ``fetch`` could not use, if a job may be in it.

    The rule: an exception's attribute ``body``, if it is bytes, unless its
    ``status`` is 400 or above: such an answer says itself that it holds no job.
    """
    body, status = getattr(error, "body", b""), getattr(error, "status", 0)
    refused = isinstance(status, int) and status >= 400  # noqa: PLR2004
    return body if isinstance(body, bytes) and not refused else b""


def _is_fault(error: BaseException) -> bool:
    permanent = getattr(error, "permanent", False) is True
    return permanent or getattr(error, "status", None) in FAULTS


def _unusable(content: Any, failure: Failure) -> Unusable:
    raw, encoding = _as_text(content)
    digest = hashlib.sha256(raw.encode(errors="surrogatepass")).hexdigest()
    payload = {"id": f"{_RAW}{digest[:16]}", "raw": raw, "encoding": encoding}
    return Unusable(payload, failure)


def _as_text(content: Any) -> tuple[str, str]:
    if not isinstance(content, bytes):
        try:
            return repr(content)[:KEPT_BYTES], "repr"
        except Exception:  # noqa: BLE001 - the user's class
            return f"<{type(content).__name__}>", "repr"
    content = content[:KEPT_BYTES]
    try:
        return content.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(content).decode(), "base64"


def is_raw(job_id: JobId) -> bool:
    """Whether a job's id says that it is no job but what `Unusable` kept."""
    return isinstance(job_id, str) and job_id.startswith(_RAW)


def job_id_of(payload: Any) -> JobId | None:
    """The source's own ``id`` of a job, if it has one."""
    if not isinstance(payload, dict):
        return None
    job_id = payload.get("id")
    named = isinstance(job_id, int | str) and not isinstance(job_id, bool)
    return job_id if named else None


def describe(error: BaseException) -> Failure:
    """Turn an exception into text and what it says about another attempt."""
    retry_after_s = getattr(error, "retry_after_s", None)
    return Failure(
        error=redact(f"{type(error).__name__}: {error}"),
        permanent=getattr(error, "permanent", False) is True,
        retry_after_s=retry_after_s if _is_seconds(retry_after_s) else None,
        trace=redact("".join(traceback.format_exception(error, limit=-8))),
    )


def _is_seconds(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < float("inf")
