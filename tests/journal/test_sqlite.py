"""The store in a file: what it keeps, gives back and forgets, by whatever clock."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from actors.demand.job import Accounting, Failure, Job, JobState, Process
from actors.demand.job_events import (
    JobDone,
    JobDropped,
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
from actors.journal.edit import decide
from actors.journal.file import (
    connect,
)
from actors.journal.journal import JournalError, Keep
from actors.journal.memory import MemoryJournal
from actors.journal.sqlite import Clock, SqliteJournal, since_boot
from actors.journal.view import JournalView
from tests.support.sqlite_journals import (
    HERE,
    done,
    keep,
    keys,
    new_job,
    reopened,
    states_in,
)


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


class Interrupted:
    """A connection that raises once, when it has carried out a statement."""

    def __init__(self, db: Any, sql: str) -> None:
        self._db = db
        self._sql: str | None = sql

    def execute(self, sql: str, *values: Any) -> Any:
        done = self._db.execute(sql, *values)
        if sql == self._sql:
            self._sql = None
            raise SystemExit
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


@pytest.mark.parametrize(
    ("sql", "is_kept"), [("BEGIN IMMEDIATE", False), ("COMMIT", True)]
)
def test_an_exception_out_of_nowhere_leaves_a_commit_kept_or_not_begun(
    path: Path, sql: str, *, is_kept: bool
) -> None:
    journal = reopened(path)
    journal.take_up()
    db = Interrupted(journal._db, sql)  # noqa: SLF001 - nothing else comes between
    journal._db = db  # noqa: SLF001
    first = [JobFetched(new_job(1))]

    with contextlib.nullcontext() if is_kept else pytest.raises(SystemExit):
        journal.commit(first, sync=True)
    journal.commit([JobFetched(new_job(2))] if is_kept else first, sync=True)

    journal.close()
    again = reopened(path)
    assert keys(again.load(JobState.READY, 0, 10)) == ([1, 2] if is_kept else [1])
    again.close()


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


def test_an_id_may_come_again_after_the_window(path: Path) -> None:
    job = new_job(1)
    keep(path, [JobFetched(job), JobDone(job, 1, HERE, 1, 0.1)])
    journal = after_a_week(path)

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

    journal.commit([JobFetched(new_job(2))])
    assert journal.take_up().accounting.fetched == 2
    assert journal.take_up().next_key == 3
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


def test_what_has_ended_long_ago_is_forgotten_in_parts_with_its_history(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.journal.sqlite.PURGED_AT_ONCE", 2)
    jobs = [new_job(key, attempt=1) for key in range(1, 6)]
    named = Job(key=6, id="#6", payload={"n": 6}, fetched_at=0.0, own_id=False)
    failed = [JobFailed(job, HERE, Failure("once"), 1) for job in [*jobs, named]]
    done = [JobDone(job, 1, HERE, 1, 0.1) for job in [*jobs[:4], named]]
    keep(path, [*(JobFetched(job) for job in [*jobs, named]), *failed, *done])
    journal = after_a_week(path)

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


TODAY = 1_795_000_000.0


DAY_S = 86_400.0


IN_2039 = 2_180_000_000.0


def after_a_week(path: Path) -> SqliteJournal:
    """A run that has begun an hour ago, eight days after the one before."""
    clocks = Clocks(time.time() + 8 * DAY_S)
    journal = SqliteJournal(path, "numbers", clocks.clock)
    clocks.monotonic += 3600.0
    return journal


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


@pytest.mark.parametrize("ahead_s", [IN_2039 - TODAY, 8 * DAY_S])
def test_a_clock_that_is_ahead_at_a_start_forgets_nothing(
    path: Path, ahead_s: float
) -> None:
    keep = Keep(7 * DAY_S, 1 << 20)
    with contextlib.closing(
        SqliteJournal(path, "numbers", Clocks().clock, keep=keep)
    ) as journal:
        done(journal, 1)

    clocks = Clocks(TODAY + 60.0 + ahead_s)
    with contextlib.closing(
        SqliteJournal(path, "numbers", clocks.clock, keep=keep)
    ) as journal:
        journal.take_up()
        journal.purge()
        known = [journal.known(["id1"])]
        done(journal, 2)
        clocks.monotonic += 600.0
        clocks.set(TODAY + 660.0)
        journal.purge()
        for days in (0.0, 6.9, 0.2):
            clocks.monotonic += days * DAY_S
            known.append(journal.known(["id1", "id2"]))

    assert known == [{"id1"}, {"id1", "id2"}, {"id1", "id2"}, set()]


def ends_of(path: Path) -> dict[int, float]:
    """When the jobs that are kept ended, by their keys."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return dict(
            db.execute("SELECT key, ended_at FROM ended WHERE fetcher > 0 ORDER BY seq")
        )


WEEK = Keep(7 * DAY_S, 1 << 20)


