"""Looking into a journal from outside, whether or not its system runs."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from actors.demand.job import named_by
from actors.demand.source_state import NO_STATE
from actors.journal.file import LIVE, PAYLOAD, PAYLOAD_OF_3, JournalDamagedError, look
from actors.journal.stretches import KEY_BITS, STRETCHED, STRETCHED_ID
from actors.journal.times import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from actors.demand.job import JobId

#: The number of a job's fetcher, and its key.
_Place: TypeAlias = tuple[int, int]

_COLUMNS = (
    "fetcher.number, fetcher.name AS fetcher, job.key, job.id, {} AS payload, state, "
    "attempt, crashes, processor, error, fetched_at, not_before, ended_at"
)

#: The same of jobs in stretches.
_STRETCHED = (
    "SELECT fetcher.number, fetcher.name AS fetcher, place & 0xffffffffff AS key, "
    f"{STRETCHED_ID} AS id, value AS payload, state, attempt, 0 AS crashes, processor, "
    "NULL AS error, fetched_at, NULL AS not_before, NULL AS ended_at "
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
            f"SELECT max(CAST(id AS INTEGER)) AS highest FROM {self._single()} "  # noqa: S608
            "WHERE own_id = 1 AND id GLOB '[0-9]*'",
            (),
        )
        return int(row["highest"] or 0)

    def left(self) -> dict[str, int]:
        """How many jobs have not come to their end, by fetcher's name."""
        with self._one_moment():
            rows = self._counts()
        left: Counter[str] = Counter()
        for row in rows:
            left[row["name"]] += row["count"]
        return dict(left)

    def _counts(self) -> list[Mapping[str, Any]]:
        rows = [
            *self._query(
                "SELECT name, count(*) AS count "  # noqa: S608 - our own words only
                f"FROM {self._single()} JOIN fetcher ON number = fetcher "
                f"WHERE state IN {LIVE} GROUP BY name",
                (),
            )
        ]
        if self._has_stretches():
            rows += self._query(
                "SELECT name, sum(last - first + 1) AS count FROM stretch "
                "JOIN fetcher ON number = first >> 40 GROUP BY name",
                (),
            )
        return rows

    def jobs(
        self, state: str | None, limit: int, fetcher: str | None = None
    ) -> list[dict[str, Any]]:
        """Jobs, oldest first; of one state, or of each but ``done``.

        Args:
            state: Which, if it is one.
            limit: How many at the most; below 0 for all.
            fetcher: Whose; of all if it is None.
        """
        return [job for _, job in self._held(state, fetcher, (0, 0), limit)]

    def find(self, job_id: str, fetcher: str | None = None) -> list[dict[str, Any]]:
        """The jobs of an id, as it is typed: of several fetchers, perhaps."""
        for meant in named_by(job_id):
            whose = ""
            values: tuple[Any, ...] = (json.dumps(meant),)
            if fetcher is not None:
                whose = " AND fetcher.name = ?"
                values += (fetcher,)
            with self._one_moment():
                jobs = self._jobs(self.by_id + whose, values, 100)
                found = [job for _, job in jobs]
                found += self._stretched_of(meant, fetcher)
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
        while found := self._held(state, fetcher, after, _AT_ONCE):
            yield from (job for _, job in found)
            after = found[-1][0]

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
        if self._has_stretches():
            query = "SELECT coalesce(max(seq), 0) AS seq FROM ended"
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

    def _held(
        self, state: str | None, fetcher: str | None, after: _Place, limit: int
    ) -> list[tuple[_Place, dict[str, Any]]]:
        condition = "state = ?" if state else "state NOT IN ('done', ?)"
        values: tuple[Any, ...] = (state or "dropped",)
        if fetcher is not None:
            condition += " AND fetcher.name = ?"
            values += (fetcher,)
        more = condition, values
        condition += " AND (job.fetcher, job.key) > (?, ?)"
        with self._one_moment():
            found = self._jobs(condition, (*values, *after), limit)
            if not self._has_stretches():
                return found
            found += self._stretched(*more, after, limit)
        # Each of these is in order.
        found.sort(key=itemgetter(0))
        return found[:limit] if limit >= 0 else found

    def _jobs(
        self, condition: str, values: tuple[Any, ...], limit: int
    ) -> list[tuple[_Place, dict[str, Any]]]:
        if self._has("payload"):
            payload = PAYLOAD
        else:  # of a layout before
            payload = PAYLOAD_OF_3 if self._has("large") else "payload"
        columns = _COLUMNS.format(payload)
        rows = self._query(
            f"SELECT {columns} FROM {self._single()} "  # noqa: S608 - our own words only
            "JOIN fetcher ON fetcher.number = job.fetcher "
            f"WHERE {condition} ORDER BY job.fetcher, job.key LIMIT ?",
            (*values, self.no_limit if limit < 0 else limit),
        )
        return [_placed(row) for row in rows]

    def _stretched(
        self, condition: str, values: tuple[Any, ...], after: _Place, limit: int
    ) -> list[tuple[_Place, dict[str, Any]]]:
        place = (after[0] << KEY_BITS) + after[1]
        rows = self._query(
            f"{_STRETCHED} {STRETCHED} AND {condition} ORDER BY first, place LIMIT ?",
            (place, place, *values, limit),
        )
        return [_placed(row) for row in rows]

    def _stretched_of(self, job_id: JobId, fetcher: str | None) -> list[dict[str, Any]]:
        named = re.fullmatch(r"#([1-9][0-9]{0,11})", str(job_id), re.ASCII)
        if named is None or not self._has_stretches():
            return []
        key = int(named[1])
        rows = self._query(
            f"{_STRETCHED} FROM fetcher CROSS JOIN stretch "  # noqa: S608
            "ON last >= (number << 40) + ? AND first = (SELECT max(first) FROM stretch "
            "WHERE first <= (number << 40) + ?) "
            "CROSS JOIN payload ON place = (number << 40) + ? "
            "WHERE ? IS NULL OR fetcher.name = ? ORDER BY number",
            (key, key, key, fetcher, fetcher),
        )
        return [_placed(row)[1] for row in rows]

    def _single(self) -> str:
        return "single AS job" if self._has_stretches() else "job"

    def _has_stretches(self) -> bool:
        return self._has("stretch")

    @contextlib.contextmanager
    def _one_moment(self) -> Iterator[None]:
        """Have all that is asked seen as it is at one moment.

        A job that leaves its stretch meanwhile would be found in neither table.
        """
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

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


def _placed(row: Mapping[str, Any]) -> tuple[_Place, dict[str, Any]]:
    job = _job(row)
    return (job.pop("number"), job["key"]), job


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
