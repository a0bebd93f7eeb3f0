"""The words of a benchmark: a measurement gives numbers, a row judges one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parents[2]

#: What one run of a measurement came to, by name.
Numbers: TypeAlias = "Mapping[str, float]"


class MeasureError(Exception):
    """A figure could not be measured; the text says why."""


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure.

    Attributes:
        directory: Where each measurement makes a directory of its own. On a disk:
            where it is in memory, syncing costs nothing.
        scale: Times and counts are multiplied by this. Below 1 the figures are
            there to try the script, not to be believed.
    """

    directory: Path
    scale: float = 1.0

    def seconds(self, seconds: float, least: float = 0.2) -> float:
        """A length of time at this scale."""
        return max(least, seconds * self.scale)

    def count(self, count: int, least: int = 10) -> int:
        """A number of jobs at this scale."""
        return max(least, int(count * self.scale))


@dataclass(frozen=True, slots=True)
class Measurement:
    """One thing to run.

    Attributes:
        gives: The names of the numbers that it returns.
        measure: Runs it once. Raises `MeasureError`.
        peers: Whether it needs a peer: it is run with ``--peers`` only.
        most: Run it no more often than that: what takes long, and differs little
            from run to run.
    """

    name: str
    gives: tuple[str, ...]
    measure: Callable[[Bench], Numbers]
    peers: bool = False
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """What is asked of a figure: its ratio, or its value, at least or at most."""

    limit: float
    at_least: bool
    of_ratio: bool

    def met(self, value: float, ratio: float | None) -> bool:
        """Whether it holds."""
        figure = ratio if self.of_ratio else value
        if figure is None:
            return False
        return figure >= self.limit if self.at_least else figure <= self.limit

    def text(self, unit: str) -> str:
        """In the table."""
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g} {'x' if self.of_ratio else unit}"


def ratio_at_least(limit: float) -> Bar:
    """The value is at least so many times its reference."""
    return Bar(limit, at_least=True, of_ratio=True)


def ratio_at_most(limit: float) -> Bar:
    """The value is at most so many times its reference."""
    return Bar(limit, at_least=False, of_ratio=True)


def at_most(limit: float) -> Bar:
    """The value itself is at most this."""
    return Bar(limit, at_least=False, of_ratio=False)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        name: Its key in the JSON.
        what: For people.
        number: The measured number that it shows.
        reference: The number that it is held against, if there is one.
        bar: What is asked of it; None where it is there to inform.
        note: Of a queue, ours or a peer's: what it promises.
    """

    name: str
    what: str
    number: str
    unit: str
    reference: str | None = None
    bar: Bar | None = None
    note: str | None = None

    @property
    def numbers(self) -> tuple[str, ...]:
        """What must be measured for it."""
        return (self.number, self.reference) if self.reference else (self.number,)
