"""The journal in PostgreSQL, which outlives the machine.

The statements are those of the file; this is where they differ. Every transaction that
writes begins with a look at who leads, and leaves a mark: one that failed without a
word, since its server or its line died, may have been kept all the same, and the mark
tells.
"""

from __future__ import annotations

import contextlib
import json
import math
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.copies import Copy
from actors.demand.job import JobState
from actors.demand.seen_ids import WINDOW_S
from actors.journal import event_rows, sqlite
from actors.journal.file import LIVE
from actors.journal.journal import JournalError, JournalOtherError
from actors.journal.postgres_database import NO_MORE, Database, FencedError
from actors.journal.stretches import NoStretches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from actors.demand.job import Job, JobId
    from actors.demand.job_events import JobEvent
    from actors.journal.journal import Keep
    from actors.journal.postgres_database import JournalUrl

#: How many jobs are read at a time.
_PAGE = 500


class _Doubtful(NamedTuple):
    """A transaction that may have been kept.

    Attributes:
        events: What of it are events.
        kept: Called once it is known to have been.
    """

    events: list[JobEvent]
    kept: Callable[[], None] | None


class _Ended(event_rows.KeptJobs):
    """Those in a table that numbers its rows by itself."""

    def _insert(self, rows: list[tuple[Any, ...]], size: int) -> None:
        event_rows.insert_each(self._db, event_rows.INSERT_ENDED, rows, size)

    def _forget_ends(self, numbers: list[int]) -> None:
        self._db.executemany(event_rows.FORGET_ENDED, event_rows.runs_of(numbers))


class _Writer(event_rows.JobEventWriter):
    single = "job"
    stretches = NoStretches
    insert_rows = staticmethod(event_rows.insert_each)
    comes_again = event_rows.JobEventWriter.comes_again.replace(
        "(fetcher, id)", "(fetcher, id_hash)"
    )

    def has_sent(self) -> bool:
        """Its table is always there."""
        return True

    def _check_ended(self, count: int, of: int) -> None:
        """Nothing: each commit has a mark there that tells whether it was kept."""


