"""The journal: one SQLite file that outlives every process of the system.

A fact is committed, synced to the disk, before anything that follows from it
leaves the fetcher. What is in the file at the start is taken up again, in order.
Each fetcher of a system writes its own jobs; the system as a whole holds the
file's lock, so that no second system does.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.flow.facts import (
    Accounting,
    Fact,
    Job,
    JobDone,
    JobDropped,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
    JobState,
)
from actors.flow.seen import WINDOW_S
from actors.runtime.journal_file import LIVE, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from actors.flow.messages import JobId


class JournalError(Exception):
    """The journal cannot be written now; what was to be kept is not."""


class Clock(NamedTuple):
    """The wall clock, for what is kept, and the monotonic one, for what is done."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]


class TakenUp(NamedTuple):
    """What an earlier run left.

    Attributes:
        accounting: Of all runs, without those that wait for a retry.
        next_key: The first that no job has had.
        jobs: Those that were leased, now ready, and those that wait for a retry:
            an outcome may still come for them. The other ready ones are loaded
            in pages.
    """

    accounting: Accounting
    next_key: int
    jobs: list[Job]


#: What ``_job`` reads, in its order.
_COLUMNS = "key, id, own_id, payload, attempt, crashes, fetched_at, not_before, route"


class Journal:
    """One fetcher's jobs in the file; the only one who writes them."""

    durable = True

    def __init__(
        self,
        path: Path,
        fetcher: str,
        clock: Clock | None = None,
        db: sqlite3.Connection | None = None,
    ) -> None:
        self._db = db or connect(path)
        self._clock = clock or Clock(time.time, time.monotonic)
        self.path = path
        self._db.execute("INSERT OR IGNORE INTO fetcher (name) VALUES (?)", (fetcher,))
        [self._fetcher] = self._db.execute(
            "SELECT number FROM fetcher WHERE name = ?", (fetcher,)
        ).fetchone()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def take_up(self) -> TakenUp:
        """Make ready again what an earlier run had leased, and count everything."""
        jobs = self.load(JobState.LEASED, 0, -1) + self.load(JobState.RETRYING, 0, -1)
        for job in jobs:
            if job.state is JobState.LEASED:
                job.state = JobState.READY
        with self._transaction():
            self._db.execute(
                "UPDATE job SET state = 'ready', processor = NULL "
                "WHERE fetcher = ? AND state = 'leased'",
                (self._fetcher,),
            )
            self._purge()
        fetched, done, dropped, next_key = self._db.execute(
            "SELECT fetched, done, dropped, next_key FROM fetcher WHERE number = ?",
            (self._fetcher,),
        ).fetchone()
        counts = dict(
            self._db.execute(
                "SELECT state, count(*) FROM job WHERE fetcher = ? "
                "AND state IN ('ready', 'quarantined') GROUP BY state",
                (self._fetcher,),
            )
        )
        accounting = Accounting(
            fetched=fetched,
            done=done,
            dropped=dropped,
            buffered=counts.get("ready", 0),
            quarantined=counts.get("quarantined", 0),
        )
        return TakenUp(accounting, next_key, jobs)

    def load(self, state: JobState, after: int, limit: int) -> list[Job]:
        """Jobs in a state, in the order of fetching, from after a key on."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM job WHERE fetcher = ? "  # noqa: S608
            f"AND state IN {LIVE} AND state = ? AND key > ? ORDER BY key LIMIT ?",
            (self._fetcher, state.value, after, limit),
        )
        wall, monotonic = self._clock.wall(), self._clock.monotonic()
        return [_job(row, state, wall, monotonic) for row in rows]

    def quarantined(self, keys: Iterable[int]) -> list[Job]:
        """The quarantined jobs among these keys."""
        jobs = []
        for key in keys:
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM job "  # noqa: S608
                "WHERE fetcher = ? AND key = ? AND state = ?",
                (self._fetcher, key, JobState.QUARANTINED.value),
            ).fetchone()
            if row is not None:
                job = _job(
                    row,
                    JobState.QUARANTINED,
                    self._clock.wall(),
                    self._clock.monotonic(),
                )
                jobs.append(job)
        return jobs

    def known(self, ids: Iterable[JobId]) -> set[JobId]:
        """Which of the source's own ids came before, within the window."""
        since = self._clock.wall() - WINDOW_S
        return {
            job_id
            for job_id in ids
            if self._db.execute(
                "SELECT 1 FROM job WHERE fetcher = ? AND own_id = 1 AND id = ? "
                "AND (ended_at IS NULL OR ended_at > ?)",
                (self._fetcher, json.dumps(job_id), since),
            ).fetchone()
        }

    def ended(self, job_id: JobId) -> JobState | None:
        """How a job of the source's own id has ended; None if it has not."""
        row = self._db.execute(
            "SELECT state FROM job WHERE fetcher = ? AND own_id = 1 AND id = ? "  # noqa: S608
            f"AND state NOT IN {LIVE}",
            (self._fetcher, json.dumps(job_id)),
        ).fetchone()
        return JobState(row[0]) if row else None

    def commit(self, facts: Iterable[Fact]) -> None:
        """Keep the facts, all or none, and sync them to the disk.

        Raises:
            JournalError: They are not kept: the disk is full, or fails.
        """
        try:
            with self._transaction():
                for fact in facts:
                    self._keep(fact)
        except sqlite3.Error as error:
            raise JournalError(f"{type(error).__name__}: {error}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _keep(self, fact: Fact) -> None:  # noqa: C901 - one arm a fact
        match fact:
            case JobFetched(job):
                self._insert(job)
            case JobLeased(job, process):
                self._set(job, JobState.LEASED, processor=process.name)
            case JobReturned(job, process, reason):
                self._set(job, JobState.READY)
                self._tell(job, "returned", process.name, reason)
            case JobDone(job):
                self._end(job, JobState.DONE)
            case JobFailed(job, process, failure):
                wait = self._clock.wall() + fact.retry_in_s
                self._set(job, JobState.RETRYING, error=failure.error, not_before=wait)
                self._tell(job, "failed", process.name, failure.error, failure.trace)
            case JobQuarantined(job, process, failure):
                name = process.name if process else None
                self._set(
                    job, JobState.QUARANTINED, error=failure.error, processor=name
                )
                self._tell(job, "quarantined", name, failure.error, failure.trace)
            case JobReleased(job):
                self._set(job, JobState.READY, not_before=None)
                self._tell(job, "released", None, "")
            case JobDropped(job):
                self._end(job, JobState.DROPPED)
            case _:
                return

    def _insert(self, job: Job) -> None:
        # An id whose window is over may come again.
        if job.own_id:
            self._db.execute(
                "DELETE FROM job WHERE fetcher = ? AND own_id = 1 AND id = ?",
                (self._fetcher, json.dumps(job.id)),
            )
        self._db.execute(
            "INSERT INTO job (fetcher, key, id, own_id, payload, route, state, "
            "fetched_at) VALUES (?, ?, ?, ?, ?, ?, 'ready', ?)",
            (
                self._fetcher,
                job.key,
                json.dumps(job.id),
                job.own_id,
                json.dumps(job.payload),
                job.route,
                self._clock.wall(),
            ),
        )
        self._db.execute(
            "UPDATE fetcher SET fetched = fetched + 1, next_key = ? WHERE number = ?",
            (job.key + 1, self._fetcher),
        )

    def _set(self, job: Job, state: JobState, **columns: Any) -> None:
        values = {"state": state.value, "attempt": job.attempt, "crashes": job.crashes}
        values |= columns
        names = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(
            f"UPDATE job SET {names} WHERE fetcher = ? AND key = ?",  # noqa: S608
            (*values.values(), self._fetcher, job.key),
        )

    def _end(self, job: Job, state: JobState) -> None:
        # A made-up id never comes again: nothing is to be remembered of it.
        if job.own_id:
            self._set(job, state, payload=None, ended_at=self._clock.wall())
        else:
            self._db.execute(
                "DELETE FROM job WHERE fetcher = ? AND key = ?",
                (self._fetcher, job.key),
            )
        column = "done" if state is JobState.DONE else "dropped"
        self._db.execute(
            f"UPDATE fetcher SET {column} = {column} + 1 WHERE number = ?",  # noqa: S608
            (self._fetcher,),
        )

    def _tell(
        self, job: Job, event: str, processor: str | None, error: str, trace: str = ""
    ) -> None:
        self._db.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(self._fetcher, job.key, self._clock.wall(), event, job.attempt),
                *(processor, error, trace),
            ),
        )

    def _purge(self) -> None:
        """Forget jobs that ended before the window."""
        self._db.execute(
            "DELETE FROM history WHERE fetcher = ? AND key IN (SELECT key FROM job "
            "WHERE fetcher = ? AND ended_at < ?)",
            (self._fetcher, self._fetcher, self._clock.wall() - WINDOW_S),
        )
        self._db.execute(
            "DELETE FROM job WHERE fetcher = ? AND ended_at < ?",
            (self._fetcher, self._clock.wall() - WINDOW_S),
        )


def _job(row: tuple[Any, ...], state: JobState, wall: float, monotonic: float) -> Job:
    key, job_id, own_id, payload, attempt, crashes, fetched_at, not_before, route = row
    # Deadlines are kept as wall time and counted anew: a clock that was set is
    # not to hold a job for longer than a retry ever does.
    wait = min(max(0.0, (not_before or wall) - wall), 3600.0)
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
    )
