"""Jobs that are alike, kept as one row: cut, given back, and never lost or doubled."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand.job import Accounting, Failure, Job, JobState, Process
from actors.demand.job_events import (
    NOT_BEGUN,
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
    JobRouted,
)
from actors.journal.edit import decide
from actors.journal.event_rows import runs_of
from actors.journal.file import JournalFile, connect
from actors.journal.follow import FileFollower, file_position
from actors.journal.journal import JournalError, JournalOtherError, Keep
from actors.journal.sqlite import Clock, SqliteJournal
from actors.journal.stretches import outside
from actors.journal.view import JournalView

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")
THERE = Process(name="sqrt-2", run="r2", pid=8, host="here")
WEEK = Keep(7 * 86400.0, 1 << 30)
HELD = (JobState.READY, JobState.LEASED, JobState.RETRYING, JobState.QUARANTINED)


def alike(first: int, last: int) -> list[Job]:
    """Jobs as a source without ids gives them."""
    return [
        Job(key, f"#{key}", {"n": key}, 0.0, own_id=False)
        for key in range(first, last + 1)
    ]


def leased(jobs: list[Job], process: Process = HERE) -> list[JobEvent]:
    for job in jobs:
        job.attempt, job.state = job.attempt + 1, JobState.LEASED
    return [JobLeased(job, process) for job in jobs]


def done(jobs: list[Job]) -> list[JobEvent]:
    for job in jobs:
        job.state = JobState.DONE
    return [JobDone(job, job.attempt, HERE, None, 0.1) for job in jobs]


@contextlib.contextmanager
def opened(
    path: Path, fetcher: str = "numbers", keep: Keep | None = None
) -> Iterator[SqliteJournal]:
    JournalFile(path).prepare()
    with contextlib.closing(SqliteJournal(path, fetcher, keep=keep)) as journal:
        yield journal


def commit(path: Path, *events: JobEvent, fetcher: str = "numbers") -> None:
    with opened(path, fetcher) as journal:
        journal.commit(events)


def stretches(path: Path) -> list[tuple[Any, ...]]:
    """First and last keys, state, attempt and processor of each, in order."""
    with contextlib.closing(connect(path, read_only=True)) as db:
        check(db)
        return db.execute(
            "SELECT first & 0xffffffffff, last & 0xffffffffff, state, attempt, "
            "processor FROM stretch ORDER BY first"
        ).fetchall()


def check(db: sqlite3.Connection) -> None:
    """Nothing is there twice, and nothing without a payload."""
    rows = db.execute("SELECT first, last FROM stretch ORDER BY first").fetchall()
    assert all(first <= last for first, last in rows)
    assert all(each[1] < after[0] for each, after in itertools.pairwise(rows))
    places = [place for first, last in rows for place in range(first, last + 1)]
    singles = db.execute(
        "SELECT (fetcher << 40) + key FROM single WHERE ended_at IS NULL"
    ).fetchall()
    live = {*places, *(place for (place,) in singles)}
    assert len(live) == len(places) + len(singles)
    payloads = {place for (place,) in db.execute("SELECT place FROM payload")}
    assert live <= payloads


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(connect(path, read_only=True)) as db:
        return db.execute(sql).fetchall()


def singles(path: Path) -> list[tuple[Any, ...]]:
    return ask(
        path,
        "SELECT key, id, own_id, state, attempt, processor FROM single ORDER BY key",
    )


Runs = st.sets(st.integers(0, 40)).map(runs_of)


@given(Runs, st.integers(0, 40), st.integers(0, 40))
def test_what_is_outside_of_runs_is_all_the_rest(
    runs: list[tuple[int, int]], first: int, last: int
) -> None:
    rest = [*outside((first, last), runs)]

    inside = {n for begin, end in runs for n in range(begin, end + 1)}
    assert [n for begin, end in rest for n in range(begin, end + 1)] == [
        n for n in range(first, last + 1) if n not in inside
    ]


def test_a_page_that_is_leased_as_it_comes_is_a_row_for_each_processor(
    path: Path,
) -> None:
    jobs = alike(1, 1000)
    leases = [*leased(jobs[:400]), *leased(jobs[400:900], THERE)]
    commit(path, *map(JobFetched, jobs), *leases)

    assert stretches(path) == [
        (1, 400, "leased", 1, "sqrt-1"),
        (401, 900, "leased", 1, "sqrt-2"),
        (901, 1000, "ready", 0, None),
    ]
    assert singles(path) == []


@pytest.mark.parametrize(
    ("ended", "left"),
    [
        ([1], [(2, 9)]),
        ([9], [(1, 8)]),
        ([5], [(1, 4), (6, 9)]),
        ([1, 2, 5, 8, 9], [(3, 4), (6, 7)]),
        ([9, 1, 4, 3], [(2, 2), (5, 8)]),
        (range(1, 10), []),
    ],
)
@pytest.mark.parametrize("keep", [None, WEEK])
def test_what_ends_cuts_it(
    path: Path, ended: list[int], left: list[tuple[int, int]], keep: Keep | None
) -> None:
    jobs = alike(1, 9)
    with opened(path, keep=keep) as journal:
        journal.commit([*map(JobFetched, jobs), *leased(jobs)])
        journal.commit(done([jobs[key - 1] for key in ended]))
        assert [job.key for job in journal.load(JobState.LEASED, 0, -1)] == [
            key for first, last in left for key in range(first, last + 1)
        ]

    assert [each[:2] for each in stretches(path)] == left
    with opened(path) as journal:
        taken = journal.take_up()
        assert taken.accounting == Accounting(
            fetched=9, done=len(ended), buffered=9 - len(ended)
        )
        assert [(job.id, job.payload, job.attempt) for job in taken.jobs] == [
            (f"#{key}", {"n": key}, 1)
            for first, last in left
            for key in range(first, last + 1)
        ]


def test_a_lease_of_some_leaves_the_others_ready(path: Path) -> None:
    jobs = alike(1, 9)
    commit(path, *map(JobFetched, jobs))
    commit(path, *leased([jobs[0], *jobs[3:6]]), *leased([jobs[6]], THERE))

    assert stretches(path) == [
        (1, 1, "leased", 1, "sqrt-1"),
        (2, 3, "ready", 0, None),
        (4, 6, "leased", 1, "sqrt-1"),
        (7, 7, "leased", 1, "sqrt-2"),
        (8, 9, "ready", 0, None),
    ]
    with opened(path) as journal:
        found = journal.load(JobState.READY, 2, 2)
        assert [(job.key, job.payload) for job in found] == [
            (3, {"n": 3}),
            (8, {"n": 8}),
        ]
        assert [job.key for job in journal.load(JobState.READY, 0, 9, 1)] == [2]


@pytest.mark.parametrize(
    ("first", "last", "ready"),
    [
        (1, 1, [(2, 9)]),
        (1, 8, [(9, 9)]),
        (1, 9, []),
        (2, 9, [(1, 1)]),
        (5, 5, [(1, 4), (6, 9)]),
        (9, 9, [(1, 8)]),
    ],
)
def test_a_lease_cuts_it_wherever_it_is(
    path: Path, first: int, last: int, ready: list[tuple[int, int]]
) -> None:
    jobs = alike(1, 9)
    commit(path, *map(JobFetched, alike(1, 9)), fetcher="another")
    commit(path, *map(JobFetched, jobs))
    [(fetched_at,)] = ask(path, "SELECT fetched_at FROM stretch WHERE first >> 40 = 2")
    commit(path, *leased(jobs[first - 1 : last], THERE))

    assert [each for each in stretches(path) if each[2] == "leased"] == [
        (first, last, "leased", 1, "sqrt-2")
    ]
    assert [each[:2] for each in stretches(path) if each[2] == "ready"] == [
        (1, 9),
        *ready,
    ]
    times = ask(path, "SELECT DISTINCT fetched_at FROM stretch WHERE first >> 40 = 2")
    assert times == [(fetched_at,)]


def test_a_lease_over_several_of_them_and_single_jobs_takes_each(path: Path) -> None:
    jobs = alike(1, 8)
    commit(path, *map(JobFetched, jobs[:3]))
    own = Job(4, "id4", 4, 0.0)
    commit(path, JobFetched(own), *map(JobFetched, jobs[4:]))
    commit(path, *leased([*jobs[1:3], own, *jobs[4:7]]))

    assert stretches(path) == [
        (1, 1, "ready", 0, None),
        (2, 3, "leased", 1, "sqrt-1"),
        (5, 7, "leased", 1, "sqrt-1"),
        (8, 8, "ready", 0, None),
    ]
    assert singles(path) == [(4, '"id4"', 1, "leased", 1, "sqrt-1")]


def test_attempts_are_counted_over_restarts(path: Path) -> None:
    jobs = alike(1, 6)
    commit(path, *map(JobFetched, jobs), *leased(jobs))
    commit(path, *done(jobs[:2]))
    for attempt in (1, 2, 3):
        with opened(path) as journal:
            taken = journal.take_up().jobs
            assert [(job.key, job.attempt, job.state) for job in taken] == [
                (key, attempt, JobState.READY) for key in range(3, 7)
            ]
            assert [each[2:] for each in stretches(path)] == [("ready", attempt, None)]
            journal.commit(leased(taken))
    assert stretches(path) == [(3, 6, "leased", 4, "sqrt-1")]


Change = Callable[[Job], JobEvent]


def failed(job: Job) -> JobEvent:
    job.state = JobState.RETRYING
    return JobFailed(job, HERE, Failure("E: no"), 60.0)


def quarantined(job: Job) -> JobEvent:
    job.state, job.crashes = JobState.QUARANTINED, job.crashes + 1
    return JobQuarantined(job, HERE, Failure("E: bad"))


def returned(job: Job) -> JobEvent:
    job.state, job.forgiven = JobState.READY, job.forgiven + 1
    return JobReturned(job, HERE, NOT_BEGUN)


def crashed(job: Job) -> JobEvent:
    job.state, job.crashes = JobState.READY, job.crashes + 1
    return JobReturned(job, HERE, "it died")


def routed(job: Job) -> JobEvent:
    job.route = "north"
    return JobRouted(job)


@pytest.mark.parametrize("change", [failed, quarantined, returned, crashed, routed])
@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_job_to_which_something_happens_gets_a_row_of_its_own(
    path: Path, change: Change, at: int
) -> None:
    jobs = alike(1, 5)
    commit(path, *map(JobFetched, jobs), *leased(jobs))
    job = jobs[at - 1]
    commit(path, change(job))

    assert [each[:2] for each in stretches(path)] == runs_of({1, 2, 3, 4, 5} - {at})
    assert [each[:3] for each in singles(path)] == [(at, f'"#{at}"', 0)]
    with opened(path) as journal:
        found = [each for state in HELD for each in journal.load(state, 0, -1)]
        [kept] = [each for each in found if each.key == at]
        assert (kept.id, kept.payload, kept.state, kept.attempt) == (
            *(job.id, job.payload, job.state, 1),
        )
        assert (kept.crashes, kept.forgiven, kept.route, kept.own_id) == (
            *(job.crashes, job.forgiven, job.route, False),
        )
        assert len(found) == 5
        journal.commit(done([job]))
    assert singles(path) == []


def test_people_decide_about_one_that_was_among_others(path: Path) -> None:
    jobs = alike(1, 6)
    commit(path, *map(JobFetched, jobs), *leased(jobs))
    commit(path, *(quarantined(jobs[key - 1]) for key in (2, 3, 5)))

    assert decide(path, "retry", {"numbers": [3, 4]}) == 1
    assert decide(path, "discard", {"numbers": [2, 3, 5]}) == 2

    with opened(path) as journal:
        taken = journal.take_up()
        assert taken.accounting == Accounting(fetched=6, dropped=2, buffered=4)
        [released] = [
            job for job in journal.load(JobState.READY, 0, -1) if job.key == 3
        ]
        assert (released.attempt, released.forgiven, released.crashes) == (1, 1, 0)
        assert [job.key for job in taken.jobs] == [1, 4, 6]
    with contextlib.closing(JournalView(path)) as view:
        assert [each["event"] for each in view.history("numbers", 3)] == [
            *("quarantined", "released")
        ]


def test_a_job_that_is_released_and_done_leaves_nothing(path: Path) -> None:
    jobs = alike(1, 3)
    commit(path, *map(JobFetched, jobs), *leased(jobs), quarantined(jobs[1]))
    jobs[1].state, jobs[1].forgiven = JobState.READY, 1
    commit(path, JobReleased(jobs[1]))
    commit(path, *leased([jobs[1]]), *done(jobs))

    assert (stretches(path), singles(path)) == ([], [])
    with contextlib.closing(connect(path, read_only=True)) as db:
        assert db.execute("SELECT count(*) FROM payload").fetchone() == (0,)


def test_two_fetchers_cut_their_own(path: Path) -> None:
    for fetcher in ("north", "south"):
        jobs = alike(1, 9)
        commit(path, *map(JobFetched, jobs), *leased(jobs), fetcher=fetcher)
    south = alike(1, 9)
    commit(path, *done(south[2:5]), failed(south[0]), fetcher="south")

    assert [each[:2] for each in stretches(path)] == [(1, 9), (2, 2), (6, 9)]
    with opened(path, "north") as journal:
        assert len(journal.take_up().jobs) == 9
    assert [each[2] for each in stretches(path)] == ["ready", "leased", "leased"]
    with opened(path, "south") as journal:
        assert [job.key for job in journal.take_up().jobs] == [2, 6, 7, 8, 9, 1]
    with contextlib.closing(JournalView(path)) as view:
        assert view.left() == {"north": 9, "south": 6}


def test_a_view_has_all_of_them_in_order(path: Path) -> None:
    for fetcher in ("north", "south"):
        jobs = alike(1, 700)
        jobs[349] = Job(350, 350, None, 0.0)
        commit(path, *map(JobFetched, jobs), fetcher=fetcher)
        commit(path, *leased(jobs[:300]), failed(jobs[9]), fetcher=fetcher)
    every = [(name, key) for name in ("north", "south") for key in range(1, 701)]

    with contextlib.closing(JournalView(path)) as view:
        held = [(each["fetcher"], each["key"]) for each in view.held(None, None)]
        south = [each["key"] for each in view.held("leased", "south")]
        listed = view.jobs(None, -1)
        first = view.jobs("ready", 3, "south")
        [found] = view.find("#17", "south")
        both = view.find("#17")
        of_single = view.find("#10", "north")
        missing = [view.find(word) for word in ("#701", "#0", "#017", "#350", "#1x")]
        assert view.left() == {"north": 700, "south": 700}
        assert view.highest_id() == 350

    assert held == every
    assert [(each["fetcher"], each["key"]) for each in listed] == every
    assert south == [key for key in range(1, 301) if key != 10]
    assert [each["key"] for each in first] == [301, 302, 303]
    assert found == {
        "fetcher": "south",
        "key": 17,
        "id": "#17",
        "payload": {"n": 17},
        "result": None,
        "state": "leased",
        "attempt": 1,
        "crashes": 0,
        "processor": "sqrt-1",
        "error": None,
        "fetched_at": found["fetched_at"],
        "not_before": None,
        "ended_at": None,
    }
    assert both[1] == found
    assert [each["fetcher"] for each in both] == ["north", "south"]
    assert [each["error"] for each in of_single] == ["E: no"]
    assert missing == [[]] * 5
    assert list(of_single[0]) == list(found)


class Meddled(JournalView):
    """A view after whose n-th query something happens."""

    def __init__(self, path: Path, number: int, happens: Callable[[], None]) -> None:
        super().__init__(path)
        self._left = number
        self._happens = happens

    def _query(
        self, query: str, values: tuple[Any, ...]
    ) -> Sequence[Mapping[str, Any]]:
        rows = super()._query(query, values)
        self._left -= 1
        if self._left == 0:
            self._happens()
        return rows


@pytest.mark.parametrize("number", range(1, 8))
def test_a_job_is_found_while_it_gets_a_row_of_its_own(path: Path, number: int) -> None:
    jobs = alike(1, 4)
    commit(path, *map(JobFetched, jobs), *leased(jobs))
    asked: list[tuple[Callable[[JournalView], Any], Any]] = [
        (lambda view: view.left(), {"numbers": 4}),
        (lambda view: [each["key"] for each in view.jobs(None, -1)], [1, 2, 3, 4]),
        (lambda view: [each["key"] for each in view.find("#4")], [4]),
    ]
    with opened(path) as journal:
        for job, (ask, expected) in zip(jobs[1:], asked, strict=True):
            fails = functools.partial(journal.commit, [failed(job)])
            with contextlib.closing(Meddled(path, number, fails)) as view:
                assert ask(view) == expected


class Failing:
    """A connection whose n-th statement from now on is not carried out."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.left: int | None = None

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def _count(self, sql: str) -> None:
        if sql == "ROLLBACK" or self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            raise sqlite3.OperationalError("disk I/O error")

    def execute(self, sql: str, values: Any = ()) -> Any:
        self._count(sql)
        return self._db.execute(sql, values)

    def executemany(self, sql: str, rows: Any) -> Any:
        self._count(sql)
        return self._db.executemany(sql, rows)

    def close(self) -> None:
        self._db.close()


