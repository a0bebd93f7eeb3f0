"""Numbers over HTTP: what is asked for, and what an answer holds.

Beside `domain.numbers`, whose ``process`` needs none of this: what it takes to ask
is a megabyte, and each processor is a process of its own.
"""

from http import HTTPStatus
from typing import Any

import requests

from . import http, strict_json, urls
from .errors import BadJobError, BadStatusError, short

__all__ = ["answered", "take"]


def take(
    url: str, session: requests.Session | None, wait_s: float
) -> dict[str, Any] | None:
    """Do what `domain.numbers.fetch` says."""
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


def _job(value: Any, body: bytes) -> dict[str, Any]:
    if not isinstance(value, dict) or not {"id", "number"} <= value.keys():
        raise BadJobError(
            f"expected an object with an id and a number, got {short(value)}",
            body=body,
        )
    job_id = value["id"]
    if isinstance(job_id, bool) or not isinstance(job_id, int | str):
        raise BadJobError(
            f"expected an id as int or string, got {short(job_id)}", body=body
        )
    return value
