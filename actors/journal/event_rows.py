"""What each event about a job changes in the journal's file."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache, partial
from itertools import chain, groupby, pairwise
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
from actors.journal.journal import JournalOtherError
from actors.journal.stretches import (
    KEY_BITS,
    READY,
    NoStretches,
    Stretches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from actors.journal.journal import Keep, Statements
    from actors.journal.stretches import Coming, Run


#: Keeps a job that comes. Its state, attempt and processor are those of its lease,
#: where it is leased at once.
_FETCHED = (
    "INSERT INTO {} (fetcher, key, id, own_id, route, fetched_at, state, attempt, "
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


_PAYLOADS = "INSERT INTO payload VALUES (?, ?)"

#: How many rows one statement inserts, and how many bytes each may have for that: they
#: stay in the statement until it is used again.
_ROWS_AT_ONCE = 32
_SMALL_ROW = 1024


def insert_rows(
    db: Statements,
    insert: str,
    rows: list[tuple[Any, ...]],
    size: int,
    /,
    conflict: str = "",
) -> None:
    """Insert rows, many by one statement where they are small: that is half the work.

    Args:
        db: Where.
        insert: One row; it ends with its values.
        rows: What is inserted.
        size: Of all of it, in bytes.
        conflict: What is to be done where a row is there already.
    """
    whole = 0
    if len(rows) >= _ROWS_AT_ONCE and size <= _SMALL_ROW * len(rows):
        many = _many_rows(insert)
        whole = len(rows) - len(rows) % _ROWS_AT_ONCE
        for begin in range(0, whole, _ROWS_AT_ONCE):
            part = rows[begin : begin + _ROWS_AT_ONCE]
            db.execute(many + conflict, [*chain.from_iterable(part)])
    if whole < len(rows):
        db.executemany(insert + conflict, rows[whole:])


@cache
def _many_rows(insert: str) -> str:
    values = insert[insert.rindex("(") :]
    return ", ".join([insert, *[values] * (_ROWS_AT_ONCE - 1)])


def insert_each(
    db: Statements,
    insert: str,
    rows: list[tuple[Any, ...]],
    _size: int,
    /,
    conflict: str = "",
) -> None:
    """Insert rows with a statement for each."""
    if rows:
        db.executemany(insert + conflict, rows)


#: How many are forgotten together, at the least, where they take too much.
FORGOTTEN_AT_ONCE = 64
#: What a row takes beside what is in it, in bytes.
_AROUND = 120

INSERT_ENDED = (
    "INSERT INTO ended (fetcher, key, id, state, attempt, processor, result, error, "
    "fetched_at, ended_at, duration_s, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
    "?, ?)"
)

FORGET_ENDED = "DELETE FROM ended WHERE seq BETWEEN ? AND ?"
#: What stays of the newest row: its number.
_EMPTIED = (
    "UPDATE ended SET fetcher = 0, key = 0, id = 'null', state = '', attempt = 0, "
    "processor = NULL, result = NULL, error = NULL, fetched_at = 0, "
    "ended_at = 0, duration_s = NULL, bytes = 0 "
    "WHERE seq = ? AND seq = (SELECT max(seq) FROM ended)"
)
#: Of one that was the newest once, when what came before it is gone.
_OVER = (
    "DELETE FROM ended WHERE fetcher = 0 AND seq = (SELECT min(seq) FROM ended) "
    "AND seq < (SELECT max(seq) FROM ended)"
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
        rows = self._rows(ends, wall)
        if self._bytes is None:
            self._bytes = self._counted()
        size = sum(row[-1] for row in rows)
        self._insert(rows, size)
        self._bytes += size
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

    def _rows(self, ends: Iterable[End], wall: float) -> list[tuple[Any, ...]]:
        number, since = self._fetcher, wall - self._monotonic()
        rows: list[tuple[Any, ...]] = []
        for job, state, attempt, processor, value, error, duration_s in ends:
            result = None if value is None else json_text(value)
            size = job.size + len(result or "") + len(error or "") + _AROUND
            at, job_id = since + job.fetched_at, json_text(job.id)
            # Spelt out: stars in it take as long as all the rest.
            rows.append(
                (
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
            )
        return rows

    def _insert(self, rows: list[tuple[Any, ...]], size: int) -> None:
        insert_rows(self._db, INSERT_ENDED, rows, size)

    def _forget_ends(self, numbers: list[int]) -> None:
        # A row gets the number after the highest one that is there.
        if self._db.execute(_EMPTIED, numbers[-1:]).rowcount:
            numbers = numbers[:-1]
        self._db.executemany(FORGET_ENDED, runs_of(numbers))
        self._db.execute(_OVER)

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
        first = self._fetcher << KEY_BITS
        self._db.executemany(
            "DELETE FROM payload WHERE place BETWEEN ? AND ?",
            runs_of(first + key for _, key, _, _ in gone),
        )
        if gone:
            self._first = gone[-1][0]
            self._forget_ends([seq for seq, _, _, _ in gone])
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
        single: Where the rows of single jobs are.
        stretches: Those that have none of their own.
        insert_rows: Inserts rows.
        comes_again: What an insert says of an id that may have come before.
        behind_s: By how much an earlier run's clock was ahead of this one's.
    """

    single = "single"
    stretches: type[Stretches | NoStretches] = Stretches
    insert_rows = staticmethod(insert_rows)
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
        self._stretches = self.stretches(db, fetcher)
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
        end: tuple[type, list[Any]] = type(None), []
        for (event_type, alike), (following, others) in pairwise([*groups, end]):
            if event_type is JobFetched and following is JobLeased:
                # Those that are wanted already are written once, not twice.
                leases = {lease.job.key: lease for lease in others}
                self._insert(alike, leases)
                others[:] = leases.values()
            elif (keep := _KEEP.get(event_type)) is not None:
                keep(self, alike)
        self._count()

    def _many(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
        return self._db.executemany(statement, rows).rowcount if rows else 0

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
        # What is a lease of one of these jobs is taken out of the leases.
        now, number = self._wall(), self._fetcher
        named: list[Coming] = []
        others: list[Coming] = []
        for job, _ in events:
            lease = leases.pop(job.key, None)
            begins = READY if lease is None else _leased_now(lease)
            (named if job.own_id else others).append((job, begins))
        if others:
            others = self._stretches.add(others, now)
        insert = _FETCHED.format(self.single)
        for jobs, conflict in ((others, ""), (named, self.comes_again)):
            rows = self._rows(jobs, now)
            size = sum(len(row[2]) for row in rows)
            self.insert_rows(self._db, insert, rows, size, conflict)
        first = number << KEY_BITS
        self.insert_rows(
            self._db,
            _PAYLOADS,
            [(first + job.key, job.text or job.written()) for job, _ in events],
            sum(job.size for job, _ in events),
        )
        self._counts["fetched"] += len(events)
        self._next_key = events[-1].job.key + 1

    def _rows(self, jobs: list[Coming], now: float) -> list[tuple[Any, ...]]:
        number = self._fetcher
        return [
            (number, job.key, json_text(job.id), job.own_id, job.route, now, *begins)
            for job, begins in jobs
        ]

    def _routed(self, events: list[JobRouted]) -> None:
        self._single_out(events)
        self._db.executemany(
            f"UPDATE {self.single} SET route = ? WHERE fetcher = ? AND key = ?",  # noqa: S608
            [(job.route, self._fetcher, job.key) for (job,) in events],
        )

    def _leased(self, events: list[JobLeased]) -> None:
        number = self._fetcher
        # By what they come to, and by whether they have an id of the source's: such a
        # job has a row of its own in any case.
        alike: dict[tuple[bool, int, str], list[int]] = {}
        for job, process in events:
            kind = job.own_id, job.attempt, process.name
            alike.setdefault(kind, []).append(job.key)
        rows: list[tuple[Any, ...]] = []
        for (own_id, attempt, processor), keys in alike.items():
            runs = runs_of(keys)
            if not own_id:
                runs = self._stretches.lease(runs, attempt, processor)
            rows += [(attempt, processor, number, *run) for run in runs]
        self._many(
            f"UPDATE {self.single} "  # noqa: S608
            "SET state = 'leased', attempt = ?, processor = ? "
            "WHERE fetcher = ? AND key BETWEEN ? AND ?",
            rows,
        )

    def _returned(self, events: list[JobReturned]) -> None:
        self._single_out(events)
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
        self._single_out(events)
        for job, process, failure, retry_in_s in events:
            wait = self._wall() + retry_in_s
            self._set(job, JobState.RETRYING, error=failure.error, not_before=wait)
            self._tell(job, "failed", process.name, failure.error, failure.trace)

    def _quarantined(self, events: list[JobQuarantined]) -> None:
        self._single_out(events)
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

    def make_ready(self) -> None:
        """Make ready what is leased and has no row of its own."""
        self._stretches.make_ready()

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

    def _single_out(self, events: Sequence[Any]) -> None:
        # Of jobs, the first of an event's fields, to which something of their own
        # happens.
        if keys := [each[0].key for each in events if not each[0].own_id]:
            self._stretches.single_out(runs_of(keys))

    def _set(self, job: Job, state: JobState, **columns: Any) -> None:
        values = {"state": state.value, "attempt": job.attempt, "crashes": job.crashes}
        values |= columns
        names = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(
            f"UPDATE {self.single} SET {names} WHERE fetcher = ? AND key = ?",  # noqa: S608
            (*values.values(), self._fetcher, job.key),
        )

    def _end(self, ends: list[End], state: str) -> None:
        number, now = self._fetcher, self._wall()
        # By the earlier run's clock, if that was ahead: an id is remembered from the
        # later of the two.
        by_that_clock = now + self.behind_s if self.behind_s else None
        jobs = [each.job for each in ends]
        if self._ended.are_kept:
            self._ended.add(ends, now)
        else:
            self._db.executemany(
                "DELETE FROM payload WHERE place BETWEEN ? AND ?",
                runs_of(map(self._place, jobs)),
            )
        # A made-up id never comes again: nothing is to be remembered of it.
        named: dict[int, list[int]] = {}
        for job in jobs:
            if job.own_id:
                named.setdefault(job.attempt, []).append(job.key)
        count = self._many(
            f"UPDATE {self.single} "  # noqa: S608
            "SET state = ?, attempt = ?, ended_at = ?, not_before = ? "
            "WHERE fetcher = ? AND key BETWEEN ? AND ? AND ended_at IS NULL",
            [
                (state, attempt, now, by_that_clock, number, *run)
                for attempt, keys in named.items()
                for run in runs_of(keys)
            ],
        )
        if gone := [job.key for job in jobs if not job.own_id]:
            stretched, runs = self._stretches.end(runs_of(gone))
            count += stretched + self._many(
                f"DELETE FROM {self.single} "  # noqa: S608
                "WHERE fetcher = ? AND key BETWEEN ? AND ?",
                [(number, *run) for run in runs],
            )
        self._check_ended(count, len(jobs))
        self._counts[state] += len(jobs)

    def _check_ended(self, count: int, of: int) -> None:
        # They had all begun. Where some have ended there already, an error of
        # another kind (no memory) came right after that was kept.
        if count != of:
            raise JournalOtherError(
                f"it has kept more than was known: expected {of} jobs to end, "
                f"found {count}"
            )

    def _place(self, job: Job) -> int:
        return (self._fetcher << KEY_BITS) + job.key

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


def runs_of(numbers: Iterable[int]) -> list[Run]:
    """The first and last of each run of numbers that follow one another.

    A statement for a run costs what one for a row does.
    """
    ordered = sorted(set(numbers))
    if not ordered:
        return []
    first = last = ordered[0]
    if ordered[-1] - first < len(ordered):  # most often it is one
        return [(first, ordered[-1])]
    runs: list[Run] = []
    for each in ordered:
        if each > last + 1:
            runs.append((first, last))
            first = each
        last = each
    return [*runs, (first, last)]


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


def _leased_now(lease: JobLeased) -> tuple[str, int, str]:
    return ("leased", lease.job.attempt, lease.process.name)
