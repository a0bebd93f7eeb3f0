"""Looking into a journal from outside, whether or not its system runs."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

from actors.demand.job import named_by
from actors.demand.source_state import NO_STATE
from actors.journal.file import LIVE, PAYLOAD, PAYLOAD_OF_3, JournalDamagedError, look
from actors.journal.times import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_COLUMNS = (
    "fetcher.name AS fetcher, job.key, job.id, {} AS payload, state, attempt, "
    "crashes, processor, error, fetched_at, not_before, ended_at"
)


#: What a job that is kept has of its own; what has not ended has none of it.
_ENDED_COLUMNS = (
    "ended.seq, fetcher.name AS fetcher, ended.key, ended.id, value AS payload, "
    "result, state, attempt, processor, error, fetched_at, ended_at, duration_s"
)
#: How many are read at a time: nobody who reads keeps the log from being cleared.
_AT_ONCE = 500


class JournalView:
    """Reads a journal; changes nothing in it."""

    #: Finds the jobs of an id that is given as JSON.
    by_id = "job.id = ?"
    #: Stands for all there are.
    no_limit: int | None = -1

    def __init__(self, path: Path, *, stays: bool = False) -> None:
        """Open the file.

        Args:
            path: Where it is.
            stays: It is read for as long as its system runs, and perhaps longer.

        Raises:
            JournalDamagedError: It is not there, or is no journal.
        """
        if not path.exists():
            raise JournalDamagedError(f"there is no journal {path}")
        self._path = path
        self._db = look(path, stays=stays)
        self._db.row_factory = sqlite3.Row

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def highest_id(self) -> int:
        """The highest of the sources' own ids that are numbers; 0 if there is none."""
        [row] = self._query(
            "SELECT max(CAST(id AS INTEGER)) AS highest FROM job "
            "WHERE own_id = 1 AND id GLOB '[0-9]*'",
            (),
        )
        return int(row["highest"] or 0)

    def left(self) -> dict[str, int]:
        """How many jobs have not come to their end, by fetcher's name."""
        rows = self._query(
            "SELECT name, count(*) AS count FROM job JOIN fetcher ON number = fetcher "  # noqa: S608
            f"WHERE state IN {LIVE} GROUP BY name",
            (),
        )
        return {row["name"]: row["count"] for row in rows}

    def jobs(
        self, state: str | None, limit: int, fetcher: str | None = None
    ) -> list[dict[str, Any]]:
        """Jobs, oldest first; of one state, or of each but ``done``.

        Args:
            state: Which, if it is one.
            limit: How many at the most; below 0 for all.
            fetcher: Whose; of all if it is None.
        """
        condition = "state = ?" if state else "state NOT IN ('done', ?)"
        values: tuple[Any, ...] = (state or "dropped",)
        if fetcher is not None:
            condition += " AND fetcher.name = ?"
            values += (fetcher,)
        return self._jobs(condition, values, limit)

    def find(self, job_id: str, fetcher: str | None = None) -> list[dict[str, Any]]:
        """The jobs of an id, as it is typed: of several fetchers, perhaps."""
        for meant in named_by(job_id):
            whose = ""
            values: tuple[Any, ...] = (json.dumps(meant),)
            if fetcher is not None:
                whose = " AND fetcher.name = ?"
                values += (fetcher,)
            found = self._jobs(self.by_id + whose, values, 100)
            kept = self._ended("ended.id = ?" + whose, values, 100)
            # One whose id is known has a row in both, as long as it is kept.
            known = {(each["fetcher"], each["key"]) for each in kept}
            found = [
                each for each in found if (each["fetcher"], each["key"]) not in known
            ]
            if found or kept:
                return found + kept
        return []

    def held(self, state: str | None, fetcher: str | None) -> Iterator[dict[str, Any]]:
        """Jobs that have not ended, oldest first; of one state, or of each."""
        after = (0, 0)
        condition = "state = ?" if state else "state NOT IN ('done', ?)"
        values: tuple[Any, ...] = (state or "dropped",)
        if fetcher is not None:
            condition += " AND fetcher.name = ?"
            values += (fetcher,)
        condition += " AND (job.fetcher, job.key) > (?, ?)"
        while jobs := self._jobs(condition, (*values, *after), _AT_ONCE):
            yield from jobs
            [row] = self._query(
                "SELECT number FROM fetcher WHERE name = ?", (jobs[-1]["fetcher"],)
            )
            after = (row["number"], jobs[-1]["key"])

    def ended(
        self,
        state: str | None,
        fetcher: str | None,
        since: float | None = None,
        *,
        last_first: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Jobs that have ended and are kept, in the order of their ends."""
        pages = self.ended_pages(state, fetcher, since, last_first=last_first)
        for found, _ in pages:
            yield from found

    def ended_pages(
        self,
        state: str | None,
        fetcher: str | None,
        since: float | None = None,
        *,
        last_first: bool = False,
        beyond: int | None = None,
    ) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """The same, a few hundred ends at a time.

        Args:
            state: Of which, ``done`` or ``dropped``; of both if it is None.
            fetcher: Whose; of all if it is None.
            since: Those that ended since then, by the wall clock.
            last_first: The other way round.
            beyond: Behind this end, if not from the first.

        Yields:
            What is found among a few hundred ends, perhaps nothing, and the last
            of these: nobody waits for all that are kept to be read through.
        """
        condition = "TRUE"
        values: tuple[Any, ...] = ()
        for column, value in (("state = ?", state), ("fetcher.name = ?", fetcher)):
            if value is not None:
                condition += f" AND {column}"
                values = (*values, value)
        if since is not None:
            condition += " AND ended_at >= ?"
            values = (*values, since)
        way, back, order = ("<", ">=", "DESC") if last_first else (">", "<=", "ASC")
        at = beyond if beyond is not None else 1 << 62 if last_first else -1
        condition += f" AND seq {way} ? AND seq {back} ?"
        while ends := self._ends(at, way, order):
            found = self._ended(condition, (*values, at, ends[-1]), _AT_ONCE, order)
            yield found, ends[-1]
            at = ends[-1]

    def _ends(self, at: int, way: str, order: str) -> list[int]:
        if not self._has("ended"):  # of a layout before
            return []
        rows = self._query(
            f"SELECT seq FROM ended WHERE seq {way} ? ORDER BY seq {order} LIMIT ?",  # noqa: S608 - our own words only
            (at, _AT_ONCE),
        )
        return [row["seq"] for row in rows]

    def last_end(self) -> int:
        """The number of the latest end that there ever was."""
        if not self._has("ended"):  # of a layout before
            return 0
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'ended'"
        rows = self._query(query, ())
        return int(rows[0]["seq"]) if rows else 0

    def ended_after(self, seq: int, limit: int) -> list[dict[str, Any]]:
        """Jobs that ended after an end, in order."""
        return self._ended("seq > ?", (seq,), limit)

    def history(self, fetcher: str, key: int) -> list[dict[str, Any]]:
        """What happened to a job beside its being done, oldest first."""
        rows = self._query(
            "SELECT at, event, attempt, processor, history.error, trace FROM history "
            "JOIN fetcher ON fetcher.number = history.fetcher "
            "WHERE fetcher.name = ? AND key = ? ORDER BY history.rowid",
            (fetcher, key),
        )
        return [dict(row) | {"at": _moment(row["at"])} for row in rows]

    def states(self) -> dict[str, tuple[str, float | None]]:
        """What each fetcher's source told last, JSON, and when; by fetcher's name."""
        if not self._has("state"):  # of the layout before
            rows = self._query("SELECT name FROM fetcher ORDER BY name", ())
            return {row["name"]: (NO_STATE, None) for row in rows}
        rows = self._query(
            "SELECT name, value, at FROM fetcher "
            "LEFT JOIN state ON fetcher = number ORDER BY name",
            (),
        )
        return {row["name"]: (row["value"] or NO_STATE, row["at"]) for row in rows}

    def _jobs(
        self, condition: str, values: tuple[Any, ...], limit: int
    ) -> list[dict[str, Any]]:
        if self._has("payload"):
            payload = PAYLOAD
        else:  # of a layout before
            payload = PAYLOAD_OF_3 if self._has("large") else "payload"
        columns = _COLUMNS.format(payload)
        rows = self._query(
            f"SELECT {columns} FROM job "  # noqa: S608 - our own words only
            "JOIN fetcher ON fetcher.number = job.fetcher "
            f"WHERE {condition} ORDER BY job.fetcher, job.key LIMIT ?",
            (*values, self.no_limit if limit < 0 else limit),
        )
        return [_job(row) for row in rows]

    def _ended(
        self, condition: str, values: tuple[Any, ...], limit: int, order: str = "ASC"
    ) -> list[dict[str, Any]]:
        if not self._has("ended"):  # of a layout before
            return []
        rows = self._query(
            f"SELECT {_ENDED_COLUMNS} FROM ended "  # noqa: S608 - our own words only
            "JOIN fetcher ON fetcher.number = ended.fetcher LEFT JOIN payload "
            "ON place = (ended.fetcher << 40) + ended.key "
            f"WHERE {condition} ORDER BY seq {order} LIMIT ?",
            (*values, limit),
        )
        return [_job(row) for row in rows]

    def _has(self, table: str) -> bool:
        named = self._query("SELECT 1 FROM sqlite_master WHERE name = ?", (table,))
        return bool(named)

    def _query(
        self, query: str, values: tuple[Any, ...]
    ) -> Sequence[Mapping[str, Any]]:
        with contextlib.closing(self._db.cursor()) as cursor:
            try:
                return cursor.execute(query, values).fetchall()
            except sqlite3.DatabaseError as error:
                raise JournalDamagedError(
                    f"the journal {self._path} cannot be read: {error}"
                ) from error


def _job(row: Mapping[str, Any]) -> dict[str, Any]:
    job = dict(row)
    job["id"] = json.loads(job["id"])
    for name in ("payload", "result"):
        job[name] = json.loads(job[name]) if job.get(name) else None
    for name in ("fetched_at", "not_before", "ended_at"):
        job[name] = _moment(job.get(name))
    if job["ended_at"]:
        job["not_before"] = None  # by then it has another meaning: the journal's own
    return job


def _moment(wall: float | None) -> str | None:
    if wall is None:
        return None
    return moment(wall)
