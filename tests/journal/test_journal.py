"""The journal's file: what it keeps, what it gives back, what it survives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from actors.demand.job import Accounting, Failure, Job, JobState, Process
from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
    JobsSent,
    StateMoved,
)
from actors.demand.source_state import KeptState
from actors.host import file_lock
from actors.journal.edit import decide
from actors.journal.file import (
    PAYLOAD,
    JournalDamagedError,
    JournalFile,
    JournalInUseError,
    connect,
)
from actors.journal.journal import JournalError
from actors.journal.memory import MemoryJournal
from actors.journal.sqlite import Clock, SqliteJournal, since_boot
from actors.journal.view import JournalView
from tests.support.earlier_journals import EARLIER, earlier

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")


def new_job(key: int, **fields: Any) -> Job:
    fields = {"own_id": True} | fields
    return Job(key=key, id=f"id{key}", payload={"n": key}, fetched_at=0.0, **fields)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "lowtide.db"
    JournalFile(file).prepare()
    return file


def reopened(path: Path, fetcher: str = "numbers") -> SqliteJournal:
    JournalFile(path).prepare()
    return SqliteJournal(path, fetcher)


def keep(path: Path, events: Iterable[JobEvent], fetcher: str = "numbers") -> None:
    journal = SqliteJournal(path, fetcher)
    journal.commit(events)
    journal.close()


def keys(jobs: Iterable[Job]) -> list[int]:
    return [job.key for job in jobs]


def test_what_was_fetched_is_given_back_in_order(path: Path) -> None:
    jobs = [new_job(key) for key in (1, 2, 3)]
    keep(path, [JobFetched(job) for job in jobs])

    journal = reopened(path)
    taken = journal.take_up()
    loaded = journal.load(JobState.READY, 0, 10)

    assert taken.accounting == Accounting(fetched=3, buffered=3)
    assert (taken.next_key, taken.jobs) == (4, [])
    assert [(job.key, job.id, job.payload) for job in loaded] == [
        (1, "id1", {"n": 1}),
        (2, "id2", {"n": 2}),
        (3, "id3", {"n": 3}),
    ]
    journal.close()


def test_pages_follow_one_another(path: Path) -> None:
    keep(path, [JobFetched(new_job(key)) for key in range(1, 6)])
    journal = reopened(path)

    first = journal.load(JobState.READY, 0, 2)
    second = journal.load(JobState.READY, first[-1].key, 2)
    third = journal.load(JobState.READY, second[-1].key, 2)

    assert [keys(page) for page in (first, second, third)] == [[1, 2], [3, 4], [5]]
    journal.close()


def test_a_leased_job_is_ready_again_and_keeps_its_attempt(path: Path) -> None:
    job = new_job(1)
    keep(path, [JobFetched(job)])
    job.attempt = 2
    keep(path, [JobLeased(job, HERE)])

    journal = reopened(path)
    taken = journal.take_up()

    [again] = taken.jobs
    assert (again.key, again.attempt, again.state) == (1, 2, JobState.READY)
    assert taken.accounting.buffered == 1
    journal.close()


def test_a_retry_waits_for_what_is_left_of_its_delay(path: Path) -> None:
    job = new_job(1, attempt=1)
    keep(path, [JobFetched(job), JobFailed(job, HERE, Failure("no"), 60.0)])

    journal = reopened(path)
    [again] = journal.take_up().jobs

    assert again.state is JobState.RETRYING
    assert 50.0 < again.not_before - time.monotonic() <= 60.0
    journal.close()


def test_a_clock_that_was_set_back_holds_no_job_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job(1, attempt=1)
    keep(path, [JobFetched(job), JobFailed(job, HERE, Failure("no"), 60.0)])
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real - 1_000_000.0)

    journal = reopened(path)
    [again] = journal.take_up().jobs

    assert again.not_before - time.monotonic() <= 3600.0
    assert again.fetched_at <= time.monotonic()
    journal.close()


def test_counts_go_on_over_restarts(path: Path) -> None:
    jobs = {key: new_job(key) for key in range(1, 6)}
    keep(path, [JobFetched(job) for job in jobs.values()])
    keep(path, [JobDone(jobs[1], 1, HERE, 1.0, 0.1)])
    keep(path, [JobQuarantined(jobs[2], HERE, Failure("bad"))])
    keep(path, [JobDropped(jobs[3], "by choice")])
    keep(path, [JobReturned(jobs[4], HERE, "killed")])

    journal = reopened(path)
    taken = journal.take_up()

    assert taken.accounting == Accounting(
        fetched=5, done=1, buffered=2, quarantined=1, dropped=1
    )
    assert taken.next_key == 6
    journal.close()


def test_ids_of_jobs_that_ended_are_known_still(path: Path) -> None:
    named, unnamed = new_job(1), new_job(2, own_id=False)
    keep(path, [JobFetched(named), JobFetched(unnamed)])
    keep(path, [JobDone(each, 1, HERE, 1, 0.1) for each in (named, unnamed)])

    journal = reopened(path)

    assert journal.known(["id1", "id2", 1, "1"]) == {"id1"}
    journal.close()


def test_a_number_and_its_text_are_two_ids(path: Path) -> None:
    job = Job(key=1, id=17, payload=None, fetched_at=0.0)
    keep(path, [JobFetched(job)])

    journal = reopened(path)

    assert journal.known([17, "17"]) == {17}
    journal.close()


def test_an_id_may_come_again_after_the_window(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job(1)
    keep(path, [JobFetched(job), JobDone(job, 1, HERE, 1, 0.1)])
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 8 * 24 * 3600)
    journal = reopened(path)

    known = journal.known(["id1"])
    again = Job(key=2, id="id1", payload=None, fetched_at=0.0)
    journal.commit([JobFetched(again)])

    assert known == set()
    assert keys(journal.load(JobState.READY, 0, 9)) == [2]
    journal.close()


def test_fetchers_do_not_see_one_anothers_jobs(path: Path) -> None:
    keep(path, [JobFetched(new_job(1))], "one")
    keep(path, [JobFetched(new_job(1)), JobFetched(new_job(2))], "other")

    one, other = reopened(path, "one"), reopened(path, "other")

    assert keys(one.load(JobState.READY, 0, 9)) == [1]
    assert keys(other.load(JobState.READY, 0, 9)) == [1, 2]
    one.close()
    other.close()


def test_facts_of_one_commit_are_kept_all_or_none(path: Path) -> None:
    journal = reopened(path)
    journal.commit([JobFetched(new_job(1))])

    same_key = Job(key=1, id="another", payload=None, fetched_at=0.0)
    with pytest.raises(JournalError, match="UNIQUE"):
        journal.commit([JobFetched(new_job(2)), JobFetched(same_key)])

    assert keys(journal.load(JobState.READY, 0, 9)) == [1]
    assert journal.take_up().accounting.fetched == 1
    journal.close()


def test_an_integer_and_its_text_are_two_ids(path: Path) -> None:
    number, text = new_job(1), new_job(2)
    number.id, text.id = 17, "17"
    other = new_job(3)
    other.id = "18"
    keep(path, [JobFetched(job) for job in (number, text, other)])

    view = JournalView(path)
    found = {
        word: [job["id"] for job in view.find(word)]
        for word in ("17", '"17"', "18", '"18"', "017", '"')
    }
    view.close()

    assert found == {
        "17": [17],
        '"17"': ["17"],
        "18": ["18"],
        '"18"': ["18"],
        "017": [],
        '"': [],
    }


def test_the_quarantine_keeps_payload_error_and_history(path: Path) -> None:
    job = new_job(1, attempt=1)
    keep(path, [JobFetched(job), JobFailed(job, HERE, Failure("once", trace="T1"), 1)])
    job.attempt = 2
    keep(path, [JobQuarantined(job, HERE, Failure("twice", trace="T2"))])

    view = JournalView(path)
    [shown] = view.jobs("quarantined", 9)
    history = view.history("numbers", 1)

    assert (shown["payload"], shown["error"]) == ({"n": 1}, "twice")
    assert [(e["event"], e["attempt"], e["error"], e["trace"]) for e in history] == [
        ("failed", 1, "once", "T1"),
        ("quarantined", 2, "twice", "T2"),
    ]
    view.close()


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("retry", Accounting(fetched=1, buffered=1)),
        ("discard", Accounting(fetched=1, dropped=1)),
    ],
)
def test_a_quarantined_job_is_decided_on_while_nothing_runs(
    path: Path, action: str, expected: Accounting
) -> None:
    job = new_job(1, attempt=5, crashes=2)
    keep(path, [JobFetched(job), JobQuarantined(job, HERE, Failure("bad"))])

    count = decide(path, action, {"numbers": [1, 99]})

    journal = reopened(path)
    assert count == 1
    assert journal.take_up().accounting == expected
    assert [job.tries for job in journal.load(JobState.READY, 0, 9)] in ([0], [])
    journal.close()


def test_a_released_job_has_all_its_attempts_and_new_numbers_for_them(
    path: Path,
) -> None:
    job = new_job(1, attempt=5)
    keep(path, [JobFetched(job), JobQuarantined(job, HERE, Failure("bad"))])
    job.forgiven = 5

    keep(path, [JobReleased(job)])

    journal = reopened(path)
    [again] = journal.load(JobState.READY, 0, 9)
    assert (again.key, again.attempt, again.tries) == (1, 5, 0)
    journal.close()


def test_a_file_that_another_system_holds_is_refused(path: Path) -> None:
    file = JournalFile(path)
    with file.claim(), pytest.raises(JournalInUseError, match="in use"):
        file.claim()


@pytest.mark.parametrize("content", [b"no database at all" * 300, b"SQLite format 3\0"])
def test_a_file_that_is_no_journal_is_refused_and_left(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "lowtide.db"
    path.write_bytes(content)

    with pytest.raises(JournalDamagedError, match="Nothing was changed in it"):
        JournalFile(path).prepare()

    assert path.read_bytes() == content


def test_a_file_whose_making_was_cut_short_is_made(path: Path) -> None:
    path.unlink()
    for each in path.parent.glob(f"{path.name}-*"):
        each.unlink()
    path.touch()
    connect(path).close()  # as far as one comes who is killed then

    JournalFile(path).prepare()

    journal = SqliteJournal(path, "numbers")
    assert journal.take_up().accounting == Accounting()
    journal.close()


def test_an_empty_file_with_a_log_beside_it_is_refused(path: Path) -> None:
    journal = SqliteJournal(path, "numbers")
    journal.commit([JobFetched(new_job(1))])
    wal = path.with_name(path.name + "-wal").read_bytes()
    journal.close()
    path.write_bytes(b"")
    path.with_name(path.name + "-wal").write_bytes(wal)

    with pytest.raises(JournalDamagedError, match="its log is not"):
        JournalFile(path).prepare()

    assert path.read_bytes() == b""


def way_of(job: Job) -> list[list[JobEvent]]:
    """The commits of one job's life: done, quarantined or dropped by its key."""
    job.attempt = 1
    retried: list[JobEvent] = [JobFailed(job, HERE, Failure("once"), 1.0)]
    ends: list[JobEvent] = [
        JobDone(job, 1, HERE, 1, 0.1),
        JobQuarantined(job, HERE, Failure("never")),
        JobDropped(job, "by hand"),
    ]
    return [[JobFetched(job)], [JobLeased(job, HERE)], retried, [ends[job.key % 3]]]


