"""Access tokens of OAuth2: fetched when needed, and again before their end.

With the careful request, and so with its limits and without redirects, rather than
with a library that brings requests of its own.
"""

import hashlib
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus, urlencode

from .. import strict_json
from ..errors import (
    BadAnswerError,
    BadJsonError,
    BadStatusError,
    SourceError,
    ThrottledError,
)
from ..http import Answer, Request
from ..urls import shown
from .auth import OAuth2
from .rate_headers import budget_of
from .rotated import Rotated

__all__ = ["Granted", "Tokens", "granted", "token_request"]

#: A token is fetched anew so long before its end, or a tenth of its time if that is
#: shorter: it has to be good when the request arrives.
MARGIN_S = 60.0
#: What no later try with the same options mends. Source: RFC 6749, section 5.2.
_FAULTS = (
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
)
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class Granted:
    """What a token endpoint gave.

    Attributes:
        token: The access token.
        lasts_s: Seconds it is good for; None if that was not told.
        refresh_token: The next refresh token, if there is another one.
    """

    token: str
    lasts_s: float | None = None
    refresh_token: str | None = None


def token_request(auth: OAuth2, refresh_token: str | None) -> Request:
    """Say what to ask the token endpoint.

    Args:
        auth: The options.
        refresh_token: The one that is good now, None for client credentials.
    """
    form = {"grant_type": "client_credentials"}
    if refresh_token is not None:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    for name in ("scope", "audience"):
        if (value := getattr(auth, name)) is not None:
            form[name] = value
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if auth.style == "post" or not auth.client_secret:
        form["client_id"] = auth.client_id
        if auth.client_secret:
            form["client_secret"] = auth.client_secret
    else:
        # Encoded first, as RFC 6749, section 2.3.1, says.
        pair = f"{quote_plus(auth.client_id)}:{quote_plus(auth.client_secret)}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return Request(
        method="POST",
        url=auth.token_url,
        headers=headers,
        body=urlencode(form).encode(),
    )


