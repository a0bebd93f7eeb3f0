"""Following a journal from another process: each end of a job once, in order."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.journal.file import JournalDamagedError
from actors.journal.view import JournalView

if TYPE_CHECKING:
    from pathlib import Path

#: So many ends are read at a time.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedJob:
    """What became of a job, or of one attempt.

    Attributes:
        fetcher: Whose it is.
        id: The source's own, or a made-up one.
        state: ``done``, ``dropped``; ``failed`` of an attempt that is followed by
            another one, or ``quarantined``.
        payload: The job; None if it is not kept any more.
        result: What ``process`` returned.
        error: Of the failure, or why it was dropped.
        trace: Of the failure.
        attempt: The number of the last one.
        processor: Who had it last.
        fetched_at: ISO 8601, UTC.
        ended_at: Likewise.
        duration_s: How long the attempt took that did it.
    """

    fetcher: str
    id: Any
    state: str
    payload: Any
    attempt: int
    ended_at: str
    fetched_at: str | None = None
    result: Any = None
    error: str | None = None
    trace: str | None = None
    processor: str | None = None
    duration_s: float | None = None


class Place(NamedTuple):
    """How far somebody has come in a journal: numbers of ends, and of failures."""

    ends: int = 0
    failures: int = 0


def place_of(journal: Path) -> Place:
    """Where those stand who want to know what comes now."""
    try:
        with contextlib.closing(JournalView(journal)) as view:
            return Place(view.last_end(), view.last_failure())
    except JournalDamagedError:  # it is not there yet
        return Place()


class Follower:
    """Reads on from a place, while others write.

    Attributes:
        missed: Ends that were forgotten before they were read.
    """

    def __init__(self, journal: Path, place: Place) -> None:
        self._view = JournalView(journal, stays=True)
        self._ends, self._failures = place
        self.missed = 0

    def close(self) -> None:
        """Let go of the file."""
        self._view.close()

    def ends(self) -> list[EndedJob]:
        """What has ended since the last call, as much as fits; nothing if nothing.

        Raises:
            JournalDamagedError: It cannot be read.
        """
        rows = self._view.ended_after(self._ends, _AT_ONCE)
        if rows:
            # No number is left out but by being forgotten.
            self.missed += rows[-1]["seq"] - self._ends - len(rows)
            self._ends = rows[-1]["seq"]
        return [_job(row, row["state"]) for row in rows]

    def failures(self) -> list[EndedJob]:
        """The same of attempts that failed.

        Raises:
            JournalDamagedError: It cannot be read.
        """
        rows = self._view.failed_after(self._failures, _AT_ONCE)
        if rows:
            self._failures = rows[-1]["seq"]
        return [_job(row, row["event"]) for row in rows]


def _job(row: dict[str, Any], state: str) -> EndedJob:
    names = EndedJob.__dataclass_fields__
    values = {name: it for name, it in row.items() if name in names}
    return EndedJob(**values | {"state": state})
