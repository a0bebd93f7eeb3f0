"""A connection to PostgreSQL that answers or fails, within a time.

It is asked as SQLite is, with ``?`` for values. Every statement is part of a
transaction, and nothing of a session is relied on: a pool may give each transaction
another one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from actors.host import native
from actors.host.redaction import redact
from actors.journal.journal import JournalAwayError, JournalError
from actors.journal.postgres_schema import (
    FENCED,
    FOREIGN_OWNER,
    OVERTAKEN,
    SEARCH_PATH,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

#: How long a connection may take, in seconds, for each host that is named.
CONNECT_S = 3
#: How long a transaction may be without its end, in seconds. A network or a machine
#: that is gone is noticed within six; this is for a server that is there, and deaf.
WITHIN_S = 20.0

#: What libpq is told unless the URL says otherwise: to notice whoever is gone, and to
#: find the one of several hosts that takes writes.
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": CONNECT_S,
    "application_name": "lowtide",
    "client_encoding": "utf8",
    "target_session_attrs": "read-write",
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}

_MARK = "#lowtide:"
#: What is said of a leader that was followed.
NO_MORE = "another system leads: this one can write no more"
#: What a statement ends with that waited for a lock as long as it was to.
_LOCK_TIMEOUT = "55P03"


#: What every transaction begins with; of which the path is set before another word.
_HERE = f"pg_catalog.set_config('search_path', '{SEARCH_PATH}', true)"
_SHORTLY = (
    f"SELECT {_HERE}, "
    "pg_catalog.set_config('idle_in_transaction_session_timeout', '5s', true)"
)


class JournalUrl(NamedTuple):
    """Where a journal in PostgreSQL is, and as whom it is written.

    Attributes:
        url: As libpq has it, with a password perhaps.
        holder: Who leads; empty for who only reads.
        term: Since when.
    """

    url: str
    holder: str = ""
    term: int = 0

    @classmethod
    def of(cls, journal: str) -> JournalUrl:
        """Read what ``str`` has written, or a URL."""
        url, _, rest = journal.partition(_MARK)
        told = dict(parse_qsl(rest))
        return cls(url, told.get("holder", ""), int(told.get("term", 0)))

    def __str__(self) -> str:
        if not self.holder:
            return self.url
        leads = urlencode({"holder": self.holder, "term": self.term})
        return f"{self.url}{_MARK}{leads}"

    @property
    def shown(self) -> str:
        """The URL without its secrets."""
        return redact(self.url)


def is_postgres(journal: str) -> bool:
    """Whether this names a journal in PostgreSQL, not a file."""
    return journal.startswith(("postgresql://", "postgres://"))


def library() -> Any:
    """psycopg, which is an extra.

    Raises:
        JournalError: It is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415
    except ImportError as error:
        raise JournalError(
            "a journal in PostgreSQL needs psycopg, which is not installed: "
            "pip install 'lowtide[postgres]'"
        ) from error
    # What it logs of a connection that broke is told by the error as well.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    return psycopg


class Rows:
    """What a statement gave, all of it."""

    def __init__(self, cursor: Any) -> None:
        self._rows = iter(cursor.fetchall())
        self.names = [each.name for each in cursor.description]
        self.rowcount = cursor.rowcount

    def fetchone(self) -> Any:
        """The next row; None if there is none."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """The rest of them."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        yield from self._rows

    def close(self) -> None:
        """All is here already."""