class PostgresJournal(sqlite.SqliteJournal):
    """One fetcher's jobs in PostgreSQL; the only one who writes them."""

    later = "greatest(ended_at, coalesce(not_before, 0))"
    writer = _Writer
    kept_jobs = _Ended

    def __init__(
        self,
        place: JournalUrl,
        fetcher: str,
        clock: sqlite.Clock | None = None,
        remember_s: float = WINDOW_S,
        keep: Keep | None = None,
    ) -> None:
        """Connect; a fetcher that is new to the journal is written into it.

        Raises:
            JournalError: There is no connection, or another system leads.
        """
        self._place = place
        self._mark = 0
        # Each that may have been kept, by its mark.
        self._doubtful: dict[int, _Doubtful] = {}
        self._kept: list[JobEvent] = []
        self._database = Database(place.url)
        super().__init__(
            Path(place.shown), fetcher, clock, self._database, remember_s, keep
        )

    def _number_of(self, fetcher: str) -> int:
        # Its row is taken: a transaction of an earlier process that is still on its
        # way comes to its end before this, or never.
        mark = _new_mark()
        with self._database.transaction():
            self._begin(sync=True)
            self._db.execute(
                "INSERT INTO fetcher (name) VALUES (?) ON CONFLICT (name) DO NOTHING",
                (fetcher,),
            )
            [number] = self._db.execute(
                "UPDATE fetcher SET mark = ? WHERE name = ? RETURNING number",
                (mark, fetcher),
            ).fetchone()
        self._mark = mark
        return int(number)

    def commit(self, events: Iterable[JobEvent], *, sync: bool = True) -> None:
        """Keep the events, all or none.

        Args:
            events: In order. After an error they are to come again, perhaps with
                others behind them.
            sync: Wait until they are on the disk, with all that was kept before; on
                that of a synchronous replica as well, where there is one.

        Raises:
            JournalError: They are not kept, or nobody knows.
        """
        self._heed_clock()
        # What was kept when it came before, with an error behind it.
        kept = set(map(id, self._kept))
        new = [each for each in events if id(each) not in kept]
        if new:
            try:
                with self._transaction(sync=sync, events=new):
                    self._writer.write(new)
            except JournalError:
                self._ended.forget_count()
                raise
        elif sync:
            self.sync()
        self._kept = []

    def sync(self) -> None:
        """Wait until everything that was kept is on the disk.

        Raises:
            JournalError: Nobody knows.
        """
        with self._transaction():
            pass  # its mark is behind all that was kept

    def load(
        self, state: JobState, after: int, limit: int, most_bytes: int | None = None
    ) -> list[Job]:
        """Jobs in a state, in the order of fetching, from after a key on.

        No more once they come to ``most_bytes``; the first one always.

        Raises:
            JournalError: They cannot be read.
        """
        jobs: list[Job] = []
        most = math.inf if limit < 0 else limit
        left = math.inf if most_bytes is None else most_bytes
        while len(jobs) < most and left > 0:
            count = int(min(_PAGE, most - len(jobs)))
            rows = self._db.execute(
                f"SELECT {sqlite.COLUMNS} FROM job WHERE fetcher = ? "  # noqa: S608
                "AND state = ? AND key > ? ORDER BY key LIMIT ?",
                (self._fetcher, state.value, after, count),
            ).fetchall()
            for job in self._jobs(rows, state):
                jobs.append(job)
                left -= job.size
                if left <= 0:
                    break
            if len(rows) < count:
                break
            after = jobs[-1].key
        return jobs

    def known(self, ids: Iterable[JobId]) -> set[JobId]:
        """Which of the source's own ids came before, within the window.

        Raises:
            JournalError: They cannot be read.
        """
        asked = {json.dumps(each): each for each in self._to_ask(ids)}
        if not asked:
            return set()
        self._heed_clock()
        since = self._now() - self._remember_s
        rows = self._db.execute(
            "SELECT id FROM job WHERE fetcher = ? AND own_id = 1 AND id_hash IN "
            "(SELECT md5(it)::uuid FROM unnest(?::text[]) AS it) AND id = ANY(?) "
            "AND (ended_at IS NULL OR ended_at > ?)",
            (self._fetcher, list(asked), list(asked), since),
        )
        return {asked[text] for (text,) in rows}

    def _highest_id(self) -> float:
        [highest] = self._db.execute(
            "SELECT max(id::numeric) FROM job WHERE fetcher = ? AND own_id = 1 "
            "AND left(id, 1) <> '\"'",
            (self._fetcher,),
        ).fetchone()
        return -math.inf if highest is None else int(highest)

    def ended(self, job_id: JobId) -> JobState | None:
        """How a job of the source's own id has ended; None if it has not.

        Raises:
            JournalError: It cannot be read.
        """
        if self._follows_copies:
            return super().ended(job_id)
        text = json.dumps(job_id)
        row = self._db.execute(
            "SELECT state FROM job WHERE fetcher = ? AND own_id = 1 "  # noqa: S608
            f"AND id_hash = md5(?)::uuid AND id = ? AND state NOT IN {LIVE}",
            (self._fetcher, text, text),
        ).fetchone()
        return JobState(row[0]) if row else None

    def follow_copies(self) -> None:
        """Take a job for ended when all its copies have: they are always found."""
        self._follows_copies = True

    def copies(self, job_id: JobId) -> list[Copy]:
        """The copies that a broadcast made of a job, itself among them.

        Raises:
            JournalError: They cannot be read.
        """
        text = json.dumps(job_id)
        rows = self._db.execute(
            "SELECT key, route, state FROM job WHERE fetcher = ? "
            "AND id_hash = md5(?)::uuid AND id = ? AND own_id IN (0, 1)",
            (self._fetcher, text, text),
        )
        return [Copy(key, route, JobState(state)) for key, route, state in rows]

    def size(self) -> int:
        """Nothing: ``--journal-mib`` is refused, the server has bounds of its own."""
        return 0

    def _quarantined_bytes(self) -> int:
        [size] = self._db.execute(
            "SELECT coalesce(sum(octet_length(value)), 0) FROM job JOIN payload "  # noqa: S608
            f"ON place = {_PLACE} WHERE fetcher = ? AND state = 'quarantined'",
            (self._fetcher,),
        ).fetchone()
        return int(size)

    def _begin(self, *, sync: bool, fetcher: int | None = None, mark: int = 0) -> None:
        self._db.execute(
            "SELECT lowtide.begin(?, ?, ?::boolean, ?, ?, ?)",
            (
                *(self._place.holder, self._place.term, "yes" if sync else "no"),
                *(fetcher, self._mark, mark),
            ),
        )

    def _heed_clock(self) -> None:
        # First: it may have been heeded, and nobody knows.
        self._settle()
        super()._heed_clock()

    @contextlib.contextmanager
    def _transaction(
        self,
        kept: Callable[[], None] | None = None,
        *,
        sync: bool = True,
        events: list[JobEvent] | None = None,
    ) -> Iterator[None]:
        if events is None:
            self._settle()
        self._database.connect()
        mark = _new_mark()
        self._doubtful[mark] = _Doubtful(events or [], kept)
        with self._database.transaction(pipelined=events is not None):
            self._begin(sync=sync, fetcher=self._fetcher, mark=mark)
            yield
        self._mark = mark
        self._doubtful.clear()
        if kept is not None:
            kept()

    def _settle(self) -> None:
        """Find out which of those in doubt was kept, if any."""
        if not self._doubtful:
            return
        [mark, term] = self._db.execute(
            "SELECT mark, (SELECT term FROM leader) FROM fetcher WHERE number = ?",
            (self._fetcher,),
        ).fetchone()
        if term != self._place.term:
            raise FencedError(NO_MORE)
        if mark == self._mark:
            return  # one may be on its way still: then the next one comes too late
        if mark not in self._doubtful:
            # A server that crashed forgets what it did not have to sync: a lease. Or
            # there is another process of this fetcher's, of which one may go on.
            raise JournalOtherError(
                "the database holds another state than this process had kept in it"
            )
        self._mark = mark
        was = self._doubtful[mark]
        self._doubtful.clear()
        self._kept += was.events
        if was.kept is not None:
            was.kept()


_PLACE = "(job.fetcher << 40) + job.key"


def _new_mark() -> int:
    return 1 + secrets.randbits(62)
