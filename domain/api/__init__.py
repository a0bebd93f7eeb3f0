"""Jobs from any API, described by options: no code of one's own.

Options are those of ``docs/sources.md``. `fetch`, `settle` and `check_options` take
the same, so that one set of them says everything about a source.
"""

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from .. import http
from ..errors import BadOptionError, SourceError
from ..urls import shown
from .bookmark import Bookmark
from .filling import Problem, Trail, fill_environment
from .jobs import id_of
from .polls import Poll
from .rate_headers import budget_of
from .session import HURRIED, Session
from .source_settings import Ack, read_settings

__all__ = ["check_options", "fetch", "hurry", "preview", "settle"]

#: For who calls `fetch` without a state: what each source had last, by method and
#: URL.
_etags: dict[tuple[str, str], dict[str, str] | None] = {}

_sessions: dict[str, Session] = {}
_MAX_SESSIONS = 64

#: How many bytes of an answer that went wrong are shown.
_SEEN = 4096

_NOT_GIVEN: Any = object()


def fetch(url: str, *, state: Any = _NOT_GIVEN, **options: Any) -> Any:
    """Ask the API for jobs.

    Args:
        url: http or https, with its path and query string.
        state: How far it has been read: what was told last, None at first.
        **options: See ``docs/sources.md``.

    Returns:
        An iterator of pages, each a list of jobs and the next state; one that cannot
        be used stands in it as the error that says why. Without a state, the job or
        None, or an iterator of jobs where the options say that there is a list.

    Raises:
        SourceError: One of `domain.errors`.
    """
    session = _session({"url": url, **options})
    settings = session.settings
    if state is not _NOT_GIVEN:
        return _pages(Poll(session, Bookmark.of(state, settings.asks)))
    known = _etags.get((settings.method, settings.url))
    poll = Poll(session, Bookmark(asks=settings.asks, unchanged=known))
    jobs = _jobs(poll)
    return jobs if settings.is_list else next(jobs, None)


def _pages(poll: Poll) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    for jobs, place in poll.pages():
        yield jobs, place.told()


def _jobs(poll: Poll) -> Iterator[Any]:
    settings = poll.asker.settings
    for jobs, place in poll.pages():
        if place.unchanged is not None:
            _etags[settings.method, settings.url] = place.unchanged
        yield from jobs


def settle(
    job: Any,
    outcome: Mapping[str, Any],
    /,
    *,
    url: str = "",
    state: Any = None,
    **options: Any,
) -> None:
    """Tell the API what became of a job, where ``ack`` or ``ack_url`` says how.

    Args:
        job: As `fetch` returned it; it has to have an id.
        outcome: ``state`` (done, quarantined, dropped), and ``result`` or ``error``.
        url: See `fetch`.
        state: Likewise: a refresh token that was rotated is in it.
        **options: Likewise.

    Raises:
        SourceError: The API did not confirm it.
    """
    if not (options.get("ack_url") or options.get("ack")):
        return
    session = _session({"url": url or options.get("ack_url", ""), **options})
    ack = session.settings.ack
    if ack is None or outcome.get("state") not in ack.states:
        return
    job_id = id_of(session.settings, job)
    if job_id in (None, ""):
        raise BadOptionError("ack_url: expected jobs with an id")
    request = _acknowledgement(session, ack, job_id, outcome)
    if (tokens := session.tokens) is not None and tokens.current() is None:
        # Not left to the next poll: that may be far away, while it is paused.
        tokens.renew_aside(Bookmark.of(state, session.settings.asks).refresh)
    reply = session.ask(request)
    if reply.status == 401 and tokens is not None:  # noqa: PLR2004
        tokens.refuse(tokens.last or "")
    if reply.error is not None:
        raise reply.error