def states_in(path: Path) -> dict[int, tuple[str, bool]]:
    """Each job's state, and whether its payload is there."""
    with contextlib.closing(connect(path, read_only=True)) as db:
        columns = f"key, state, {PAYLOAD} IS NOT NULL"
        rows = db.execute(f"SELECT {columns} FROM job")  # noqa: S608
        return {key: (state, bool(payload)) for key, state, payload in rows}


def test_after_power_loss_everything_committed_is_there(
    path: Path, tmp_path: Path
) -> None:
    # What was synced stays; what was not may be there in part. So the file is
    # opened with its log cut at the end of each commit, and at random: each commit
    # that ends before the cut must be whole, and nothing else may be there.
    wal = path.with_name(path.name + "-wal")
    journal = SqliteJournal(path, "numbers")
    ends, states = [], []
    for key in range(1, 13):
        for events in way_of(new_job(key)):
            journal.commit(events)
            ends.append(wal.stat().st_size)
            states.append(states_in(path))
    log = wal.read_bytes()
    chance = random.Random(7)
    cuts = [*ends, *(chance.randrange(ends[0], ends[-1] + 1) for _ in range(60))]
    for number, cut in enumerate(cuts):
        copy = tmp_path / f"{number}.db"
        shutil.copy(path, copy)
        copy.with_name(copy.name + "-wal").write_bytes(log[:cut])

        found = states_in(copy)

        [*_, expected] = [s for s, end in zip(states, ends, strict=True) if end <= cut]
        assert found == expected
        after = reopened(copy)
        assert after.take_up().accounting.fetched == len(expected)
        after.close()
    journal.close()


