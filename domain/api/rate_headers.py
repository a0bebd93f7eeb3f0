"""What an answer's headers say of how often its source may be asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ..retry_after import parse_retry_after

__all__ = ["Budget", "answered_at", "budget_of", "pace_of"]

#: A typo on the server must not silence us for a year.
MAX_WAIT_S = 24 * 3600.0
#: The least wait for a budget that is used up: its end is told in whole seconds.
MIN_WAIT_S = 1.0
#: Where a budget is used up and nobody says for how long.
UNKNOWN_WAIT_S = 60.0

_REMAINING = ("RateLimit-Remaining", "X-RateLimit-Remaining", "X-Rate-Limit-Remaining")
_RESET = (
    "RateLimit-Reset",
    "X-RateLimit-Reset-After",
    "X-RateLimit-Reset",
    "X-Rate-Limit-Reset",
)
#: A bucket that leaks: how much is in it, and how much it holds.
_BUCKETS = ("X-Shopify-Shop-Api-Call-Limit",)

_NUMBER = re.compile(r"\s*(-?\d{1,18}(?:\.\d{1,9})?)\s*")
#: Numbers from here on are seconds, and then milliseconds, since 1970.
_EPOCH_S = 10**9
_EPOCH_MS = 10**12

_ITEM = re.compile(r"\s*(?:\"[^\"]*\"|[^\s\",;]+)((?:\s*;\s*[a-z]+=[^,;]*)*)\s*(?:,|$)")
_PARAM = re.compile(r"([a-z]+)\s*=\s*\"?(-?\d{1,18})\"?")


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of one.

    Attributes:
        left: Requests; None where nothing is told.
        wait_s: How long until there is more, where nothing is left.
    """

    left: int | None = None
    wait_s: float | None = None

    @property
    def used_up(self) -> bool:
        """Whether the next request is to wait."""
        return self.wait_s is not None


def answered_at(headers: Mapping[str, str], now: datetime) -> datetime:
    """When an answer was given, by the clock of the server if it tells."""
    return _date(headers.get("Date", "")) or now


def budget_of(headers: Mapping[str, str], status: int, now: datetime) -> Budget:
    """Read what is left.

    Args:
        headers: Of the answer.
        status: Of the answer: `Retry-After` counts with a 403 or 429 only, with
            others it is about another trouble.
        now: Our time; what is told as a time of day is compared with the answer's
            own, if it has one.
    """
    waits = [*_simple(headers, now), *_structured(headers), *_bucket(headers)]
    left = min((left for left, _ in waits), default=None)
    wait_s = max((wait for _, wait in waits if wait is not None), default=None)
    if status in (403, 429):
        after = parse_retry_after(
            headers.get("Retry-After"), now=now, date=headers.get("Date")
        )
        if after is not None:
            # What is asked for outright is more to the point than a budget.
            wait_s = max(after, MIN_WAIT_S)
    if wait_s is None:
        return Budget(left)
    return Budget(left, min(max(wait_s, MIN_WAIT_S), MAX_WAIT_S))


def pace_of(headers: Mapping[str, str]) -> float | None:
    """How far apart polls are to be, if the source tells."""
    pace = _number(headers.get("X-Poll-Interval"))
    return min(pace, MAX_WAIT_S) if pace is not None and pace > 0 else None


def _simple(
    headers: Mapping[str, str], now: datetime
) -> list[tuple[int, float | None]]:
    told = [_number(headers.get(name)) for name in _REMAINING]
    left = min((each for each in told if each is not None), default=None)
    if left is None:
        return []
    if left >= 1:
        return [(int(left), None)]
    resets = [_until(headers.get(name), headers, now) for name in _RESET]
    known = [each for each in resets if each is not None]
    return [(0, max(known, default=UNKNOWN_WAIT_S))]


def _until(
    value: str | None, headers: Mapping[str, str], now: datetime
) -> float | None:
    if value is None:
        return None
    at = answered_at(headers, now)
    number = _number(value)
    if number is None:
        when = _date(value) or _iso(value)
        return None if when is None else (when - at).total_seconds()
    if number >= _EPOCH_MS:
        number /= 1000
    return number - at.timestamp() if number >= _EPOCH_S else number


def _structured(headers: Mapping[str, str]) -> list[tuple[int, float | None]]:
    """Read ``RateLimit``: ``"name";r=0;t=30``, or the older ``remaining=0, reset=30``.

    Source: draft-ietf-httpapi-ratelimit-headers, versions 10 and 07.
    """
    text = headers.get("RateLimit", "")
    older = dict(_PARAM.findall(text))
    if "remaining" in older:
        left = int(older["remaining"])
        reset = float(older.get("reset", UNKNOWN_WAIT_S))
        return [(left, None if left > 0 else reset)]
    windows = {
        name: each.get("w") for name, each in _items(headers, "RateLimit-Policy")
    }
    found: list[tuple[int, float | None]] = []
    for name, params in _items(headers, "RateLimit"):
        if "r" not in params:
            continue
        left = int(params["r"])
        wait = params.get("t") or windows.get(name) or UNKNOWN_WAIT_S
        found.append((left, None if left > 0 else float(wait)))
    return found


def _items(headers: Mapping[str, str], header: str) -> list[tuple[str, dict[str, str]]]:
    return [
        (match[0].partition(";")[0].strip(' ",'), dict(_PARAM.findall(match[1])))
        for match in _ITEM.finditer(headers.get(header, ""))
    ]


def _bucket(headers: Mapping[str, str]) -> list[tuple[int, float | None]]:
    for name in _BUCKETS:
        used, _, size = headers.get(name, "").partition("/")
        if used.strip().isdecimal() and size.strip().isdecimal():
            left = int(size) - int(used)
            return [(max(0, left), None if left > 0 else MIN_WAIT_S)]
    return []


def _number(text: str | None) -> float | None:
    match = _NUMBER.fullmatch(text or "")
    return float(match[1]) if match else None


def _date(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text.strip())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _iso(text: str) -> datetime | None:
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
