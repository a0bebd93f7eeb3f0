"""A journal moved to another store: a file or PostgreSQL, either way.

All of it or nothing: it is one transaction there, which ends only once what was
written has been read again and is what was read here.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import itertools
import operator
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from actors.journal.file import JournalDamagedError, connect
from actors.journal.journal import JournalError
from actors.journal.postgres_database import Database, JournalUrl, is_postgres, plain
from actors.journal.stores import claimed, is_there, look_into, shown
from actors.journal.stretches import STRETCHED, STRETCHED_JOB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: How many rows are read and written at a time.
PAGE = 200


class CopyError(Exception):
    """Nothing was copied."""


class Copied(NamedTuple):
    """What was.

    Attributes:
        jobs: Those that are known only by their ids among them.
        quarantined: Of the jobs.
        states: Of sources.
    """

    jobs: int
    quarantined: int
    states: int


class _Table(NamedTuple):
    """What is copied of a table.

    Attributes:
        order: Whole numbers, no two rows with the same.
        where: Which of its rows.
    """

    name: str
    columns: tuple[str, ...]
    order: tuple[str, ...]
    where: str = "TRUE"


_FETCHER = _Table(
    "fetcher",
    ("number", "name", "fetched", "done", "dropped", "next_key"),
    ("number",),
)
_JOB = _Table(
    "job",
    (
        *("fetcher", "key", "id", "own_id", "route", "state", "attempt", "forgiven"),
        *("crashes", "processor", "error", "fetched_at", "not_before", "ended_at"),
    ),
    ("fetcher", "key"),
)
_PAYLOAD = _Table("payload", ("place", "value"), ("place",))
_HISTORY = _Table(
    "history",
    (
        *("fetcher", "key", "at", "event", "attempt", "processor", "error"),
        "trace",
    ),
    ("rowid",),
)
_STATE = _Table("state", ("fetcher", "value", "at"), ("fetcher",))
_ENDED = _Table(
    "ended",
    (
        *("fetcher", "key", "id", "state", "attempt", "processor", "result", "error"),
        *("fetched_at", "ended_at", "duration_s", "bytes"),
    ),
    ("seq",),
    "fetcher > 0",
)
# What is small, without numbers, and not in every store: what one window of a rate
# limit holds, and what people changed, for who takes over.
_SMALL = (("sent", "fetcher, at, count"), ("changes", "value"))

_TABLES = (_FETCHER, _JOB, _PAYLOAD, _HISTORY, _STATE, _ENDED)


class _Store(Protocol):
    """A journal, its tables and their rows.

    Attributes:
        single: Where the rows of jobs are written, one for each job.
    """

    single: str

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read; all of it is here."""

    def rows(self, table: _Table) -> Iterator[list[tuple[Any, ...]]]:
        """A table's rows in their order, some at a time."""

    def write(self, sql: str, rows: list[list[Any]]) -> None:
        """Do the same with each row."""

    def fits(self, row: tuple[Any, ...]) -> list[Any]:
        """The row as it can be held."""

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """A transaction."""

    def check_ours(self) -> None:
        """Make sure that nobody else has written meanwhile."""

    def finish(self) -> None:
        """Do what remains once all rows are there."""

    def has(self, table: str) -> bool:
        """Whether it has one of the tables that not each store has."""

    def close(self) -> None:
        """Let go of it."""