def test_after_power_loss_at_any_commit_the_copied_files_are_sound(
    path: Path, tmp_path: Path
) -> None:
    # Over the moments at which the log is moved into the file as well.
    wal = path.with_name(path.name + "-wal")
    journal = SqliteJournal(path, "numbers")
    with contextlib.closing(connect(path)) as other:
        for key in range(1, 40):
            for events in way_of(new_job(key)):
                journal.commit(events)
            if key % 5 == 0:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            copy = tmp_path / f"{key}.db"
            shutil.copy(path, copy)
            shutil.copy(wal, copy.with_name(copy.name + "-wal"))

            JournalFile(copy).prepare()
            assert states_in(copy) == states_in(path)
    journal.close()


def test_what_has_ended_long_ago_is_forgotten_in_parts_with_its_history(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.journal.sqlite.PURGED_AT_ONCE", 2)
    jobs = [new_job(key, attempt=1) for key in range(1, 6)]
    named = Job(key=6, id="#6", payload={"n": 6}, fetched_at=0.0, own_id=False)
    failed = [JobFailed(job, HERE, Failure("once"), 1) for job in [*jobs, named]]
    done = [JobDone(job, 1, HERE, 1, 0.1) for job in [*jobs[:4], named]]
    keep(path, [*(JobFetched(job) for job in [*jobs, named]), *failed, *done])
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 8 * 24 * 3600)
    journal = reopened(path)

    more = [journal.purge() for _ in range(3)]

    assert more == [True, True, False]
    assert journal.known(["id1", "id4", "id5"]) == {"id5"}
    view = JournalView(path)
    histories = [len(view.history("numbers", key)) for key in range(1, 7)]
    assert histories == [0, 0, 0, 0, 1, 0]
    view.close()
    journal.close()


