"""What an exception of a user's function says of itself, by its attributes.

Nothing has to be imported for that, and nothing is: the exceptions of ``requests``,
``httpx``, ``aiohttp`` and ``urllib`` are understood by what they have.
"""

from __future__ import annotations

import re
import time
import traceback
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from actors.demand.job import Failure
from actors.host.redaction import redact
from actors.host.texts import encodable, line_of

#: Statuses whose ``Retry-After`` asks to be left alone for so long.
BUSY = (429, 503)

_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")


def attribute(thing: Any, name: str) -> Any:
    """An attribute of a user's object; None if it has none, or cannot say."""
    try:
        return getattr(thing, name, None)
    except BaseException:  # noqa: BLE001 - a property of the user's, which may exit
        return None


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an answer: its own ``status``, or its response's."""
    response = attribute(error, "response")
    found = (
        attribute(error, "status"),
        attribute(response, "status_code"),
        attribute(response, "status"),
    )
    return next((each for each in found if type(each) is int), None)


def retry_after_s(error: BaseException) -> float | None:
    """How long the other side asked to be left alone.

    The exception's own ``retry_after_s``; or the header ``Retry-After`` of a
    response, or of its own ``headers``, with one of the statuses `BUSY`.
    """
    own = _seconds_of(attribute(error, "retry_after_s"))
    if own is not None:
        return own
    if status_of(error) not in BUSY:
        return None
    headers = attribute(attribute(error, "response"), "headers")
    if headers is None:
        headers = attribute(error, "headers")
    return _wait_of(_header(headers, "Retry-After"), _header(headers, "Date"))


def _header(headers: Any, name: str) -> str | None:
    try:
        value = headers.get(name)
    except BaseException:  # noqa: BLE001 - the user's object, or none
        return None
    return value if type(value) is str else None


def _wait_of(value: str | None, date: str | None) -> float | None:
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return _seconds_of(float(value))
    if (when := _parsed(value)) is None:
        return None
    # By the other side's clock, where it tells that.
    now = _parsed(date or "") or datetime.fromtimestamp(time.time(), UTC)
    return max(0.0, (when - now).total_seconds())


def _parsed(value: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(value.strip())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


#: A longer wait is one of this many seconds: a month.
LONGEST_WAIT_S = 31 * 24 * 3600.0


def _seconds_of(value: Any) -> float | None:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(min(value, LONGEST_WAIT_S)) if value >= 0 else None
    except BaseException:  # noqa: BLE001 - a number of the user's
        return None


#: Of an error's line this many characters are kept: it travels, is logged, and is
#: kept with each attempt.
LONGEST_ERROR = 8 * 1024

LONGEST_TRACE = 64 * 1024


def describe(error: BaseException) -> Failure:
    """Turn an exception into text and what it says about another attempt.

    Never raises, whatever the exception's class does.
    """
    return Failure(
        error=masked(line_of(error), LONGEST_ERROR),
        permanent=attribute(error, "permanent") is True,
        retry_after_s=retry_after_s(error),
        trace=_trace_of(error),
    )


def masked(text: str, longest: int) -> str:
    """The text without the secrets in it; of a long one the beginning, and how long."""
    if len(text) <= longest:
        return redact(text)
    # More than is kept is looked at: half a secret is not known as one.
    return f"{redact(text[: 2 * longest])[:longest]}... ({len(text)} characters)"


def _trace_of(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(error, limit=-8)
    except BaseException:  # noqa: BLE001 - it asks the exception, and those before
        lines = _places_of(error)
    # The last lines are the error's own text, which may be as long as it likes.
    text = "".join(masked(encodable(line), LONGEST_ERROR) for line in lines)
    return masked(text, LONGEST_TRACE)


def _places_of(error: BaseException) -> list[str]:
    try:
        trace = vars(BaseException)["__traceback__"].__get__(error)
        return traceback.format_tb(trace, limit=-8)
    except BaseException:  # noqa: BLE001 - a source file that cannot be read
        return []
