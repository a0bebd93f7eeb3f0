"""What must not be shown: passwords in URLs, tokens, secret environment variables.

Everything that leaves a system for people (log lines, answers to commands, texts
of errors) passes ``redact``. It knows secrets in two ways: by their place, as in
``https://user:password@host``, and by value, for those that ``install`` was
given before the first process was started.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MASK = "***"
#: Characters; what is shorter is too likely to be part of ordinary words.
SHORTEST = 6

_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:token|secret|password|passwd|passphrase|pass|key|apikey|"
    r"authorization|bearer|credentials?|cookie|signature)s?(?:$|[_-])",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(://)[^/\s?#@\"'\\]+@")
_QUERY = re.compile(r"([?&]([\w.-]+)=)[^&\s#\"'\\]+")

_VARIABLE = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")

_known: re.Pattern[str] | None = None


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is not to be shown."""
    return _SECRET_NAME.search(name) is not None


def install(secrets: Iterable[str]) -> None:
    """Have ``redact`` hide these values, in this process and those it forks."""
    global _known  # noqa: PLW0603 - every process of a system has the same
    forms = {form for secret in secrets for form in _forms(secret)}
    longest_first = sorted(forms, key=len, reverse=True)
    pattern = "|".join(re.escape(form) for form in longest_first)
    _known = re.compile(pattern) if pattern else None


def redact(text: str) -> str:
    """The text with every secret in it masked."""
    if "://" in text:
        text = _USERINFO.sub(rf"\1{MASK}@", text)
    if "=" in text:
        text = _QUERY.sub(_mask_query, text)
    return _known.sub(MASK, text) if _known else text


def masked(value: Any) -> Any:
    """A JSON value with everything masked in it that has the name of a secret."""
    if isinstance(value, dict):
        return {name: masked(shown(name, each)) for name, each in value.items()}
    return [masked(each) for each in value] if isinstance(value, list) else value


def shown(name: str, value: Any) -> Any:
    """A configured value as people may see it: masked where its name says so."""
    if is_secret_name(name) and value is not None:
        return MASK
    if isinstance(value, dict):
        return {key: shown(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown(name, each) for each in value]
    return redact(value) if isinstance(value, str) else value


def secrets_in(values: Mapping[str, Any]) -> Iterator[str]:
    """The secret values in a mapping, by their names or as part of a URL."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from secrets_in(value)
            # How a source is told who asks: its name says nothing of what it is.
            if name == "auth" and isinstance(value.get("value"), str):
                yield value["value"]
        elif isinstance(value, list | tuple):
            yield from secrets_in({f"{name}-{i}": each for i, each in enumerate(value)})
        elif isinstance(value, str):
            if is_secret_name(name):
                yield value
            yield from _in_url(value)


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
    try:
        parts = urlsplit(text)
    except ValueError:
        return
    userinfo = parts.netloc.rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    if userinfo:
        yield base64.b64encode(unquote(userinfo).encode()).decode()
        yield password or user
    for name, value in re.findall(r"([\w.-]+)=([^&]+)", parts.query):
        if is_secret_name(name):
            yield value


def _forms(secret: str) -> Iterator[str]:
    plain = unquote(secret)
    encoded = (quote(plain), quote(plain, safe=""), quote_plus(plain))
    for form in {secret, plain, *encoded}:
        if len(form) >= SHORTEST:
            yield form
            yield json.dumps(form)[1:-1]
            yield repr(form)[1:-1]


def _mask_query(match: re.Match[str]) -> str:
    return match[1] + MASK if is_secret_name(match[2]) else match[0]
