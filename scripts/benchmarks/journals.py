"""Journals with many jobs that wait, written by the product's own journal."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import TYPE_CHECKING

from actors.demand.job import Job
from actors.demand.job_events import JobFetched
from actors.journal.file import JournalFile
from actors.journal.sqlite import SqliteJournal

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.model import Bench

#: Jobs in one transaction.
PAGE = 20_000


def put_journal(bench: Bench, path: Path, count: int) -> None:
    """Make a journal in which ``count`` jobs wait: written once, then copied."""
    made = bench.directory / f"waiting-{count}.db"
    if not made.exists():
        _write(made, count)
    with made.open("rb") as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        # What the copy left to be written would be in the way of every commit.
        os.fsync(target.fileno())
    path.chmod(0o600)


def _write(path: Path, count: int) -> None:
    JournalFile(path).prepare()
    with contextlib.closing(SqliteJournal(path, "source")) as journal:
        now = time.monotonic()
        for first in range(1, count + 1, PAGE):
            keys = range(first, min(first + PAGE, count + 1))
            journal.commit(
                JobFetched(Job(key, f"job-{key}", {"number": key}, now, own_id=False))
                for key in keys
            )
