"""One careful request: bounded in time and size, sent once, never redirected.

A job API forgets what it serves, so the errors tell whether the request was
sent, and keep what was served (see `domain.errors`).
"""

import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import requests

from .content_encoding import unpacker_of
from .errors import (
    KEPT_BODY_BYTES,
    BadStatusError,
    BadUrlError,
    CutOffError,
    GarbledError,
    RedirectedError,
    SourceError,
    TooLargeError,
)
from .exchange import DEFAULT_LIMITS, HELD, Exchange, Limits, opened
from .exchange_failures import FAILURES, causes_of, classified
from .http_transport import CarefulAdapter, prepared, thread_session
from .retry_after import parse_retry_after
from .urls import shown

if TYPE_CHECKING:
    from requests.auth import AuthBase

__all__ = ["DIRECT", "NOT_MODIFIED", "Answer", "Request", "Via", "get", "hurry", "send"]

#: Bytes decoded at a time: bounds what a compression bomb can take at once.
CHUNK_BYTES = 16 * 1024

_HEADERS = {"Accept": "application/json", "User-Agent": "lowtide"}


NOT_MODIFIED = 304
#: Where a file of certificates to trust is named, for the clients of Python; the
#: first that is set counts.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_CONDITIONS = ("if-none-match", "if-modified-since")


@dataclass(frozen=True, slots=True, kw_only=True)
class Via:
    """How a request gets to its server.

    Attributes:
        proxy: An http URL, or None for none; it may have a user and a password.
        ca_file: The certificates to trust, in place of the usual ones.
        cert_file: A certificate of ours, with its key if ``key_file`` is None.
        key_file: Its key.
    """

    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    @property
    def _cert(self) -> str | tuple[str, str] | None:
        if self.cert_file is None or self.key_file is None:
            return self.cert_file
        return self.cert_file, self.key_file

    def options(self) -> dict[str, Any]:
        """What `requests` is told of it."""
        proxies = {"http": self.proxy, "https": self.proxy} if self.proxy else {}
        return {"proxies": proxies, "cert": self._cert}