class Database:
    """Asks and writes; whatever goes wrong is a ``JournalError``, and connects anew."""

    def __init__(self, url: str, within_s: float = WITHIN_S) -> None:
        self._url = url
        self._psycopg = library()
        self._within_s = within_s
        self._deadline = _Deadline(within_s)
        self._db: Any = None
        self._cursor: Any = None
        self._pipelined = False

    def close(self) -> None:
        """Let go of the connection."""
        self._deadline.end()
        self._drop()

    def connect(self) -> None:
        """Make sure that there is a connection.

        Raises:
            JournalError: There is no server that takes writes.
        """
        with self._told():
            self._connected()

    def go_on(self) -> None:
        """Give a transaction that does much as long again from now on."""
        if self._db is not None:
            self._deadline.begin(self._db)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Ask something; outside of ``transaction`` it may only read.

        Raises:
            JournalError: It cannot be answered.
        """
        if self._cursor is None:
            return self._read(sql, values)
        if self._pipelined:
            # Of its own: its answer is read where it is needed, or never.
            return self._db.execute(*_asked(sql, values))
        self._cursor.execute(*_asked(sql, values))
        return self._cursor if self._cursor.description is None else Rows(self._cursor)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Any:
        """Do the same with each of these; within ``transaction`` only."""
        if values := [plain(each) for each in rows]:
            self._cursor.executemany(_translated(sql), values)
        return self._cursor

    @contextlib.contextmanager
    def transaction(self, *, pipelined: bool = False) -> Iterator[None]:
        """Do all of it or nothing; an error may come once it is done all the same.

        Args:
            pipelined: No answer is needed before the end.

        Raises:
            JournalError: It is not done, or nobody knows.
        """
        with self._told():
            db = self._connected()
            with contextlib.ExitStack() as stack:
                if pipelined:
                    stack.enter_context(db.pipeline())
                self._cursor, self._pipelined = db.cursor(), pipelined
                try:
                    self._cursor.execute("BEGIN")
                    # Who is stopped or gone in the middle holds up nobody for long.
                    self._cursor.execute(_SHORTLY)
                    yield
                    self._cursor.execute("COMMIT")
                finally:
                    self._cursor, self._pipelined = None, False

    def foreign_owner(self) -> str | None:
        """What keeps the schema from being trusted; None if nothing does.

        Raises:
            JournalError: It cannot be answered.
        """
        if (row := self.execute(FOREIGN_OWNER).fetchone()) is None:
            return None
        return (
            f"its schema lowtide belongs to {row[0]}: expected one of this user's, "
            "or of a role that it is a member of (ALTER SCHEMA lowtide OWNER TO ...)"
        )

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Mapping[str, Any]]:
        """Ask something; each row by the names of its columns.

        Raises:
            JournalError: It cannot be answered.
        """
        read = self._read(sql, values)
        return [dict(zip(read.names, row, strict=True)) for row in read]

    def _read(self, sql: str, values: Sequence[Any]) -> Rows:
        with self._told():
            db = self._connected()
            with db.pipeline():
                db.execute("BEGIN READ ONLY")
                db.execute(f"SELECT {_HERE}")
                cursor = db.cursor()
                cursor.execute(*_asked(sql, values))
                db.execute("COMMIT")
            return Rows(cursor)

    def _connected(self) -> Any:
        if self._db is None:
            info = self._psycopg.conninfo.conninfo_to_dict(self._url)
            self._db = self._psycopg.connect(
                "",
                autocommit=True,
                prepare_threshold=None,  # a pool may give us another session
                **(_DEFAULTS | info),
            )
        self._deadline.begin(self._db)
        return self._db

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            late = self._deadline.passed
            self._drop()
            raise _told(error, self._within_s if late else None) from error
        except BaseException:
            # In the middle of something: its transaction ends with the connection.
            self._drop()
            raise
        finally:
            self._deadline.over()

    def _drop(self) -> None:
        db, self._db = self._db, None
        self._deadline.over()
        if db is not None:
            with contextlib.suppress(Exception):
                db.close()


class FencedError(JournalAwayError):
    """Another system leads: nothing more can be written."""


class OvertakenError(JournalAwayError):
    """Something was written that was not known of; it is looked at again."""


class LockedError(JournalAwayError):
    """Another session holds a lock for longer than was to be waited."""


def _told(error: Any, late_s: float | None) -> JournalError:
    if error.sqlstate == FENCED:
        return FencedError(NO_MORE)
    if error.sqlstate == OVERTAKEN:
        return OvertakenError("an earlier transaction came to its end only now")
    if late_s is not None:
        return JournalAwayError(f"PostgreSQL did not answer within {late_s:g} s")
    text = " ".join(str(error).split()) or type(error).__name__
    kind = LockedError if error.sqlstate == _LOCK_TIMEOUT else JournalAwayError
    return kind(f"PostgreSQL: {redact(text)}")


class _Deadline:
    """Ends a connection whose server is there, and says nothing."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._lock = native.allocate_lock()
        self._file = -1
        self._at: float | None = None
        self._watches = False
        self._ended = native.Signal()
        self.passed = False

    def begin(self, db: Any) -> None:
        """Give it time from now on."""
        with self._lock:
            self._file, self.passed = db.fileno(), False
            self._at = time.monotonic() + self._within_s
        if not self._watches:
            self._watches = True
            native.start(self._watch, "deadline")

    def over(self) -> None:
        """It has answered."""
        with self._lock:
            self._at = None

    def end(self) -> None:
        """Watch no more."""
        self._ended.give()

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            with self._lock:
                if self._at is None or time.monotonic() < self._at:
                    continue
                self._at, self.passed = None, True
                # Whoever waits for an answer reads its end now.
                with (
                    contextlib.suppress(OSError),
                    socket.socket(fileno=os.dup(self._file)) as line,
                ):
                    line.shutdown(socket.SHUT_RDWR)


@lru_cache(maxsize=500)
def _translated(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _asked(sql: str, values: Sequence[Any]) -> tuple[Any, ...]:
    # Without values it may be several statements.
    return (_translated(sql), plain(values)) if values else (sql,)


def plain(values: Sequence[Any]) -> list[Any]:
    """Make of values what the database can hold."""
    return [_value(each) for each in values]


def _value(value: Any) -> Any:
    if type(value) is bool:
        return int(value)
    if type(value) is str and not (value.isascii() and "\0" not in value):
        # What no text of PostgreSQL's can hold; what is JSON has none of it.
        return value.replace("\0", "\ufffd").encode(errors="replace").decode()
    return value