def granted(answer: Answer, auth: OAuth2) -> Granted:
    """Read what the token endpoint gave.

    Raises:
        BadAnswerError: It is no token.
    """
    name = f"auth: token_url ({shown(auth.token_url)})"
    try:
        value = strict_json.parse(answer.body)
    except BadJsonError:
        raise BadAnswerError(f"{name}: expected JSON, got something else") from None
    token = value.get("access_token") if isinstance(value, dict) else None
    if not isinstance(token, str) or not token or not _fits_header(token):
        raise BadAnswerError(f"{name}: expected an access_token, got none of use")
    kind = value.get("token_type", "bearer")
    if str(kind).lower() != "bearer":
        raise BadAnswerError(
            f"{name}: expected a token of the type Bearer, got {str(kind)[:20]!r}"
        )
    rotated = value.get("refresh_token")
    return Granted(
        token,
        _lasts(value.get("expires_in")),
        rotated if isinstance(rotated, str) and rotated else None,
    )


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _lasts(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if 0 < seconds < float("inf") else None


class Tokens:
    """The access token of one source, in this process.

    ``fetch`` and ``settle`` share it, from a thread each.
    """

    def __init__(
        self,
        auth: OAuth2,
        send: Callable[[Request], Answer],
        clock: Callable[[], float],
        rotated: Rotated | None = None,
    ) -> None:
        self._auth = auth
        self._send = send
        self._clock = clock
        self._rotated = rotated
        self._lock = threading.Lock()
        self._renewing = threading.Lock()
        self._token: str | None = None
        self._until = float("inf")

    @property
    def may_rotate(self) -> bool:
        """Whether asking for a token may come to a refresh token to keep."""
        return self._auth.refresh_token is not None

    @property
    def last(self) -> str | None:
        """The token that was fetched last, unless the source refused it."""
        with self._lock:
            return self._token

    def current(self) -> str | None:
        """The token, if there is one that is good for a while."""
        with self._lock:
            return self._token if self._clock() < self._until else None

    def refuse(self, token: str) -> None:
        """Note that the source did not take a token."""
        with self._lock:
            if self._token == token:
                self._token = None

    def newest(self, kept: dict[str, str] | None) -> dict[str, str] | None:
        """The refresh token that is good now.

        Args:
            kept: The one that was rotated last, as far as the state knows.

        Returns:
            The same, or the one that an acknowledgement got in its place.
        """
        if self._rotated is None:
            return kept
        return self._rotated.newest(kept, self._auth.refresh_token)

    def renew_aside(self, kept: dict[str, str] | None) -> None:
        """Fetch a token where no state can be told: between polls.

        A refresh token that is rotated by that is in a file before it is used, and
        the next poll takes it into the state.

        Args:
            kept: See `newest`.

        Raises:
            SourceError: The token endpoint gave none, or the refresh token that it
                would give could not be kept.
        """
        with self._renewing:
            if self.current() is not None:
                return
            if self._rotated is not None:
                self._rotated.probe()
            base, newest = kept, self.newest(kept)
            rotated = self.renew(newest)
            if self._rotated is not None and rotated not in (newest, None):
                self._rotated.keep(base, self._auth.refresh_token, rotated)

    def ensure(self, kept: dict[str, str] | None) -> dict[str, str] | None:
        """Fetch a token, unless there is a good one.

        Args:
            kept: See `newest`.

        Returns:
            See `renew`.

        Raises:
            SourceError: The token endpoint gave none.
        """
        with self._renewing:
            newest = self.newest(kept)
            return newest if self.current() is not None else self.renew(newest)

    def renew(self, kept: dict[str, str] | None) -> dict[str, str] | None:
        """Fetch a token.

        Args:
            kept: The refresh token that was rotated last, as this returned it.

        Returns:
            What is to be kept in its place before anything else is done.

        Raises:
            SourceError: The token endpoint gave none.
        """
        configured = self._auth.refresh_token
        of = "" if configured is None else _digest(configured)
        refresh = configured
        # Of a token that was put into the options since, nothing was rotated.
        if kept is not None and configured is not None and kept.get("of") == of:
            refresh = kept.get("token", configured)
        try:
            new = self._grant(refresh)
        except _RefusedError as error:
            if refresh == configured:
                raise error.told from None
            try:
                new = self._grant(configured)
            except _RefusedError:
                raise error.told from None
        with self._lock:
            self._token = new.token
            self._until = float("inf")
            if new.lasts_s is not None:
                margin = min(MARGIN_S, new.lasts_s / 10)
                self._until = self._clock() + new.lasts_s - margin
        if configured is None or new.refresh_token in (None, refresh):
            return kept
        return {"token": str(new.refresh_token), "of": of}

    def _grant(self, refresh_token: str | None) -> Granted:
        request = token_request(self._auth, refresh_token)
        try:
            return granted(self._send(request), self._auth)
        except BadStatusError as error:
            told, is_fault = _told(self._auth, error, refresh_token)
            raise (_RefusedError(told) if is_fault else told) from None
        except BadAnswerError:
            raise
        except SourceError as error:
            # What was not answered here was no job.
            told = BadAnswerError(f"auth: token_url: {error}")
            raise told from None


class _RefusedError(Exception):
    """The grant is not good, and another may be."""

    def __init__(self, told: SourceError) -> None:
        super().__init__()
        self.told = told


def _told(
    auth: OAuth2, error: BadStatusError, refresh_token: str | None
) -> tuple[SourceError, bool]:
    code, description = _reason(error.body)
    for hidden in (auth.client_secret, auth.refresh_token, refresh_token):
        if hidden:
            description = description.replace(hidden, "***")
    name = f"auth: token_url ({shown(auth.token_url)})"
    text = f"{name}: expected a token, got status {error.status} {code} {description}"
    budget = budget_of(error.headers, error.status, datetime.now(UTC))
    if error.status == 429 and budget.used_up:  # noqa: PLR2004
        return ThrottledError(text.strip(), retry_after_s=budget.wait_s), False
    told = BadAnswerError(text.strip())
    told.permanent = code in _FAULTS or error.status in (401, 403, 404)
    told.retry_after_s = error.retry_after_s
    return told, told.permanent


def _reason(body: bytes) -> tuple[str, str]:
    try:
        value = strict_json.parse(body)
    except BadJsonError:
        return "", ""
    if not isinstance(value, dict):
        return "", ""
    texts = (value.get("error", ""), value.get("error_description", ""))
    code, description = (" ".join(str(each).split())[:_MAX_TEXT] for each in texts)
    return code, f"({description})" if description else ""


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:16]
