"""The cursor: how far a source has been read, kept over restarts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from ..errors import BadAnswerError, short
from .expressions import Expression, Path

__all__ = ["KINDS", "Cursor", "Scalar"]

Scalar: TypeAlias = str | int | float

#: Where its value is from: the answer, or the jobs.
KINDS = ("value", "max", "last", "first")
#: A time that is so much later than the answer's own is no time that was read
#: there: what came between would never be asked for.
_AHEAD_S = 300.0
#: Numbers from here on are milliseconds since 1970, those below it seconds.
_MILLISECONDS = 10**11

#: Characters of a cursor; it is sent in a URL or a header.
MAX_CURSOR = 8 * 1024

_ISO = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"(?:([T ])\d\d:\d\d(?::\d\d)?(?:\.(\d+))?(Z|z|[+-]\d\d:?\d\d)?)?"
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How to find it.

    Attributes:
        kind: One of `KINDS`.
        where: Where it is, in the answer or in a job.
        start: What it is before anything was read.
        start_param: The query parameter that says so, where it is another one.
        overlap_s: How much earlier to ask than it says; it is a time then.
    """

    kind: str
    where: Path | Expression
    start: Scalar | None = None
    start_param: str | None = None
    overlap_s: float = 0.0

    @property
    def option(self) -> str:
        """Its name, for messages."""
        return f"cursor.{self.kind}"

    def sent(self, cursor: Scalar | None) -> Scalar | None:
        """What stands in a request for it.

        Raises:
            BadAnswerError: It has an overlap, and is no time.
        """
        if cursor is None:
            return self.start if self.start_param is None else None
        return (
            earlier(cursor, self.overlap_s, self.option) if self.overlap_s else cursor
        )

    def after(
        self,
        pending: Scalar | None,
        answer: Any,
        elements: Sequence[Any],
        now: datetime,
    ) -> Scalar | None:
        """Say what it is after a page.

        Args:
            pending: What it was after the page before, if there was one in this
                round, or at the start.
            answer: The whole answer.
            elements: What the page lists, before a filter.
            now: When it was answered, by the source's own clock if it tells.

        Raises:
            BadAnswerError: It is not where it should be, or is nothing to compare.
        """
        if self.kind == "value":
            found = self.where.find(answer)[1]
            return pending if found is None else self._scalar(found)
        found_in = [self.where.find(each)[1] for each in elements]
        values = [self._scalar(each) for each in found_in if each is not None]
        if elements and not values:
            raise BadAnswerError(
                f"{self.option}: expected a value at {self.where.text!r} in the jobs, "
                f"got none in {len(elements)}, as {short(elements[0])}"
            )
        if not values:
            return pending
        if self.kind == "max":
            return self._latest(pending, values, now)
        if self.kind == "last":
            return values[-1]
        return values[0] if pending is None else pending

    def reached(self, cursor: Scalar | None, elements: Sequence[Any]) -> bool:
        """Whether a page, newest first, goes back to what was read before."""
        if self.kind != "first" or cursor is None:
            return False
        return any(self.where.find(each)[1] == cursor for each in elements)

    def _latest(
        self, pending: Scalar | None, values: list[Scalar], now: datetime
    ) -> Scalar | None:
        latest = pending
        bound = now.timestamp() + _AHEAD_S
        for value in values:
            if self._seconds(value) > bound:
                continue
            if latest is None or self._is_later(value, latest):
                latest = value
        return latest

    def _is_later(self, value: Scalar, than: Scalar) -> bool:
        (kind, key), (other_kind, other) = _order(value), _order(than)
        if kind != other_kind:
            raise BadAnswerError(
                f"{self.option}: expected values of one kind to compare at "
                f"{self.where.text!r}, got {short(than)} and {short(value)}"
            )
        return bool(key > other)

    def _seconds(self, value: Scalar) -> float:
        """Seconds since 1970 of what is a time, else less than any time is.

        A number may be an id as well: it is a time where an overlap says so.
        """
        kind, key = _order(value)
        if kind == "time":
            return float(key[0].timestamp())
        if kind == "number" and self.overlap_s:
            return float(key / 1000 if key >= _MILLISECONDS else key)
        return float("-inf")

    def _scalar(self, value: Any) -> Scalar:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise BadAnswerError(
                f"{self.option}: expected a number or a text at {self.where.text!r}, "
                f"got {short(value)}"
            )
        if isinstance(value, str) and len(value) > MAX_CURSOR:
            raise BadAnswerError(
                f"{self.option}: expected at most {MAX_CURSOR} characters at "
                f"{self.where.text!r}, got {len(value)}"
            )
        return value


def earlier(cursor: Scalar, seconds: float, option: str = "cursor") -> Scalar:
    """Return a time moved back, in the form it has.

    Raises:
        BadAnswerError: It is no time.
    """
    if isinstance(cursor, int | float) and not isinstance(cursor, bool):
        moved = cursor - seconds * (1000 if cursor >= _MILLISECONDS else 1)
        return int(moved) if isinstance(cursor, int) else moved
    text = str(cursor)
    if (number := _decimal(text)) is not None:
        factor = 1000 if number >= _MILLISECONDS else 1
        moved_back = number - Decimal(str(seconds)) * factor
        return str(moved_back.quantize(number))
    match = _ISO.fullmatch(text)
    if match is None or (when := _time(text)) is None:
        raise BadAnswerError(
            f"{option}: overlap_s wants a time, got {short(cursor)} for a cursor"
        )
    return _in_form(when - timedelta(seconds=seconds), match)


def _in_form(when: datetime, match: re.Match[str]) -> str:
    between, fraction, zone = match.groups()
    if between is None:
        return f"{when:%Y-%m-%d}"
    text = f"{when:%Y-%m-%d}{between}{when:%H:%M:%S}"
    if fraction:
        text += f".{when:%f}".ljust(len(fraction) + 1, "0")[: len(fraction) + 1]
    return text + (zone or "")


def _order(value: Scalar) -> tuple[str, Any]:
    if isinstance(value, int | float):
        return "number", Decimal(value)
    if (number := _decimal(value)) is not None:
        return "number", number
    if (when := _time(value)) is not None:
        # Of the same microsecond, the longer text says more.
        return "time", (when, _fraction(value))
    return "text", value


def _fraction(text: str) -> str:
    match = _ISO.fullmatch(text)
    return (match[2] or "").ljust(12, "0") if match else ""


def _decimal(text: str) -> Decimal | None:
    if not re.fullmatch(r"-?\d{1,18}(\.\d{1,9})?", text):
        return None
    return Decimal(text)


def _time(text: str) -> datetime | None:
    if not _ISO.fullmatch(text):
        return None
    try:
        when = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
