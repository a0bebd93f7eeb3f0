"""What each fact about a job changes in the journal's file."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from actors.demand.job_events import (
    NOT_BEGUN,
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
    JobRouted,
    JobState,
    StateMoved,
)
from actors.journal.file import PAYLOAD

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable


#: A payload of so many bytes has a row of its own, see `journal_file`.
LARGE = 4096


class FactWriter:
    """Writes one fetcher's facts, within a transaction of its journal.

    Attributes:
        behind_s: By how much an earlier run's clock was ahead of this one's.
    """

    def __init__(
        self, db: sqlite3.Connection, fetcher: int, wall: Callable[[], float]
    ) -> None:
        self._db = db
        self._fetcher = fetcher
        self._wall = wall
        self.behind_s = 0.0

    def write(self, facts: Iterable[Fact]) -> None:
        """Write facts, in order; one statement for all that come together alike."""
        for kind, alike in groupby(facts, type):
            if (keep := _KEEP.get(kind)) is not None:
                keep(self, list(alike))

    def _fetched(self, facts: list[JobFetched]) -> None:
        now, number = self._wall(), self._fetcher
        # An id whose window is over may come again.
        self._db.executemany(
            "DELETE FROM job WHERE fetcher = ? AND own_id = 1 AND id = ?",
            [(number, _dumps(job.id)) for job, _ in facts if job.own_id],
        )
        large = [job for job, _ in facts if job.size >= LARGE]
        self._db.executemany(
            "INSERT OR REPLACE INTO large VALUES (?, ?, ?)",
            [(number, job.key, _dumps(job.payload)) for job in large],
        )
        self._db.executemany(
            "INSERT INTO job (fetcher, key, id, own_id, payload, route, state, "
            "fetched_at) VALUES (?, ?, ?, ?, ?, ?, 'ready', ?)",
            [
                (
                    *(number, job.key, _dumps(job.id), job.own_id),
                    None if job.size >= LARGE else _dumps(job.payload),
                    *(job.route, now),
                )
                for job, _ in facts
            ],
        )
        self._db.execute(
            "UPDATE fetcher SET fetched = fetched + ?, next_key = ? WHERE number = ?",
            (len(facts), facts[-1].job.key + 1, number),
        )

    def _routed(self, facts: list[JobRouted]) -> None:
        self._db.executemany(
            "UPDATE job SET route = ? WHERE fetcher = ? AND key = ?",
            [(job.route, self._fetcher, job.key) for (job,) in facts],
        )

    def _leased(self, facts: list[JobLeased]) -> None:
        number = self._fetcher
        self._db.executemany(
            "UPDATE job SET state = 'leased', attempt = ?, processor = ? "
            "WHERE fetcher = ? AND key = ?",
            [(job.attempt, process.name, number, job.key) for job, process in facts],
        )

    def _returned(self, facts: list[JobReturned]) -> None:
        for job, process, reason in facts:
            self._set(job, JobState.READY, forgiven=job.forgiven)
            if reason != NOT_BEGUN:
                self._tell(job, "returned", process.name, reason)

    def _done(self, facts: list[JobDone]) -> None:
        self._end([fact.job for fact in facts], JobState.DONE)

    def _dropped(self, facts: list[JobDropped]) -> None:
        self._end([fact.job for fact in facts], JobState.DROPPED)

    def _failed(self, facts: list[JobFailed]) -> None:
        for job, process, failure, retry_in_s in facts:
            wait = self._wall() + retry_in_s
            self._set(job, JobState.RETRYING, error=failure.error, not_before=wait)
            self._tell(job, "failed", process.name, failure.error, failure.trace)

    def _quarantined(self, facts: list[JobQuarantined]) -> None:
        for job, process, failure in facts:
            if job.size >= LARGE:
                self._db.execute(
                    f"UPDATE job SET payload = {PAYLOAD} "  # noqa: S608
                    "WHERE fetcher = ? AND key = ?",
                    (self._fetcher, job.key),
                )
                self._forget_large([job])
            name = process.name if process else None
            self._set(job, JobState.QUARANTINED, error=failure.error, processor=name)
            self._tell(job, "quarantined", name, failure.error, failure.trace)

    def _released(self, facts: list[JobReleased]) -> None:
        for (job,) in facts:
            self._set(job, JobState.READY, not_before=None, forgiven=job.forgiven)
            self._tell(job, "released", None, "")

    def _state_moved(self, facts: list[StateMoved]) -> None:
        self._db.execute(
            "INSERT INTO state VALUES (?, ?, ?) ON CONFLICT (fetcher) DO UPDATE "
            "SET value = excluded.value, at = excluded.at",
            (self._fetcher, facts[-1].text, self._wall()),
        )

    def _set(self, job: Job, state: JobState, **columns: Any) -> None:
        values = {"state": state.value, "attempt": job.attempt, "crashes": job.crashes}
        values |= columns
        names = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(
            f"UPDATE job SET {names} WHERE fetcher = ? AND key = ?",  # noqa: S608
            (*values.values(), self._fetcher, job.key),
        )

    def _end(self, jobs: list[Job], state: JobState) -> None:
        number, now = self._fetcher, self._wall()
        other = now + self.behind_s if self.behind_s else None
        self._forget_large(jobs)
        # A made-up id never comes again: nothing is to be remembered of it.
        self._db.executemany(
            "UPDATE job SET state = ?, attempt = ?, payload = NULL, ended_at = ?, "
            "not_before = ? WHERE fetcher = ? AND key = ?",
            [
                (state.value, job.attempt, now, other, number, job.key)
                for job in jobs
                if job.own_id
            ],
        )
        self._db.executemany(
            "DELETE FROM job WHERE fetcher = ? AND key = ?",
            [(number, job.key) for job in jobs if not job.own_id],
        )
        column = "done" if state is JobState.DONE else "dropped"
        self._db.execute(
            f"UPDATE fetcher SET {column} = {column} + ? WHERE number = ?",  # noqa: S608
            (len(jobs), number),
        )

    def _forget_large(self, jobs: Iterable[Job]) -> None:
        large = [job for job in jobs if job.size >= LARGE]
        self._db.executemany(
            "DELETE FROM large WHERE fetcher = ? AND key = ?",
            [(self._fetcher, job.key) for job in large],
        )

    def _tell(
        self, job: Job, event: str, processor: str | None, error: str, trace: str = ""
    ) -> None:
        self._db.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(self._fetcher, job.key, self._wall(), event, job.attempt),
                *(processor, error, trace),
            ),
        )


#: What keeps the facts of each type; the others change nothing in the file.
_KEEP: dict[type, Callable[[FactWriter, list[Any]], None]] = {
    JobFetched: FactWriter._fetched,  # noqa: SLF001
    JobRouted: FactWriter._routed,  # noqa: SLF001
    JobLeased: FactWriter._leased,  # noqa: SLF001
    JobReturned: FactWriter._returned,  # noqa: SLF001
    JobDone: FactWriter._done,  # noqa: SLF001
    JobFailed: FactWriter._failed,  # noqa: SLF001
    JobQuarantined: FactWriter._quarantined,  # noqa: SLF001
    JobReleased: FactWriter._released,  # noqa: SLF001
    JobDropped: FactWriter._dropped,  # noqa: SLF001
    StateMoved: FactWriter._state_moved,  # noqa: SLF001
}

_dumps = json.JSONEncoder().encode
