"""What the root tells the main process: one JSON object a line, over a pipe.

Every process of the system inherits the writing end, so that the end of the
pipe is the end of the last of them.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Alive:
    """The root is there; ``pid`` is its own."""

    pid: int


@dataclass(frozen=True, slots=True)
class Beat:
    """The root is still there; told again and again."""


@dataclass(frozen=True, slots=True)
class Started:
    """Every stage is ready."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The system cannot be started as it is configured."""

    error: str


@dataclass(frozen=True, slots=True)
class Unbegun:
    """The root could not begin."""

    error: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No other terminal can reach the root."""

    error: str


@dataclass(frozen=True, slots=True)
class Fatal:
    """A stage is gone for good without which there is nothing to do."""

    error: str
    accounting: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Paused:
    """A person paused a fetcher; ``hold`` for its jobs as well."""

    fetcher: str
    hold: bool


@dataclass(frozen=True, slots=True)
class Resumed:
    """A person let a fetcher go on."""

    fetcher: str


@dataclass(frozen=True, slots=True)
class Tuned:
    """A person changed values of a fetcher, or of a kind of processor."""

    stage: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counted:
    """This many of a kind were attached, or below 0 detached, by a person."""

    processor: str
    more: int


@dataclass(frozen=True, slots=True)
class Detached:
    """A person detached a fetcher."""

    fetcher: str


@dataclass(frozen=True, slots=True)
class Attached:
    """A person attached a fetcher again."""

    fetcher: str


@dataclass(frozen=True, slots=True)
class Draining:
    """The system was told to stop, or its time is over."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The drain is over.

    Attributes:
        left: Jobs that have not come to their end.
        unanswered: Fetchers whose source failed, or refused, when it was asked last,
            where the system ended because there was nothing left to do.
    """

    accounting: Mapping[str, object]
    left: int
    unanswered: list[str] = field(default_factory=list)


Report: TypeAlias = (
    Alive
    | Beat
    | Started
    | Failed
    | Unbegun
    | Unreachable
    | Fatal
    | Paused
    | Resumed
    | Tuned
    | Counted
    | Detached
    | Attached
    | Draining
    | Stopped
)
_KINDS: dict[str, Any] = {each.__name__.lower(): each for each in get_args(Report)}


@dataclass(frozen=True, slots=True)
class Reporter:
    """The writing end, in the root."""

    fd: int

    def tell(self, report: Report) -> None:
        """Write a report."""
        os.write(self.fd, line_of(report))

    def alive(self, pid: int) -> None:
        """Tell that the root is there."""
        self.tell(Alive(pid))

    def beat(self) -> None:
        """Tell that the root is still there."""
        self.tell(Beat())

    def started(self) -> None:
        """Tell that every stage is ready."""
        self.tell(Started())

    def failed(self, error: str) -> None:
        """Tell why the system cannot be started."""
        self.tell(Failed(error))

    def unreachable(self, error: str) -> None:
        """Tell why no other terminal can reach the root."""
        self.tell(Unreachable(error))

    def fatal(self, reason: str, accounting: Mapping[str, object]) -> None:
        """Tell what is gone for good."""
        self.tell(Fatal(reason, accounting))

    def paused(self, fetcher: str, *, hold: bool) -> None:
        """Tell of a pause."""
        self.tell(Paused(fetcher, hold))

    def resumed(self, fetcher: str) -> None:
        """Tell of its end."""
        self.tell(Resumed(fetcher))

    def tuned(self, stage: str, values: dict[str, Any]) -> None:
        """Tell of values that were changed."""
        self.tell(Tuned(stage, values))

    def counted(self, processor: str, more: int) -> None:
        """Tell of processors that were attached or detached."""
        self.tell(Counted(processor, more))

    def detached(self, fetcher: str) -> None:
        """Tell of a fetcher that was detached."""
        self.tell(Detached(fetcher))

    def attached(self, fetcher: str) -> None:
        """Tell of one that was attached again."""
        self.tell(Attached(fetcher))

    def draining(self) -> None:
        """Tell that the drain begins."""
        self.tell(Draining())

    def stopped(
        self,
        accounting: Mapping[str, object],
        left: int,
        unanswered: tuple[str, ...] = (),
    ) -> None:
        """Tell how the drain ended."""
        self.tell(Stopped(accounting, left, [*unanswered]))

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Tell what keeps the root from beginning, whatever that is."""
        try:
            yield
        except Exception as error:
            what = f"the root cannot begin: {type(error).__name__}: {error}"
            self.tell(Unbegun(what))
            raise


def line_of(report: Report) -> bytes:
    """A report as it goes through the pipe."""
    kind = type(report).__name__.lower()
    values = {each.name: getattr(report, each.name) for each in fields(report)}
    return json.dumps({"report": kind} | values).encode() + b"\n"


def report_of(line: bytes) -> Report:
    """The report that a line is."""
    values = json.loads(line)
    report: Report = _KINDS[values.pop("report")](**values)
    return report


def read_reports(fd: int) -> tuple[list[Report], bool]:
    """Read what is there; returns the reports, and whether the pipe has ended."""
    chunk = os.read(fd, 1 << 16)
    reports = []
    for line in chunk.splitlines():
        # What is none was written by a process that the user's code has broken.
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            reports.append(report_of(line))
    return reports, not chunk
