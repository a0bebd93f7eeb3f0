"""What each event about a job changes in the journal's file."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job import Job, JobState, json_text
from actors.demand.job_events import (
    NOT_BEGUN,
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
    JobRouted,
    JobsSent,
    StateMoved,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from actors.journal.journal import Keep, Statements


#: What a job has that comes; the last but one where it is leased at once.
_FETCHED = (
    "INSERT INTO job (fetcher, key, id, own_id, route, fetched_at, state, attempt, "
    "processor) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

#: An id whose window is over may come again: then its row begins anew.
_COMES_AGAIN = (
    " ON CONFLICT (fetcher, id) WHERE own_id = 1 DO UPDATE SET key = excluded.key, "
    "route = excluded.route, fetched_at = excluded.fetched_at, "
    "state = excluded.state, attempt = excluded.attempt, "
    "processor = excluded.processor, forgiven = 0, crashes = 0, error = NULL, "
    "not_before = NULL, ended_at = NULL"
)


#: How many are forgotten together, at the least, where they take too much.
FORGOTTEN_AT_ONCE = 64
#: What a row takes beside what is in it, in bytes.
_AROUND = 120

_INSERT = (
    "INSERT INTO ended (fetcher, key, id, state, attempt, processor, result, error, "
    "fetched_at, ended_at, duration_s, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
    "?, ?)"
)


class End(NamedTuple):
    """How a job has ended."""

    job: Job
    state: str
    attempt: int
    processor: str | None = None
    result: Any = None
    error: str | None = None
    duration_s: float | None = None


# A named tuple's own constructor is written in Python.
_end = partial(tuple.__new__, End)


class KeptJobs:
    """One fetcher's ended jobs in its journal's file, within its transactions.

    Their payloads stay where they were, in the table of all payloads.
    """

    def __init__(
        self,
        db: Statements,
        fetcher: int,
        keep: Keep | None,
        monotonic: Callable[[], float],
    ) -> None:
        self._db = db
        self._fetcher = fetcher
        self._keep = keep
        self._monotonic = monotonic
        #: What they take; None while it is not known.
        self._bytes: int | None = None
        #: No row of this fetcher has a lower number.
        self._first = 0

    @property
    def are_kept(self) -> bool:
        """Whether a job that ends now stays."""
        return self._keep is not None

    def forget_count(self) -> None:
        """Count anew: what was written last was not kept."""
        self._bytes, self._first = None, 0

    def add(self, ends: Iterable[End], wall: float) -> None:
        """Keep jobs that end now, and forget the oldest if they take too much."""
        if self._keep is None:
            return
        since = wall - self._monotonic()
        rows = [self._row(each, wall, since) for each in ends]
        if self._bytes is None:
            self._bytes = self._counted()
        self._db.executemany(_INSERT, rows)
        self._bytes += sum(row[-1] for row in rows)
        while self._bytes > self._keep.most_bytes:
            if not self._forget(math.inf, max(FORGOTTEN_AT_ONCE, 2 * len(rows))):
                break

    def purge(self, now: float, oldest: float, limit: int) -> bool:
        """Forget those whose time is over; returns whether there may be more.

        Args:
            now: By the wall clock.
            oldest: What ended before did so by a clock that was not set.
            limit: How many to forget at the most.
        """
        if self._keep is None:
            return self._forget(math.inf, limit) == limit
        return self._forget(now - self._keep.for_s, limit, oldest, now) == limit

    def _row(self, end: End, wall: float, since: float) -> tuple[Any, ...]:
        job, state, attempt, processor, value, error, duration_s = end
        result = None if value is None else json_text(value)
        size = job.size + len(result or "") + len(error or "") + _AROUND
        at = since + job.fetched_at
        job_id, number = json_text(job.id), self._fetcher
        # Spelt out: a row for each job, and stars in it take as long as all the rest.
        return (
            number,
            job.key,
            job_id,
            state,
            attempt,
            processor,
            result,
            error,
            at,
            wall,
            duration_s,
            size,
        )

    def _counted(self) -> int:
        [size] = self._db.execute(
            "SELECT coalesce(sum(bytes), 0) FROM ended WHERE fetcher = ?",
            (self._fetcher,),
        ).fetchone()
        return int(size)

    def _forget(
        self,
        before: float,
        limit: int,
        oldest: float = -math.inf,
        now: float = math.inf,
    ) -> int:
        rows = self._db.execute(
            "SELECT seq, key, bytes, ended_at FROM ended WHERE seq > ? AND fetcher = ? "
            "ORDER BY seq LIMIT ?",
            (self._first, self._fetcher, limit),
        ).fetchall()
        gone: list[tuple[Any, ...]] = []
        # What ended by a clock that was wrong goes with what ended after it.
        for number, (_, _, _, ended_at) in enumerate(rows, 1):
            if oldest <= ended_at <= before:
                gone = rows[:number]
            elif oldest <= ended_at <= now:
                break
        else:
            if rows and not gone and self._is_old(rows[-1][0], before, oldest, now):
                gone = rows
        first = self._fetcher << 40
        self._db.executemany(
            "DELETE FROM payload WHERE place BETWEEN ? AND ?",
            runs_of(first + key for _, key, _, _ in gone),
        )
        self._db.executemany(
            "DELETE FROM ended WHERE seq BETWEEN ? AND ?",
            runs_of(seq for seq, _, _, _ in gone),
        )
        if gone:
            self._first = gone[-1][0]
        if self._bytes is not None:
            self._bytes -= sum(size for _, _, size, _ in gone)
        return len(gone)

    def _is_old(self, seq: int, before: float, oldest: float, now: float) -> bool:
        row = self._db.execute(
            "SELECT ended_at FROM ended WHERE seq > ? AND fetcher = ? "
            "AND ended_at BETWEEN ? AND ? ORDER BY seq LIMIT 1",
            (seq, self._fetcher, oldest, now),
        ).fetchone()
        return row is not None and bool(row[0] <= before)


class JobEventWriter:
    """Writes one fetcher's events, within a transaction of its journal.

    Attributes:
        comes_again: What is added where an id may have come before.
        behind_s: By how much an earlier run's clock was ahead of this one's.
    """

    comes_again = _COMES_AGAIN

    def __init__(
        self,
        db: Statements,
        fetcher: int,
        wall: Callable[[], float],
        ended: KeptJobs,
    ) -> None:
        self._db = db
        self._fetcher = fetcher
        self._wall = wall
        self._ended = ended
        self._counts: Counter[str] = Counter()
        self._next_key: int | None = None
        self.behind_s = 0.0

    def write(self, events: Iterable[JobEvent]) -> None:
        """Write events, in order; one statement for all that come together alike."""
        # Those of a try that failed were not kept.
        self._counts, self._next_key = Counter(), None
        groups: list[tuple[type, list[Any]]]
        groups = [
            (event_type, list(alike)) for event_type, alike in groupby(events, type)
        ]
        for number, (event_type, alike) in enumerate(groups):
            following, others = (*groups, (type(None), []))[number + 1]
            if event_type is JobFetched and following is JobLeased:
                # Those that are wanted already are written once, not twice.
                leases = {lease.job.key: lease for lease in others}
                self._insert(alike, leases)
                others[:] = leases.values()
            elif (keep := _KEEP.get(event_type)) is not None:
                keep(self, alike)
        self._count()

    def _many(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._db.executemany(statement, rows)

    def _count(self) -> None:
        # One statement for all that the events have changed of it.
        if counts := self._counts:
            self._db.execute(
                "UPDATE fetcher SET fetched = fetched + ?, done = done + ?, "
                "dropped = dropped + ?, next_key = coalesce(?, next_key) "
                "WHERE number = ?",
                (
                    *(counts["fetched"], counts[JobState.DONE.value]),
                    *(counts[JobState.DROPPED.value], self._next_key, self._fetcher),
                ),
            )

    def _fetched(self, events: list[JobFetched]) -> None:
        self._insert(events, {})

    def _insert(self, events: list[JobFetched], leases: dict[int, JobLeased]) -> None:
        # The leases of these jobs are taken from the others.
        now, number = self._wall(), self._fetcher
        rows: dict[bool, list[tuple[Any, ...]]] = {False: [], True: []}
        for job, _ in events:
            lease = leases.pop(job.key, None)
            rows[job.own_id].append(
                (
                    *(number, job.key, json_text(job.id), job.own_id, job.route, now),
                    *(_READY if lease is None else _leased_now(lease)),
                )
            )
        self._many(_FETCHED, rows[False])
        self._many(_FETCHED + self.comes_again, rows[True])
        self._db.executemany(
            "INSERT INTO payload VALUES (?, ?)",
            [(self._place(job), job.written()) for job, _ in events],
        )
        self._counts["fetched"] += len(events)
        self._next_key = events[-1].job.key + 1

    def _routed(self, events: list[JobRouted]) -> None:
        self._db.executemany(
            "UPDATE job SET route = ? WHERE fetcher = ? AND key = ?",
            [(job.route, self._fetcher, job.key) for (job,) in events],
        )

    def _leased(self, events: list[JobLeased]) -> None:
        number = self._fetcher
        alike: dict[tuple[int, str], list[int]] = {}
        for job, process in events:
            alike.setdefault((job.attempt, process.name), []).append(job.key)
        self._db.executemany(
            "UPDATE job SET state = 'leased', attempt = ?, processor = ? "
            "WHERE fetcher = ? AND key BETWEEN ? AND ?",
            [
                (attempt, processor, number, first, last)
                for (attempt, processor), keys in alike.items()
                for first, last in runs_of(keys)
            ],
        )

    def _returned(self, events: list[JobReturned]) -> None:
        for job, process, reason in events:
            self._set(job, JobState.READY, forgiven=job.forgiven)
            if reason != NOT_BEGUN:
                self._tell(job, "returned", process.name, reason)

    def _done(self, events: list[JobDone]) -> None:
        state = JobState.DONE.value
        self._end(
            [
                _end((job, state, attempt, process.name, result, None, duration_s))
                for job, attempt, process, result, duration_s in events
            ],
            state,
        )

    def _dropped(self, events: list[JobDropped]) -> None:
        state = JobState.DROPPED.value
        self._end(
            [End(job, state, job.attempt, error=reason) for job, reason in events],
            state,
        )

    def _failed(self, events: list[JobFailed]) -> None:
        for job, process, failure, retry_in_s in events:
            wait = self._wall() + retry_in_s
            self._set(job, JobState.RETRYING, error=failure.error, not_before=wait)
            self._tell(job, "failed", process.name, failure.error, failure.trace)

    def _quarantined(self, events: list[JobQuarantined]) -> None:
        for job, process, failure in events:
            name = process.name if process else None
            self._set(job, JobState.QUARANTINED, error=failure.error, processor=name)
            self._tell(job, "quarantined", name, failure.error, failure.trace)

    def _released(self, events: list[JobReleased]) -> None:
        for (job,) in events:
            self._set(job, JobState.READY, not_before=None, forgiven=job.forgiven)
            self._tell(job, "released", None, "")

    def _state_moved(self, events: list[StateMoved]) -> None:
        self._db.execute(
            "INSERT INTO state VALUES (?, ?, ?) ON CONFLICT (fetcher) DO UPDATE "
            "SET value = excluded.value, at = excluded.at",
            (self._fetcher, events[-1].text, self._wall()),
        )

    def has_sent(self) -> bool:
        """Whether anything was ever sent under a rate limit."""
        table = "SELECT 1 FROM sqlite_master WHERE name = 'sent'"
        return self._db.execute(table).fetchone() is not None

    def _sent(self, events: list[JobsSent]) -> None:
        now, number = self._wall(), self._fetcher
        self._db.execute(_SENT)
        # Sent together is sent at once, as far as a limit is concerned.
        forget_s = events[-1].forget_s
        self._db.execute(
            "DELETE FROM sent WHERE fetcher = ? AND at <= ?", (number, now - forget_s)
        )
        count = sum(each.jobs for each in events)
        self._db.execute("INSERT INTO sent VALUES (?, ?, ?)", (number, now, count))

    def _set(self, job: Job, state: JobState, **columns: Any) -> None:
        values = {"state": state.value, "attempt": job.attempt, "crashes": job.crashes}
        values |= columns
        names = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(
            f"UPDATE job SET {names} WHERE fetcher = ? AND key = ?",  # noqa: S608
            (*values.values(), self._fetcher, job.key),
        )

    def _end(self, ends: list[End], state: str) -> None:
        number, now = self._fetcher, self._wall()
        other = now + self.behind_s if self.behind_s else None
        jobs = [each.job for each in ends]
        if self._ended.are_kept:
            self._ended.add(ends, now)
        else:
            self._db.executemany(
                "DELETE FROM payload WHERE place BETWEEN ? AND ?",
                runs_of(map(self._place, jobs)),
            )
        # A made-up id never comes again: nothing is to be remembered of it.
        self._many(
            "UPDATE job SET state = ?, attempt = ?, ended_at = ?, not_before = ? "
            "WHERE fetcher = ? AND key = ?",
            [
                (state, job.attempt, now, other, number, job.key)
                for job in jobs
                if job.own_id
            ],
        )
        gone = [job.key for job in jobs if not job.own_id]
        self._many(
            "DELETE FROM job WHERE fetcher = ? AND key BETWEEN ? AND ?",
            [(number, first, last) for first, last in runs_of(gone)],
        )
        self._counts[state] += len(jobs)

    def _place(self, job: Job) -> int:
        return (self._fetcher << 40) + job.key

    def _tell(
        self, job: Job, event: str, processor: str | None, error: str, trace: str = ""
    ) -> None:
        self._db.execute(
            "INSERT INTO history (fetcher, key, at, event, attempt, processor, error, "
            "trace) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(self._fetcher, job.key, self._wall(), event, job.attempt),
                *(processor, error, trace),
            ),
        )


def runs_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The first and last of each run of numbers that follow one another.

    A statement for a run costs what one for a row does.
    """
    runs: list[tuple[int, int]] = []
    first = last = None
    for each in sorted(numbers):
        if first is None or last is None or each > last + 1:
            if first is not None and last is not None:
                runs.append((first, last))
            first = each
        last = each
    return [*runs, (first, last)] if first is not None and last is not None else runs


