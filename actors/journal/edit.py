"""Deciding about quarantined jobs while no system runs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from actors.demand.job import Job, JobState
from actors.demand.job_events import JobDropped, JobEvent, JobReleased, StateMoved
from actors.journal.file import JournalFile
from actors.journal.sqlite import SqliteJournal

if TYPE_CHECKING:
    from pathlib import Path

#: What a job that somebody discarded is said to have been dropped for.
BY_HAND = "discarded by hand"


def decide(path: Path, action: str, keys: dict[str, list[int]]) -> int:
    """Release or discard jobs; returns how many.

    Args:
        path: The journal's file.
        action: ``retry`` or ``discard``.
        keys: By fetcher's name.

    Raises:
        JournalInUseError: A system has the journal after all.
        JournalDamagedError: It is no sound journal.
    """
    file = JournalFile(path)
    count = 0
    with file.claimed():
        file.prepare()
        for fetcher, wanted in keys.items():
            with contextlib.closing(SqliteJournal(path, fetcher)) as journal:
                events = [_fact(job, action) for job in journal.quarantined(wanted)]
                journal.commit(events)
                count += len(events)
    return count


def set_state(path: Path, fetcher: str, text: str) -> None:
    """Keep another state, JSON, for a fetcher's source.

    Raises:
        JournalInUseError: A system has the journal after all.
        JournalDamagedError: It is no sound journal.
        JournalError: It cannot be written.
    """
    file = JournalFile(path)
    with file.claimed():
        file.prepare()
        with contextlib.closing(SqliteJournal(path, fetcher)) as journal:
            journal.commit([StateMoved(text)])


def _fact(job: Job, action: str) -> JobEvent:
    if action == "discard":
        job.state = JobState.DROPPED
        return JobDropped(job, BY_HAND)
    job.state, job.forgiven, job.crashes = JobState.READY, job.attempt, 0
    return JobReleased(job)