class _File:
    single = "single"

    def __init__(self, name: str) -> None:
        self._db = connect(Path(name))

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(sql, values).fetchall()

    def rows(self, table: _Table) -> Iterator[list[tuple[Any, ...]]]:
        if table is _JOB:
            yield from self._jobs()
            return
        select = f"SELECT {', '.join(table.columns)} FROM {table.name} "  # noqa: S608
        select += f"WHERE {table.where}"
        order = ", ".join(table.order)
        with contextlib.closing(self._db.execute(f"{select} ORDER BY {order}")) as rows:
            while page := rows.fetchmany(PAGE):
                yield page

    def _jobs(self) -> Iterator[list[tuple[Any, ...]]]:
        # Both kinds of rows are in order where they are.
        columns = ", ".join(_JOB.columns)
        kinds = (
            f"SELECT {columns} FROM single ORDER BY fetcher, key",  # noqa: S608
            f"SELECT {STRETCHED_JOB} {STRETCHED} ORDER BY first, place",
        )
        with contextlib.ExitStack() as stack:
            read = [
                stack.enter_context(contextlib.closing(self._db.execute(*each)))
                for each in zip(kinds, ((), (-1, -1)), strict=True)
            ]
            rows = heapq.merge(*read, key=operator.itemgetter(0, 1))
            while page := [*itertools.islice(rows, PAGE)]:
                yield page

    def write(self, sql: str, rows: list[list[Any]]) -> None:
        self._db.executemany(sql, rows)

    def fits(self, row: tuple[Any, ...]) -> list[Any]:
        return list(row)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS sent (fetcher INTEGER NOT NULL, "
                "at REAL NOT NULL, count INTEGER NOT NULL)"
            )
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def check_ours(self) -> None:
        """Nobody can: the lock is held as long as the process lives."""

    def finish(self) -> None:
        """Nothing remains."""

    def has(self, table: str) -> bool:
        named = "SELECT 1 FROM sqlite_master WHERE name = ?"
        return bool(self.ask(named, (table,)))

    def close(self) -> None:
        self._db.close()


class _Postgres:
    single = "job"

    def __init__(self, name: str) -> None:
        self._place = JournalUrl.of(name)
        self._db = Database(self._place.url)

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._db.go_on()
        return list(self._db.execute(sql, values).fetchall())

    def rows(self, table: _Table) -> Iterator[list[tuple[Any, ...]]]:
        order = ", ".join(table.order)
        asked = ", ".join("?" for _ in table.order)
        select = f"SELECT {order}, {', '.join(table.columns)} FROM {table.name}"  # noqa: S608
        end = f"AND {table.where} ORDER BY {order} LIMIT {PAGE}"
        after: tuple[Any, ...] = (-1,) * len(table.order)
        while rows := self.ask(f"{select} WHERE ({order}) > ({asked}) {end}", after):
            yield [row[len(table.order) :] for row in rows]
            after = rows[-1][: len(table.order)]

    def write(self, sql: str, rows: list[list[Any]]) -> None:
        self._db.go_on()
        self._db.executemany(sql, rows)

    def fits(self, row: tuple[Any, ...]) -> list[Any]:
        return plain(row)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        with self._db.transaction():
            self._begin()
            yield
            self._db.go_on()

    def check_ours(self) -> None:
        with self._db.transaction():
            self._begin()

    def _begin(self) -> None:
        self._db.execute(
            "SELECT lowtide.begin(?, ?, true, NULL, 0, 0)",
            (self._place.holder, self._place.term),
        )

    def finish(self) -> None:
        self.ask(
            "SELECT setval(pg_get_serial_sequence('lowtide.fetcher', 'number'), "
            "(SELECT max(number) FROM fetcher)) WHERE EXISTS (SELECT 1 FROM fetcher)"
        )

    def has(self, table: str) -> bool:
        return bool(table)

    def close(self) -> None:
        self._db.close()


def copy(source: str, target: str) -> Copied:
    """Copy a journal that no system has into one in which there is nothing.

    Args:
        source: A file or PostgreSQL's URL; a file of an earlier layout is brought to
            this one.
        target: Likewise; what is not there is made.

    Raises:
        CopyError: It is not empty, or something else than what was read is in it.
        JournalInUseError: A system has one of them.
        JournalDamagedError: One of them cannot be used.
    """
    if not is_there(source):
        raise JournalDamagedError(f"there is no journal {source}")
    if _are_one(source, target):
        raise CopyError("FROM and TO are one journal; expected two")
    # Before anything is made: a database without a journal stays without one.
    look_into(source).close()
    with claimed(source) as from_name, claimed(target) as to_name:
        try:
            with (
                contextlib.closing(_opened(from_name)) as reads,
                contextlib.closing(_opened(to_name)) as writes,
            ):
                return _copy(reads, writes, shown(target))
        except (JournalError, sqlite3.Error, OSError) as error:
            raise CopyError(
                f"{shown(source)} is not copied to {shown(target)}: {error}"
            ) from error