def seen(path: Path) -> Any:
    with contextlib.closing(connect(path, read_only=True)) as db:
        check(db)
        tables = ("stretch", "single", "payload", "history", "ended", "fetcher")
        rows = [db.execute(f"SELECT * FROM {each}").fetchall() for each in tables]  # noqa: S608
    return [[row[:-1] for row in table] for table in rows]


@pytest.mark.parametrize("killed", [False, True])
def test_a_commit_that_breaks_at_any_statement_is_as_if_it_had_not_begun(
    path: Path, tmp_path: Path, *, killed: bool
) -> None:
    jobs = alike(1, 12)
    commit(path, *map(JobFetched, jobs), *leased(jobs[:9]))
    more = alike(13, 15)
    events = [
        *leased(jobs[9:10]),
        *done([*jobs[:2], *jobs[4:6]]),
        failed(jobs[3]),
        quarantined(jobs[7]),
        *leased(jobs[10:]),
        *map(JobFetched, more),
        *leased(more),
        returned(jobs[8]),
    ]
    before = seen(path)
    whole = tmp_path / "whole.db"
    whole.write_bytes(path.read_bytes())
    clock = Clock(lambda: 1.9e9, lambda: 5.0)
    with contextlib.closing(SqliteJournal(whole, "numbers", clock, keep=WEEK)) as all_:
        all_.commit(events)
    after = seen(whole)

    db = Failing(connect(path))
    journal = SqliteJournal(path, "numbers", clock, db=db, keep=WEEK)
    for number in itertools.count():
        db.left = number
        try:
            journal.commit(events)
        except JournalError:
            db.left = None
            if killed:  # who comes next knows nothing of it
                journal.close()
                db = Failing(connect(path))
                journal = SqliteJournal(path, "numbers", clock, db=db, keep=WEEK)
            assert seen(path) == before
            continue
        break
    assert number > 12
    db.left = None
    assert seen(path) == after
    # Kept once, though it came after an error that was none.
    with pytest.raises(JournalOtherError):
        journal.commit(events)
    assert seen(path) == after
    journal.close()


