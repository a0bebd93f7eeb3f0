"""What must not be shown: passwords in URLs, tokens, secret environment variables.

Everything that leaves a system for people (log lines, answers to commands, texts
of errors) passes ``redact``. It knows secrets in two ways: by their place, as in
``https://user:password@host``, and by value, for those that ``install`` was
given before the first process was started.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from actors.host.texts import plain_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MASK = "***"
#: Characters; what is shorter is too likely to be part of ordinary words.
SHORTEST = 6

#: What says it anywhere in a name, as in PGPASSWORD, and what says it as a word.
_SECRET_NAME = re.compile(
    r"password|passwd|passphrase|secret|credential|apikey|"
    r"(?:^|[_.-])(?:token|pass|pwd|key|auth|authorization|bearer|cookie|signature|"
    r"sig|jwt|session|sessionid|session[_-]id|csrf|xsrf|otp|pin)s?(?:$|[_.-])",
    re.IGNORECASE,
)
#: Where ``accessToken`` has the end of a word.
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Variables that have such a name, and say only where something is.
_NO_SECRETS = re.compile(
    r"PWD|OLDPWD|SSH_AUTH_SOCK|(?:XDG|DBUS|DESKTOP|GDM|KDE|GNOME)_?.*|SESSION_MANAGER|"
    r"GPG_KEY|LC_.*|.*_(?:FILE|PATH|DIR)"
)
#: Up to the last @ of what stands before a path; of a password that has a slash or
#: the like in it, for which there is a form without, up to the last at all.
_USERINFO = re.compile(
    r"(://)(?:[^/\s?#\"'\\]+@|[^/\s?#@:\"'\\]*:(?!\d*(?:[/?#]|$))"
    r"[^\s\"'\\]{0,256}@)"
)
_ODD_USERINFO = re.compile(r"://[^/\s@:]*:([^\s@]*[/?#][^\s]*)@")
_BEARER = re.compile(r"\b([Bb]earer +)[\w.~+/=-]{6,}")
_QUERY = re.compile(r"([?&]([\w.-]+)=)[^&\s#\"'\\]+")

_VARIABLE = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")

#: The forms of all secrets, and what finds any of them.
_known: tuple[tuple[str, ...], re.Pattern[str]] = (), re.compile("")


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is not to be shown."""
    if len(name) > _LONGEST_KEPT:
        return _SECRET_NAME.search(_HUMP.sub("_", name)) is not None
    return _is_secret_name(name)


#: Characters; a longer name is looked at anew each time.
_LONGEST_KEPT = 100


@functools.lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(_HUMP.sub("_", name)) is not None


def install(secrets: Iterable[str]) -> None:
    """Have ``redact`` hide these values, in this process and those it forks."""
    global _known  # noqa: PLW0603 - every process of a system has the same
    forms = {form for secret in secrets for form in _forms(secret)}
    longest_first = sorted(forms, key=len, reverse=True)
    pattern = "|".join(re.escape(form) for form in longest_first)
    _known = tuple(forms), re.compile(pattern)


def redact(text: str) -> str:
    """The text with every secret in it masked."""
    # One character is found at once, most words have an e.
    if "/" in text and "://" in text:
        text = _USERINFO.sub(rf"\1{MASK}@", text)
    if "=" in text:
        text = _QUERY.sub(_mask_query, text)
    if "earer " in text:
        text = _BEARER.sub(rf"\1{MASK}", text)
    # Most often there is none: to look for each takes a tenth of the pattern's time.
    known, pattern = _known
    for form in known:
        if form in text:
            return pattern.sub(MASK, text)
    return text


def masked(value: Any) -> Any:
    """A JSON value with everything masked in it that has the name of a secret."""
    if isinstance(value, dict):
        return {name: _masked(name, each) for name, each in value.items()}
    return [masked(each) for each in value] if isinstance(value, list) else value


def has_secret_name(value: Any) -> bool:
    """Whether `masked` would hide anything of a plain JSON value."""
    if type(value) is dict:
        # Jobs of one source have the same names, and most often none of them is one.
        if (names := tuple(value)) not in _harmless:
            if any(value[name] is not None and is_secret_name(name) for name in names):
                return True
            _keep_harmless(names)
        value = value.values()
    elif type(value) is not list:
        return False
    for each in value:  # noqa: SIM110 - half of the time of any()
        if type(each) in _HOLDERS and has_secret_name(each):
            return True
    return False