def _acknowledgement(
    session: Session, ack: Ack, job_id: Any, outcome: Mapping[str, Any]
) -> http.Request:
    url = ack.url.replace("{id}", quote(str(job_id), safe=""))
    if {".", ".."} & set(urlsplit(url).path.split("/")):
        raise BadOptionError(
            f"ack.url: the id {str(job_id)!r} would lead to another place than its own"
        )
    body: Any = dict(outcome)
    if ack.body is not None:
        words = {"id": job_id, "state": None, "result": None, "error": None, **outcome}
        body = _filled(ack.body, words)
    headers = {"Content-Type": "application/json", **session.settings.headers}
    data = None if ack.method in ("GET", "DELETE") and ack.body is None else body
    return http.Request(
        method=ack.method,
        url=url,
        headers={} if data is None else headers,
        body=None if data is None else json.dumps(data).encode(),
    )


def _filled(value: Any, words: Mapping[str, Any]) -> Any:
    match value:
        case str():
            for word, each in words.items():
                if value == f"{{{word}}}":
                    return each
                if f"{{{word}}}" in value:
                    value = value.replace(f"{{{word}}}", str(each))
            return value
        case Mapping():
            return {key: _filled(each, words) for key, each in value.items()}
        case list() | tuple():
            return [_filled(each, words) for each in value]
        case _:
            return value


def preview(url: str, *, state: Any = None, **options: Any) -> dict[str, Any]:
    """Ask once, and say what `fetch` would make of it; nothing is acknowledged.

    Args:
        url: See `fetch`.
        state: Likewise.
        **options: Likewise.

    Returns:
        ``jobs`` and the next ``state``, as far as there are any; and ``request``,
        ``status``, ``next`` (where the next page is), ``left`` (requests),
        ``error`` and with it ``body``, the start of the answer: what is known of them.
    """
    session = _session({"url": url, **options})
    if session.tokens is not None and session.tokens.may_rotate:
        raise BadOptionError(
            "auth: asking for a token may use up the refresh token, and the one that "
            "takes its place would not be kept"
        )
    poll = Poll(session, Bookmark.of(state, session.settings.asks))
    told: dict[str, Any] = {"jobs": [], "state": state}
    try:
        for jobs, place in poll.pages():
            told |= {"jobs": jobs, "state": place.told(), "next": place.position}
            if poll.no_way_on is not None:
                raise poll.no_way_on
            break
    except SourceError as error:
        told["error"] = f"{type(error).__name__}: {error}"
    if poll.request is not None:
        told["request"] = f"{poll.request.method} {shown(poll.request.url)}"
    if poll.reply is not None:
        told["status"] = poll.reply.status
        now = datetime.now(UTC)
        told["left"] = budget_of(poll.reply.headers, poll.reply.status, now).left
        if "error" in told and poll.reply.body:
            told["body"] = _seen(poll.reply.body, session)
    return told


def _seen(body: bytes, session: Session) -> str:
    # The token is no secret of the configuration, and nobody else knows it.
    text = body[:_SEEN].decode(errors="replace")
    token = session.tokens.last if session.tokens else None
    return text.replace(token, "***") if token else text


def check_options(**options: Any) -> list[tuple[Trail, str]]:
    """Say what is wrong with the options, each with the keys that lead to it."""
    return read_settings(options, os.environ)[1]


def hurry() -> None:
    """Have requests that are held open, and waits, come to their end soon."""
    HURRIED.set()
    http.hurry()


def _session(options: Mapping[str, Any]) -> Session:
    """What goes with the options, made once in this process."""
    unset: list[Problem] = []
    filled = fill_environment(options, os.environ, unset)
    key = json.dumps(filled, sort_keys=True, default=repr)
    session = _sessions.get(key)
    if session is None or unset:
        settings, problems = read_settings(options, os.environ)
        if settings is None:
            raise BadOptionError("; ".join(_text(*each) for each in problems))
        while len(_sessions) >= _MAX_SESSIONS:
            del _sessions[next(iter(_sessions))]
        session = _sessions[key] = Session(settings)
    return session


def _text(path: Trail, text: str) -> str:
    *above, key = path or ("options",)
    name = ".".join(str(each) for each in above)
    return f"{name}: {key} {text}" if name else f"{key}: {text}"
