"""What one statement changes of jobs that follow one another: those, and no other."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand.job import Job, JobState, Process
from actors.demand.job_events import JobDone, JobFetched, JobLeased
from actors.journal.event_rows import runs_of
from actors.journal.file import JournalFile
from actors.journal.journal import Keep
from actors.journal.sqlite import SqliteJournal

PROCESSES = [Process(name=f"sqrt-{n}", run=f"r{n}", pid=n, host="h") for n in (1, 2)]


@given(st.sets(st.integers(-5, 60)))
def test_runs_have_each_number_once_and_no_other(numbers: set[int]) -> None:
    runs = runs_of(numbers)

    covered = [n for first, last in runs for n in range(first, last + 1)]
    assert covered == sorted(numbers)
    assert all(run[1] + 1 < after[0] for run, after in itertools.pairwise(runs))


@pytest.mark.parametrize("keep", [None, Keep(for_s=3600.0, most_bytes=1 << 20)])
def test_jobs_that_end_or_are_leased_leave_those_between_them(
    tmp_path: Path, keep: Keep | None
) -> None:
    path = tmp_path / "lowtide.db"
    JournalFile(path).prepare()
    journal = SqliteJournal(path, "numbers", keep=keep)
    jobs = [Job(n, f"#{n}", {"number": n}, 0.0, own_id=n == 5) for n in range(1, 10)]
    journal.commit([JobFetched(job) for job in jobs])
    leased = [job for job in jobs if job.key not in (3, 9)]
    for job in leased:
        job.attempt = 2 if job.key == 7 else 1
    journal.commit([JobLeased(job, PROCESSES[job.key % 2]) for job in leased])
    ended = [job for job in leased if job.key in (1, 2, 4, 5, 8)]
    journal.commit([JobDone(job, 1, PROCESSES[0], 1.5, 0.1) for job in ended])

    left = {job.key: job for job in journal.load(JobState.LEASED, 0, -1)}
    ready = journal.load(JobState.READY, 0, -1)
    journal.close()

    assert {key: (job.attempt, job.payload) for key, job in left.items()} == {
        6: (1, {"number": 6}),
        7: (2, {"number": 7}),
    }
    assert [(job.key, job.payload["number"]) for job in ready] == [(3, 3), (9, 9)]
