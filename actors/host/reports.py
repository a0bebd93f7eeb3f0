"""What the root tells the main process: one JSON object a line, over a pipe.

Every process of the system inherits the writing end, so that the end of the
pipe is the end of the last of them.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Reporter:
    """The writing end, in the root."""

    fd: int

    def alive(self, pid: int) -> None:
        """The root is there; ``pid`` is its own."""
        self._report({"report": "alive", "pid": pid})

    def beat(self) -> None:
        """The root is still there; told again and again."""
        self._report({"report": "beat"})

    def started(self) -> None:
        """Every stage is ready."""
        self._report({"report": "started"})

    def failed(self, error: str) -> None:
        """The system cannot be started as it is configured."""
        self._report({"report": "failed", "error": error})

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Tell what keeps the root from beginning, whatever that is."""
        try:
            yield
        except Exception as error:
            what = f"the root cannot begin: {type(error).__name__}: {error}"
            self._report({"report": "unbegun", "error": what})
            raise

    def unreachable(self, error: str) -> None:
        """No other terminal can reach the root."""
        self._report({"report": "unreachable", "error": error})

    def fatal(self, reason: str, accounting: Mapping[str, object]) -> None:
        """A stage is gone for good without which there is nothing to do."""
        self._report({"report": "fatal", "error": reason, "accounting": accounting})

    def paused(self, fetcher: str, *, hold: bool) -> None:
        """A person paused it; ``hold`` for its jobs as well."""
        self._report({"report": "paused", "fetcher": fetcher, "hold": hold})

    def resumed(self, fetcher: str) -> None:
        """A person let it go on."""
        self._report({"report": "resumed", "fetcher": fetcher})

    def tuned(self, stage: str, values: dict[str, Any]) -> None:
        """A person changed values of a fetcher, or of a kind of processor."""
        self._report({"report": "tuned", "stage": stage, "values": values})

    def counted(self, processor: str, more: int) -> None:
        """So many of a kind were attached, or below 0 detached, by a person."""
        self._report({"report": "counted", "processor": processor, "more": more})

    def draining(self) -> None:
        """The system was told to stop, or its time is over."""
        self._report({"report": "draining"})

    def stopped(self, accounting: Mapping[str, object], left: int) -> None:
        """The drain is over, with ``left`` jobs not come to their end."""
        self._report({"report": "stopped", "accounting": accounting, "left": left})

    def _report(self, report: dict[str, Any]) -> None:
        os.write(self.fd, json.dumps(report).encode() + b"\n")


def read_reports(fd: int) -> tuple[list[dict[str, Any]], bool]:
    """Read what is there; returns the reports, and whether the pipe has ended."""
    chunk = os.read(fd, 1 << 16)
    return [json.loads(line) for line in chunk.splitlines()], not chunk
