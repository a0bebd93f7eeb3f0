"""Reads tables of options key by key, and notes all that is wrong with them."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any

from ..errors import BadUrlError
from ..errors import text as excerpt
from ..urls import checked
from .expressions import Expression, Path, compiled
from .filling import Problem, Trail

__all__ = [
    "Reader",
    "SecretError",
    "choice",
    "count",
    "flag",
    "header_name",
    "header_text",
    "list_of",
    "seconds",
    "secret",
    "text",
    "url",
]

#: Returns what a value is read as; raises ValueError with what was expected.
Kind = Callable[[Any], Any]


class SecretError(ValueError):
    """What was expected in place of something that is not to be shown."""


class Reader:
    """One table.

    Args:
        table: Keys and values.
        path: Where it stands.
        problems: Where what is wrong is noted.
    """

    def __init__(
        self, table: Mapping[str, Any], path: Trail, problems: list[Problem]
    ) -> None:
        self._table = dict(table)
        self._known: list[str] = []
        self.path = path
        self.problems = problems

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def note(self, problem: str, *keys: str | int) -> None:
        """Note that something is wrong, here or with one key; once is enough."""
        place = (*self.path, *keys)
        if all(place != noted for noted, _ in self.problems):
            self.problems.append((place, problem))

    def raw(self, key: str, default: Any = None) -> Any:
        """A value as it stands."""
        self._known.append(key)
        return self._table.get(key, default)

    def get(self, key: str, kind: Kind, default: Any = None) -> Any:
        """A value of a kind; the default where it is not there, or is of no use."""
        self._known.append(key)
        if key not in self._table:
            return default
        value = self._table[key]
        try:
            return kind(value)
        except SecretError as error:
            self.note(f"expected {error}, got {_kind_of(value)}", key)
        except ValueError as error:
            self.note(f"expected {error}, got {excerpt(value)}", key)
        return default

    def need(self, key: str, kind: Kind, default: Any = None) -> Any:
        """A value of a kind; noted where it is not there."""
        if key not in self._table:
            self.note(f"{key} is missing")
        return self.get(key, kind, default)

    def expression(self, key: str, *, needed: bool = False) -> Path | Expression | None:
        """An expression; None where it is not there, or is none."""
        self._known.append(key)
        if key not in self._table:
            if needed:
                self.note(f"{key} is missing")
            return None
        value = self._table[key]
        if not isinstance(value, str):
            self.note(f"expected a JMESPath expression, got {excerpt(value)}", key)
            return None
        option = ".".join(str(each) for each in (*self.path, key))
        try:
            return compiled(value, option)
        except ValueError as error:
            self.note(str(error), key)
            return None

    def table(self, key: str) -> "Reader | None":
        """A table below; None where it is not there, or is none."""
        self._known.append(key)
        value = self._table.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.note(f"expected a table, got {excerpt(value)}", key)
            return None
        return Reader(value, (*self.path, key), self.problems)

    def tables(self, key: str) -> "list[Reader]":
        """A list of tables."""
        self._known.append(key)
        value = self._table.get(key, [])
        if not isinstance(value, list | tuple):
            self.note(f"expected a list of tables, got {excerpt(value)}", key)
            return []
        readers = []
        for index, each in enumerate(value):
            if isinstance(each, Mapping):
                path = (*self.path, key, index)
                readers.append(Reader(each, path, self.problems))
            else:
                self.note(f"expected a table, got {excerpt(each)}", key, index)
        return readers

    def end(self) -> None:
        """Note the keys that nobody asked for."""
        for key in self._table:
            if key in self._known:
                continue
            close = get_close_matches(str(key), self._known, n=1)
            hint = f"did you mean {close[0]}?" if close else ""
            names = ", ".join(dict.fromkeys(self._known))
            self.note(
                f"unknown option {key!r}; {hint or f'expected one of {names}'}", key
            )


def _kind_of(value: Any) -> str:
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    return type(value).__name__


def secret(value: Any) -> str:
    """A text that is not to be shown."""
    if not isinstance(value, str) or not value:
        raise SecretError("a text")
    return value


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def count(least: int = 1) -> Kind:
    """Make a kind: a whole number."""

    def read(value: Any) -> int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < least:
            raise ValueError(f"a whole number from {least} on")
        return int(value)

    return read


def seconds(value: Any) -> float:
    """Seconds, from 0 on."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not isfinite(value) or value < 0:
        raise ValueError("seconds, from 0 on")
    return float(value)


def choice(*words: str) -> Kind:
    """Make a kind: one of these words."""

    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return read


def list_of(kind: Kind, what: str) -> Kind:
    """Make a kind: a list, or a single one."""

    def read(value: Any) -> tuple[Any, ...]:
        values = value if isinstance(value, list | tuple) else [value]
        try:
            return tuple(kind(each) for each in values)
        except ValueError:
            raise ValueError(f"a list of {what}") from None

    return read


def url(value: Any) -> str:
    """A URL that may be asked."""
    try:
        checked(value)
    except BadUrlError as error:
        raise SecretError(f"a URL ({error})") from None
    return str(value)


def header_name(value: Any) -> str:
    """The name of a header."""
    if not isinstance(value, str) or not value or not _TOKEN.issuperset(value):
        raise ValueError("the name of a header")
    return value


_TOKEN = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


def header_text(value: Any) -> str:
    """What a header may have for a value."""
    written = value if isinstance(value, str) else str(value)
    # The libraries below would refuse it as well, and quote it.
    if not (written.isascii() and written.isprintable()):
        raise SecretError("characters that a header may have")
    return written
