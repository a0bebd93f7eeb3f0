"""The TOML file as it stands: what is in it, and at which line.

Apart from the settings, since it knows none of them: what its keys are to be is
for those who read them.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from actors.config.errors import ConfigError
from actors.config.toml_places import places

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
    return not get_close_matches(key, table, n=1, cutoff=0.75)


def _toml_line(text: str, error: Exception) -> int:
    line = re.search(r"at line (\d+)", str(error))
    return int(line[1]) if line else text.rstrip().count("\n") + 1
