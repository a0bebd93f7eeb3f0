"""The jobs of an answer: where they are, and what they are known by."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import strict_json
from ..errors import BadAnswerError, BadJobError, short
from . import formats
from .expressions import Path
from .source_settings import Settings

__all__ = ["Job", "Listed", "id_of", "read_jobs"]

_EVERYTHING = Path("", "items")
_ENTRIES = Path("entries", "items")


class Job(dict[str, Any]):
    """A job that is known by something else than its ``id``.

    Attributes:
        job_id: What it is known by: its id and its version.
    """

    job_id: str


class Listed(NamedTuple):
    """What an answer has.

    Attributes:
        answer: The whole of it.
        elements: What it lists, before a filter.
        jobs: What is left of that; one that cannot be used is the error that says
            why, so that the others do not suffer for it.
    """

    answer: Any
    elements: Sequence[Any]
    jobs: list[Any]


def read_jobs(settings: Settings, body: bytes) -> Listed:
    """Read an answer.

    Raises:
        SourceError: It is not what the options say; with the body, where there may
            be the only copy of a job in it.
    """
    if not body.strip() and "empty" in settings.none:
        return Listed(None, (), [])
    if not settings.is_list:
        return _one(settings, body)
    value = formats.read(body, settings.format)
    bad = []
    if isinstance(value, list) and settings.format != "json":
        bad = [each for each in value if isinstance(each, Exception)]
        value = [each for each in value if not isinstance(each, Exception)]
    where = settings.items
    if where is None:
        where = _ENTRIES if settings.format == "feed" else _EVERYTHING
    found, elements = where.find(value)
    if not isinstance(elements, list):
        is_none = elements is None and ("null" if found else "missing") in settings.none
        if not is_none:
            raise BadAnswerError(
                f"items: expected an array at {where.text!r}, got "
                f"{short(elements)}{_keys(value)}",
                body=body,
            )
        elements = []
    before = elements if where.text == "" else where.elements(value)
    is_none = "null" in settings.none
    jobs = [_named(settings, e) for e in elements if not (is_none and e is None)]
    return Listed(value, before if isinstance(before, list) else elements, jobs + bad)


def _keys(value: Any) -> str:
    if not isinstance(value, dict):
        return f"; the answer is {short(value)}"
    return f"; the answer has {', '.join(map(repr, list(value)[:8])) or 'no keys'}"


def _one(settings: Settings, body: bytes) -> Listed:
    value = strict_json.parse(body)
    path, none = settings.job, settings.none
    found, job = path.find(value)
    if not found:
        if "missing" in none:
            return Listed(value, (), [])
        raise BadJobError(f"expected a job at {path.text}, got none there", body=body)
    if job is None and "null" not in none:
        name = path.text or "the top"
        raise BadJobError(f"expected a job at {name}, got null", body=body)
    if job is None or ("empty" in none and job in ("", [], {})):
        return Listed(value, (), [])
    named = _named(settings, job)
    if isinstance(named, BadJobError):
        raise BadJobError(str(named), body=body)
    return Listed(value, [job], [named])


def _named(settings: Settings, job: Any) -> Any:
    if job is None:
        return BadJobError("expected a job, got null", body=b"null")
    if settings.job_id is None and settings.job_version is None:
        return job
    path = settings.job_id or Path("id", "job_id")
    found, job_id = path.find(job)
    if not found or not _is_id(job_id):
        got = f", got {short(job_id)}" if found else ""
        return BadJobError(
            f"expected an id at {path.text} in the job{got}", body=_written(job)
        )
    if settings.job_version is None:
        if not isinstance(job, dict):
            return {"id": job_id, "job": job}
        return job if job.get("id") is job_id else {**job, "id": job_id}
    version = settings.job_version.find(job)[1]
    known = Job(job if isinstance(job, dict) else {"id": job_id, "job": job})
    text = version if isinstance(version, str) else _written(version).decode()
    known.job_id = f"{job_id}@{text}"
    return known


def id_of(settings: Settings, job: Any) -> Any:
    """What the source calls a job, as it is acknowledged by; None if there is none."""
    if not isinstance(job, dict):
        return None
    if settings.job_id is not None:
        found, job_id = settings.job_id.find(job)
        if found and _is_id(job_id):
            return job_id
    return job.get("id")


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and value != ""


def _written(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()
