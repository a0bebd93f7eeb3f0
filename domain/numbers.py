"""The jobs: numbers from an API that forgets them, and their square roots."""

import math
from typing import TYPE_CHECKING, Any

from .errors import BadNumberError, short, text

if TYPE_CHECKING:
    import requests

__all__ = ["fetch", "hurry", "process"]


def fetch(
    url: str, session: "requests.Session | None" = None, wait_s: float = 0.0
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
    # Not above: a process that takes roots has no use for what it takes to ask.
    from .number_api import take  # noqa: PLC0415

    return take(url, session, wait_s)


def hurry() -> None:
    """Have a request that is held open answered soon; see `domain.http.hurry`."""
    from . import http  # noqa: PLC0415 - as above

    http.hurry()


def process(job: Any) -> float:
    """Return the square root of the job's number, so 42.0 for 1764.

    Raises:
        BadNumberError: ``job`` is not a dict with a number from 0 to the largest
            float. Trying again cannot help.
    """
    if not isinstance(job, dict):
        raise BadNumberError(f"expected a job as dict, got {short(job)}")
    if "number" not in job:
        raise BadNumberError(f"expected a job with a number, got {short(job)}")
    job_id, number = text(job.get("id")), job["number"]
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise BadNumberError(
            f"job {job_id}: expected an int or float, got {short(number)}"
        )
    try:
        if 0 <= number < math.inf:
            return math.sqrt(number)
    except OverflowError:
        # An int larger than any float: as bad as infinity.
        pass
    raise BadNumberError(
        f"job {job_id}: expected a number from 0 to the largest float, "
        f"got {short(number)}"
    )
