"""Deciding about quarantined jobs while no system runs."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING

from actors.demand.job import Job, JobState
from actors.demand.job_events import JobDropped, JobEvent, JobReleased, StateMoved
from actors.demand.seen_ids import WINDOW_S
from actors.journal.journal import Keep
from actors.journal.sqlite import Clock, since_boot
from actors.journal.stores import claimed, open_journal

if TYPE_CHECKING:
    from pathlib import Path

    from actors.journal.journal import Journal

#: What a job that somebody discarded is said to have been dropped for.
BY_HAND = "discarded by hand"

#: What ends here stays: how long, and how much, is for the next run to say.
_KEEP = Keep(math.inf, 1 << 62)


def decide(path: str | Path, action: str, keys: dict[str, list[int]]) -> int:
    """Release or discard jobs; returns how many.

    Args:
        path: The journal.
        action: ``retry`` or ``discard``.
        keys: By fetcher's name.

    Raises:
        JournalInUseError: A system has the journal after all.
        JournalDamagedError: It is no sound journal.
    """
    count = 0
    with claimed(path) as name:
        for fetcher, wanted in keys.items():
            with contextlib.closing(_opened(name, fetcher)) as journal:
                events = [_fact(job, action) for job in journal.quarantined(wanted)]
                journal.commit(events)
                count += len(events)
    return count


def set_state(path: str | Path, fetcher: str, text: str) -> None:
    """Keep another state, JSON, for a fetcher's source.

    Raises:
        JournalInUseError: A system has the journal after all.
        JournalDamagedError: It is no sound journal.
        JournalError: It cannot be written.
    """
    with claimed(path) as name, contextlib.closing(_opened(name, fetcher)) as journal:
        journal.commit([StateMoved(text)])


def _opened(journal: str, fetcher: str) -> Journal:
    clock = Clock(time.time, time.monotonic, since_boot)
    return open_journal(journal, fetcher, clock, WINDOW_S, _KEEP)


def _fact(job: Job, action: str) -> JobEvent:
    if action == "discard":
        job.state = JobState.DROPPED
        return JobDropped(job, BY_HAND)
    job.state, job.forgiven, job.crashes = JobState.READY, job.attempt, 0
    return JobReleased(job)
