"""A journal's file copied as a whole, while its system runs or not."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

from actors.journal.file import SCHEMA_VERSION, JournalDamagedError, look


class BackupError(Exception):
    """There is no backup; what was there before is as it was."""


def backup(journal: Path, target: Path) -> int:
    """Write all that a journal holds at this moment into one file that stands alone.

    It has its name only once it is whole and on the disk: who is killed here leaves
    at most a file ``.NAME.*.part``.

    Returns:
        The size of the backup, in bytes.

    Raises:
        JournalDamagedError: The journal is not there, or is none that can be read.
        BackupError: The backup cannot be written, or is there already.
    """
    if not journal.exists():
        raise JournalDamagedError(f"there is no journal {journal}")
    if target.exists() or target.is_symlink():
        raise BackupError(f"{target} is there already; expected the name of a new file")
    try:
        # Its owner's alone, as a journal is.
        file, name = tempfile.mkstemp(".part", f".{target.name}.", target.parent)
        os.close(file)
    except OSError as error:
        raise BackupError(f"cannot write {target}: {error.strerror}") from error
    part = Path(name)
    try:
        _copy(journal, part)
        _give_name(part, target)
        return target.stat().st_size
    except OSError as error:
        raise BackupError(f"cannot write {target}: {error.strerror}") from error
    finally:
        for ending in ("", "-journal", "-wal", "-shm"):
            part.with_name(part.name + ending).unlink(missing_ok=True)


def _copy(journal: Path, part: Path) -> None:
    with contextlib.ExitStack() as stack:
        try:
            source = stack.enter_context(contextlib.closing(look(journal)))
            [version] = source.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            raise JournalDamagedError(f"cannot read {journal}: {error}") from error
        if not 1 < version <= SCHEMA_VERSION:
            raise JournalDamagedError(
                f"{journal} is no journal of this version of lowtide or one before: "
                f"expected a layout up to {SCHEMA_VERSION}, found {version}"
            )
        try:
            copy = sqlite3.connect(part, isolation_level=None)
            stack.enter_context(contextlib.closing(copy))
            # In one go: it is one moment's, and those who write are not held up.
            source.backup(copy)
            # Without a log beside it: the one file is all there is.
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
            [verdict] = copy.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            raise BackupError(f"no backup of {journal}: {error}") from error
        if verdict != "ok":
            what = " ".join(verdict.split())
            raise JournalDamagedError(f"the journal {journal} is damaged: {what}")


def _give_name(part: Path, target: Path) -> None:
    _sync(part)
    # A name that is there already is never taken from what has it.
    os.link(part, target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
