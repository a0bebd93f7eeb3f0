"""Asks the root for its status again and again, and keeps the last hour of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from actors.host.control_socket import ControlError, ask
from actors.status.commands import AskJournal, AskStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from actors.status.commands import Journal, Refusal
    from actors.status.model import SystemStatus

#: How often to ask, in seconds.
EVERY_S = 1.0
#: How long an answer may take, in seconds.
WITHIN_S = 3.0
#: One point of the plots for this many seconds.
POINT_S = 5.0
#: Points kept: one hour.
POINTS = 720


class Sampler:
    """One question at a time, however many look at the answer."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._changed = threading.Condition()
        self._sample: SystemStatus | Refusal = {"error": "not asked yet"}
        self._number = 0
        self._points: deque[dict[str, float]] = deque(maxlen=POINTS)

    @property
    def points(self) -> list[dict[str, float]]:
        """The last hour, oldest first."""
        with self._changed:
            return list(self._points)

    def run(self) -> None:
        """Ask until the process ends."""
        while True:
            self._take(self.status())
            time.sleep(EVERY_S)

    def status(self) -> SystemStatus | Refusal:
        """Ask for the status, or say what went wrong."""
        status: Any = self.ask(AskStatus().as_dict(), WITHIN_S)
        return cast("SystemStatus | Refusal", status)

    def journal(self) -> Journal | Refusal:
        """Ask for the journal's file, or say what went wrong."""
        journal: Any = self.ask(AskJournal().as_dict(), WITHIN_S)
        return cast("Journal | Refusal", journal)

    def ask(self, command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """The root's answer to a command of the page, or an object with ``error``."""
        try:
            return ask(self._socket, command, timeout_s)
        except (ControlError, ValueError) as error:
            return {"error": f"the root does not answer: {error}", "silent": True}

    def samples(self, within_s: float) -> Iterator[SystemStatus | Refusal | None]:
        """Each sample as it comes; None where none came in time."""
        seen = -1
        while True:
            with self._changed:
                if self._number == seen:
                    self._changed.wait(within_s)
                sample = self._sample if self._number != seen else None
                seen = self._number
            yield sample

    def _take(self, sample: SystemStatus | Refusal) -> None:
        with self._changed:
            self._sample = sample
            self._number += 1
            if "error" not in sample:
                self._add(_point(sample))
            self._changed.notify_all()

    def _add(self, point: dict[str, float]) -> None:
        last_but_one = self._points[-2]["at"] if len(self._points) > 1 else 0.0
        # The newest point is of now; it is replaced until its time is full.
        if self._points and point["at"] - last_but_one < POINT_S:
            self._points.pop()
        self._points.append(point)


def _point(status: SystemStatus) -> dict[str, float]:
    accounting = status["accounting"]
    return {
        "at": round(time.time(), 1),
        "buffered": accounting["buffered"],
        "in_flight": accounting["in_flight"],
        "demand": sum(each["demand"] for each in status["fetchers"]),
        "done": accounting["done"],
    }
