"""Jobs from any JSON API, described by options: no code of one's own.

Options are those of `fetch`; `settle` takes the same, so that one set of them
says everything about a source.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from . import http, strict_json
from .errors import BadJobError, BadOptionError, BadStatusError
from .http import hurry

__all__ = ["fetch", "hurry", "settle"]

#: What may stand for "no job now" where the job would be.
NONE_WORDS = ("null", "empty", "missing")

_VARIABLE = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")

#: What each source had last, by method and URL.
_etags: dict[tuple[str, str], str] = {}


def fetch(  # noqa: PLR0913 - the options are the interface
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    job: str = "",
    job_id: str = "",
    none: Sequence[str] = ("null", "empty"),
    none_status: Sequence[int] = (204,),
    etag: bool = True,
    wait_s: float = 0.0,
    ack_url: str = "",  # noqa: ARG001 - for settle
) -> Any:
    """Ask the API for one job.

    Args:
        url: http or https, with its path and query string.
        method: Any; it is sent once.
        headers: Beside ours. ``env:NAME`` in a value is replaced by what the
            environment has, so that no secret stands in a file.
        body: A JSON value to send.
        job: Where in the answer the job is: keys, and numbers of array elements,
            with dots between, as in ``data.jobs.0``. Empty for all of it. With a
            number the rest of the array is left: for an API that shows it again.
        job_id: Where in the job its identity is, likewise, if not in ``id``. It is
            then put there; a job that is no object becomes ``job`` in one.
        none: What means that there is no job: ``null`` or an ``empty`` array,
            object, string or answer in its place, or that the place is ``missing``.
        none_status: Statuses that mean the same.
        etag: Whether to ask only for what has changed, where the API tells an
            ETag. Of an answer that has not changed no job is made again.
        wait_s: How long the API may hold a request open, which the URL asks it to
            in its own way.
        ack_url: See `settle`.

    Returns:
        The job, a JSON value, or None.

    Raises:
        SourceError: One of `domain.errors`.
    """
    if unknown := set(none) - set(NONE_WORDS):
        expected = ", ".join(NONE_WORDS)
        raise BadOptionError(f"none: expected {expected}, got {sorted(unknown)}")
    asked_for = _headers(headers or {})
    tag = _etags.get((method, url)) if etag else None
    if tag is not None:
        asked_for["If-None-Match"] = tag
    request = _request(method, url, asked_for, body, wait_s)
    answer = _answer(request, none_status)
    if answer is None:
        return None
    found = _found(answer.body, job, none)
    if etag and "ETag" in answer.headers:
        _etags[method, url] = answer.headers["ETag"]
    return _named(found, job_id, answer.body) if job_id else found


def settle(
    job: Any,
    outcome: Mapping[str, Any],
    /,  # `fetch` has an option of the name
    *,
    headers: Mapping[str, str] | None = None,
    ack_url: str = "",
    **_: Any,
) -> None:
    """POST the outcome to ``ack_url``, if there is one.

    Args:
        job: As `fetch` returned it; it has to have an ``id``.
        outcome: Sent as the JSON body: ``state`` (done, quarantined, dropped), and
            ``result`` or ``error``.
        headers: See `fetch`.
        ack_url: Where to, with ``{id}`` for the job's.

    Raises:
        SourceError: The API did not confirm it.
    """
    if not ack_url:
        return
    if not isinstance(job, dict) or "id" not in job:
        raise BadOptionError("ack_url: expected jobs with an id")
    url = ack_url.replace("{id}", quote(str(job["id"]), safe=""))
    http.send(_request("POST", url, _headers(headers or {}), dict(outcome)))


def _request(
    method: str, url: str, headers: dict[str, str], body: Any, wait_s: float = 0.0
) -> http.Request:
    data = None
    if body is not None:
        headers = {"Content-Type": "application/json", **headers}
        data = json.dumps(body).encode()
    return http.Request(
        method=method, url=url, headers=headers, body=data, wait_s=wait_s
    )


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: _header(name, value) for name, value in headers.items()}


def _header(name: str, value: str) -> str:
    def variable(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            reason = f"headers: {name} wants {match[1]} from the environment"
            raise BadOptionError(f"{reason}, where it is not set")
        return os.environ[match[1]].strip()

    filled = _VARIABLE.sub(variable, str(value))
    # The libraries below would refuse it as well, and quote it.
    if not (filled.isascii() and filled.isprintable()):
        raise BadOptionError(f"headers: {name} has a character no header may have")
    return filled


def _answer(request: http.Request, none_status: Sequence[int]) -> http.Answer | None:
    try:
        answer = http.send(request)
    except BadStatusError as error:
        if error.status in none_status:
            return None
        raise
    unchanged = answer.status == http.NOT_MODIFIED
    return None if unchanged or answer.status in none_status else answer


def _found(body: bytes, path: str, none: Sequence[str]) -> Any:
    if not body.strip() and "empty" in none:
        return None
    found, value = _at(strict_json.parse(body), path)
    if not found:
        if "missing" in none:
            return None
        raise BadJobError(f"expected a job at {path}, got none there", body=body)
    if value is None and "null" not in none:
        raise BadJobError(f"expected a job at {path or 'the top'}, got null", body=body)
    empty = value in ("", [], {})
    return None if empty and "empty" in none else value


def _at(value: Any, path: str) -> tuple[bool, Any]:
    for step in filter(None, path.split(".")):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, list) and not value and step.isdecimal():
            # Of an empty array the first element is not missing: there is none.
            return True, []
        else:
            return False, None
    return True, value


def _named(job: Any, path: str, body: bytes) -> Any:
    if job is None:
        return None
    found, job_id = _at(job, path)
    if not found or isinstance(job_id, bool) or not isinstance(job_id, int | str):
        raise BadJobError(f"expected an id at {path} in the job", body=body)
    return (
        {**job, "id": job_id} if isinstance(job, dict) else {"id": job_id, "job": job}
    )
