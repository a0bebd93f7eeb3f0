"""Following a journal from another process: each end of a job once, in order."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

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


def file_position(journal: Path) -> JournalPosition:
    """Where those stand who want to know what comes now."""
    try:
        with contextlib.closing(JournalView(journal)) as view:
            return JournalPosition(view.last_end())
    except JournalDamagedError:  # it is not there yet
        return JournalPosition()


class MissedError(Exception):
    """Jobs that ended were forgotten before they were read.

    Attributes:
        count: How many ended; some of them may have been dropped, not done.
    """

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} ended {'job was' if count == 1 else 'jobs were'} forgotten "
            "before they were read (keep_mib and keep_s say when): the next call of "
            "next() goes on behind them"
        )
        self.count = count


class AwayError(JournalDamagedError):
    """It cannot be read now; that may pass."""


class Follower(Protocol):
    """Reads on from a place, while others write.

    Attributes:
        look_s: How often to look for more, in seconds.
    """

    look_s: float

    def ends(self) -> list[EndedJob]:
        """What has ended since the last call; see ``FileFollower``."""

    def close(self) -> None:
        """Read no more."""


class FileFollower:
    """Reads on in a file."""

    look_s = 0.05

    def __init__(self, journal: Path, place: JournalPosition) -> None:
        self._view = JournalView(journal, stays=True)
        self._ends = place.ends

    def close(self) -> None:
        """Let go of the file."""
        self._view.close()

    def ends(self) -> list[EndedJob]:
        """What has ended since the last call, as much as fits; nothing if nothing.

        Raises:
            JournalDamagedError: It cannot be read.
            MissedError: What comes next was forgotten; the call after that goes on
                behind it.
        """
        # Asked for before: what is up to there and is not found has been forgotten.
        last = self._view.last_end()
        rows = self._view.ended_after(self._ends, _AT_ONCE)
        # No number is left out but by being forgotten.
        reached = rows[0]["seq"] - 1 if rows else last
        if missed := max(0, reached - self._ends):
            self._ends = reached
            raise MissedError(missed)
        # What follows a gap is for the next call, which tells of the gap first.
        together = [
            row for n, row in enumerate(rows, self._ends + 1) if row["seq"] == n
        ]
        self._ends += len(together)
        return [ended_job(row) for row in together]


def ended_job(row: dict[str, Any]) -> EndedJob:
    """What a row of a view says of a job."""
    names = EndedJob.__dataclass_fields__
    return EndedJob(**{name: it for name, it in row.items() if name in names})