#: The names of objects, none of which is that of a secret, as many as are kept.
_harmless: set[tuple[str, ...]] = set()
_MOST_HARMLESS = 256
_LONGEST_HARMLESS = 4096


def _keep_harmless(names: tuple[str, ...]) -> None:
    if any(map(is_secret_name, names)):
        return  # the value of one is null today
    if len(_harmless) >= _MOST_HARMLESS:
        _harmless.clear()
    if sum(map(len, names)) <= _LONGEST_HARMLESS:
        _harmless.add(names)


_HOLDERS = frozenset((dict, list))


def _masked(name: Any, value: Any) -> Any:
    if isinstance(name, str) and value is not None and is_secret_name(name):
        return _of_auth(value) if name == "auth" else MASK
    return masked(value) if isinstance(value, dict | list) else value


def _of_auth(value: Any) -> Any:
    # How a source is told who asks is a table: what it is called there says little.
    if not isinstance(value, dict):
        return MASK
    return {
        name: MASK if name == "value" else _masked(name, each)
        for name, each in value.items()
    }


def shown(name: str, value: Any) -> Any:
    """A configured value as people may see it: masked where its name says so."""
    if is_secret_name(name) and value is not None:
        return _of_auth(value) if name == "auth" else MASK
    if isinstance(value, dict):
        return {key: shown(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown(name, each) for each in value]
    return redact(value) if isinstance(value, str) else value


def secrets_of_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """The secret values among the variables of a process."""
    return secrets_in(
        {
            name: value
            for name, value in environ.items()
            if not (_NO_SECRETS.fullmatch(name) and "://" not in value)
        }
    )


def secrets_in(values: Mapping[str, Any]) -> Iterator[str]:
    """The secret values in a mapping, by their names or as part of a URL."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _in_table(name, value)
        elif isinstance(value, list | tuple):
            yield from secrets_in({f"{name}-{i}": each for i, each in enumerate(value)})
        elif isinstance(value, str):
            if is_secret_name(name):
                yield value
            yield from _in_url(value)


def _in_table(name: str, table: dict[str, Any]) -> Iterator[str]:
    yield from secrets_in(table)
    if name == "auth":
        # How a source is told who asks: its name says nothing of what it is.
        if isinstance(table.get("value"), str):
            yield table["value"]
    elif is_secret_name(name):
        yield from secrets_in({f"{name}_{key}": table[key] for key in table})


def filled_in(value: Any, environ: Mapping[str, str]) -> Iterator[str]:
    """What ``env:NAME`` in a configured value stands for, whatever it is called."""
    if isinstance(value, dict):
        for each in value.values():
            yield from filled_in(each, environ)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from filled_in(each, environ)
    elif isinstance(value, str):
        for name in _VARIABLE.findall(value):
            yield environ.get(name, "").strip()


def _in_url(text: str) -> Iterator[str]:
    if "://" not in text:
        return
    if odd := _ODD_USERINFO.search(text):
        yield odd[1]
    try:
        parts = urlsplit(text)
    except ValueError:
        return
    if parts.scheme in ("postgresql", "postgres"):
        yield from passwords_in(text)
        return
    userinfo = parts.netloc.rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    if userinfo:
        yield base64.b64encode(unquote(userinfo).encode()).decode()
        yield password or user
    for name, value in re.findall(r"([\w.-]+)=([^&]+)", parts.query):
        if is_secret_name(name):
            yield value


def passwords_in(url: str) -> Iterator[str]:
    """The passwords in a database's URL; its user is told where it may connect."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.password:
            yield parts.password
        for name, value in re.findall(r"([\w.-]+)=([^&#]+)", parts.query):
            if is_secret_name(name):
                yield value


def _forms(secret: str) -> Iterator[str]:
    plain = unquote(secret)
    encoded = (quote(plain), quote(plain, safe=""), quote_plus(plain))
    for form in {secret, plain, *encoded}:
        if len(form) >= SHORTEST:
            yield form
            yield json.dumps(form)[1:-1]
            yield plain_json(json.dumps(form, ensure_ascii=False))[1:-1]
            yield repr(form)[1:-1]


def _mask_query(match: re.Match[str]) -> str:
    return match[1] + MASK if is_secret_name(match[2]) else match[0]
