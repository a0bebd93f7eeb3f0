"""The journal in one SQLite file, which outlives every process of the system.

Each fetcher of a system writes its own jobs; the system as a whole holds the file's
lock, so that no second system does.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import math
import operator
import sqlite3
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.copies import ENDS, Copy, worst_of
from actors.demand.job import Accounting, Job, JobState
from actors.demand.seen_ids import WINDOW_S
from actors.demand.source_state import KeptState
from actors.journal.event_rows import JobEventWriter, KeptJobs
from actors.journal.file import LIVE, PAYLOAD, connect, is_locked
from actors.journal.journal import (
    JournalError,
    JournalLockedError,
    JournalOtherError,
    TakenUp,
)
from actors.journal.seen_time import SeenTime, doubted_since
from actors.journal.stretches import KEY_BITS, STRETCHED, STRETCHED_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from actors.demand.job import JobId
    from actors.demand.job_events import JobEvent
    from actors.journal.journal import Keep, Statements


class Clock(NamedTuple):
    """The wall clock, for what is kept, and the monotonic one, for what is done.

    Attributes:
        elapsed: One that cannot be set and goes on while the machine sleeps, to tell
            a sleep from a wall clock that was set. None: ``monotonic`` does.
    """

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    elapsed: Callable[[], float] | None = None

    def ahead(self) -> float:
        """How far the wall clock is ahead of one that nobody can set."""
        return self.wall() - self.unset()

    def unset(self) -> float:
        """What the one that nobody can set says."""
        return (self.elapsed or self.monotonic)()


def since_boot() -> float:
    """Seconds since the machine was started, those that it slept among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


#: No journal is older, in seconds since the epoch (2024): what says so was written
#: by a clock that was not set.
OLDEST = 1_704_067_200.0

#: A wall clock that differs from the monotonic one by this many seconds was set.
SET_BY_S = 60.0

#: How long to wait for another who writes, in seconds: a mailbox stands still so long.
WAIT_S = 0.25

#: SQLite's own largest integer: what is larger, it takes for this.
LARGEST = (1 << 63) - 1

#: How many jobs are forgotten in one transaction.
PURGED_AT_ONCE = 1000

#: Made for a source that broadcasts, and wants to hear of the end of its jobs.
_COPY_INDEX = (
    "CREATE INDEX IF NOT EXISTS job_copy ON single (fetcher, id) WHERE own_id = 0"
)

#: Each half by an index of its own. A copy has a route, and so a row of its own.
_COPIES = (
    "SELECT key, route, state FROM single WHERE fetcher = ? AND id = ? AND own_id = 1 "
    "UNION ALL "
    "SELECT key, route, state FROM single WHERE fetcher = ? AND id = ? AND own_id = 0"
)

#: What ``_job`` reads of a row of its own, in its order.
COLUMNS = (
    f"key, id, own_id, {PAYLOAD}, attempt, crashes, fetched_at, not_before, route, "
    "forgiven"
)

#: The same of jobs in stretches.
_STRETCHED = (
    f"SELECT place & 0xffffffffff, {STRETCHED_ID}, 0, value, attempt, 0, fetched_at, "
    f"NULL, '', 0 {STRETCHED} AND first < ? AND state = ? ORDER BY first, place LIMIT ?"
)


