"""The journal's file as a whole: made, checked, locked, opened."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from actors.host import forks
from actors.host.lock_holders import described, holder_of
from actors.runtime import locks
from actors.runtime.redaction import redact

if TYPE_CHECKING:
    from pathlib import Path

#: Of the file's layout; another one is refused.
SCHEMA_VERSION = 3
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

SCHEMA = f"""
CREATE TABLE fetcher (
    number      INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    fetched     INTEGER NOT NULL DEFAULT 0,
    done        INTEGER NOT NULL DEFAULT 0,
    dropped     INTEGER NOT NULL DEFAULT 0,
    next_key    INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE job (
    fetcher     INTEGER NOT NULL REFERENCES fetcher,
    key         INTEGER NOT NULL,
    id          TEXT NOT NULL,     -- JSON
    own_id      INTEGER NOT NULL,  -- 1: the source's, 0: made up
    payload     TEXT,              -- JSON; NULL once done
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
-- Not of those that are ready or leased: each job is both, and an index costs
-- as much as the row. They are found in the order of their keys.
CREATE INDEX job_odd ON job (fetcher, state, key)
    WHERE state IN ('retrying', 'quarantined');
CREATE UNIQUE INDEX job_own_id ON job (fetcher, id) WHERE own_id = 1;
CREATE INDEX job_ended ON job (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE history (
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
{_STATE}
PRAGMA user_version = {SCHEMA_VERSION};
"""

#: What brings a file of an earlier layout to the next one.
_UPGRADES = {2: _STATE}


class JournalInUseError(Exception):
    """Another system has this journal."""


class JournalDamagedError(Exception):
    """The file is no journal, or is damaged; nothing was changed in it."""


@dataclass(frozen=True, slots=True)
class JournalFile:
    """The file as a whole, as the main process and the command line hold it."""

    path: Path

    def claim(self) -> IO[str]:
        """Take the journal for this system; held until the last process is gone.

        Raises:
            JournalInUseError: Another system has it.
            JournalDamagedError: The directory cannot be written.
        """
        lock = self.path.with_name(self.path.name + "-lock")
        try:
            file = lock.open("a")
        except OSError as error:
            raise JournalDamagedError(
                f"cannot write beside {self.path}: {error}"
            ) from error
        forks.keep_open(file)
        if not locks.take(file):
            holder = holder_of(file)
            who = "" if holder is None else f" ({redact(described(holder))})"
            file.close()
            raise JournalInUseError(
                f"the journal {self.path} is in use by another lowtide system{who}"
            )
        return file

    def prepare(self) -> None:
        """Make the file if it is missing, and check it if it is there.

        One of an earlier layout is brought to this one.

        Raises:
            JournalDamagedError: It is not a sound journal of this version.
        """
        try:
            if self._is_to_be_made():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
                self.path.chmod(0o600)
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
            raise self._damaged(str(error)) from error

    def _is_to_be_made(self) -> bool:
        log = self.path.with_name(self.path.name + "-wal")
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


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file as every process of ours does."""
    mode = "ro" if read_only else "rw"
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    if not read_only:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    return db
