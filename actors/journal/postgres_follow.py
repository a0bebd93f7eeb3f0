"""Following a journal in PostgreSQL: each end once, those of a fetcher in order.

The numbers of ends have gaps there, and two fetchers' transactions end in any order; a
fetcher's own follow one another. So it is followed fetcher by fetcher, and what is
missing is known by each one's count of jobs that have ended.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.journal.file import JournalDamagedError, JournalMissingError
from actors.journal.follow import AwayError, EndedJob, MissedError, ended_job
from actors.journal.postgres_view import PostgresView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: How many ends are read at a time.
_AT_ONCE = 500
#: How long what was read may take to come to the server's disk, in seconds: a fetcher
#: syncs its ends within 10 ms, and the server does by itself within a second.
_SYNCED_WITHIN_S = 2.0
_LOOK_S = 0.005


class Reached(NamedTuple):
    """How far somebody has come with a fetcher.

    Attributes:
        total: How many of its jobs had ended then.
        seq: The number of the last end.
    """

    total: int = 0
    seq: int = 0


def postgres_position(journal: str) -> Mapping[int, Reached]:
    """Where those stand who want to know what comes now, by the fetcher's number.

    Raises:
        JournalDamagedError: It cannot be read.
    """
    try:
        with contextlib.closing(PostgresView(journal)) as view:
            return {
                number: Reached(total, view.last_end_of(number))
                for number, total in view.totals().items()
            }
    except JournalMissingError:
        return {}


@dataclass(slots=True)
class _Fetcher:
    """How far it was read, and how many rows are there of what was counted last."""

    total: int
    seq: int
    left: int = 0


class PostgresFollower:
    """Reads on from a place, while others write, over as many connections as it takes.

    Attributes:
        look_s: How often to look for more, in seconds.
    """

    look_s = 0.2

    def __init__(
        self,
        journal: str,
        place: Mapping[int, Reached],
        view: Callable[[str], PostgresView] = PostgresView,
    ) -> None:
        self._journal = journal
        self._open = view
        self._view: PostgresView | None = None
        self._fetchers = {
            number: _Fetcher(each.total, each.seq) for number, each in place.items()
        }

    def close(self) -> None:
        """Let go of the connection."""
        if self._view is not None:
            self._view.close()

    def ends(self) -> list[EndedJob]:
        """What has ended since the last call, as much as fits; nothing if nothing.

        Raises:
            AwayError: The server does not answer: the next call may be answered.
            MissedError: What comes next was forgotten; the call after that goes on
                behind it.
        """
        try:
            return [ended_job(row) for row in self._rows()]
        except JournalDamagedError as error:
            raise AwayError(str(error)) from error

    def _rows(self) -> list[dict[str, Any]]:
        if self._view is None:
            self._view = self._open(self._journal)
        for number, fetcher in self._with_more(self._view):
            rows = self._view.ended_of(number, fetcher.seq, min(fetcher.left, _AT_ONCE))
            if not self._is_synced(self._view):
                return []  # it may be lost yet: with its server, and not with us
            # Fewer than were counted: some were forgotten since, as the count tells.
            fetcher.left = fetcher.left - len(rows) if rows else 0
            if rows:
                fetcher.total += len(rows)
                fetcher.seq = rows[-1]["seq"]
                return rows
        return []

    def _with_more(self, view: PostgresView) -> Iterator[tuple[int, _Fetcher]]:
        for number, total in view.totals().items():
            fetcher = self._fetchers.setdefault(number, _Fetcher(0, 0))
            if not fetcher.left and total != fetcher.total:
                self._count(view, number, fetcher)
            if fetcher.left:
                yield number, fetcher

    def _count(self, view: PostgresView, number: int, fetcher: _Fetcher) -> None:
        total, there = view.ended_since(number, fetcher.seq)
        missed = total - fetcher.total - there
        # Below it where the server has lost what it had told: its jobs end once more.
        fetcher.total, fetcher.left = total - there, there
        if missed > 0:
            raise MissedError(missed)

    def _is_synced(self, view: PostgresView) -> bool:
        # What a server tells before that it may not know any more after a crash, and
        # may give the same numbers to other jobs.
        written, until = view.written(), time.monotonic() + _SYNCED_WITHIN_S
        while not view.is_synced(written):
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_S)
        return True