class SqliteJournal:
    """One fetcher's jobs in the file; the only one who writes them."""

    durable = True
    #: The later of two times, of which the first is known.
    later = "max(ended_at, coalesce(not_before, 0))"
    writer = JobEventWriter
    kept_jobs = KeptJobs

    def __init__(
        self,
        path: Path,
        fetcher: str,
        clock: Clock | None = None,
        db: Statements | None = None,
        remember_s: float = WINDOW_S,
        keep: Keep | None = None,
    ) -> None:
        """Open the file; a fetcher that is new to it is written into it.

        Args:
            path: Where it is.
            fetcher: Whose jobs they are.
            clock: Ours, if none is given.
            db: The file, if it is open already.
            remember_s: How long after a job's end its id is known.
            keep: How long after it the job itself is kept, if it is.

        Raises:
            JournalLockedError: Somebody else has it; it may be tried again.
            JournalError: It cannot be read, or that cannot be written.
        """
        self._clock = clock or Clock(time.time, time.monotonic, since_boot)
        self.path = path
        self._remember_s = remember_s
        self._syncs: bool | None = True
        self._follows_copies = False
        self._wall_ahead = self._clock.ahead()
        #: No number that is a source's own id is above it; None: not looked at yet.
        self._highest: float | None = None
        with _told():
            self._db: Any = db or connect(path, wait_s=WAIT_S)
            with _closed_on_error(self._db):
                self._fetcher = self._number_of(fetcher)
                unset, wall = self._clock.unset(), self._clock.wall()
                latest = self._latest(doubted_since(wall, unset))
                self._seen = SeenTime(latest, unset, wall)
        self._ended = self.kept_jobs(
            self._db, self._fetcher, keep, self._clock.monotonic
        )
        self._writer = self.writer(
            self._db, self._fetcher, self._clock.wall, self._ended
        )

    def _number_of(self, fetcher: str) -> int:
        query = "SELECT number FROM fetcher WHERE name = ?"
        row = self._db.execute(query, (fetcher,)).fetchone()
        if row is None:
            insert = "INSERT INTO fetcher (name) VALUES (?)"
            return self._db.execute(insert, (fetcher,)).lastrowid or 0
        return int(row[0])

    def _latest(self, before: float) -> float | None:
        rows = (
            self._db.execute(
                f"SELECT ended_at FROM {self.writer.single} "  # noqa: S608
                "WHERE fetcher = ? AND ended_at < ? "
                "ORDER BY ended_at DESC LIMIT 1",
                (self._fetcher, before),
            ).fetchone(),
            # Whose it is makes no difference: they have one clock.
            self._db.execute(
                "SELECT ended_at FROM ended WHERE ended_at < ? AND fetcher > 0 "
                "ORDER BY seq DESC LIMIT 1",
                (before,),
            ).fetchone(),
        )
        return max((float(row[0]) for row in rows if row), default=None)

    def _now(self) -> float:
        wall = self._clock.wall()
        if self._seen.latest is None:
            return wall
        return self._seen.now(wall, self._clock.unset())

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def take_up(self) -> TakenUp:
        """Make ready again what an earlier run had leased, and count everything.

        A disk that is full now does not keep a system from its start.

        Raises:
            JournalError: The file cannot be read.
        """
        with _told():
            jobs = self.load(JobState.LEASED, 0, -1)
            for job in jobs:
                job.state = JobState.READY
            retrying = self.load(JobState.RETRYING, 0, -1)
            self._shorten_waits(retrying)
            jobs += retrying
            accounting, next_key = self._count(jobs)
            quarantined_bytes = self._quarantined_bytes()
            self._writer.behind_s = self._behind_s()
        # For who looks into the file: what is leased there counts as ready in
        # any case, and is written with the job's next change.
        with contextlib.suppress(sqlite3.Error, JournalError), self._transaction():
            self._restore_times()
            self._mend_times()
            self._make_ready()
        return TakenUp(accounting, next_key, jobs, quarantined_bytes)

    def _make_ready(self) -> None:
        self._db.execute(
            f"UPDATE {self.writer.single} SET state = 'ready', processor = NULL "  # noqa: S608
            "WHERE fetcher = ? AND state = 'leased'",
            (self._fetcher,),
        )
        self._writer.make_ready()

    def _quarantined_bytes(self) -> int:
        [size] = self._db.execute(
            f"SELECT total(length({PAYLOAD})) FROM single AS job "  # noqa: S608
            "WHERE fetcher = ? AND state = 'quarantined'",
            (self._fetcher,),
        ).fetchone()
        return int(size)

    def size(self) -> int:
        """What the file holds, in bytes, all fetchers' jobs together.

        What was forgotten leaves room in it that is used again, and not counted.

        Raises:
            JournalError: The file cannot be read.
        """
        with _told():
            pages, free, page = (
                self._db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * page)

    def _count(self, jobs: list[Job]) -> tuple[Accounting, int]:
        fetched, done, dropped, next_key = self._db.execute(
            "SELECT fetched, done, dropped, next_key FROM fetcher WHERE number = ?",
            (self._fetcher,),
        ).fetchone()
        [quarantined] = self._db.execute(
            f"SELECT count(*) FROM {self.writer.single} "  # noqa: S608
            "WHERE fetcher = ? AND state = 'quarantined'",
            (self._fetcher,),
        ).fetchone()
        retrying = sum(job.state is JobState.RETRYING for job in jobs)
        # The ready ones are those that are in no other place: not to be counted
        # one by one where there are millions.
        ready = fetched - done - dropped - quarantined - retrying
        accounting = Accounting(
            fetched=fetched,
            done=done,
            dropped=dropped,
            buffered=ready,
            quarantined=quarantined,
        )
        return accounting, next_key

    def load(
        self, state: JobState, after: int, limit: int, most_bytes: int | None = None
    ) -> list[Job]:
        """Jobs in a state, in the order of fetching, from after a key on.

        No more once they come to ``most_bytes``; the first one always.

        Raises:
            JournalError: The file cannot be read.
        """
        jobs: list[Job] = []
        left = math.inf if most_bytes is None else most_bytes
        # Closed when left before its end: it would keep the log from being cleared.
        with _told(), self._rows(state, after, limit) as rows:
            for row in itertools.islice(rows, limit if limit >= 0 else None):
                jobs += self._jobs([row], state)
                left -= jobs[-1].size
                if left <= 0:
                    break
        return jobs

    @contextlib.contextmanager
    def _rows(
        self, state: JobState, after: int, limit: int
    ) -> Iterator[Iterable[tuple[Any, ...]]]:
        with contextlib.ExitStack() as stack:

            def asked(sql: str, *values: Any) -> Any:
                rows = self._db.execute(sql, (*values, state.value, limit))
                return stack.enter_context(contextlib.closing(rows))

            single = asked(
                f"SELECT {COLUMNS} FROM single AS job WHERE fetcher = ? "  # noqa: S608
                "AND key > ? AND state = ? ORDER BY key LIMIT ?",
                *(self._fetcher, after),
            )
            first, end = (
                each << KEY_BITS for each in (self._fetcher, self._fetcher + 1)
            )
            place = first + after
            stretched = asked(_STRETCHED, place, place, end)
            yield heapq.merge(single, stretched, key=operator.itemgetter(0))

    def quarantined(self, keys: Iterable[int]) -> list[Job]:
        """The quarantined jobs among these keys, each once.

        Raises:
            JournalError: The file cannot be read.
        """
        state = JobState.QUARANTINED
        with _told():
            rows = [
                self._db.execute(
                    f"SELECT {COLUMNS} FROM {self.writer.single} AS job "  # noqa: S608
                    "WHERE fetcher = ? AND key = ? AND state = ?",
                    (self._fetcher, key, state.value),
                ).fetchone()
                for key in dict.fromkeys(keys)
            ]
        return self._jobs(filter(None, rows), state)

    def _jobs(self, rows: Iterable[tuple[Any, ...]], state: JobState) -> list[Job]:
        wall, monotonic = self._clock.wall(), self._clock.monotonic()
        return [_job(row, state, wall, monotonic) for row in rows]

    def known(self, ids: Iterable[JobId]) -> set[JobId]:
        """Which of the source's own ids came before, within the window.

        Raises:
            JournalError: The file cannot be read.
        """
        with _told():
            if not (asked := self._to_ask(ids)):
                return set()
            self._heed_clock()
            since = self._now() - self._remember_s
            return {
                job_id
                for job_id in asked
                if self._db.execute(
                    "SELECT 1 FROM single WHERE fetcher = ? AND own_id = 1 AND id = ? "
                    "AND (ended_at IS NULL OR ended_at > ?)",
                    (self._fetcher, json.dumps(job_id), since),
                ).fetchone()
            }

    def _to_ask(self, ids: Iterable[JobId]) -> list[JobId]:
        # Most sources count: a number above all that ever came is not looked for.
        asked: list[JobId] = []
        for each in ids:
            if type(each) is int:
                if self._highest is None:
                    self._highest = self._highest_id()
                if self._highest < each < LARGEST:
                    self._highest = each
                    continue
            asked.append(each)
        return asked

    def _highest_id(self) -> float:
        [highest] = self._db.execute(
            "SELECT max(CAST(id AS INTEGER)) FROM single "
            "WHERE fetcher = ? AND own_id = 1",
            (self._fetcher,),
        ).fetchone()
        return -math.inf if highest is None else int(highest)

    def ended(self, job_id: JobId) -> JobState | None:
        """How a job of the source's own id has ended; None if it has not.

        Raises:
            JournalError: The file cannot be read.
        """
        if self._follows_copies:
            states = [each.state for each in self.copies(job_id)]
            has_ended = bool(states) and set(states).issubset(ENDS)
            return worst_of(states) if has_ended else None
        with _told():
            row = self._db.execute(
                "SELECT state FROM single WHERE fetcher = ? AND own_id = 1 "  # noqa: S608
                f"AND id = ? AND state NOT IN {LIVE}",
                (self._fetcher, json.dumps(job_id)),
            ).fetchone()
        return JobState(row[0]) if row else None

    def follow_copies(self) -> None:
        """Have ``copies`` answered, and take a job for ended when all of them have.

        Raises:
            JournalLockedError: Somebody else writes to the file.
            JournalError: The file cannot be written, and never could copies be found.
        """
        with _told():
            self._db.execute(_COPY_INDEX)
        self._follows_copies = True

    def copies(self, job_id: JobId) -> list[Copy]:
        """The copies that a broadcast made of a job, itself among them.

        Those that were made and are done, or dropped, are not kept.

        Raises:
            JournalError: The file cannot be read.
        """
        with _told():
            rows = self._db.execute(_COPIES, (self._fetcher, json.dumps(job_id)) * 2)
            found = rows.fetchall()
        return [Copy(key, route, JobState(state)) for key, route, state in found]

    def state(self) -> KeptState:
        """What the source told last, and when.

        Raises:
            JournalError: The file cannot be read.
        """
        with _told():
            row = self._db.execute(
                "SELECT value, at FROM state WHERE fetcher = ?", (self._fetcher,)
            ).fetchone()
        if row is None:
            return KeptState()
        text, at = row
        age = max(0.0, self._clock.wall() - at)
        return KeptState(text, self._clock.monotonic() - age)

    def sent(self) -> list[tuple[float, int]]:
        """What was sent under a rate limit: when, monotonic, and how many jobs.

        Raises:
            JournalError: The file cannot be read.
        """
        with _told():
            if not self._writer.has_sent():
                return []
            rows = self._db.execute(
                "SELECT at, count FROM sent WHERE fetcher = ?", (self._fetcher,)
            ).fetchall()
        wall, monotonic = self._clock.wall(), self._clock.monotonic()
        # Sent before the machine started, it may be long ago by a wrong clock only.
        started, seen = wall - self._clock.unset(), self._now()
        # By a clock that was ahead of this one it was sent just now, at the latest.
        return [
            (monotonic - max(0.0, (seen if at < started else wall) - at), count)
            for at, count in rows
        ]

    def commit(self, events: Iterable[JobEvent], *, sync: bool = True) -> None:
        """Keep the events, all or none.

        Args:
            events: In order.
            sync: Wait until they are on the disk, with all that was kept before.
                What is not synced outlives every process, but not the machine.

        Raises:
            JournalError: They are not kept: the disk is full, or fails.
        """
        try:
            with _told():
                self._heed_clock()
                self._set_sync(sync=sync)
                with self._transaction():
                    self._writer.write(events)
        except JournalError:
            self._ended.forget_count()
            # It may be the log itself that fills the disk: once what is in it is
            # in the file, its place is used again. That does not wait for anyone.
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            raise

    def sync(self) -> None:
        """Wait until everything that was kept is on the disk.

        Raises:
            JournalError: It is not: the disk is full, or fails.
        """
        with _told():
            self._set_sync(sync=True)
            with self._transaction():
                # The log is synced at the end of what writes to it, as a whole.
                self._db.execute(
                    "UPDATE fetcher SET done = done WHERE number = ?", (self._fetcher,)
                )

    def purge(self) -> bool:
        """Forget jobs that ended before the window; returns whether there are more.

        A part at a time: nobody is to wait for long. What is left of the history
        of jobs that are gone goes with the last part.

        Raises:
            JournalError: The file cannot be written.
        """
        with _told():
            self._heed_clock()
        with _told(), self._purging():
            self._mend_times()
            now = self._now()
            oldest = self._oldest(self._clock.wall())
            more = self._ended.purge(now, oldest, PURGED_AT_ONCE)
            gone = self._db.execute(
                f"DELETE FROM {self.writer.single} WHERE fetcher = ? AND key IN "  # noqa: S608
                f"(SELECT key FROM {self.writer.single} "
                "WHERE fetcher = ? AND ended_at <= ? LIMIT ?)",
                (*[self._fetcher] * 2, now - self._remember_s, PURGED_AT_ONCE),
            ).rowcount
            if more or gone == PURGED_AT_ONCE:
                return True
            # The payload of a job is there for as long as the job is kept.
            self._db.execute(
                "DELETE FROM history WHERE fetcher = ? AND NOT EXISTS (SELECT 1 "  # noqa: S608
                f"FROM {self.writer.single} AS job WHERE job.fetcher = history.fetcher "
                "AND job.key = history.key) AND NOT EXISTS (SELECT 1 FROM payload "
                "WHERE place = (history.fetcher << 40) + history.key)",
                (self._fetcher,),
            )
            return False

    @contextlib.contextmanager
    def _purging(self) -> Iterator[None]:
        try:
            with self._transaction():
                yield
        except (sqlite3.Error, JournalError):
            self._ended.forget_count()
            raise

    def _heed_clock(self) -> None:
        # While this process lives it knows by how much the wall clock was set: what
        # is kept by it goes along, so that nothing lasts longer or is over sooner.
        ahead = self._clock.ahead()
        by_s = ahead - self._wall_ahead
        if abs(by_s) < SET_BY_S:
            self._wall_ahead = ahead
            return
        wall, unset = self._clock.wall(), self._clock.unset()
        after, until = self._seen.to_move(wall, by_s, unset)

        def heeded() -> None:
            self._seen.moved(by_s)
            self._writer.behind_s = max(0.0, self._writer.behind_s - by_s)
            self._wall_ahead = ahead

        with self._transaction(heeded):
            self._db.execute(
                f"UPDATE {self.writer.single} SET not_before = not_before + ? "  # noqa: S608
                "WHERE fetcher = ? AND ended_at IS NULL AND not_before IS NOT NULL",
                (by_s, self._fetcher),
            )
            self._db.execute(
                f"UPDATE {self.writer.single} SET ended_at = ended_at + ?, "  # noqa: S608
                f"not_before = CASE WHEN ? < 0 THEN {self.later} "
                "ELSE not_before END "
                "WHERE fetcher = ? AND ended_at > ? AND ended_at <= ?",
                (by_s, by_s, self._fetcher, after, until),
            )
            self._db.execute(
                "UPDATE ended SET ended_at = ended_at + ?, fetched_at = fetched_at + ? "
                "WHERE fetcher = ? AND ended_at > ? AND ended_at <= ?",
                (by_s, by_s, self._fetcher, after, until),
            )
            if self._writer.has_sent():
                self._db.execute(
                    "UPDATE sent SET at = at + ? WHERE fetcher = ?",
                    (by_s, self._fetcher),
                )

    def _mend_times(self) -> None:
        # Over a restart nobody knows that: a job that is to have ended in times to
        # come, or before there was a journal, ended just now as far as it counts. But
        # it may be today's clock that is behind. So when a job ended by a clock that
        # was ahead of today's is kept as well, where it has no other use for a time,
        # and counts once that can be true.
        now = self._clock.wall()
        oldest = self._oldest(now)
        self._db.execute(
            f"UPDATE {self.writer.single} SET not_before = {self.later}, "  # noqa: S608
            "ended_at = ? WHERE fetcher = ? AND (ended_at > ? OR ended_at < ?)",
            (now, self._fetcher, now, oldest),
        )

    @staticmethod
    def _oldest(now: float) -> float:
        return OLDEST if now >= OLDEST else -math.inf

    def _restore_times(self) -> None:
        self._db.execute(
            f"UPDATE {self.writer.single} "  # noqa: S608
            "SET ended_at = not_before, not_before = NULL "
            "WHERE fetcher = ? AND ended_at < not_before AND not_before <= ?",
            (self._fetcher, self._clock.wall()),
        )

    def _behind_s(self) -> float:
        # By how much an earlier clock was ahead of this one.
        [latest] = self._db.execute(
            f"SELECT max({self.later}) FROM {self.writer.single} "  # noqa: S608
            "WHERE fetcher = ? AND ended_at IS NOT NULL",
            (self._fetcher,),
        ).fetchone()
        return max(0.0, (latest or 0.0) - self._clock.wall())

    def _shorten_waits(self, jobs: list[Job]) -> None:
        # A wait is no longer than it was when its job failed, whatever the clock says.
        wall, monotonic = self._clock.wall(), self._clock.monotonic()
        for job in jobs:
            row = self._db.execute(
                "SELECT not_before - max(at), not_before - ? "  # noqa: S608
                f"FROM {self.writer.single} JOIN history USING (fetcher, key) "
                "WHERE fetcher = ? AND key = ? AND event = 'failed' "
                "GROUP BY not_before",
                (wall, self._fetcher, job.key),
            ).fetchone()
            if row is not None and row[0] is not None:
                # Where it would have been over before it began, the clock was set
                # since: the failure's time did not go along with it.
                left = max(0.0, row[1] if row[0] < 0 else min(row))
                job.not_before = monotonic + left

    def _set_sync(self, *, sync: bool) -> None:
        if sync is not self._syncs:
            self._syncs = None
            self._db.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
            self._syncs = sync

    @contextlib.contextmanager
    def _transaction(self, kept: Callable[[], None] | None = None) -> Iterator[None]:
        # What a library of the user's raises in this thread from another, for a call
        # that took too long, comes late: when it has begun, or when it is kept.
        is_whole = False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            is_whole = True
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            raise
        except BaseException:
            if self._roll_back() or not is_whole:
                raise
        if kept is not None:
            kept()

    def _roll_back(self) -> bool:
        is_open: bool = self._db.in_transaction
        if is_open:
            self._db.execute("ROLLBACK")
        return is_open


