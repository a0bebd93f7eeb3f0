"""What a body says, in each of the formats."""

import calendar
import csv
import importlib
import io
from datetime import UTC, datetime
from typing import Any

from .. import strict_json
from ..errors import BadAnswerError, BadJobError, BadJsonError, BadOptionError

__all__ = ["FORMATS", "MISSING_FEEDPARSER", "has_feedparser", "read"]

FORMATS = ("json", "ndjson", "csv", "feed")

MISSING_FEEDPARSER = (
    "format = 'feed' wants feedparser, which is not installed: "
    "pip install 'lowtide[feeds]'"
)

#: Characters of one field of a CSV.
_MAX_FIELD = 1024 * 1024


def read(body: bytes, form: str) -> Any:
    """Return what a body says, a JSON value.

    An element that cannot be used stands in it as the error that says why: the
    others are not to suffer for it.

    Raises:
        BadJsonError: It is JSON, and none that means the same to every reader.
        BadAnswerError: It is not of the format.
    """
    match form:
        case "ndjson":
            return [_line(each) for each in body.splitlines() if each.strip()]
        case "csv":
            return _rows(body)
        case "feed":
            return _feed(body)
        case _:
            return strict_json.parse(body)


def _line(line: bytes) -> Any:
    try:
        return strict_json.parse(line)
    except BadJsonError as error:
        return error


def _rows(body: bytes) -> list[Any]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadAnswerError(
            f"format: expected a CSV in UTF-8, got another byte at {error.start}",
            body=body,
        ) from None
    csv.field_size_limit(_MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Any] = []
    header: list[str] = []
    try:
        for row in reader:
            if not row:
                continue
            if not header:
                header = _header(row)
            elif len(row) == len(header):
                rows.append(dict(zip(header, row, strict=True)))
            else:
                rows.append(_ragged(row, len(header), reader.line_num))
    except csv.Error as error:
        raise BadAnswerError(
            f"format: expected a CSV, got at line {reader.line_num}: {error}", body=body
        ) from None
    return rows


def _header(row: list[str]) -> list[str]:
    if len(set(row)) < len(row):
        raise BadAnswerError("format: expected a CSV with a header, got a column twice")
    return row


def _ragged(row: list[str], expected: int, line: int) -> BadJobError:
    return BadJobError(
        f"line {line} of the CSV has {len(row)} fields, its header {expected}",
        body=",".join(row).encode(),
    )


def has_feedparser() -> bool:
    """Whether the extra is installed."""
    try:
        importlib.import_module("feedparser")
    except ImportError:
        return False
    return True


def _feed(body: bytes) -> dict[str, Any]:
    try:
        feedparser = importlib.import_module("feedparser")
    except ImportError:
        raise BadOptionError(MISSING_FEEDPARSER) from None
    # From a stream: a text could be taken for the name of a file, or for a URL.
    parsed = feedparser.parse(io.BytesIO(body))
    if not parsed.get("version"):
        raise BadAnswerError("format: expected an Atom or RSS feed", body=body)
    if parsed.get("bozo") and not parsed.entries:
        reason = type(parsed.get("bozo_exception")).__name__
        raise BadAnswerError(
            f"format: expected a feed, got one that cannot be read ({reason})",
            body=body,
        )
    feed = parsed.get("feed", {})
    return {
        "feed": {key: feed[key] for key in ("id", "title", "link") if key in feed},
        "entries": [_entry(each) for each in parsed.entries],
    }


def _entry(entry: Any) -> dict[str, Any]:
    kept = ("title", "link", "author", "summary")
    job: dict[str, Any] = {"id": entry.get("id") or entry.get("link")}
    job |= {key: str(entry[key]) for key in kept if entry.get(key)}
    for key in ("published", "updated"):
        # Past the library's own look-up, which makes one out of the other.
        if parsed := dict.get(entry, f"{key}_parsed"):
            when = datetime.fromtimestamp(calendar.timegm(parsed), UTC)
            job[key] = when.isoformat().replace("+00:00", "Z")
    if content := entry.get("content"):
        job["content"] = "".join(str(each.get("value", "")) for each in content)
    if tags := entry.get("tags"):
        job["tags"] = [str(each.get("term")) for each in tags]
    return job
