"""One poll of a source: page after page, each with the place to go on at."""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from .. import strict_json
from ..errors import (
    BadAnswerError,
    BadJsonError,
    SourceError,
    ThrottledError,
    short,
)
from ..http import NOT_MODIFIED, Request
from ..urls import shown, with_params
from .bookmark import Bookmark
from .filling import fill_cursor
from .jobs import Listed, read_jobs
from .paging import Page, Position, following
from .rate_headers import answered_at, pace_of
from .rules import Heard, meaning_of
from .session import Reply
from .source_settings import Settings
from .tokens import Tokens

__all__ = ["Asker", "Poll", "request_of"]

_log = logging.getLogger(__name__)

#: Statuses of a page that is not there any more, where a round is gone on with.
_GONE = (400, 404, 410, 422)
_UNAUTHORIZED = 401
_REPEATED = (
    "next: expected another page, got one that came before: paging would not end"
)


class Asker(Protocol):
    """What asks the source."""

    @property
    def settings(self) -> Settings:
        """The options."""

    @property
    def tokens(self) -> Tokens | None:
        """Where access tokens are from, if any are needed."""

    def ask(self, request: Request) -> Reply:
        """Ask once."""

    def hold(self, seconds: float) -> None:
        """Leave the source alone for so long."""


@dataclass(slots=True)
class Poll:
    """One poll.

    Attributes:
        asker: Asks the source.
        place: How far it has been read.
        request: The last one.
        reply: The last one.
        no_way_on: Why its page cannot be gone on from, though there should be more.
    """

    asker: Asker
    place: Bookmark
    request: Request | None = None
    reply: Reply | None = None
    no_way_on: BadAnswerError | None = None
    _visited: list[Position | None] = field(default_factory=list)
    _last: str = ""

    def pages(self) -> Iterator[tuple[list[Any], Bookmark]]:
        """Ask for page after page; each is to be kept before the next is asked for.

        Raises:
            SourceError: One of `domain.errors`.
        """
        settings = self.asker.settings
        try:
            yield from self._pages(went_on=self.place.position is not None)
        except SourceError as error:
            if settings.is_shown:
                # It is there still: nothing is lost, and nothing is to be kept.
                error.body, error.unknown_outcome = b"", False
            raise

    def _pages(self, *, went_on: bool) -> Iterator[tuple[list[Any], Bookmark]]:
        settings = self.asker.settings
        for _ in range(settings.max_pages if settings.is_list else 1 << 62):
            yield from self._authorized()
            reply = self._asked()
            if reply.status == _UNAUTHORIZED and self._refused_token():
                yield from self._authorized()
                reply = self._asked()
            if went_on and self._is_gone(reply):
                _log.warning(
                    "the page to go on at is gone (status %s): the round begins again",
                    reply.status,
                )
                self.place = self.place.afresh()
                yield [], self.place
                reply = self._asked()
            went_on = False
            if not self._is_taken(reply):
                yield from self._end()
                return
            taken = self._take(reply)
            self.no_way_on = taken.error
            yield taken.jobs, self.place
            if taken.error is not None:
                raise taken.error
            if not taken.goes_on:
                self._rest()
                return

    def _authorized(self) -> Iterator[tuple[list[Any], Bookmark]]:
        tokens = self.asker.tokens
        if tokens is None:
            return
        refresh = tokens.ensure(self.place.refresh)
        if refresh != self.place.refresh:
            # Before it is used: the old one may be good for nothing now.
            self.place = replace(self.place, refresh=refresh)
            yield [], self.place

    def _refused_token(self) -> bool:
        tokens = self.asker.tokens
        token = tokens.last if tokens else None
        if tokens is None or token is None:
            return False
        tokens.refuse(token)
        return True

    def _asked(self) -> Reply:
        self.request = request_of(self.asker.settings, self.place)
        self.reply = self.asker.ask(self.request)
        return self.reply

    def _is_gone(self, reply: Reply) -> bool:
        return self.place.position is not None and reply.status in _GONE

    def _is_taken(self, reply: Reply) -> bool:
        """Whether there is something in an answer; raises what it means otherwise."""
        if reply.status == NOT_MODIFIED:
            return False
        settings = self.asker.settings
        now = datetime.now(UTC)
        value = _parsed(reply.body) if _looks_inside(settings) else None
        heard = Heard(reply.status, reply.headers, value, now)
        meaning = meaning_of(settings.rules, heard, settings.none_status)
        match meaning.do:
            case "take":
                return True
            case "none":
                return False
            case "wait":
                seconds = meaning.wait_s or 0.0
                self.asker.hold(seconds)
                raise ThrottledError(
                    f"{self._name()}: {meaning.text}", retry_after_s=seconds
                )
            case "error" | "fault":
                told = self._error(meaning.text)
                told.permanent = meaning.do == "fault"
                raise told
            case _:
                pass
        raise reply.error or self._error(f"status {reply.status}")

    def _take(self, reply: Reply) -> "_Taken":
        """Take what an answer has, and move the place to behind it."""
        settings = self.asker.settings
        listed = read_jobs(settings, reply.body)
        digest = hashlib.sha256(reply.body).hexdigest()[:16]
        place = self._noted(reply, listed, digest)
        if not settings.is_list:
            # The same again is only shown, not handed out.
            goes_on = bool(listed.jobs) and digest != self._last
            self._last, self.place = digest, place.finished()
            return _Taken(listed.jobs, goes_on)
        if self._is_as_before(place, digest):
            self.place = place.finished()
            return _Taken([])
        if digest in place.trail:
            self.place = place.afresh()
            return _Taken([], error=self._error(_REPEATED))
        page = Page(
            url=self.request.url if self.request else settings.url,
            headers=reply.headers,
            answer=listed.answer,
            elements=listed.elements,
            jobs=listed.jobs,
            position=place.position,
        )
        try:
            moved = self._after(page, place)
        except BadAnswerError as error:
            # The page is as good as any; it is the way on from it that is not.
            self.place = place.afresh()
            return _Taken(listed.jobs, error=self._error(str(error)))
        self._visited.append(place.position)
        self.place = place.finished() if moved is None else moved.passed(digest)
        return _Taken(listed.jobs, goes_on=moved is not None)

    def _is_as_before(self, place: Bookmark, digest: str) -> bool:
        """Whether a list with the newest first begins as it did last time."""
        cursor = self.asker.settings.cursor
        if cursor is None or cursor.kind != "first" or place.position is not None:
            return False
        return (place.unchanged or {}).get("front") == digest

    def _after(self, page: Page, place: Bookmark) -> Bookmark | None:
        """The place of the next page; None if there is none.

        Raises:
            BadAnswerError: It cannot be gone on to.
        """
        settings = self.asker.settings
        cursor = settings.cursor
        if cursor is not None and cursor.reached(place.cursor, page.elements):
            return None
        goes_on, position = following(settings.next, settings.more, page)
        if not goes_on:
            return None
        if position is not None:
            if position in self._visited:
                raise BadAnswerError("next: it leads back to a page of this round")
            return replace(place, position=position)
        # The cursor is the way to the next page.
        if place.pending is None or place.pending == place.cursor:
            option = cursor.option if cursor else "cursor"
            raise BadAnswerError(
                f"{option}: it stayed {short(place.cursor)} while more says that "
                "there is another page"
            )
        return replace(place, cursor=place.pending, pending=None)

    def _error(self, text: str) -> BadAnswerError:
        return BadAnswerError(f"{self._name()}: {text}")

    def _noted(self, reply: Reply, listed: Listed, digest: str) -> Bookmark:
        """What an answer says besides its jobs."""
        place, settings = self.place, self.asker.settings
        cursor = settings.cursor
        if place.position is None and self.request is not None:
            changed = _validators(reply, self.request) if settings.etag else {}
            if cursor is not None and cursor.kind == "first":
                changed["front"] = digest
            place = replace(place, changed=changed or place.changed)
        if cursor is None:
            return place
        now = max(answered_at(reply.headers, datetime.now(UTC)), datetime.now(UTC))
        before = place.pending
        if before is None and cursor.kind != "first":
            before = place.cursor
        pending = cursor.after(before, listed.answer, listed.elements, now)
        return replace(place, pending=pending)

    def _end(self) -> Iterator[tuple[list[Any], Bookmark]]:
        before, self.place = self.place, self.place.finished()
        if self.place != before:
            yield [], self.place
        self._rest()

    def _rest(self) -> None:
        if self.reply is not None and (pace := pace_of(self.reply.headers)):
            self.asker.hold(pace)

    def _name(self) -> str:
        request = self.request
        return f"{request.method} {shown(request.url)}" if request else ""


