"""Looking into a journal in PostgreSQL, whether or not a system leads."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from actors.journal.file import JournalDamagedError, JournalMissingError
from actors.journal.journal import JournalError
from actors.journal.postgres_database import Database, JournalUrl
from actors.journal.view import JournalView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: How long an answer may take, in seconds: a person waits for it.
ANSWER_S = 10.0


class PostgresView(JournalView):
    """Reads a journal; changes nothing in it."""

    by_id = "job.id_hash = md5(?)::uuid"
    no_limit = None

    def __init__(self, journal: str) -> None:
        """Connect.

        Raises:
            JournalDamagedError: There is no journal, it is somebody else's, or it
                does not answer.
        """
        self._shown = JournalUrl.of(journal).shown
        try:
            self._database = Database(JournalUrl.of(journal).url, within_s=ANSWER_S)
            reason = self._database.foreign_owner()
            [there] = self._database.execute(
                "SELECT to_regclass('lowtide.layout') IS NOT NULL"
            ).fetchone()
        except JournalError as error:
            raise self._unreadable(error) from error
        if reason is not None:
            self._database.close()
            raise JournalDamagedError(
                f"the journal {self._shown} cannot be read: {reason}"
            )
        if not there:
            self._database.close()
            raise JournalMissingError(f"there is no journal {self._shown}")

    def close(self) -> None:
        """Let go of the connection."""
        self._database.close()

    def highest_id(self) -> int:
        """The highest of the sources' own ids that are numbers; 0 if there is none."""
        [row] = self._query(
            "SELECT max(id::numeric) AS highest FROM job "
            "WHERE own_id = 1 AND id ~ '^[0-9]+$'",
            (),
        )
        return int(row["highest"] or 0)

    def last_end(self) -> int:
        """The number of the latest end that is kept."""
        [row] = self._query("SELECT coalesce(max(seq), 0) AS last FROM ended", ())
        return int(row["last"])

    def totals(self) -> dict[int, int]:
        """How many jobs of each fetcher have ended, by its number."""
        rows = self._query("SELECT number, done + dropped AS total FROM fetcher", ())
        return {row["number"]: row["total"] for row in rows}

    def last_end_of(self, number: int) -> int:
        """The number of a fetcher's latest end that is kept; 0 if there is none."""
        if not self._has("ended"):  # of a layout before
            return 0
        rows = self._query(
            "SELECT seq FROM ended WHERE fetcher = ? ORDER BY seq DESC LIMIT 1",
            (number,),
        )
        return int(rows[0]["seq"]) if rows else 0

    def ended_since(self, number: int, seq: int) -> tuple[int, int]:
        """How many of a fetcher's jobs have ended, and are kept after an end."""
        [row] = self._query(
            "SELECT done + dropped AS total, (SELECT count(*) FROM ended "
            "WHERE ended.fetcher = number AND seq > ?) AS there "
            "FROM fetcher WHERE number = ?",
            (seq, number),
        )
        return int(row["total"]), int(row["there"])

    def ended_of(self, number: int, seq: int, limit: int) -> list[dict[str, Any]]:
        """A fetcher's jobs that ended after an end, in order."""
        condition = "ended.fetcher = ? AND seq > ?"
        return self._ended(condition, (number, seq), limit)

    def written(self) -> str:
        """Up to where the server has written what can be seen now."""
        [row] = self._query("SELECT pg_current_wal_insert_lsn()::text AS at", ())
        return str(row["at"])

    def is_synced(self, written: str) -> bool:
        """Whether that is on the server's disk."""
        query = "SELECT pg_current_wal_flush_lsn() >= ?::pg_lsn AS synced"
        [row] = self._query(query, (written,))
        return bool(row["synced"])

    def _has_stretches(self) -> bool:
        return False  # each job has a row of its own

    @contextlib.contextmanager
    def _one_moment(self) -> Iterator[None]:
        yield  # for the same reason one query finds it

    def _has(self, table: str) -> bool:
        query = "SELECT to_regclass(?) IS NOT NULL AS there"
        [row] = self._query(query, (f"lowtide.{table}",))
        return bool(row["there"])

    def _query(self, query: str, values: tuple[Any, ...]) -> list[Mapping[str, Any]]:
        try:
            return self._database.rows(query, values)
        except JournalError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: JournalError) -> JournalDamagedError:
        return JournalDamagedError(f"the journal {self._shown} cannot be read: {error}")


def problem(journal: str) -> str | None:
    """What will keep its fetchers from writing; None where nothing is seen."""
    try:
        database = Database(JournalUrl.of(journal).url, within_s=ANSWER_S)
        try:
            # A pool answers for a server that is gone, or takes no writes any more.
            with database.transaction():
                query = "SELECT current_setting('transaction_read_only')"
                [read_only] = database.execute(query).fetchone()
        finally:
            database.close()
    except JournalError as error:
        return f"the journal cannot be written: {error}"
    if read_only == "on":
        return "the journal cannot be written: PostgreSQL is read-only"
    return None