@pytest.mark.parametrize("end", ["done", "dropped"])
@pytest.mark.parametrize("own_id", [False, True])
@pytest.mark.parametrize("again", [[3], [1, 2, 3, 4], [3, 4, 7, 8]])
def test_a_job_that_has_ended_ends_no_second_time(
    path: Path, end: str, again: list[int], *, own_id: bool
) -> None:
    def ends(keys: list[int]) -> list[JobEvent]:
        of = [jobs[key - 1] for key in keys]
        return done(of) if end == "done" else [JobDropped(job, "no") for job in of]

    jobs = alike(1, 9)
    jobs[3].id, jobs[3].own_id = "id4", True
    if own_id:
        for job in jobs:
            job.id, job.own_id = job.key, True
    with opened(path, keep=WEEK) as journal:
        journal.commit([*map(JobFetched, jobs), *leased(jobs), failed(jobs[6])])
        journal.commit(ends([2, 3, 4, 7]))
        before = seen(path)
        # As where an error came right after that was kept, and all is tried again.
        with pytest.raises(JournalOtherError, match="kept more than was known"):
            journal.commit(ends(again))
        assert seen(path) == before
        journal.commit(ends([1, 5, 6, 8, 9]))

    with opened(path) as journal:
        accounting = journal.take_up().accounting
        assert accounting == Accounting(fetched=9, **{end: 9})
    with contextlib.closing(JournalView(path)) as view:
        ended = [each["key"] for each in view.ended(None, None)]
    assert sorted(ended) == list(range(1, 10))


