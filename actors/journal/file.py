"""The journal's file as a whole: made, checked, locked, opened."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from actors.host import file_lock, forks
from actors.host.file_lock import described, holder_of
from actors.host.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator


#: Of the file's layout; another one is refused.
SCHEMA_VERSION = 6

#: How long to wait for another fetcher's commit, in seconds.
BUSY_S = 10.0

LIVE = ("ready", "leased", "retrying")

_STATE = """
-- What a source with a state told last, apart from its row in fetcher, which is
-- written with each job.
CREATE TABLE state (
    fetcher     INTEGER PRIMARY KEY REFERENCES fetcher,
    value       TEXT NOT NULL,     -- JSON
    at          REAL NOT NULL
);
"""

#: Jobs that have a row of their own: each whose id is the source's, and each to which
#: something happened. With 5 and those before it was all of them, in a table ``job``.
_SINGLE = """
CREATE TABLE {name} (
    fetcher     INTEGER NOT NULL REFERENCES fetcher,
    key         INTEGER NOT NULL,
    id          TEXT NOT NULL,     -- JSON
    own_id      INTEGER NOT NULL,  -- 1: the source's, 0: made up
    route       TEXT NOT NULL DEFAULT '',  -- where it is to go
    state       TEXT NOT NULL,
    attempt     INTEGER NOT NULL DEFAULT 0,
    forgiven    INTEGER NOT NULL DEFAULT 0,  -- attempts that do not count
    crashes     INTEGER NOT NULL DEFAULT 0,
    processor   TEXT,
    error       TEXT,
    fetched_at  REAL NOT NULL,     -- wall clock, as all times here
    not_before  REAL,
    ended_at    REAL,
    PRIMARY KEY (fetcher, key)
) WITHOUT ROWID;
"""

_PAYLOAD = """
-- Payloads of jobs that are not at their end, or kept since. A row of single is written
-- anew as a whole with each change of the job: here it is written once. Not WITHOUT
-- ROWID, as what is over a quarter of a page would have pages of its own then.
CREATE TABLE payload (
    place       INTEGER PRIMARY KEY,  -- the number of job's fetcher * 2^40 + job's key
    value       TEXT NOT NULL         -- JSON
);
"""

#: A page of jobs is a row or a few of these, not a thousand.
_STRETCH = """
-- Jobs whose keys follow one another, ready or leased, alike in all but their payloads,
-- to which nothing else happened: their ids are '"#KEY"', they have no route, no error,
-- no wait, no attempt that does not count. No two rows have a job in common, no job is
-- in single as well, and each has its row in payload.
CREATE TABLE stretch (
    first       INTEGER PRIMARY KEY,  -- the first job's place in payload
    last        INTEGER NOT NULL,     -- the last one's
    state       TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    processor   TEXT,
    fetched_at  REAL NOT NULL
);
-- Every job that has not ended or is known by its id, in no order: for who asks about
-- few. Who wants them in order asks for either kind of row.
CREATE VIEW job AS
    SELECT fetcher, key, id, own_id, route, state, attempt, forgiven, crashes,
        processor, error, fetched_at, not_before, ended_at
    FROM single
    UNION ALL
    SELECT place >> 40, place & 0xffffffffff, '"#' || (place & 0xffffffffff) || '"', 0,
        '', state, attempt, 0, 0, processor, NULL, fetched_at, NULL, NULL
    FROM stretch CROSS JOIN payload ON place BETWEEN first AND last;
"""

#: Made when its rows are there: they cost less at once than one by one.
_JOB_INDEXES = """
-- Not of those that are ready or leased: each job is both, and an index costs
-- as much as the row. They are found in the order of their keys.
CREATE INDEX job_odd ON {name} (fetcher, state, key)
    WHERE state IN ('retrying', 'quarantined');
