"""Jobs that are lent: the API takes each back unless it is acknowledged in time."""

from http import HTTPStatus
from typing import Any

from . import http, urls
from .errors import BadStatusError
from .http import hurry
from .number_api import answered

__all__ = ["fetch", "hurry", "settle"]


def fetch(url: str, wait_s: float = 0.0) -> dict[str, Any] | None:
    """Claim the next job with ``POST /claim``.

    Args:
        url: The server's base, such as http://127.0.0.1:4567.
        wait_s: See `domain.numbers.fetch`.

    Returns:
        The job, such as ``{"id": 17, "number": 1764}``, or None when none waits.

    Raises:
        SourceError: One of `domain.errors`; whatever it is, the job comes again.
    """
    url = urls.below(url, "claim")
    if wait_s:
        url = urls.with_query(url, "wait_s", wait_s)
    request = http.Request(method="POST", url=url, wait_s=wait_s)
    return answered(request, http.send(request))


def settle(
    job: dict[str, Any],
    outcome: dict[str, Any],  # noqa: ARG001 - whatever it is, the job is in our hands
    /,
    url: str,
    wait_s: float = 0.0,  # noqa: ARG001 - of fetch
) -> None:
    """Acknowledge a job with ``POST /ack/ID``; doing so again changes nothing.

    A job in quarantine is acknowledged as well: it is kept, and to have it come
    again every time its lease ends would help nobody.

    Args:
        job: As `fetch` returned it.
        outcome: What became of it.
        url: See `fetch`.
        wait_s: See `fetch`.

    Raises:
        SourceError: The API did not confirm it. ``permanent`` if it never will.
    """
    url = urls.below(url, f"ack/{urls.segment(job['id'])}")
    try:
        http.send(http.Request(method="POST", url=url))
    except BadStatusError as error:
        error.permanent = error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
        raise