@pytest.mark.parametrize("ahead_s", [IN_2039 - TODAY, 8 * DAY_S])
def test_a_clock_that_is_ahead_at_a_start_forgets_no_kept_job(
    path: Path, ahead_s: float
) -> None:
    for at, ahead in ((TODAY, 0.0), (TODAY + 60.0, ahead_s)):
        clocks = Clocks(at + ahead)
        journal = SqliteJournal(path, "numbers", clocks.clock, keep=WEEK)
        with contextlib.closing(journal):
            journal.take_up()
            journal.purge()
            done(journal, 1 + len(ends_of(path)), own_id=False)
            clocks.monotonic += 600.0
            clocks.set(at + 600.0)
            journal.purge()

    assert ends_of(path) == {1: TODAY, 2: pytest.approx(TODAY + 60.0)}


@pytest.mark.parametrize("behind_s", [TODAY - 3600.0, 10 * DAY_S, 7200.0])
def test_a_clock_that_is_behind_at_a_start_moves_no_end_that_was_right(
    path: Path, behind_s: float
) -> None:
    clocks = Clocks()
    with contextlib.closing(
        SqliteJournal(path, "numbers", clocks.clock, keep=WEEK)
    ) as journal:
        done(journal, 1, own_id=False)

    clocks = Clocks(TODAY + DAY_S - behind_s)
    with contextlib.closing(
        SqliteJournal(path, "numbers", clocks.clock, keep=WEEK)
    ) as journal:
        journal.take_up()
        done(journal, 2, own_id=False)
        clocks.monotonic += 600.0
        clocks.set(TODAY + DAY_S + 600.0)
        journal.purge()
        ends = ends_of(path)
        left = []
        for days in (5.9, 1.0, 0.2):
            clocks.monotonic += days * DAY_S
            journal.purge()
            left.append(list(ends_of(path)))

    assert ends == {1: TODAY, 2: pytest.approx(TODAY + DAY_S)}
    assert left == [[1, 2], [2], []]


@pytest.mark.parametrize("wrong", [1000.0, IN_2039])
def test_what_ended_by_a_clock_that_nobody_set_is_forgotten_with_what_follows(
    path: Path, wrong: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.journal.sqlite.PURGED_AT_ONCE", 2)
    with contextlib.closing(
        SqliteJournal(path, "numbers", Clocks(wrong).clock, keep=WEEK)
    ) as journal:
        for key in (1, 2, 3):
            done(journal, key, own_id=False)

    clocks = Clocks()
    left = []
    with contextlib.closing(
        SqliteJournal(path, "numbers", clocks.clock, keep=WEEK)
    ) as journal:
        journal.take_up()
        done(journal, 4, own_id=False)
        for days in (6.9, 0.2):
            clocks.monotonic += days * DAY_S
            while journal.purge():
                pass
            left.append(list(ends_of(path)))

    assert left == [[1, 2, 3, 4], []]


@pytest.mark.parametrize(
    ("ahead_s", "up_s"),
    [(IN_2039 - TODAY, 0.0), (8 * DAY_S, 0.0), (IN_2039 - TODAY, 9 * DAY_S)],
)
def test_a_fetcher_that_dies_soon_after_a_wrong_clock_forgets_nothing(
    path: Path, ahead_s: float, up_s: float
) -> None:
    with contextlib.closing(
        SqliteJournal(path, "numbers", Clocks().clock, keep=WEEK)
    ) as journal:
        done(journal, 1)

    clocks = Clocks(TODAY + 60.0 + ahead_s)
    clocks.slept = up_s
    known = []
    for key in (2, 3):
        journal = SqliteJournal(path, "numbers", clocks.clock, keep=WEEK)
        with contextlib.closing(journal):
            journal.take_up()
            journal.purge()
            known.append(journal.known(["id1", "id2"]))
            done(journal, key)
            clocks.monotonic += 60.0
            if key == 3:
                clocks.set(TODAY + 180.0)
                journal.purge()
                for days in (0.0, 6.9, 0.2):
                    clocks.monotonic += days * DAY_S
                    known.append(journal.known(["id1", "id2", "id3"]))

    three = {"id1", "id2", "id3"}
    assert known == [{"id1"}, {"id1", "id2"}, three, three, set()]
    assert list(ends_of(path)) == [1, 2, 3]


def test_before_the_machine_started_was_not_long_ago_by_a_clock_that_is_ahead(
    path: Path,
) -> None:
    with contextlib.closing(SqliteJournal(path, "numbers", Clocks().clock)) as journal:
        done(journal, 1)
        journal.commit([JobsSent(2, 20.0)])

    clocks = Clocks(TODAY + 8 * DAY_S)
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        clocks.monotonic += 5.0
        sent = journal.sent()

    assert sent == [(500.0, 2)]


def test_what_has_ended_before_a_long_absence_is_forgotten_within_an_hour(
    path: Path,
) -> None:
    with contextlib.closing(SqliteJournal(path, "numbers", Clocks().clock)) as journal:
        done(journal, 1)

    clocks = Clocks(TODAY + 8 * DAY_S)
    with contextlib.closing(SqliteJournal(path, "numbers", clocks.clock)) as journal:
        journal.take_up()
        known = [journal.known(["id1"])]
        clocks.monotonic += 3600.0
        known.append(journal.known(["id1"]))
        journal.purge()
        left = JournalView(path).jobs("done", -1)

    assert known == [{"id1"}, set()]
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