CREATE UNIQUE INDEX job_own_id ON {name} (fetcher, id) WHERE own_id = 1;
CREATE INDEX job_ended ON {name} (ended_at) WHERE ended_at IS NOT NULL;
"""

_HISTORY = """
CREATE TABLE history (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    fetcher     INTEGER NOT NULL,
    key         INTEGER NOT NULL,
    at          REAL NOT NULL,
    event       TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    processor   TEXT,
    error       TEXT,
    trace       TEXT
);
CREATE INDEX history_job ON history (fetcher, key);
"""

_ENDED = """
-- Jobs that have ended, for as long as they are kept, in the order of their ends. No
-- number is given twice, so that a reader knows how far it has come: of the newest row
-- the number stays as that of nobody, fetcher 0, when it is forgotten. (AUTOINCREMENT
-- would write one page more in each transaction.) Their payloads are in payload; there
-- is no index, which would cost as much as the row.
CREATE TABLE ended (
    seq         INTEGER PRIMARY KEY,
    fetcher     INTEGER NOT NULL,
    key         INTEGER NOT NULL,
    id          TEXT NOT NULL,     -- JSON
    state       TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    processor   TEXT,
    result      TEXT,              -- JSON
    error       TEXT,
    fetched_at  REAL NOT NULL,
    ended_at    REAL NOT NULL,
    duration_s  REAL,
    bytes       INTEGER NOT NULL
);
"""

#: A job's payload, as JSON; NULL where it has none any more.
PAYLOAD = (
    "(SELECT value FROM payload WHERE payload.place = (job.fetcher << 40) + job.key)"
)

SCHEMA = f"""
CREATE TABLE fetcher (
    number      INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    fetched     INTEGER NOT NULL DEFAULT 0,
    done        INTEGER NOT NULL DEFAULT 0,
    dropped     INTEGER NOT NULL DEFAULT 0,
    next_key    INTEGER NOT NULL DEFAULT 1
);
{_SINGLE.format(name="single")}
{_JOB_INDEXES.format(name="single")}
{_PAYLOAD}
{_STRETCH}
{_HISTORY}
{_STATE}
{_ENDED}
PRAGMA user_version = {SCHEMA_VERSION};
"""

#: The same in a file of layout 3 that has large ones apart, which a view may read.
PAYLOAD_OF_3 = (
    "coalesce(job.payload, (SELECT large.payload FROM large WHERE "
    "large.fetcher = job.fetcher AND large.key = job.key))"
)

_COLUMNS_OF_3 = (
    "fetcher, key, id, own_id, route, state, attempt, forgiven, crashes, processor, "
    "error, fetched_at, not_before, ended_at"
)

#: Payloads leave job. Some files of layout 3 have those over 4 KiB in a table apart.
_APART = f"""
CREATE TABLE IF NOT EXISTS large (
    fetcher     INTEGER NOT NULL,
    key         INTEGER NOT NULL,
    payload     TEXT NOT NULL,
    PRIMARY KEY (fetcher, key)
) WITHOUT ROWID;
ALTER TABLE job RENAME TO job_of_3;
{_SINGLE.format(name="job")}
{_PAYLOAD}
INSERT INTO payload SELECT (fetcher << 40) + key, payload FROM job_of_3
    WHERE payload IS NOT NULL ORDER BY fetcher, key;
INSERT OR IGNORE INTO payload SELECT (fetcher << 40) + key, payload FROM large;
INSERT INTO job ({_COLUMNS_OF_3}) SELECT {_COLUMNS_OF_3} FROM job_of_3;
DROP TABLE large;
DROP TABLE job_of_3;
{_JOB_INDEXES.format(name="job")}
"""  # noqa: S608 - our own words only

#: The history's rows have numbers of their own, none of which is given twice.
_NUMBERED = f"""
ALTER TABLE history RENAME TO history_of_4;
DROP INDEX history_job;
{_HISTORY}
INSERT INTO history (fetcher, key, at, event, attempt, processor, error, trace)
    SELECT fetcher, key, at, event, attempt, processor, error, trace
    FROM history_of_4 ORDER BY rowid;
DROP TABLE history_of_4;
"""  # noqa: S608 - our own words only

_OF_NOBODY = "seq, fetcher, key, id, state, attempt, fetched_at, ended_at, bytes"

#: What has a row of its own keeps it.
_STRETCHED = f"""
ALTER TABLE job RENAME TO single;
{_STRETCH}
ALTER TABLE ended RENAME TO ended_of_5;
{_ENDED}
INSERT INTO ended SELECT * FROM ended_of_5 ORDER BY seq;
INSERT OR IGNORE INTO ended ({_OF_NOBODY})
    SELECT seq, 0, 0, 'null', '', 0, 0, 0, 0 FROM sqlite_sequence
    WHERE name = 'ended_of_5' AND seq > 0;