def _are_one(source: str, target: str) -> bool:
    if is_postgres(source) or is_postgres(target):
        return source == target
    return os.path.realpath(source) == os.path.realpath(target)


def _opened(name: str) -> _Store:
    return _Postgres(name) if is_postgres(name) else _File(name)


def _copy(reads: _Store, writes: _Store, about: str) -> Copied:
    with writes.writing():
        if writes.ask("SELECT 1 FROM fetcher LIMIT 1"):
            raise CopyError(
                f"{about} is not empty: expected a journal in which no fetcher ever "
                "was, or the name of a new one. Nothing was changed in it"
            )
        small = _both_have(reads, writes)
        read = [_copy_table(reads, writes, table) for table in _TABLES]
        read += [_copy_small(reads, writes, *each) for each in small]
        writes.finish()
        written = [_digest(writes, table) for table in _TABLES]
        written += [_digest_small(writes, *each) for each in small]
        names = [*(table.name for table in _TABLES), *(name for name, _ in small)]
        for name, here, there in zip(names, read, written, strict=True):
            if here != there:
                raise CopyError(
                    f"{about} does not hold what was read: expected {_said(here)} of "
                    f"{name}, found {_said(there)}. Nothing was changed in it"
                )
        [[jobs]] = writes.ask("SELECT count(*) FROM job")
        [[quarantined]] = writes.ask(
            "SELECT count(*) FROM job WHERE state = 'quarantined'"
        )
        [[states]] = writes.ask("SELECT count(*) FROM state")
        reads.check_ours()
    return Copied(jobs, quarantined, states)


def _said(sum_: tuple[int, str]) -> str:
    return f"{sum_[0]} rows ({sum_[1][:12]})"


class _Sum:
    """The count of rows and their digest, in their order."""

    def __init__(self) -> None:
        self._count = 0
        self._digest = hashlib.sha256()

    def add(self, rows: list[list[Any]]) -> None:
        self._count += len(rows)
        for row in rows:
            self._digest.update(repr(row).encode())

    def result(self) -> tuple[int, str]:
        return self._count, self._digest.hexdigest()


def _insert(name: str, columns: tuple[str, ...]) -> str:
    values = ", ".join("?" for _ in columns)
    return f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608


def _copy_table(reads: _Store, writes: _Store, table: _Table) -> tuple[int, str]:
    sum_ = _Sum()
    insert = _insert(writes.single if table is _JOB else table.name, table.columns)
    for page in reads.rows(table):
        rows = [writes.fits(row) for row in page]
        writes.write(insert, rows)
        sum_.add(rows)
    return sum_.result()


def _digest(store: _Store, table: _Table) -> tuple[int, str]:
    sum_ = _Sum()
    for page in store.rows(table):
        sum_.add([list(row) for row in page])
    return sum_.result()


def _both_have(reads: _Store, writes: _Store) -> list[tuple[str, str]]:
    return [each for each in _SMALL if reads.has(each[0]) and writes.has(each[0])]


def _copy_small(
    reads: _Store, writes: _Store, name: str, columns: str
) -> tuple[int, str]:
    rows = reads.ask(_select_small(name, columns))
    writes.write(f"DELETE FROM {name}", [[]])  # noqa: S608
    writes.write(_insert(name, tuple(columns.split(", "))), [list(row) for row in rows])
    return _digest_of(rows)


def _digest_small(store: _Store, name: str, columns: str) -> tuple[int, str]:
    return _digest_of(store.ask(_select_small(name, columns)))


def _select_small(name: str, columns: str) -> str:
    return f"SELECT {columns} FROM {name} ORDER BY {columns}"  # noqa: S608


def _digest_of(rows: list[tuple[Any, ...]]) -> tuple[int, str]:
    sum_ = _Sum()
    sum_.add([list(row) for row in rows])
    return sum_.result()
