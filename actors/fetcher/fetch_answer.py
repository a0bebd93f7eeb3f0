"""What a source answered: a job, none, or something that is neither."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from actors.demand.job import Failure, JobId, id_of
from actors.demand.json_values import as_json
from actors.host.texts import class_name, encodable, text_of
from actors.user_code import error_attributes
from actors.user_code.failures import LONGEST_ERROR, describe, masked

#: Of what cannot be used, so much is kept: enough to recover a job by hand.
KEPT_BYTES = 64 * 1024
#: Statuses that no later try with the same configuration is likely to mend.
FAULTS = (401, 403, 404)
#: Statuses by which a gateway says that it got no whole answer from what is behind it.
NO_ANSWER = (502, 504, 520, 524)

_RAW = "raw:"


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

    What is neither an array nor an object is as good as copied, or is not ours to.
    """
    return {name: _own(value) for name, value in options.items()}


def _own(value: Any) -> Any:
    if type(value) is dict:
        return own_options(value)
    return [_own(each) for each in value] if type(value) is list else value


def served_body(error: BaseException) -> bytes:
    """What a source served that ``fetch`` could not use, if a job may be in it.

    The rule: an exception's attribute ``body``, if it is bytes, unless its
    ``status`` is 400 or above: such an answer says itself that it holds no job.
    """
    body, status = (
        error_attributes.attribute(error, "body"),
        error_attributes.status(error),
    )
    refused = status is not None and status >= 400  # noqa: PLR2004
    if refused or not issubclass(type(body), bytes):
        return b""
    return b"".join((body,))  # one of a subclass becomes plain


def item_of(value: Any) -> Fetched | Unusable:
    """One of the things that ``fetch`` handed over where jobs were meant.

    What a class of the user's that is a ``dict`` says by its attribute ``job_id`` is
    what the job is known by, in place of ``id``.
    """
    try:
        job = as_json(value)
    except BaseException as error:  # noqa: BLE001 - it may be of a class of the user's
        return unusable_value(value, error)
    own = (
        error_attributes.attribute(value, "job_id") if type(value) is not dict else None
    )
    return Fetched(job, own if type(own) in (str, int) else id_of(job))


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
    if error_attributes.attribute(error, "throttled") is True:
        outcome = "throttled"
    return RunEnded(outcome, failure, unknown=_is_unknown(error))


def _is_unknown(error: BaseException) -> bool:
    said = error_attributes.attribute(error, "unknown_outcome")
    if type(said) is bool:
        return said
    # Of any client's exception: what is behind the gateway may have answered.
    return error_attributes.status(error) in NO_ANSWER


def _is_fault(error: BaseException) -> bool:
    permanent = error_attributes.attribute(error, "permanent") is True
    return permanent or error_attributes.status(error) in FAULTS


def _unusable(content: Any, failure: Failure) -> Unusable:
    raw, encoding = _as_text(content)
    digest = hashlib.sha256(raw.encode(errors="surrogatepass")).hexdigest()
    payload = {"id": f"{_RAW}{digest[:16]}", "raw": raw, "encoding": encoding}
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
    return isinstance(job_id, str) and job_id.startswith(_RAW)