DROP TABLE ended_of_5;
"""  # noqa: S608 - our own words only

#: What brings a file of an earlier layout to the next one.
_UPGRADES = {2: _STATE, 3: _APART, 4: _NUMBERED + _ENDED, 5: _STRETCHED}


class JournalInUseError(Exception):
    """Another system has this journal."""


class JournalDamagedError(Exception):
    """The file is no journal, or is damaged; nothing was changed in it."""


class JournalMissingError(JournalDamagedError):
    """There is no journal yet."""


@dataclass(frozen=True, slots=True)
class JournalFile:
    """The file as a whole, as the main process and the command line hold it."""

    path: Path

    def claim(self) -> IO[str]:
        """Take the journal for this system; held until the last process is gone.

        The lock is on the file itself, by whatever name it is reached. SQLite knows
        nothing of it: its own are of another kind.

        Raises:
            JournalInUseError: Another system has it.
            JournalDamagedError: The file cannot be written.
        """
        try:
            # What is in the log beside it becomes part of the file.
            for ending in ("-wal", "-shm", "-journal"):
                file_lock.check_ours(self._beside(ending))
            file = file_lock.opened(self.path)
        except file_lock.NotOursError as error:
            raise JournalDamagedError(
                f"the journal {self.path} cannot be trusted, nor what is beside it: "
                f"{error}"
            ) from error
        except OSError as error:
            raise JournalDamagedError(f"cannot write {self.path}: {error}") from error
        forks.keep_open(file)
        if not (file_lock.take(file) and self._is_free_of_others()):
            holder = holder_of(file)
            who = "" if holder is None else f" ({redact(described(holder))})"
            file.close()
            raise JournalInUseError(
                f"the journal {self.path} is in use by another lowtide system{who}"
            )
        return file

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the journal for a while, and leave nothing but its file.

        Raises:
            JournalInUseError: Another system has it.
            JournalDamagedError: The file cannot be written.
        """
        with self.claim():
            try:
                yield
            finally:
                self.tidy()

    def _is_free_of_others(self) -> bool:
        # Earlier versions locked a file beside it, which others could read and so
        # lock as well: only a process of this user's counts.
        path = self._beside("-lock")
        if not path.is_file():
            return True
        try:
            with file_lock.opened(path) as file:
                return file_lock.take(file) or not _is_ours(holder_of(file))
        except OSError:
            return True

    def tidy(self) -> None:
        """Move the log into the file, so that the file alone is the journal.

        To be called with the claim, once no other process of ours has it open.
        Somebody else's may: then its end does the rest.
        """
        with contextlib.suppress(sqlite3.Error, OSError):
            if not any(self._beside(each).exists() for each in ("-wal", "-shm")):
                return
            with contextlib.closing(connect(self.path)) as db:
                db.execute("PRAGMA busy_timeout = 1000")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with contextlib.suppress(OSError):
            self._beside("-lock").unlink(missing_ok=True)

    def _beside(self, ending: str) -> Path:
        # SQLite follows symbolic links of directories, too.
        return self.path.with_name(self.path.name + ending)

    def prepare(self) -> None:
        """Make the file if it is missing, and check it if it is there.

        One of an earlier layout is brought to this one.

        Raises:
            JournalDamagedError: It is not a sound journal of this version.
        """
        try:
            if self._is_to_be_made():
                file_lock.opened(self.path).close()
                with contextlib.closing(connect(self.path)) as db:
                    # All of it or nothing: who is killed here begins again.
                    db.executescript(f"BEGIN; {SCHEMA} COMMIT;")
                return
            # Only read: the end of a writing connection moves the log into the file.
            with contextlib.closing(connect(self.path, read_only=True)) as db:
                version = self._check(db)
            if version != SCHEMA_VERSION:
                self._upgrade(version)
        except (sqlite3.Error, OSError) as error:
            if is_locked(error):
                raise JournalInUseError(
                    f"the journal {self.path} is locked by another program"
                ) from error
            raise self._damaged(str(error)) from error

    def _is_to_be_made(self) -> bool:
        log = self._beside("-wal")
        if not self.path.exists() or self.path.stat().st_size == 0:
            if log.exists() and log.stat().st_size > 0:
                raise self._damaged("it is empty, and its log is not")
            return True
        with contextlib.closing(connect(self.path, read_only=True)) as db:
            [version] = db.execute("PRAGMA user_version").fetchone()
            [tables] = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        # Somebody was killed who had just begun to make it.
        return bool(version == tables == 0)

    def _upgrade(self, version: int) -> None:
        steps = "".join(_UPGRADES[each] for each in range(version, SCHEMA_VERSION))
        with contextlib.closing(connect(self.path)) as db:
            # All of it or nothing: who is killed here finds the layout before.
            db.executescript(
                f"BEGIN IMMEDIATE; {steps} "
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )

    def _check(self, db: sqlite3.Connection) -> int:
        [version] = db.execute("PRAGMA user_version").fetchone()
        [verdict] = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self._damaged(" ".join(verdict.split()))
        if version != SCHEMA_VERSION and version not in _UPGRADES:
            raise self._damaged(
                f"expected a lowtide journal, layout {SCHEMA_VERSION}, found {version}"
            )
        return int(version)

    def _damaged(self, what: str) -> JournalDamagedError:
        return JournalDamagedError(
            f"the journal {self.path} cannot be used: {what}. Nothing was changed in "
            f"it. To save what can be saved: sqlite3 {self.path} .recover; to start "
            "without its jobs, move it away together with its -wal and -shm files"
        )