def test_a_disk_that_is_full_in_the_middle_changes_nothing(path: Path) -> None:
    jobs = alike(1, 50)
    commit(path, *map(JobFetched, jobs), *leased(jobs))
    before = seen(path)
    db = connect(path)
    with contextlib.closing(SqliteJournal(path, "numbers", db=db)) as journal:
        [pages] = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 2}")
        many = [
            Job(key, f"#{key}", "x" * 900, 0.0, own_id=False) for key in range(51, 90)
        ]
        events = [*done(jobs[10:20]), failed(jobs[30]), *map(JobFetched, many)]
        for _ in range(2):
            with pytest.raises(JournalError, match="full"):
                journal.commit(events)
            assert seen(path) == before
        db.execute("PRAGMA max_page_count = 100000")
        journal.commit(events)
        assert len(journal.load(JobState.READY, 0, -1)) == 39
    assert [each[:2] for each in stretches(path)] == [
        *((1, 10), (21, 30), (32, 50), (51, 89))
    ]


def test_the_end_of_those_that_are_kept_leaves_the_living_their_payloads(
    path: Path,
) -> None:
    now = 1.9e9
    clock = Clock(lambda: now, lambda: now - 1.8e9)
    jobs = alike(1, 30)
    journal = SqliteJournal(path, "numbers", clock, keep=Keep(60.0, 1 << 20))
    journal.commit([*map(JobFetched, jobs), *leased(jobs), failed(jobs[4])])
    journal.commit(done([*jobs[:3], *jobs[10:20]]))
    now += 120
    while journal.purge():
        pass

    assert [job.key for job in journal.load(JobState.LEASED, 0, -1)] == [
        *(4, *range(6, 11), *range(21, 31))
    ]
    assert [job.payload for job in journal.load(JobState.RETRYING, 0, -1)] == [{"n": 5}]
    journal.close()
    with contextlib.closing(connect(path, read_only=True)) as db:
        check(db)
        assert db.execute("SELECT count(*) FROM payload").fetchone() == (17,)
        assert db.execute("SELECT count(*) FROM history").fetchone() == (1,)


