"""The TOML file as it stands: what is in it, and at which line.

``tomllib`` does not tell where a key stands, so the text is read a second time for it.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from actors.config.errors import ConfigError, alike

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


#: Keys, and numbers of elements, from the top to one place.
KeyPath: TypeAlias = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_STRING = re.compile(
    r'"{3}(?:\\.|[^\\])*?"{3,5}|' + r"'{3}.*?'{3,5}|"
    r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'",
    re.DOTALL,
)
_OTHER = re.compile(r"[^,\]}\n#]*")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A TOML file's content, and where in it things stand."""

    path: Path
    content: dict[str, Any]
    text: str

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """Read a file.

        Raises:
            ConfigError: It cannot be read, or is no TOML.
        """
        try:
            # Some editors begin a file with a byte-order mark.
            text = path.read_bytes().decode("utf-8-sig")
            return cls(path, tomllib.loads(text), text)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error}") from error
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"{path}:{line}: no UTF-8: {error}") from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"{path}:{_toml_line(text, error)}: no TOML: {error}"
            ) from error

    def where(self, *place: str | int) -> str:
        """``file:line`` of a key, as in ``"fetcher", 0, "name"``.

        Of a key that is not there it is the line of its table, of a table that
        is not there the file alone. What has no text, since a program made it,
        has numbers of tables in place of lines.
        """
        if not self.text and len(place) > 1 and isinstance(place[1], int):
            return f"{self.path}, {place[0]} {place[1] + 1}"
        lines = places(self.text)
        for end in range(len(place), 0, -1):
            if (line := lines.get(place[:end])) is not None:
                return f"{self.path}:{line}"
        return str(self.path)


def lacks(key: str, table: Mapping[str, Any]) -> bool:
    """Whether a key is not there, nor another that looks like it misspelt.

    That one is told of as unknown, and once is enough.
    """
    return key not in table and not alike(key, table, 0.75)


def _toml_line(text: str, error: Exception) -> int:
    line = re.search(r"at line (\d+)", str(error))
    return int(line[1]) if line else text.rstrip().count("\n") + 1


@lru_cache(maxsize=4)
def places(text: str) -> Mapping[KeyPath, int]:
    """The line of each key and table of a file that is good TOML.

    ``("fetcher", 0, "name")`` is the key in the first ``[[fetcher]]``.
    """
    reader = _Reader(text)
    reader.read()
    return reader.lines


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    lines: dict[KeyPath, int] = field(default_factory=dict)
    _counts: dict[KeyPath, int] = field(default_factory=dict)

    def read(self) -> None:
        table: KeyPath = ()
        while not self._ended():
            if self._take("[["):
                path = self._resolved((), self._key())
                self._note_all(path)
                table = self._element(path)
                self._take("]]")
            elif self._take("["):
                table = self._resolved((), self._key())
                self._note_all(table)
                self._take("]")
            else:
                self._pair(table)

    def _pair(self, table: KeyPath) -> None:
        path = self._resolved(table, self._key())
        self._note_all(path, below=len(table))
        self._take("=")
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip()
        if self._take("["):
            while not self._ended() and not self._take("]"):
                self._value(self._element(path))
                self._take(",")
        elif self._take("{"):
            while not self._ended() and not self._take("}"):
                self._pair(path)
                self._take(",")
        elif (found := _STRING.match(self.text, self.at)) is not None:
            self.at = found.end()
        else:
            # A value of no characters is none: never stand still.
            found = _OTHER.match(self.text, self.at)
            self.at = max(self.at + 1, found.end() if found else 0)

    def _key(self) -> tuple[str, ...]:
        parts = []
        while (found := self._match(_KEY)) is not None:
            parts.append(_name(found))
            if not self._take("."):
                break
        if not parts:
            self.at += 1
        return tuple(parts)

    def _resolved(self, table: KeyPath, key: tuple[str, ...]) -> KeyPath:
        """The path of a key; within an array of tables it is of the last one."""
        path = table
        for part in key:
            path = (*path, part)
            if path in self._counts and path[: len(table)] == table:
                path = (*path, self._counts[path] - 1)
        # The name of an array itself is not its last element.
        return path[:-1] if path and isinstance(path[-1], int) else path

    def _element(self, path: KeyPath) -> KeyPath:
        self._note(path)
        number = self._counts.get(path, 0)
        self._counts[path] = number + 1
        self._note((*path, number))
        return (*path, number)

    def _note_all(self, path: KeyPath, below: int = 0) -> None:
        for end in range(below + 1, len(path) + 1):
            self._note(path[:end])

    def _note(self, path: KeyPath) -> None:
        line = self.text.count("\n", 0, self.at) + 1
        self.lines.setdefault(path, line)

    def _ended(self) -> bool:
        self._skip()
        return self.at >= len(self.text)

    def _skip(self) -> None:
        if (found := _BLANK.match(self.text, self.at)) is not None:
            self.at = found.end()

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        self._skip()
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def _take(self, word: str) -> bool:
        self._skip()
        if not self.text.startswith(word, self.at):
            return False
        self.at += len(word)
        return True


def _name(key: str) -> str:
    try:
        return next(iter(tomllib.loads(f"{key} = 0")))
    except tomllib.TOMLDecodeError:
        return key
