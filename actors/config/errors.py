"""What is wrong with a configuration: all of it, not only what is found first."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class ConfigError(ValueError):
    """The configuration cannot be used; each problem says where, and what is expected.

    Attributes:
        problems: At least one, of one line each.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Problems:
    """Gathers them, so that who mends a file need not run it again for each."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def add(self, *texts: str) -> None:
        """Note some."""
        self._texts += texts

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what is raised within, and go on behind it."""
        try:
            yield
        except ConfigError as error:
            self._texts += error.problems

    def refuse(self) -> None:
        """Raise what was noted, if anything was.

        Raises:
            ConfigError: Something was.
        """
        if self._texts:
            raise ConfigError(*self._texts)


def alike(word: str, known: Iterable[str], cutoff: float) -> list[str]:
    """The word among those known that looks most like another, if one does.

    Args:
        word: The other.
        known: Those known.
        cutoff: How much it is to look like it, from 0 to 1.
    """
    # Late: a sound configuration needs none of it, nor does any process of its system.
    from difflib import get_close_matches  # noqa: PLC0415

    return get_close_matches(word, list(known), n=1, cutoff=cutoff)


def near(word: str, known: Iterable[str]) -> str:
    """Ask whether another word was meant, to be put at a message's end; or nothing."""
    meant = alike(word, known, 0.7)
    return f"; did you mean {meant[0]}?" if meant else ""
