"""Asks a source: within its budgets, with what proves who asks."""

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

from .. import http
from ..errors import (
    BadStatusError,
    BadUrlError,
    RedirectedError,
    ThrottledError,
)
from ..urls import origin, shown, with_params
from .auth import OAuth2
from .budgets import SharedBudget, shared_budget_of
from .rate_headers import budget_of
from .rotated import rotated_of
from .source_settings import Settings
from .tokens import Tokens

__all__ = ["HURRIED", "Reply", "Session"]

#: Waits up to this many seconds are waited for; for a longer one the poll ends.
PATIENCE_S = 3.0
#: Set when this process is to come to an end.
HURRIED = threading.Event()

_SAME_METHOD = (307, 308)
_TO_GET = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of any status.

    Attributes:
        status: Of HTTP.
        headers: Likewise.
        body: Decoded.
        error: What to raise where the status is refused; None for 2xx and 304.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    error: BadStatusError | None = None


class Session:
    """One source's, in this process; ``fetch`` and ``settle`` share it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.origin = origin(settings.url)
        self._ledger: SharedBudget = shared_budget_of(self.origin)
        self._who = _digest([settings.url, _credentials(settings)])
        auth = settings.auth
        self.tokens: Tokens | None = None
        if isinstance(auth, OAuth2):
            rotated = None
            if auth.refresh_token is not None:
                rotated = rotated_of(auth.token_url, auth.client_id, auth.refresh_token)
            self.tokens = Tokens(auth, self._send, time.monotonic, rotated)

    def hold(self, seconds: float) -> None:
        """Leave the source alone for so long."""
        self._ledger.hold(self._who, seconds)

    def ask(self, request: http.Request) -> Reply:
        """Ask once; a redirect is followed where the options allow it.

        Raises:
            ThrottledError: The source is not to be asked yet.
            SourceError: There is no answer.
        """
        for _ in range(self.settings.redirects):
            try:
                return self._ask(request)
            except RedirectedError as error:
                request = self._redirected(request, error)
        try:
            return self._ask(request)
        except RedirectedError as error:
            if (most := self.settings.redirects) and error.status in _TO_GET:
                raise RedirectedError(
                    f"redirects: expected at most {most}, got one more: {error}",
                    status=error.status,
                    body=error.body,
                ) from None
            raise

    def _ask(self, request: http.Request) -> Reply:
        noted = self._admitted(request.wait_s)
        try:
            answer = self._send(self._signed(request))
        except BadStatusError as error:
            reply = Reply(error.status, error.headers, error.body, error)
        else:
            reply = Reply(answer.status, answer.headers, answer.body)
        finally:
            if noted is not None:
                self._ledger.answered(noted)
        budget = budget_of(reply.headers, reply.status, datetime.now(UTC))
        if budget.wait_s is not None:
            self.hold(budget.wait_s)
        return reply

    def _send(self, request: http.Request) -> http.Answer:
        settings = self.settings
        return http.send(request, limits=settings.limits, via=settings.via)

    def _admitted(self, wait_s: float) -> float | None:
        """Wait until there is budget for a request, and note it."""
        while held := self._ledger.held(self._who):
            _pause(held, "the source asks for it")
        rate = self.settings.requests_per
        if rate is None:
            return None
        longest_s = self.settings.limits.total_s + wait_s
        while True:
            wait, noted = self._ledger.take(rate, longest_s)
            if not wait:
                return noted
            per = f"{rate.count} requests in {rate.seconds:g} s"
            _pause(wait, f"requests_per allows {per}")

    def _signed(self, request: http.Request) -> http.Request:
        auth = self.settings.auth
        headers = {**request.headers, **auth.headers}
        if self.tokens is not None and (token := self.tokens.last):
            headers["Authorization"] = f"Bearer {token}"
        url = with_params(request.url, auth.params)
        return replace(request, url=url, headers=headers, auth=auth.requests_auth())

    def _redirected(
        self, request: http.Request, error: RedirectedError
    ) -> http.Request:
        method = request.method
        if error.status not in _TO_GET:
            raise error
        if method not in ("GET", "HEAD") and error.status not in _SAME_METHOD:
            raise error
        try:
            url = urljoin(request.url, error.location or "")
            there, name = origin(url), shown(url)
        except (BadUrlError, ValueError):
            raise error from None
        if there != origin(request.url):
            raise RedirectedError(
                f"redirects: expected one to the same origin, got status "
                f"{error.status} pointing to {name}",
                status=error.status,
                body=error.body,
            ) from None
        return replace(request, url=url)


def _pause(seconds: float, why: str) -> None:
    if seconds > PATIENCE_S or HURRIED.wait(seconds):
        raise ThrottledError(
            f"not to be asked for {seconds:.1f} s: {why}", retry_after_s=seconds
        )


def _credentials(settings: Settings) -> Any:
    auth = settings.auth
    return [dict(settings.headers), dict(auth.headers), dict(auth.params), repr(auth)]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