def test_no_end_has_the_number_of_one_that_was_forgotten(path: Path) -> None:
    follower = FileFollower(path, file_position(path))
    told: list[int] = []
    for first in (1, 11, 21):
        jobs = alike(first, first + 9)
        with opened(path, keep=WEEK) as journal:
            journal.commit([*map(JobFetched, jobs), *leased(jobs)])
            journal.commit(done(jobs))
        told += [int(str(each.id)[1:]) for each in follower.ends()]
        with opened(path) as journal:  # none is kept any more
            while journal.purge():
                pass
        assert file_position(path).ends == first + 9
        assert follower.ends() == []
    assert told == list(range(1, 31))
    follower.close()


def test_a_read_of_many_that_wait_sorts_nothing(path: Path) -> None:
    asked: list[str] = []
    jobs = alike(1, 5)
    db = connect(path)
    with contextlib.closing(SqliteJournal(path, "numbers", db=db)) as journal:
        journal.commit([*map(JobFetched, jobs)])
        db.set_trace_callback(asked.append)
        journal.load(JobState.READY, 2, 2)
        db.set_trace_callback(None)
        assert len(asked) == 2
        for sql in asked:
            plan = db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
            steps = [step for *_, step in plan]
            assert not [step for step in steps if "TEMP" in step or "SCAN" in step]


