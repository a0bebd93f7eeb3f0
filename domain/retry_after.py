"""The Retry-After header: how long a server asks to be left alone."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["MAX_RETRY_AFTER_S", "parse_retry_after"]

#: Seconds. A typo on the server must not silence us for a year.
MAX_RETRY_AFTER_S = 3600.0

_SECONDS = re.compile(r"-?[0-9]+")


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds to wait from ``now``, between 0 and `MAX_RETRY_AFTER_S`.

    Args:
        value: The header: whole seconds or an HTTP date.
        now: An aware time, which a date is compared with.

    Returns:
        None when there is no header or it makes no sense.

    Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    seconds = _seconds(value.strip(), now)
    if seconds is None:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _seconds(value: str, now: datetime) -> float | None:
    if _SECONDS.fullmatch(value):
        # Unlike int, float takes any number of digits.
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        # The parser's answer to "-0000", which is UTC without saying so.
        when = when.replace(tzinfo=UTC)
    return (when - now).total_seconds()