def _is_ours(pid: int | None) -> bool:
    try:
        return pid is not None and Path(f"/proc/{pid}").stat().st_uid == os.geteuid()
    except OSError:
        return False


def is_locked(error: BaseException) -> bool:
    """Whether somebody else has the file for the moment, and nothing else is wrong."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def look(path: Path, *, stays: bool = False) -> sqlite3.Connection:
    """Open the file to read it, and leave what is beside it as it is.

    A connection that only reads would leave files of SQLite's behind where there are
    none: one that may write clears them away, though it writes nothing.

    Args:
        path: Where it is.
        stays: It may well be the last one that has the file open.
    """
    resolved = path.resolve()
    alone = not resolved.with_name(resolved.name + "-wal").exists()
    may_write = os.access(resolved, os.W_OK) and os.access(resolved.parent, os.W_OK)
    if not ((alone or stays) and may_write):
        return connect(path, read_only=True)
    db = _connect(path, "rw")
    db.execute("PRAGMA query_only = 1")
    return db


def connect(
    path: Path, *, read_only: bool = False, wait_s: float = BUSY_S
) -> sqlite3.Connection:
    """Open the file as every process of ours does.

    Args:
        path: Where it is.
        read_only: Nothing is to be written.
        wait_s: How long to wait for somebody else who writes, each time.
    """
    db = _connect(path, "ro" if read_only else "rw", wait_s)
    if not read_only:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        # Debian's SQLite writes zeros over each page that becomes free, which would
        # write a large payload a second time. Within a page it still does.
        db.execute("PRAGMA secure_delete = FAST")
    return db


def _connect(path: Path, mode: str, wait_s: float = BUSY_S) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=wait_s,
        isolation_level=None,
        check_same_thread=False,
    )


#: Bytes; a disk with less is full in a moment.
LEAST_FREE = 1 << 20


def journal_problem(path: Path) -> str | None:
    """What will keep its fetchers from writing; None where nothing is seen.

    A fetcher notices by itself when a commit fails; a quiet one may have none for
    hours. Where the file was moved away, commits go on and are lost.
    """
    try:
        path.stat()
        disk = os.statvfs(path)
    except OSError as error:
        return f"the journal {path} is gone: {error.strerror}"
    if disk.f_bavail * disk.f_frsize < LEAST_FREE:
        return f"the disk of the journal {path} is full"
    if not os.access(path, os.W_OK):
        return f"the journal {path} may not be written"
    return None