class Model:
    """What a fetcher knows of its jobs, and events that may follow, at random."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.jobs: dict[int, Job] = {}
        self.next_key = 1
        self.done = 0

    def events(self) -> list[JobEvent]:
        return [
            event
            for _ in range(self.chance.randint(1, 4))
            for event in self.chance.choice(
                [self.fetch, self.lease, self.end, self.end, self.change]
            )()
        ]

    def fetch(self) -> list[JobEvent]:
        first, self.next_key = self.next_key, self.next_key + self.chance.randint(1, 30)
        jobs = alike(first, self.next_key - 1)
        for job in jobs:
            if self.chance.random() < 0.03:
                job.id, job.own_id = job.key, True
            if self.chance.random() < 0.03:
                job.route = "north"
        self.jobs |= {job.key: job for job in jobs}
        some = jobs[: self.chance.randint(0, len(jobs))]
        return [
            *map(JobFetched, jobs),
            *leased(some, self.chance.choice([HERE, THERE])),
        ]

    def some(self, *states: JobState) -> list[Job]:
        jobs = [job for job in self.jobs.values() if job.state in states]
        begin = self.chance.randint(0, len(jobs))
        jobs = jobs[begin : begin + self.chance.randint(1, 12)]
        return self.chance.sample(jobs, self.chance.randint(0, len(jobs)))

    def lease(self) -> list[JobEvent]:
        return leased(self.some(JobState.READY, JobState.RETRYING))

    def end(self) -> list[JobEvent]:
        jobs = self.some(JobState.LEASED)
        for job in jobs:
            del self.jobs[job.key]
        if self.chance.random() < 0.2:
            return [JobDropped(job, "no") for job in jobs]
        self.done += len(jobs)
        return done(jobs)

    def change(self) -> list[JobEvent]:
        changes = [failed, quarantined, returned, crashed]
        events = [
            self.chance.choice(changes)(job) for job in self.some(JobState.LEASED)
        ]
        events += [routed(job) for job in self.some(JobState.READY)[:1]]
        for job in self.some(JobState.QUARANTINED):
            job.state, job.forgiven, job.crashes = JobState.READY, job.attempt, 0
            events.append(JobReleased(job))
        return events

    def restart(self) -> None:
        for job in self.jobs.values():
            if job.state is JobState.LEASED:
                job.state = JobState.READY

    def accounting(self) -> Accounting:
        states = [job.state for job in self.jobs.values()]
        return Accounting(
            fetched=self.next_key - 1,
            done=self.done,
            dropped=self.next_key - 1 - self.done - len(states),
            buffered=states.count(JobState.READY),
            quarantined=states.count(JobState.QUARANTINED),
        )

    def shown(self) -> list[Any]:
        return sorted(map(shown, self.jobs.values()))


def shown(job: Job) -> Any:
    return (
        *(job.key, str(job.id), job.own_id, job.payload["n"], job.state.value),
        *(job.attempt, job.forgiven, job.crashes, job.route),
    )


@pytest.mark.parametrize("keep", [None, Keep(3600.0, 1 << 30), Keep(3600.0, 2000)])
@pytest.mark.parametrize("seed", range(8))
def test_it_gives_back_what_a_fetcher_knew(
    path: Path, seed: int, keep: Keep | None
) -> None:
    models = {"north": Model(seed), "south": Model(seed + 1000)}
    for _ in range(12):
        for name, model in models.items():
            with opened(path, name, keep) as journal:
                for _ in range(model.chance.randint(1, 6)):
                    journal.commit(model.events())
                if model.chance.random() < 0.3:
                    journal.purge()
                found = [job for each in HELD for job in journal.load(each, 0, -1)]
                assert sorted(map(shown, found)) == model.shown()
            with opened(path, name, keep) as journal:
                taken = journal.take_up()
                model.restart()
                assert taken.accounting == model.accounting()
                assert taken.next_key == model.next_key
    with contextlib.closing(connect(path)) as db:
        check(db)
    with contextlib.closing(JournalView(path)) as view:
        for name, model in models.items():
            listed = [each["key"] for each in view.held(None, name)]
            assert listed == sorted(model.jobs)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("text", ["", "x" * 3000])
@pytest.mark.parametrize("own_id", [False, True])
def test_rows_that_are_inserted_together_are_as_those_inserted_alone(
    path: Path, count: int, text: str, *, own_id: bool
) -> None:
    jobs = alike(1, count)
    for job in jobs:
        if own_id:
            job.id, job.own_id = f"id{job.key}", True
        job.payload = [job.key, text]
        job.size = len(text) + 20
    with opened(path, keep=WEEK) as journal:
        journal.commit([*map(JobFetched, jobs), *leased(jobs)])
        assert [job.payload for job in journal.load(JobState.LEASED, 0, -1)] == [
            [key, text] for key in range(1, count + 1)
        ]
        for job in jobs:
            job.state = JobState.DONE
        journal.commit([JobDone(job, 1, HERE, [job.key, text], 0.1) for job in jobs])

    with contextlib.closing(JournalView(path)) as view:
        found = [*view.ended("done", "numbers")]
    assert [(each["seq"], each["key"], each["id"]) for each in found] == [
        (job.key, job.key, job.id) for job in jobs
    ]
    assert all(each["payload"] == each["result"] for each in found)
    assert [each["result"][0] for each in found] == list(range(1, count + 1))
    assert [(each[0], *each[2:]) for each in singles(path)] == [
        (job.key, 1, "done", 1, "sqrt-1") for job in jobs if own_id
    ]
    with opened(path) as journal:
        assert journal.known([f"id{count}", "id0"]) == (
            {f"id{count}"} if own_id else set()
        )


def test_ids_that_come_again_with_others_begin_anew(path: Path) -> None:
    first = [Job(key, f"id{key}", 1, 0.0) for key in range(1, 101)]
    commit(path, *map(JobFetched, first), *leased(first))
    commit(path, *done(first))
    again = [Job(100 + key, f"id{key}", 2, 0.0) for key in range(50, 150)]
    commit(path, *map(JobFetched, again), *leased(again[:10], THERE))

    rows = singles(path)
    assert [row[:2] for row in rows] == [
        *((key, f'"id{key}"') for key in range(1, 50)),
        *((key, f'"id{key - 100}"') for key in range(150, 250)),
    ]
    assert {row[3:] for row in rows[49:59]} == {("leased", 1, "sqrt-2")}
    assert {row[3:] for row in rows[59:]} == {("ready", 0, None)}


def test_ends_of_named_jobs_change_no_other(path: Path) -> None:
    jobs = [Job(key, key, key, 0.0) for key in range(1, 9)]
    commit(path, *map(JobFetched, jobs), *leased(jobs))
    jobs[4].attempt = 2
    commit(path, *done([jobs[key - 1] for key in (1, 2, 4, 5, 8)]))

    assert [(row[0], row[3], row[4]) for row in singles(path)] == [
        *((1, "done", 1), (2, "done", 1), (3, "leased", 1), (4, "done", 1)),
        *((5, "done", 2), (6, "leased", 1), (7, "leased", 1), (8, "done", 1)),
    ]