@contextlib.contextmanager
def _closed_on_error(db: Statements) -> Iterator[None]:
    try:
        yield
    except BaseException:
        db.close()
        raise


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if is_locked(error):
            raise JournalLockedError("it is locked by another program") from error
        if isinstance(error, sqlite3.IntegrityError):
            # An error of another kind (no memory) came right after it was kept.
            raise JournalOtherError(
                f"it has kept more than was known: {error}"
            ) from error
        raise JournalError(f"{type(error).__name__}: {error}") from error


def _job(row: tuple[Any, ...], state: JobState, wall: float, monotonic: float) -> Job:
    key, job_id, own_id, payload, attempt, crashes, *rest = row
    fetched_at, not_before, route, forgiven = rest
    # Deadlines are kept as wall time and counted anew: a clock that was set is
    # not to hold a job for longer than a retry ever does.
    wait = min(max(0.0, (not_before or wall) - wall), 3600.0)
    if fetched_at < OLDEST <= wall:
        fetched_at = wall  # by a clock that was not set
    return Job(
        key=key,
        id=json.loads(job_id),
        payload=json.loads(payload),
        fetched_at=monotonic - max(0.0, wall - fetched_at),
        own_id=bool(own_id),
        attempt=attempt,
        crashes=crashes,
        state=state,
        not_before=monotonic + wait,
        route=route,
        forgiven=forgiven,
    )
