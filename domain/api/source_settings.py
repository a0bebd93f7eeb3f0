"""The options of a source, read and checked: what the rest goes by."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..exchange import Limits
from ..http import Via
from ..urls import origin
from . import reader
from .auth import Auth, read_auth
from .cursors import KINDS, Cursor
from .expressions import Expression, Path
from .filling import Problem, fill_environment, needs_cursor
from .formats import FORMATS, MISSING_FEEDPARSER, has_feedparser
from .paging import NextLast, NextLink, NextNumber, NextPage, NextToken, NextUrl
from .reader import Reader
from .rules import MEANINGS, Rule

__all__ = ["NONE_WORDS", "Ack", "Rate", "Settings", "read_settings"]

#: What may stand for "no job now" where the job would be.
NONE_WORDS = ("null", "empty", "missing")
_NEXT_KEYS = ("url", "token", "page", "offset", "last_id")
_ASKED = (
    *("url", "method", "params", "body", "format", "next", "cursor"),
    *("job", "items", "job_id", "job_version"),
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(
    r"([1-9]\d{0,5})\s*/\s*([1-9]\d{0,3})?\s*"
    r"(s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)"
)
#: States of a job's end.
_STATES = ("done", "quarantined", "dropped")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` requests in ``seconds``."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Ack:
    """How the source is told of a job's end.

    Attributes:
        url: With ``{id}`` for the job's.
        method: Of the request.
        body: What to send, with ``{id}``, ``{state}``, ``{result}`` and ``{error}``;
            None for the outcome as it is.
        states: The ends that it is told of.
    """

    url: str
    method: str = "POST"
    body: Any = None
    states: tuple[str, ...] = _STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of them; see ``docs/sources.md`` for what each is."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    body: Any = field(default=None, repr=False)
    job: Path
    items: Path | Expression | None = None
    job_id: Path | Expression | None = None
    job_version: Path | Expression | None = None
    none: tuple[str, ...] = ("null", "empty")
    none_status: tuple[int, ...] = (204,)
    next: NextPage | None = None
    more: Path | Expression | None = None
    max_pages: int = 100
    cursor: Cursor | None = None
    auth: Auth = field(default_factory=Auth, repr=False)
    rules: tuple[Rule, ...] = ()
    limits: Limits = field(default_factory=Limits)
    via: Via = field(default_factory=Via)
    redirects: int = 0
    format: str = "json"
    ack: Ack | None = None
    etag: bool = True
    wait_s: float = 0.0
    requests_per: Rate | None = None
    asks: str = ""

    @property
    def is_list(self) -> bool:
        """Whether an answer lists jobs, rather than being one."""
        return self.items is not None or self.format != "json"

    @property
    def is_shown(self) -> bool:
        """Whether an answer is a list that the source shows, and has still."""
        return self.is_list and self.method in ("GET", "HEAD")


def read_settings(
    options: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[Settings | None, list[Problem]]:
    """Read the options.

    Args:
        options: As they stand in the configuration.
        environ: What ``{env:NAME}`` is filled in from.

    Returns:
        The settings, None where they are of no use, and all that is wrong.
    """
    problems: list[Problem] = []
    filled = fill_environment(options, environ, problems)
    table = Reader(filled, (), problems)
    settings = _settings(table)
    table.end()
    return (None if problems else settings), problems


def _settings(table: Reader) -> Settings:
    form = table.get("format", reader.choice(*FORMATS), "json")
    if form == "feed" and not has_feedparser():
        table.note(MISSING_FEEDPARSER, "format")
    settings = Settings(
        url=table.need("url", reader.url, ""),
        method=table.get("method", _method, "GET"),
        headers=_headers(table),
        params=table.get("params", _params, {}),
        body=table.raw("body"),
        job=Path(table.get("job", _path, ""), "job"),
        items=table.expression("items"),
        job_id=table.expression("job_id") if table.raw("job_id") != "" else None,
        job_version=table.expression("job_version"),
        none=table.get("none", _none_words, ("null", "empty")),
        none_status=table.get(
            "none_status", reader.list_of(reader.count(100), "statuses"), (204,)
        ),
        next=_next(table),
        more=table.expression("more"),
        max_pages=table.get("max_pages", reader.count(), 100),
        cursor=_cursor(table),
        auth=read_auth(table),
        rules=tuple(_rule(each) for each in table.tables("rules")),
        limits=_limits(table),
        via=_via(table),
        redirects=table.get("redirects", reader.count(0), 0),
        format=form,
        ack=_ack(table),
        etag=table.get("etag", reader.flag, True),
        wait_s=table.get("wait_s", reader.seconds, 0.0),
        requests_per=table.get("requests_per", _rate),
        asks=_digest(table),
    )
    _check_together(table, settings)
    return settings


def _check_together(table: Reader, settings: Settings) -> None:
    if settings.items is not None and settings.job.text:
        table.note("goes with one job only; items says where a list is", "job")
    moves = settings.cursor is not None and settings.cursor.kind != "first"
    if settings.more is not None and settings.next is None and not moves:
        table.note("says that there is a next page: next says where", "more")
    if settings.cursor is None and needs_cursor(
        [settings.params, settings.body, settings.headers]
    ):
        table.note("{cursor} stands in a request, and there is no cursor")
    names = {name.lower() for name in settings.headers}
    if "authorization" in names and settings.auth.sets_authorization:
        table.note(
            "says Authorization as well as auth does", "headers", "Authorization"
        )


def _digest(table: Reader) -> str:
    """A digest of what is asked for, and made of the answer."""
    asked = {name: table.raw(name) for name in _ASKED}
    text = json.dumps(asked, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


def _method(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isalpha():
        raise ValueError("a method such as GET")
    return value.upper()


def _path(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a path such as data.order")
    return value


def _headers(table: Reader) -> dict[str, str]:
    headers = table.table("headers")
    if headers is None:
        return {}
    read = {}
    for name in list(table.raw("headers")):
        value = headers.raw(name)
        try:
            read[reader.header_name(name)] = reader.header_text(value)
        except ValueError:
            headers.note("has a character no header may have", name)
    return read


def _params(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("a table of query parameters")
    for each in value.values():
        flat = each if isinstance(each, list) else [each]
        if not all(isinstance(one, str | int | float) for one in flat):
            raise ValueError("texts, numbers, true or false, or lists of them")
    return dict(value)


def _none_words(value: Any) -> tuple[str, ...]:
    words = value if isinstance(value, list | tuple) else [value]
    if any(word not in NONE_WORDS for word in words):
        raise ValueError(", ".join(NONE_WORDS))
    return tuple(words)


def _rate(value: Any) -> Rate:
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a number of requests, as 10/min or 2/s")
    unit = _UNITS[match[3][0]]
    return Rate(int(match[1]), float(unit * int(match[2] or 1)))


def _next(table: Reader) -> NextPage | None:
    said = table.raw("next")
    if said is None:
        return None
    if said == "link":
        return NextLink()
    if not isinstance(said, Mapping):
        table.note('expected "link", or a table', "next")
        return None
    below = table.table("next")
    ways = [key for key in _NEXT_KEYS if key in said]
    if below is None or len(ways) != 1:
        table.note(f"expected one of {', '.join(_NEXT_KEYS)} in it", "next")
        return None
    way = _way(below, ways[0])
    below.end()
    return way


def _way(below: Reader, way: str) -> NextPage | None:
    match way:
        case "url":
            url = below.expression("url")
            return NextUrl(url) if url else None
        case "token" | "last_id":
            found = below.expression(way)
            param = below.need("param", reader.text, "")
            kind = NextToken if way == "token" else NextLast
            return kind(found, param) if found else None
        case _:
            return _numbered(below, way)


def _numbered(below: Reader, way: str) -> NextPage:
    size = below.get("size", reader.count())
    size_param = below.get("size_param", reader.text)
    if size is None and size_param is not None:
        below.note("goes with size", "size_param")
        size_param = None
    numbers_pages = way == "page"
    return NextNumber(
        below.get(way, reader.text, ""),
        below.get("start", reader.count(0), 1 if numbers_pages else 0),
        1 if numbers_pages else size,
        size,
        size_param,
    )


def _cursor(table: Reader) -> Cursor | None:
    below = table.table("cursor")
    if below is None:
        return None
    kinds = [key for key in KINDS if key in below]
    if len(kinds) != 1:
        below.note(f"expected one of {', '.join(KINDS)} in it")
        return None
    where = below.expression(kinds[0])
    cursor = Cursor(
        kinds[0],
        where or Path("", ""),
        below.get("start", _scalar),
        below.get("start_param", reader.text),
        below.get("overlap_s", reader.seconds, 0.0),
    )
    if cursor.start_param is not None and cursor.start is None:
        below.note("goes with start", "start_param")
    below.end()
    return cursor


def _scalar(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a text or a number")
    return value


def _rule(below: Reader) -> Rule:
    rule = Rule(
        do=below.need("do", reader.choice(*MEANINGS), "error"),
        status=below.get("status", reader.list_of(reader.count(100), "statuses"), ()),
        header=below.get("header", reader.header_name),
        equals=below.get("equals", _equals),
        when=below.expression("when"),
        message=below.expression("message"),
        wait_s=below.get("wait_s", reader.seconds),
    )
    if not any(key in below for key in ("status", "header", "when")):
        below.note("expected status, header or when in it: what it is about")
    if rule.equals is not None and rule.header is None:
        below.note("goes with header", "equals")
    below.end()
    return rule


def _equals(value: Any) -> str:
    return str(_scalar(value)).strip()


def _limits(table: Reader) -> Limits:
    default = Limits()
    chosen = {
        name: table.get(name, _above_0, getattr(default, name))
        for name in ("connect_s", "read_s", "total_s")
    }
    size = table.get("max_bytes", reader.count(), default.max_bytes)
    return Limits(**chosen, max_bytes=size)


def _above_0(value: Any) -> float:
    number = reader.seconds(value)
    if number == 0:
        raise ValueError("seconds, above 0")
    return number


def _via(table: Reader) -> Via:
    files = {
        name: table.get(name, _readable)
        for name in ("ca_file", "cert_file", "key_file")
    }
    if files["key_file"] is not None and files["cert_file"] is None:
        table.note("goes with cert_file", "key_file")
    return Via(proxy=table.get("proxy", _proxy), **files)


def _readable(value: Any) -> str:
    try:
        with open(reader.text(value), "rb"):  # noqa: PTH123 - as the library will
            return str(value)
    except OSError as error:
        raise ValueError(f"a file that can be read ({error.strerror})") from None


def _proxy(value: Any) -> str:
    url = reader.url(value)
    if not url.startswith("http://"):
        raise reader.SecretError("the URL of a proxy, with the scheme http")
    return url


def _ack(table: Reader) -> Ack | None:
    short = table.get("ack_url", _ack_url) if table.raw("ack_url") != "" else None
    below = table.table("ack")
    if below is None:
        return Ack(short) if short else None
    if short is not None:
        table.note("is the short form of ack: say one of them", "ack_url")
    body = below.raw("body")
    ack = Ack(
        below.need("url", _ack_url, ""),
        below.get("method", _method, "POST"),
        body,
        # A body of one's own says one thing, whatever became of the job.
        below.get(
            "states",
            reader.list_of(reader.choice(*_STATES), f"states: {', '.join(_STATES)}"),
            _STATES if body is None or "{state}" in json.dumps(body) else ("done",),
        ),
    )
    below.end()
    return ack


def _ack_url(value: Any) -> str:
    url = reader.url(value)
    if "{" in "".join(map(str, origin(url))):
        raise reader.SecretError("a URL with {id} behind its host only")
    return url