#: Made where there is a limit: what left under it, for as long as that counts.
_SENT = (
    "CREATE TABLE IF NOT EXISTS sent (fetcher INTEGER NOT NULL, at REAL NOT NULL, "
    "count INTEGER NOT NULL)"
)

#: What keeps the events of each type; the others change nothing in the file.
_KEEP: dict[type, Callable[[JobEventWriter, list[Any]], None]] = {
    JobFetched: JobEventWriter._fetched,  # noqa: SLF001
    JobRouted: JobEventWriter._routed,  # noqa: SLF001
    JobLeased: JobEventWriter._leased,  # noqa: SLF001
    JobReturned: JobEventWriter._returned,  # noqa: SLF001
    JobDone: JobEventWriter._done,  # noqa: SLF001
    JobFailed: JobEventWriter._failed,  # noqa: SLF001
    JobQuarantined: JobEventWriter._quarantined,  # noqa: SLF001
    JobReleased: JobEventWriter._released,  # noqa: SLF001
    JobDropped: JobEventWriter._dropped,  # noqa: SLF001
    StateMoved: JobEventWriter._state_moved,  # noqa: SLF001
    JobsSent: JobEventWriter._sent,  # noqa: SLF001
}

_READY = ("ready", 0, None)


def _leased_now(lease: JobLeased) -> tuple[str, int, str]:
    return ("leased", lease.job.attempt, lease.process.name)
