"""The jobs: numbers from an API that forgets them, and their square roots."""

import math
import reprlib
from http import HTTPStatus
from typing import Any

import requests

from . import http, strict_json, urls
from .errors import BadJobError, BadNumberError, BadStatusError
from .http import hurry

__all__ = ["answered", "fetch", "hurry", "process"]


def fetch(
    url: str, session: requests.Session | None = None, wait_s: float = 0.0
) -> dict[str, Any] | None:
    """Take the next job from the API, which forgets it at once.

    Args:
        url: The server's base, such as http://127.0.0.1:4567.
        session: See `domain.http.get`.
        wait_s: How long the server may hold the request open until there is a
            job. `hurry` ends that.

    Returns:
        The job, such as ``{"id": 17, "number": 1764}``, or None when none waits.

    Raises:
        SourceError: One of `domain.errors`. Only after UnreachableError and
            BadUrlError is it certain that no job was lost.
    """
    url = urls.below(url, "number")
    if wait_s:
        url = urls.with_query(url, "wait_s", wait_s)
    request = http.Request(url=url, wait_s=wait_s)
    return answered(request, http.send(request, session=session))


def answered(request: http.Request, answer: http.Answer) -> dict[str, Any] | None:
    """Return the job that an answer holds, or None.

    Raises:
        SourceError: It holds neither a job nor the word that there is none.
    """
    if answer.status == HTTPStatus.NO_CONTENT:
        return None
    if answer.status != HTTPStatus.OK:
        raise BadStatusError(
            f"{request.method} {urls.shown(request.url)}: "
            f"expected status 200 or 204, got {answer.status}",
            status=answer.status,
            body=answer.body,
        )
    return _job(strict_json.parse(answer.body), answer.body)


def process(job: Any) -> float:
    """Return the square root of the job's number, so 42.0 for 1764.

    Raises:
        BadNumberError: ``job`` is not a dict with a number from 0 to the largest
            float. Trying again cannot help.
    """
    if not isinstance(job, dict):
        raise BadNumberError(f"expected a job as dict, got {_short(job)}")
    if "number" not in job:
        raise BadNumberError(f"expected a job with a number, got {_short(job)}")
    job_id, number = _text(job.get("id")), job["number"]
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise BadNumberError(
            f"job {job_id}: expected an int or float, got {_short(number)}"
        )
    try:
        if 0 <= number < math.inf:
            return math.sqrt(number)
    except OverflowError:
        # An int larger than any float: as bad as infinity.
        pass
    raise BadNumberError(
        f"job {job_id}: expected a number from 0 to the largest float, "
        f"got {_short(number)}"
    )


def _job(value: Any, body: bytes) -> dict[str, Any]:
    if not isinstance(value, dict) or not {"id", "number"} <= value.keys():
        raise BadJobError(
            f"expected an object with an id and a number, got {_short(value)}",
            body=body,
        )
    job_id = value["id"]
    if isinstance(job_id, bool) or not isinstance(job_id, int | str):
        raise BadJobError(
            f"expected an id as int or string, got {_short(job_id)}", body=body
        )
    return value


def _short(value: object) -> str:
    return f"{type(value).__name__} {_text(value)}"


def _text(value: object) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:
        # CPython refuses to print an int of more than 4300 digits.
        return "of too many digits"