#: Straight to the server, which is trusted as usual.
DIRECT = Via()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask.

    Attributes:
        url: http or https.
        headers: Beside ours, or instead of them; none of them is ever shown.
        body: None for none.
        wait_s: How long the server is asked, by whatever it understands, to hold
            the request open; the limits in time grow by as much.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    wait_s: float = 0.0
    auth: "AuthBase | None" = field(default=None, repr=False)

    @property
    def is_conditional(self) -> bool:
        """Whether it asks only for what has changed."""
        return any(name.lower() in _CONDITIONS for name in self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said: a status from 200 to 299, and the body decoded.

    The answer to a conditional request may be a 304, without a body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def get(
    url: str,
    *,
    session: requests.Session | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Answer:
    """GET once and read the whole answer; see `send`."""
    return send(Request(url=url), session=session, limits=limits)


def hurry() -> None:
    """Have requests that are held open answered soon; see `domain.exchange.Held`."""
    HELD.end()


def send(
    request: Request,
    *,
    session: requests.Session | None = None,
    limits: Limits = DEFAULT_LIMITS,
    via: Via = DIRECT,
) -> Answer:
    """Ask once and read the whole answer.

    Args:
        request: What to ask.
        session: Default: one per thread, from `domain.http_transport.new_session`. Any
            other is used with its own adapters, proxies and retries, and cannot
            be held to the total limit while it connects and reads the headers.
        limits: In time and size.
        via: How to get there.

    Raises:
        BadUrlError: The URL is not one to ask; nothing was sent.
        UnreachableError: There was no connection; nothing was sent.
        TimedOutError: A limit in time was reached after the request was sent.
        CutOffError: The connection, or the body's compression, ended before the
            answer did.
        GarbledError: The answer is not HTTP, or not compressed as it says.
        TooLargeError: The body is larger than ``limits.max_bytes``.
        RedirectedError: The status is 3xx, other than a 304 that was asked for.
        BadStatusError: The status is anything else but 2xx.
    """
    name = f"{request.method} {shown(request.url)}"
    own = session is None and request.auth is None
    session = session or thread_session()
    if request.wait_s:
        limits = limits.longer(request.wait_s)
    with _exchange(name, limits) as exchange, ExitStack() as open_:
        if request.wait_s:
            open_.enter_context(HELD.holding(exchange))
        careful = isinstance(session.get_adapter(request.url), CarefulAdapter)
        exchange.sent = not careful
        ask = _asked_by_thread if own else _response
        response = open_.enter_context(
            closing(ask(name, request, session, exchange, via))
        )
        _refuse_status(name, response, exchange)
        _read(name, response, exchange, limits.max_bytes)
    if exchange.leaving:
        # Half of its connection is closed.
        session.close()
    body = bytes(exchange.body)
    return Answer(status=response.status_code, headers=response.headers, body=body)


def _response(
    name: str,
    request: Request,
    session: requests.Session,
    exchange: Exchange,
    via: Via,
) -> requests.Response:
    limits = exchange.limits
    return session.request(
        request.method,
        request.url,
        headers={**_HEADERS, **request.headers},
        data=request.body,
        hooks={"response": _hooks(name, session, request, exchange)},
        stream=True,
        allow_redirects=False,
        # False would accept any certificate; a path names the ones to trust.
        verify=_verify(request, session, via),
        auth=request.auth,
        **via.options(),
        timeout=(exchange.left(limits.connect_s), exchange.left(limits.read_s)),
    )


def _asked_by_thread(
    name: str,
    request: Request,
    session: requests.Session,
    exchange: Exchange,
    via: Via,
) -> requests.Response:
    # What a session does around its adapter costs half of what the adapter does, and
    # the thread's own has no use for it: cookies, redirects, hooks of others.
    limits = exchange.limits
    ready = prepared(
        request.method, request.url, {**_HEADERS, **request.headers}, request.body
    )
    response = session.get_adapter(request.url).send(
        ready,
        stream=True,
        verify=_verify(request, session, via),
        **via.options(),
        timeout=(exchange.left(limits.connect_s), exchange.left(limits.read_s)),
    )
    _redirects_refused(name, request, exchange)(response)
    return response


def _verify(request: Request, session: requests.Session, via: Via) -> str | bool:
    if request.url.startswith("http://"):
        return True  # there is no certificate to look at
    return via.ca_file or _trusted(session.verify)


def _trusted(verify: Any) -> str | bool:
    # A path of a session's own; else as the usual clients are told by whoever runs
    # this, for which other parts of the environment are not to be trusted.
    paths = (verify, *(os.environ.get(name) for name in CA_VARIABLES))
    return next((path for path in paths if path and isinstance(path, str)), True)


@contextmanager
def _exchange(name: str, limits: Limits) -> Iterator[Exchange]:
    handled = sys.exception()
    with opened(limits) as exchange:
        try:
            yield exchange
        except FAILURES as error:
            causes = causes_of(error, handled)
            kind, what = classified(causes, exchange)
            body = bytes(exchange.body)
            # From the first cause: those above it quote the URL with its query.
            raise kind(f"{name}: {what}", body=body) from causes[-1]


def _redirects_refused(
    name: str, request: Request, exchange: Exchange
) -> Callable[..., None]:
    def refuse_redirect(response: requests.Response, **_: Any) -> None:
        status = response.status_code
        if status == NOT_MODIFIED and request.is_conditional:
            return
        if 300 <= status <= 399:  # noqa: PLR2004
            with closing(response):
                whole = _is_note(response) or _read_kept(name, response, exchange)
            body = bytes(exchange.body)
            target = _target(response.headers.get("Location"))
            what = f"pointing to {target}, which is not followed"
            if status == NOT_MODIFIED:
                what = "(not modified), though it was not asked what has changed"
            raise RedirectedError(
                f"{name}: expected an answer, got status {status} {what}",
                status=status,
                body=body,
                unknown_outcome=not (whole or body),
                location=response.headers.get("Location"),
            )

    return refuse_redirect


def _hooks(
    name: str, session: requests.Session, request: Request, exchange: Exchange
) -> list[Callable[..., Any]]:
    # Requests looks at redirects after its hooks, and then reads the body of one
    # without a limit, even if told not to follow it.
    own = session.hooks.get("response") or []
    refuse = _redirects_refused(name, request, exchange)
    return [refuse, *([own] if callable(own) else own)]


def _is_note(response: requests.Response) -> bool:
    # What a server says to people beside a Location. Source: RFC 9110, section 15.4.
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    return kind.strip().lower() in {"text/html", "application/xhtml+xml"}


def _target(location: str | None) -> str:
    if location is None:
        return "nowhere"
    try:
        return shown(location)[:200]
    except BadUrlError:
        return "another path or an unusable URL"


def _refuse_status(name: str, response: requests.Response, exchange: Exchange) -> None:
    status = response.status_code
    if 200 <= status <= 299 or status == NOT_MODIFIED:  # noqa: PLR2004
        return
    # Of a 1xx, which is a 101, nothing is read: that closes the connection.
    if status >= 400:  # noqa: PLR2004
        _read_kept(name, response, exchange)
    retry_after = parse_retry_after(
        response.headers.get("Retry-After"),
        now=datetime.now(UTC),
        date=response.headers.get("Date"),
    )
    raise BadStatusError(
        f"{name}: expected a 2xx status, got {status}",
        status=status,
        retry_after_s=retry_after,
        body=bytes(exchange.body),
        headers=response.headers,
    )


def _read_kept(name: str, response: requests.Response, exchange: Exchange) -> bool:
    """Read as much of a refusal's body as an error keeps; tell whether that is all."""
    try:
        _read(name, response, exchange, KEPT_BODY_BYTES)
    except (*FAILURES, SourceError):
        return False
    return True


def _read(
    name: str, response: requests.Response, exchange: Exchange, max_bytes: int
) -> None:
    too_large = f"{name}: expected a body of at most {max_bytes} bytes, got more"
    announced = response.headers.get("Content-Length", "")
    # Unlike int, float takes any number of digits.
    if announced.isdecimal() and float(announced) > max_bytes:
        # As much as is kept is worth reading: there may be a job in it.
        with suppress(*FAILURES, SourceError):
            _read_up_to(name, response, exchange, KEPT_BODY_BYTES, too_large)
        raise TooLargeError(too_large, body=bytes(exchange.body))
    _read_up_to(name, response, exchange, max_bytes, too_large)


def _read_up_to(
    name: str,
    response: requests.Response,
    exchange: Exchange,
    max_bytes: int,
    too_large: str,
) -> None:
    for chunk in _chunks(name, response, exchange):
        exchange.body += chunk
        if len(exchange.body) > max_bytes:
            raise TooLargeError(too_large, body=bytes(exchange.body))
        exchange.left(exchange.limits.read_s)


def _chunks(
    name: str, response: requests.Response, exchange: Exchange
) -> Iterator[bytes]:
    # Unlike read, read1 returns what is there: a body that breaks off is kept up
    # to that point, and a foreign session is held to the total limit here.
    encoding = response.headers.get("Content-Encoding", "").strip()
    unpacker = unpacker_of(encoding)
    read1 = partial(response.raw.read1, CHUNK_BYTES, decode_content=unpacker is None)
    if unpacker is None:
        while chunk := read1():
            yield chunk
            # What urllib3 unpacks may be longer than what has come of it.
            if not encoding and getattr(response.raw, "length_remaining", None) == 0:
                return
        return
    try:
        for packed in iter(read1, b""):
            exchange.packed += packed[: KEPT_BODY_BYTES - len(exchange.packed)]
            yield from unpacker.pieces(packed, CHUNK_BYTES)
    except zlib.error as error:
        raise _not_packed(name, encoding, exchange) from error
    if not unpacker.is_whole:
        if not unpacker.is_sure:
            raise _not_packed(name, encoding, exchange)
        raise CutOffError(
            f"{name}: the answer ended before its body did, in the middle of its "
            f"{encoding}",
            body=bytes(exchange.body or exchange.packed),
        )


def _not_packed(name: str, encoding: str, exchange: Exchange) -> GarbledError:
    # As it came: what was made of it so far is worth nothing.
    return GarbledError(
        f"{name}: expected a body in {encoding}, as its Content-Encoding says, got "
        "something else",
        body=bytes(exchange.packed),
    )
