"""What went wrong in an exchange, told from the exceptions of five libraries."""

from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from ssl import SSLCertVerificationError

import requests
from urllib3 import exceptions as urllib3

from .errors import (
    BadUrlError,
    CutOffError,
    GarbledError,
    SourceError,
    TimedOutError,
    TooLargeError,
    UnreachableError,
)
from .exchange import Exchange

__all__ = ["FAILURES", "causes_of", "classified"]

#: What requests, urllib3, http.client, ssl and socket raise when an exchange fails.
FAILURES = (
    requests.RequestException,
    urllib3.HTTPError,
    HTTPException,
    OSError,
    UnicodeError,
)


def causes_of(
    error: BaseException, handled: BaseException | None
) -> list[BaseException]:
    """Return ``error`` and what led to it, the first cause last.

    Args:
        error: What was raised.
        handled: What the caller was handling before the exchange began. Python
            chains that too, and it says nothing about the exchange.
    """
    return list(_chain(error, handled))


def classified(
    causes: list[BaseException], exchange: Exchange
) -> tuple[type[SourceError], str]:
    """Return the error to raise, and what to say after the name of the request."""
    detail = _detail(causes[-1])
    for kind, what in _unsent(causes, exchange), _unread(causes, exchange):
        if kind is not None:
            return kind, f"{what} ({detail})"
    return CutOffError, f"the connection died before the whole answer ({detail})"


def _unsent(
    causes: list[BaseException], exchange: Exchange
) -> tuple[type[SourceError] | None, str]:
    if _any_is(causes, requests.exceptions.InvalidURL, UnicodeError):
        return BadUrlError, "the URL is malformed"
    never = (urllib3.ConnectTimeoutError, SSLCertVerificationError)
    if not exchange.sent or _any_is(causes, *never):
        return UnreachableError, "the request could not be sent"
    return None, ""


def _unread(
    causes: list[BaseException], exchange: Exchange
) -> tuple[type[SourceError] | None, str]:
    if exchange.flooded:
        return TooLargeError, "the answer has too much around its body"
    if _any_is(causes, TimeoutError, urllib3.TimeoutError):
        within = f"{exchange.limits.read_s} s of silence, {exchange.limits.total_s} s"
        return TimedOutError, f"expected the whole answer within {within} in all"
    # Two of the garbled kind by inheritance, though all they say is that no
    # more came.
    if _any_is(causes, RemoteDisconnected, IncompleteRead):
        return None, ""
    garbled = (HTTPException, urllib3.DecodeError, requests.exceptions.InvalidHeader)
    if _any_is(causes, *garbled):
        return GarbledError, "expected an HTTP answer, got something else"
    return None, ""


def _any_is(causes: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _chain(
    error: BaseException | None, handled: BaseException | None
) -> Iterator[BaseException]:
    while error is not None and error is not handled:
        yield error
        error = error.__cause__ or error.__context__


def _detail(cause: BaseException) -> str:
    # Other messages, above all those of requests, may quote the URL or a header.
    telling = isinstance(cause, OSError | HTTPException)
    if telling and not isinstance(cause, requests.RequestException):
        return str(cause)[:200] or type(cause).__name__
    return type(cause).__name__
