"""The Retry-After header: how long a server asks to be left alone."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["MAX_RETRY_AFTER_S", "parse_retry_after"]

#: Seconds. A typo on the server must not silence us for a year.
MAX_RETRY_AFTER_S = 3600.0

#: RFC 9110 has whole seconds only; some servers send a fraction all the same.
_SECONDS = re.compile(r"-?[0-9]+(\.[0-9]*)?")


def parse_retry_after(
    value: str | None, *, now: datetime, date: str | None = None
) -> float | None:
    """Return the seconds to wait from the answer on, from 0 to `MAX_RETRY_AFTER_S`.

    Args:
        value: The header: seconds or an HTTP date.
        now: Our time, an aware one.
        date: The answer's ``Date``, if it has one. A date in ``value`` is by the
            server's clock, so it is compared with this; with ``now`` otherwise.

    Returns:
        None when there is no header or it makes no sense.

    Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        # Unlike int, float takes any number of digits.
        seconds = float(value)
    elif (when := _parsed(value)) is None:
        return None
    else:
        seconds = (when - (_parsed(date or "") or now)).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _parsed(value: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(value.strip())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # The parser's answer to "-0000" is UTC without saying so.
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when