@dataclass(frozen=True, slots=True)
class _Taken:
    """What was taken of an answer.

    Attributes:
        jobs: In order.
        goes_on: Whether there is more to ask for.
        error: Why there can be no more, though there should be.
    """

    jobs: list[Any]
    goes_on: bool = False
    error: BadAnswerError | None = None


def request_of(settings: Settings, place: Bookmark) -> Request:
    """Say what to ask next."""
    cursor = settings.cursor.sent(place.cursor) if settings.cursor else None
    headers = fill_cursor(settings.headers, cursor)
    params = fill_cursor(settings.params, cursor)
    first = {} if settings.next is None else settings.next.first()
    position = place.position or {"params": first}
    if (start := settings.cursor) and start.start_param and place.cursor is None:
        params[start.start_param] = start.start
    url = position.get("url")
    if url is None:
        url = with_params(settings.url, {**params, **position.get("params", {})})
    body = None
    if settings.body is not None:
        body = json.dumps(fill_cursor(settings.body, cursor)).encode()
        headers = {"Content-Type": "application/json", **headers}
    request = Request(
        method=settings.method,
        url=url,
        headers={name: str(value) for name, value in headers.items()},
        body=body,
        wait_s=settings.wait_s,
    )
    return _conditional(settings, place, request)


def _conditional(settings: Settings, place: Bookmark, request: Request) -> Request:
    """Ask only for what has changed, where the same was asked before."""
    known = place.unchanged
    if not settings.etag or place.position is not None or known is None:
        return request
    if known.get("of") != _digest(request):
        return request
    headers = dict(request.headers)
    for name, header in _VALIDATORS.items():
        if name in known:
            headers[header] = known[name]
    return replace(request, headers=headers)


_VALIDATORS = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
_MAX_VALIDATOR = 1024


def _validators(reply: Reply, request: Request) -> dict[str, str]:
    told = {
        "etag": reply.headers.get("ETag"),
        "modified": reply.headers.get("Last-Modified"),
    }
    known = {
        name: value
        for name, value in told.items()
        if value and len(value) <= _MAX_VALIDATOR and value.isprintable()
    }
    return {**known, "of": _digest(request)} if known else {}


def _digest(request: Request) -> str:
    text = repr((request.method, request.url, request.body))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def _looks_inside(settings: Settings) -> bool:
    return any(rule.when or rule.message for rule in settings.rules)


def _parsed(body: bytes) -> Any:
    try:
        return strict_json.parse(body)
    except BadJsonError:
        return None