def test_a_state_is_kept_with_the_facts_before_it_or_not_at_all(path: Path) -> None:
    journal = SqliteJournal(path, "numbers")
    assert journal.state() == KeptState()

    journal.commit([JobFetched(new_job(1)), StateMoved('{"at":1}')])
    same_key = Job(key=1, id="another", payload=None, fetched_at=0.0)
    with pytest.raises(JournalError, match="UNIQUE"):
        journal.commit([StateMoved("2"), JobFetched(same_key)])
    journal.close()

    again = SqliteJournal(path, "numbers")
    assert again.state().text == '{"at":1}'
    assert [each.key for each in again.load(JobState.READY, 0, -1)] == [1]
    assert SqliteJournal(path, "others").state() == KeptState()


def test_the_age_of_a_state_outlives_its_process(path: Path) -> None:
    wall = 1000.0
    SqliteJournal(path, "numbers", Clock(lambda: wall, lambda: 5.0)).commit(
        [StateMoved("1")]
    )

    wall = 1060.0
    journal = SqliteJournal(path, "numbers", Clock(lambda: wall, lambda: 500.0))

    assert journal.state() == KeptState("1", 440.0)


def test_a_job_has_ended_when_all_its_copies_have(path: Path) -> None:
    first = new_job(1, route="mail")
    copy = Job(2, first.id, first.payload, 0.0, own_id=False, route="archive")
    process, failure = Process(name="p", run="1", pid=1, host="h"), Failure("no")
    journal = SqliteJournal(path, "numbers")
    journal.follow_copies()
    journal.commit([JobFetched(first), JobFetched(copy, first=False)])
    assert [(each.key, each.route) for each in journal.copies(first.id)] == [
        (1, "mail"),
        (2, "archive"),
    ]
    ends = [journal.ended(first.id)]

    copy.state = JobState.QUARANTINED
    journal.commit([JobQuarantined(copy, process, failure)])
    ends.append(journal.ended(first.id))
    first.state = JobState.DONE
    journal.commit([JobDone(first, 1, process, 1, 0.1)])
    ends.append(journal.ended(first.id))

    assert ends == [None, None, JobState.QUARANTINED]


def test_without_a_file_a_job_has_ended_when_all_its_copies_have() -> None:
    first = new_job(1, route="mail")
    copy = Job(2, first.id, first.payload, 0.0, own_id=False, route="archive")
    process, failure = Process(name="p", run="1", pid=1, host="h"), Failure("no")
    journal = MemoryJournal()
    journal.commit([JobFetched(first), JobFetched(copy, first=False)])
    ends = [journal.ended(first.id)]

    copy.state = JobState.QUARANTINED
    journal.commit([JobQuarantined(copy, process, failure)])
    ends.append(journal.ended(first.id))
    first.state = JobState.DONE
    journal.commit([JobDone(first, 1, process, 1, 0.1)])
    ends.append(journal.ended(first.id))
    assert journal.known([first.id]) == {first.id}
    copy.state = JobState.DONE
    journal.commit([JobDone(copy, 2, process, 1, 0.1)])
    ends.append(journal.ended(first.id))

    assert ends == [None, None, JobState.QUARANTINED, JobState.QUARANTINED]


def test_what_was_sent_outlives_its_process_for_as_long_as_it_counts(
    path: Path,
) -> None:
    wall = 1000.0
    journal = SqliteJournal(path, "numbers", Clock(lambda: wall, lambda: 5.0))
    assert journal.sent() == []
    for wall in (1000.0, 1015.0, 1020.5):  # noqa: B007 - the clock reads it
        journal.commit([JobsSent(1, 20.0), JobsSent(1, 20.0)])
    journal.close()

    wall = 1021.0
    again = SqliteJournal(path, "numbers", Clock(lambda: wall, lambda: 500.0))

    assert again.sent() == [(494.0, 2), (499.5, 2)]
    assert SqliteJournal(path, "others").sent() == []


def test_by_a_clock_that_was_set_back_it_was_sent_just_now(path: Path) -> None:
    wall = 1000.0
    journal = SqliteJournal(path, "numbers", Clock(lambda: wall, lambda: 5.0))
    journal.commit([JobsSent(2, 20.0)])
    journal.close()

    wall = 10.0
    again = SqliteJournal(path, "numbers", Clock(lambda: wall, lambda: 500.0))

    assert again.sent() == [(500.0, 2)]


def test_what_was_sent_goes_along_with_a_clock_that_is_set(path: Path) -> None:
    wall, monotonic = 1000.0, 5.0
    clock = Clock(lambda: wall, lambda: monotonic)
    journal = SqliteJournal(path, "numbers", clock)
    journal.commit([JobsSent(2, 20.0)])

    wall, monotonic = 5008.0, 13.0
    journal.commit([JobsSent(1, 20.0)])

    assert journal.sent() == [(5.0, 2), (13.0, 1)]


def shown_of(path: Path) -> list[dict[str, Any]]:
    with contextlib.closing(JournalView(path)) as view:
        return view.jobs(None, -1)


