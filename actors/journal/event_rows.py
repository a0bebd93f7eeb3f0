"""What each event about a job changes in the journal's file."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from actors.demand.job import Job, JobState
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
    StateMoved,
)
from actors.journal.file import PAYLOAD

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable


#: A payload of so many bytes has a row of its own, see `file`.
LARGE = 4096


class JobEventWriter:
    """Writes one fetcher's events, within a transaction of its journal.

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

    def write(self, events: Iterable[JobEvent]) -> None:
        """Write events, in order; one statement for all that come together alike."""
        for kind, alike in groupby(events, type):
            if (keep := _KEEP.get(kind)) is not None:
                keep(self, list(alike))

    def _fetched(self, events: list[JobFetched]) -> None:
        now, number = self._wall(), self._fetcher
        # An id whose window is over may come again.
        self._db.executemany(
            "DELETE FROM job WHERE fetcher = ? AND own_id = 1 AND id = ?",
            [(number, _dumps(job.id)) for job, _ in events if job.own_id],
        )
        large = [job for job, _ in events if job.size >= LARGE]
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
                for job, _ in events
            ],
        )
        self._db.execute(
            "UPDATE fetcher SET fetched = fetched + ?, next_key = ? WHERE number = ?",
            (len(events), events[-1].job.key + 1, number),
        )

    def _routed(self, events: list[JobRouted]) -> None:
        self._db.executemany(
            "UPDATE job SET route = ? WHERE fetcher = ? AND key = ?",
            [(job.route, self._fetcher, job.key) for (job,) in events],
        )

    def _leased(self, events: list[JobLeased]) -> None:
        number = self._fetcher
        self._db.executemany(
            "UPDATE job SET state = 'leased', attempt = ?, processor = ? "
            "WHERE fetcher = ? AND key = ?",
            [(job.attempt, process.name, number, job.key) for job, process in events],
        )

    def _returned(self, events: list[JobReturned]) -> None:
        for job, process, reason in events:
            self._set(job, JobState.READY, forgiven=job.forgiven)
            if reason != NOT_BEGUN:
                self._tell(job, "returned", process.name, reason)

    def _done(self, events: list[JobDone]) -> None:
        self._end([event.job for event in events], JobState.DONE)

    def _dropped(self, events: list[JobDropped]) -> None:
        self._end([event.job for event in events], JobState.DROPPED)

    def _failed(self, events: list[JobFailed]) -> None:
        for job, process, failure, retry_in_s in events:
            wait = self._wall() + retry_in_s
            self._set(job, JobState.RETRYING, error=failure.error, not_before=wait)
            self._tell(job, "failed", process.name, failure.error, failure.trace)

    def _quarantined(self, events: list[JobQuarantined]) -> None:
        for job, process, failure in events:
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
}

_dumps = json.JSONEncoder().encode
