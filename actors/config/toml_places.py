"""Where in a TOML file each key stands, which ``tomllib`` does not tell."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Keys, and numbers of elements, from the top to one place.
Path: TypeAlias = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_STRING = re.compile(
    r'"{3}(?:\\.|[^\\])*?"{3,5}|' + r"'{3}.*?'{3,5}|"
    r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'",
    re.DOTALL,
)
_OTHER = re.compile(r"[^,\]}\n#]*")


@lru_cache(maxsize=4)
def places(text: str) -> Mapping[Path, int]:
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
    lines: dict[Path, int] = field(default_factory=dict)
    _counts: dict[Path, int] = field(default_factory=dict)

    def read(self) -> None:
        table: Path = ()
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

    def _pair(self, table: Path) -> None:
        path = self._resolved(table, self._key())
        self._note_all(path, below=len(table))
        self._take("=")
        self._value(path)

    def _value(self, path: Path) -> None:
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

    def _resolved(self, table: Path, key: tuple[str, ...]) -> Path:
        """The path of a key; within an array of tables it is of the last one."""
        path = table
        for part in key:
            path = (*path, part)
            if path in self._counts and path[: len(table)] == table:
                path = (*path, self._counts[path] - 1)
        # The name of an array itself is not its last element.
        return path[:-1] if path and isinstance(path[-1], int) else path

    def _element(self, path: Path) -> Path:
        self._note(path)
        number = self._counts.get(path, 0)
        self._counts[path] = number + 1
        self._note((*path, number))
        return (*path, number)

    def _note_all(self, path: Path, below: int = 0) -> None:
        for end in range(below + 1, len(path) + 1):
            self._note(path[:end])

    def _note(self, path: Path) -> None:
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
