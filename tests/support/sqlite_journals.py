"""A journal in a file, its jobs, and what is in it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from actors.demand.job import Job, Process
from actors.demand.job_events import (
    JobDone,
    JobEvent,
    JobFetched,
)
from actors.journal.file import (
    PAYLOAD,
    JournalFile,
    connect,
)
from actors.journal.sqlite import SqliteJournal

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")


def new_job(key: int, **fields: Any) -> Job:
    fields = {"own_id": True} | fields
    return Job(key=key, id=f"id{key}", payload={"n": key}, fetched_at=0.0, **fields)


def reopened(path: Path, fetcher: str = "numbers") -> SqliteJournal:
    JournalFile(path).prepare()
    return SqliteJournal(path, fetcher)


def keep(path: Path, events: Iterable[JobEvent], fetcher: str = "numbers") -> None:
    journal = SqliteJournal(path, fetcher)
    journal.commit(events)
    journal.close()


def keys(jobs: Iterable[Job]) -> list[int]:
    return [job.key for job in jobs]


def states_in(path: Path) -> dict[int, tuple[str, bool]]:
    """Each job's state, and whether its payload is there."""
    with contextlib.closing(connect(path, read_only=True)) as db:
        columns = f"key, state, {PAYLOAD} IS NOT NULL"
        rows = db.execute(f"SELECT {columns} FROM job")  # noqa: S608
        return {key: (state, bool(payload)) for key, state, payload in rows}


def done(journal: SqliteJournal, key: int, *, own_id: bool = True) -> None:
    job = new_job(key, own_id=own_id)
    job.attempt = 1
    journal.commit([JobFetched(job), JobDone(job, 1, HERE, None, 0.1)])


def killed(path: Path, jobs: int) -> None:
    """A run that ended without a word: the journal's log is left beside it."""
    program = f"""
import os
from pathlib import Path
from actors.demand.job import Job
from actors.demand.job_events import JobFetched
from actors.journal.sqlite import SqliteJournal
path = Path({str(path)!r})
journal = SqliteJournal(path, "numbers")
for key in range(1, {jobs} + 1):
    job = Job(key=key, id=key, payload=key, fetched_at=0.0)
    journal.commit([JobFetched(job)])
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
