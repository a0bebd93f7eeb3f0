"""How a source knows who asks: five kinds, and one's own."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests.auth

from ..errors import BadOptionError
from . import reader
from .reader import Reader

if TYPE_CHECKING:
    from requests.auth import AuthBase

__all__ = ["Auth", "OAuth2", "Own", "read_auth"]

_TYPES = ("bearer", "basic", "query", "header", "oauth2")


@dataclass(frozen=True, slots=True)
class Auth:
    """What each request has besides its own; nothing, where nothing is said.

    Attributes:
        headers: Headers.
        params: Parameters of the query.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def sets_authorization(self) -> bool:
        """Whether it says ``Authorization``."""
        return any(name.lower() == "authorization" for name in self.headers)

    def requests_auth(self) -> "AuthBase | None":
        """What `requests` is given; None for nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Own(Auth):
    """A function that returns a `requests.auth.AuthBase`, called once a process."""

    name: str = ""
    _made: "list[AuthBase]" = field(default_factory=list, repr=False)

    def requests_auth(self) -> "AuthBase | None":
        """See `Auth`.

        Raises:
            BadOptionError: The function is not there, or returned something else.
        """
        if not self._made:
            made = _load(self.name)()
            if not callable(made):
                raise BadOptionError(
                    f"auth: {self.name!r} must return a requests AuthBase, "
                    f"got {type(made).__name__}"
                )
            self._made.append(made)
        return self._made[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2(Auth):
    """Client credentials, or a refresh token. Source: RFC 6749, 4.4 and 6."""

    token_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scope: str | None = None
    audience: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    style: str = "basic"

    @property
    def sets_authorization(self) -> bool:
        """Whether it says ``Authorization``."""
        return True


def read_auth(table: Reader) -> Auth:
    """Read the option ``auth``."""
    said = table.raw("auth")
    if said is None:
        return Auth()
    if isinstance(said, str):
        return _read_own(table, said)
    below = table.table("auth")
    if below is None:
        return Auth()
    kind = below.need("type", reader.choice(*_TYPES))
    auth = _READERS[kind](below) if kind else Auth()
    if kind:
        below.end()
    return auth


def _read_own(table: Reader, name: str) -> Auth:
    try:
        _load(name)
    except BadOptionError as error:
        table.note(str(error).removeprefix("auth: "), "auth")
    return Own(name=name)


def _load(name: str) -> Callable[[], Any]:
    module, colon, function = name.partition(":")
    expected = "auth: expected a table, or MODULE:FUNCTION of a function that returns "
    if not (colon and module and function):
        raise BadOptionError(f"{expected}a requests AuthBase")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except Exception as error:  # noqa: BLE001 - the user's module
        raise BadOptionError(
            f"auth: cannot import {name!r}: {type(error).__name__}: {error}"
        ) from None
    if not callable(found):
        raise BadOptionError(f"auth: {name!r} is no function")
    return found  # type: ignore[no-any-return]


def _bearer(below: Reader) -> Auth:
    token = below.need("token", _header_secret, "")
    return Auth({"Authorization": f"Bearer {token}"})


def _basic(below: Reader) -> Auth:
    user = below.need("user", reader.secret, "")
    password = below.need("password", _any_text, "")
    # As bytes: the library would write a text in Latin-1.
    written = requests.auth._basic_auth_str(user.encode(), password.encode())  # noqa: SLF001
    return Auth({"Authorization": written})


def _query(below: Reader) -> Auth:
    name = below.need("name", reader.text, "")
    return Auth({}, {name: below.need("value", reader.secret, "")})


def _header(below: Reader) -> Auth:
    name = below.need("name", reader.header_name, "")
    return Auth({name: below.need("value", _header_secret, "")})


def _oauth2(below: Reader) -> Auth:
    return OAuth2(
        token_url=below.need("token_url", reader.url, ""),
        client_id=below.need("client_id", reader.secret, ""),
        client_secret=below.get("client_secret", reader.secret, ""),
        scope=below.get("scope", reader.text),
        audience=below.get("audience", reader.text),
        refresh_token=below.get("refresh_token", reader.secret),
        style=below.get("style", reader.choice("basic", "post"), "basic"),
    )


def _header_secret(value: Any) -> str:
    return reader.header_text(reader.secret(value))


def _any_text(value: Any) -> str:
    if not isinstance(value, str):
        raise reader.SecretError("a text")
    return value


_READERS: dict[str, Callable[[Reader], Auth]] = {
    "bearer": _bearer,
    "basic": _basic,
    "query": _query,
    "header": _header,
    "oauth2": _oauth2,
}