def shape_of(path: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(connect(path, read_only=True)) as db:
        query = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY name"
        tables = [row[1] for row in db.execute(query) if row[0] == "table"]
        columns = [db.execute(f"PRAGMA table_info({t})").fetchall() for t in tables]
        return [*db.execute(query).fetchall(), *columns]


@pytest.mark.parametrize("layout", EARLIER)
def test_a_journal_of_an_earlier_layout_is_brought_to_this_one(
    path: Path, tmp_path: Path, layout: str
) -> None:
    new = shape_of(path)
    earlier(path, layout)
    before = JournalView(path)
    shown = before.jobs(None, -1), before.history("numbers", 5)
    before.close()

    JournalFile(path).prepare()
    JournalFile(path).prepare()

    assert shape_of(path) == new
    view = JournalView(path)
    assert (view.jobs(None, -1), view.history("numbers", 5)) == shown
    assert [each["payload"] for each in shown[0]] == [
        *({"n": 1}, {"n": 2}, None, "bad", {"n": 1})
    ]
    view.close()
    journal = SqliteJournal(path, "numbers")
    taken = journal.take_up()
    assert {job.key: (job.payload, job.attempt) for job in taken.jobs} == {
        2: ({"n": 2}, 2),
        4: (None, 1),
    }
    assert (taken.next_key, taken.quarantined_bytes) == (6, 5)
    assert journal.known(["id1", "id3", "id9"]) == {"id1", "id3"}
    journal.commit([JobDone(taken.jobs[0], 3, HERE, 1, 0.1)])
    journal.close()
    assert sorted(states_in(path).items()) == [
        *((1, ("ready", True)), (2, ("done", False)), (3, ("done", False))),
        *((4, ("retrying", True)), (5, ("quarantined", True))),
    ]


def test_an_upgrade_that_dies_anywhere_is_begun_again(
    path: Path, tmp_path: Path
) -> None:
    # The log is cut at each of its pages, and within some: what is there then is the
    # layout before as a whole, or this one.
    earlier(path)
    file = path.read_bytes()
    shown = shown_of(path)
    with contextlib.closing(connect(path)) as other:  # keeps the log
        other.execute("SELECT count(*) FROM job").fetchall()
        JournalFile(path).prepare()
        log = path.with_name(path.name + "-wal").read_bytes()
    assert len(log) > 5 * 4096
    for cut in {*range(32, len(log) + 1, 4120), *range(0, len(log), 9973), len(log)}:
        copy = tmp_path / f"{cut}.db"
        copy.write_bytes(file)
        copy.with_name(copy.name + "-wal").write_bytes(log[:cut])
        with contextlib.closing(connect(copy, read_only=True)) as db:
            assert db.execute("PRAGMA user_version").fetchone()[0] in {3, 5}
        assert shown_of(copy) == shown

        JournalFile(copy).prepare()

        assert shown_of(copy) == shown
        with contextlib.closing(SqliteJournal(copy, "numbers")) as journal:
            assert keys(journal.take_up().jobs) == [2, 4]


def test_an_upgrade_that_the_disk_has_no_room_for_leaves_the_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(path)
    with contextlib.closing(connect(path)) as db:
        db.execute("UPDATE job SET payload = ? WHERE key = 1", (f'"{"x" * 200_000}"',))

    def small(path: Path, **options: Any) -> Any:
        db = connect(path, **options)
        [pages] = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 3}")
        return db

    monkeypatch.setattr("actors.journal.file.connect", small)
    with pytest.raises(JournalDamagedError, match="full"):
        JournalFile(path).prepare()
    monkeypatch.undo()

    with contextlib.closing(connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
    JournalFile(path).prepare()
    assert len(shown_of(path)) == 5


TODAY = 1_795_000_000.0
DAY_S = 86_400.0
IN_2039 = 2_180_000_000.0


class Clocks:
    """A wall clock that can be set, beside one that cannot."""

    def __init__(self, wall: float = TODAY) -> None:
        self.ahead = wall - 500.0
        self.monotonic = 500.0
        self.slept = 0.0

    def set(self, wall: float) -> None:
        self.ahead = wall - self.monotonic

    def sleep(self, seconds: float) -> None:
        """The machine is suspended, and the monotonic clock with it."""
        self.ahead += seconds
        self.slept += seconds

    @property
    def clock(self) -> Clock:
        return Clock(
            lambda: self.ahead + self.monotonic,
            lambda: self.monotonic,
            lambda: self.monotonic + self.slept,
        )


def done(journal: SqliteJournal, key: int) -> None:
    job = new_job(key)
    job.attempt = 1
    journal.commit([JobFetched(job), JobDone(job, 1, HERE, None, 0.1)])


@pytest.mark.parametrize("wrong", [IN_2039, 0.0, 1000 * DAY_S])
def test_a_clock_that_was_wrong_in_an_earlier_run_forgets_no_id_and_keeps_none(
    path: Path, wrong: float
) -> None:
    with contextlib.closing(
        SqliteJournal(path, "numbers", Clocks(wrong).clock)
    ) as journal:
        done(journal, 1)

    clocks = Clocks()
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        journal.take_up()
        journal.purge()
        known = [journal.known(["id1"])]
        for days in (6.9, 0.2):
            clocks.monotonic += days * DAY_S
            known.append(journal.known(["id1"]))

    assert known == [{"id1"}, {"id1"}, set()]


@pytest.mark.parametrize("other", [IN_2039, TODAY - 4000 * DAY_S, TODAY - 2 * DAY_S])
def test_a_clock_that_is_set_while_a_system_runs_changes_no_window(
    path: Path, other: float
) -> None:
    clocks = Clocks(other)
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        done(journal, 1)
        clocks.set(TODAY)
        done(journal, 2)
        known = []
        for days in (0.0, 6.9, 0.2):
            clocks.monotonic += days * DAY_S
            known.append(journal.known(["id1", "id2"]))
        journal.purge()
        left = JournalView(path).jobs("done", -1)

    assert known == [{"id1", "id2"}, {"id1", "id2"}, set()]
    assert left == []


def test_a_machine_that_sleeps_does_not_set_its_clock(path: Path) -> None:
    clocks = Clocks()
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        done(journal, 1)
        known = []
        for days in (6.9, 0.2):
            clocks.sleep(days * DAY_S)
            known.append(journal.known(["id1"]))

    assert known == [{"id1"}, set()]


def test_our_own_clocks_tell_a_sleep_from_a_clock_that_is_set(path: Path) -> None:
    # Both count the same but for a sleep, which no test can have.
    since = since_boot()
    assert time.monotonic() - 1 < since <= time.clock_gettime(time.CLOCK_BOOTTIME)


@pytest.mark.parametrize("behind_days", [10, 600])
@pytest.mark.parametrize("corrected", ["while it is down", "while it runs"])
def test_a_clock_that_was_behind_in_an_earlier_run_forgets_no_id(
    path: Path, behind_days: int, corrected: str
) -> None:
    with contextlib.closing(SqliteJournal(path, "numbers", Clocks().clock)) as journal:
        done(journal, 1)

    clocks = Clocks(TODAY - behind_days * DAY_S)
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        journal.take_up()
        done(journal, 2)
        journal.purge()
        if corrected == "while it runs":
            clocks.set(TODAY)
            assert journal.known(["id1", "id2"]) == {"id1", "id2"}

    clocks = Clocks(TODAY + DAY_S)
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        journal.take_up()
        journal.purge()
        known = [journal.known(["id1", "id2"])]
        for days in (5.9, 0.2):
            clocks.monotonic += days * DAY_S
            known.append(journal.known(["id1", "id2"]))

    assert known == [{"id1", "id2"}, {"id1", "id2"}, set()]


def test_a_clock_that_is_set_back_while_it_runs_and_forth_while_it_is_down(
    path: Path,
) -> None:
    clocks = Clocks()
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        journal.take_up()
        done(journal, 1)
        clocks.set(TODAY - 10 * DAY_S)
        done(journal, 2)

    clocks = Clocks(TODAY + DAY_S)
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        journal.take_up()
        journal.purge()
        known = [journal.known(["id1", "id2"])]
        clocks.monotonic += 6.1 * DAY_S
        known.append(journal.known(["id1", "id2"]))

    assert known == [{"id1", "id2"}, set()]


@pytest.mark.parametrize(
    ("later", "left_s"),
    [(3.0, 2.0), (-30 * DAY_S, 5.0), (-1.0, 5.0), (30 * DAY_S, 0.0)],
)
def test_a_retry_waits_no_longer_over_a_restart_than_it_was_to(
    path: Path, later: float, left_s: float
) -> None:
    job = new_job(1)
    job.attempt = 1
    with contextlib.closing(SqliteJournal(path, "numbers", Clocks().clock)) as journal:
        failed = JobFailed(job, HERE, Failure("E: no"), 5.0)
        journal.commit([JobFetched(job), JobLeased(job, HERE), failed])

    clocks = Clocks(TODAY + later)
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        [taken] = journal.take_up().jobs

    assert taken.not_before - clocks.monotonic == pytest.approx(left_s, abs=0.01)


def test_a_retry_waits_as_long_where_the_clock_was_set_back_before_a_restart(
    path: Path,
) -> None:
    job, clocks = new_job(1), Clocks()
    job.attempt = 1
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        failed = JobFailed(job, HERE, Failure("E: no"), 5.0)
        journal.commit([JobFetched(job), JobLeased(job, HERE), failed])
        clocks.set(TODAY - DAY_S)
        journal.commit([])

    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        [taken] = journal.take_up().jobs

    assert taken.not_before - clocks.monotonic == pytest.approx(5.0, abs=0.01)


def test_a_job_of_a_clock_that_was_not_set_is_not_decades_old(path: Path) -> None:
    with contextlib.closing(
        SqliteJournal(path, "numbers", Clocks(60.0).clock)
    ) as journal:
        journal.commit([JobFetched(new_job(1))])

    clocks = Clocks()
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        [job] = journal.load(JobState.READY, 0, 9)

    assert job.fetched_at == clocks.monotonic


def test_a_journal_is_held_by_whatever_name_it_is_reached(path: Path) -> None:
    other = path.with_name("other.db")
    other.hardlink_to(path)

    with JournalFile(path).claim():
        for each in path.parent.glob("*-*"):
            each.unlink()
        with pytest.raises(JournalInUseError, match=r"other\.db is in use"):
            JournalFile(other).claim()
    JournalFile(other).claim().close()


@pytest.mark.parametrize("what", ["link", "fifo", "directory", "another's"])
@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
def test_a_journal_that_is_not_a_file_of_ours_is_refused(
    path: Path, ending: str, what: str
) -> None:
    planted = path.with_name("planted.db")
    shutil.copy(path, planted)
    place = path.with_name(f"lowtide.db{ending}")
    place.unlink(missing_ok=True)
    if what == "link":
        place.symlink_to(planted)
    elif what == "fifo":
        os.mkfifo(place)
    elif what == "directory":
        place.mkdir()
    elif os.geteuid():
        pytest.skip("takes root")
    else:
        place.touch()
        os.chown(place, 65534, -1)

    with pytest.raises(JournalDamagedError, match="cannot be trusted") as refused:
        JournalFile(path).claim()

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o666, 0o644, 0o620])
def test_a_journal_that_others_may_open_is_closed_to_them(
    path: Path, mode: int
) -> None:
    path.chmod(mode)

    JournalFile(path).claim().close()

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_beside_it_that_somebody_else_made_is_none(path: Path) -> None:
    if os.geteuid():
        pytest.skip("takes root")
    with path.with_name("lowtide.db-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Whoever may read it may hold it.
        other = subprocess.Popen(
            ["setpriv", "--reuid", "65534", "--clear-groups", "sleep", "60"],
            pass_fds=[lock.fileno()],
        )
    with contextlib.closing(JournalFile(path).claim()):
        other.kill()
        other.wait()


def test_a_journal_that_an_earlier_version_holds_is_refused(path: Path) -> None:
    with path.with_name("lowtide.db-lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(JournalInUseError, match="in use"):
            JournalFile(path).claim()
    JournalFile(path).claim().close()


def test_a_lock_does_not_disturb_those_of_sqlite(path: Path) -> None:
    with JournalFile(path).claim():
        journal = SqliteJournal(path, "numbers")
        with contextlib.closing(connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("PRAGMA user_version").fetchone()
            other.execute("COMMIT")
        journal.commit([JobFetched(new_job(1))])
        journal.close()
    assert keys(reopened(path).load(JobState.READY, 0, 9)) == [1]


def test_a_new_journal_and_a_lock_are_their_owners_alone(tmp_path: Path) -> None:
    path, lock = tmp_path / "new.db", tmp_path / "1.lock"
    lock.touch(mode=0o644)

    with JournalFile(path).claim():
        JournalFile(path).prepare()
    file_lock.opened(lock).close()

    assert [each.stat().st_mode & 0o777 for each in (path, lock)] == [0o600, 0o600]


def test_a_lock_is_not_made_where_a_symbolic_link_points(tmp_path: Path) -> None:
    (tmp_path / "1.lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic link"):
        file_lock.opened(tmp_path / "1.lock")

    assert not (tmp_path / "elsewhere").exists()


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


def test_after_a_clean_end_there_is_one_file_and_it_is_the_journal(path: Path) -> None:
    file = JournalFile(path)
    with file.claimed():
        file.prepare()
        killed(path, 20)
        assert path.with_name("lowtide.db-wal").stat().st_size > 0

    assert [each.name for each in path.parent.iterdir()] == ["lowtide.db"]
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    assert len(reopened(copy).load(JobState.READY, 0, 99)) == 20


def test_who_looks_into_a_journal_leaves_nothing_beside_it(path: Path) -> None:
    with JournalFile(path).claimed():
        killed(path, 3)

    with contextlib.closing(JournalView(path)) as view:
        seen = len(view.jobs(None, -1))

    assert seen == 3
    assert [each.name for each in path.parent.iterdir()] == ["lowtide.db"]


def test_who_looks_into_a_journal_that_was_killed_leaves_its_log(path: Path) -> None:
    killed(path, 3)
    before = path.read_bytes()

    with contextlib.closing(JournalView(path)) as view:
        seen = len(view.jobs(None, -1))

    assert seen == 3
    assert path.read_bytes() == before
    assert path.with_name("lowtide.db-wal").stat().st_size > 0


def test_a_decision_while_nothing_runs_leaves_one_file(path: Path) -> None:
    job = new_job(1, attempt=5)
    keep(path, [JobFetched(job), JobQuarantined(job, HERE, Failure("bad"))])

    decide(path, "retry", {"numbers": [1]})

    assert [each.name for each in path.parent.iterdir()] == ["lowtide.db"]


def log_size(path: Path) -> int:
    return path.with_name("lowtide.db-wal").stat().st_size


def test_a_payload_is_written_once_and_found_wherever_the_job_is(path: Path) -> None:
    text = "x" * 100_000
    job = Job(key=1, id="id1", payload={"text": text}, fetched_at=0.0)
    with contextlib.closing(SqliteJournal(path, "numbers")) as journal:
        journal.commit([JobFetched(job)])
        before = log_size(path)
        for attempt in range(1, 6):
            job.attempt = attempt
            journal.commit([JobLeased(job, HERE)])
            journal.commit([JobFailed(job, HERE, Failure("E: no"), 5.0)])
        journal.commit([JobQuarantined(job, HERE, Failure("E: no"))])
        journal.commit([JobReleased(job)])
        journal.commit([JobFailed(job, HERE, Failure("E: no"), 5.0)])
        after = log_size(path)
        [shown] = JournalView(path).jobs("retrying", -1)

    journal = reopened(path)
    [taken] = journal.take_up().jobs
    journal.commit([JobQuarantined(taken, HERE, Failure("E: no"))])
    [aside] = journal.quarantined([1])
    quarantined_bytes = journal.take_up().quarantined_bytes
    journal.commit([JobReleased(aside)])
    [again] = journal.load(JobState.READY, 0, 9)
    before_end = log_size(path)
    journal.commit([JobDone(again, 6, HERE, None, 0.1)])
    end = log_size(path) - before_end
    with contextlib.closing(connect(path)) as db:
        [left] = db.execute("SELECT count(*) FROM payload").fetchone()
    journal.close()

    assert after - before < 13 * 5 * 4096
    assert end < 8 * 4096
    assert shown["payload"] == taken.payload == aside.payload == again.payload
    assert quarantined_bytes > 100_000
    assert left == 0


def test_what_happens_to_many_jobs_writes_none_of_their_payloads(path: Path) -> None:
    jobs = [
        Job(key=key, id=f"id{key}", payload="x" * 1000, fetched_at=0.0)
        for key in range(1, 401)
    ]
    with contextlib.closing(SqliteJournal(path, "numbers")) as journal:
        journal.commit([JobFetched(job) for job in jobs])
        fetched = log_size(path)
        journal.commit([JobLeased(job, HERE) for job in jobs])
        leased = log_size(path)
        journal.commit([JobDone(job, 1, HERE, None, 0.1) for job in jobs])
        ended = log_size(path)

    assert fetched > 400_000
    assert leased - fetched < 60_000
    assert ended - leased < 350_000  # the pages that become free


def test_a_payload_goes_with_its_job(path: Path) -> None:
    jobs = [
        Job(key=key, id=f"#{key}", payload="x" * 9000, fetched_at=0.0, own_id=key < 3)
        for key in range(1, 5)
    ]
    keep(path, [JobFetched(job) for job in jobs])
    keep(path, [JobDone(job, 1, HERE, None, 0.1) for job in jobs[::2]])
    keep(path, [JobDropped(job, "by hand") for job in jobs[1::2]])

    with contextlib.closing(connect(path)) as db:
        assert db.execute("SELECT count(*) FROM payload").fetchone() == (0,)


@pytest.mark.parametrize("own_id", [1, 0])
def test_what_is_leased_as_it_comes_is_as_what_is_leased_later(
    path: Path, own_id: int
) -> None:
    jobs = [new_job(key, own_id=bool(own_id), attempt=key < 4) for key in range(1, 6)]
    keep(path, [JobFetched(jobs[0])])
    fetched = [JobFetched(job) for job in jobs[1:]]
    keep(path, [*fetched, *(JobLeased(job, HERE) for job in jobs[:3])])

    with contextlib.closing(connect(path)) as db:
        rows = db.execute("SELECT key, state, attempt, processor FROM job").fetchall()
    assert rows == [
        *((key, "leased", 1, HERE.name) for key in (1, 2, 3)),
        *((key, "ready", 0, None) for key in (4, 5)),
    ]
    with contextlib.closing(reopened(path)) as journal:
        assert keys(journal.take_up().jobs) == [1, 2, 3]
        assert journal.take_up().accounting.fetched == 5


def test_an_id_that_comes_again_begins_anew(path: Path) -> None:
    first = new_job(1, attempt=3, crashes=2, forgiven=1, route="a")
    failed = JobFailed(first, HERE, Failure("E: no"), 5.0)
    keep(path, [JobFetched(first), failed, JobDropped(first, "by hand")])
    again = Job(key=2, id="id1", payload=[2], fetched_at=0.0)
    keep(path, [JobFetched(again)])

    with contextlib.closing(reopened(path)) as journal:
        [job] = journal.load(JobState.READY, 0, 9)
        assert (job.key, job.payload, job.attempt, job.crashes) == (2, [2], 0, 0)
        assert (job.forgiven, job.route) == (0, "")
        journal.commit([JobLeased(job, HERE), JobDone(job, 1, HERE, None, 0.1)])
    assert states_in(path) == {2: ("done", False)}
