"""Following a journal from another process: each end of a job once, in order."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.journal.file import JournalDamagedError
from actors.journal.view import JournalView

if TYPE_CHECKING:
    from pathlib import Path

#: How many ends are read at a time.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedJob:
    """What became of a job.

    Attributes:
        fetcher: Whose it is.
        id: The source's own, or a made-up one.
        state: ``done`` or ``dropped``.
        payload: The job; None if it is not kept any more.
        result: What ``process`` returned.
        error: Why it was dropped.
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
    processor: str | None = None
    duration_s: float | None = None


class JournalPosition(NamedTuple):
    """How far somebody has come in a journal: the number of an end."""

    ends: int = 0


def position_of(journal: Path) -> JournalPosition:
    """Where those stand who want to know what comes now."""
    try:
        with contextlib.closing(JournalView(journal)) as view:
            return JournalPosition(view.last_end())
    except JournalDamagedError:  # it is not there yet
        return JournalPosition()


class Follower:
    """Reads on from a place, while others write.

    Attributes:
        missed: Ends that were forgotten before they were read.
    """

    def __init__(self, journal: Path, place: JournalPosition) -> None:
        self._view = JournalView(journal, stays=True)
        self._ends = place.ends
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
        return [_job(row) for row in rows]


def _job(row: dict[str, Any]) -> EndedJob:
    names = EndedJob.__dataclass_fields__
    return EndedJob(**{name: it for name, it in row.items() if name in names})
