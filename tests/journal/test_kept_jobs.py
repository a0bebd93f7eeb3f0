"""Jobs that have ended: what is kept of them, how long, and how much."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from actors.config.model import FetcherConfig, SystemConfig
from actors.demand.job import Failure, Job, Process
from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobQuarantined,
)
from actors.journal.edit import decide
from actors.journal.journal import JournalError, Keep
from actors.journal.sqlite import Clock
from actors.journal.stores import look_into
from tests.support.stores import (
    DURABLE,
    Store,
    database,
    pool,
    pooled,
    server,
    store,
)

__all__ = ["database", "pool", "pooled", "server", "store"]

over_stores = pytest.mark.parametrize("store", DURABLE, indirect=True)

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")
WEEK = Keep(7 * 86400.0, 1 << 20)
BEGIN = 1.8e9


class Times:
    """A clock that a test sets."""

    now = 0.0
    ahead = 0.0

    def clock(self) -> Clock:
        return Clock(lambda: BEGIN + self.ahead + self.now, lambda: self.now)


@pytest.fixture
def times() -> Times:
    return Times()


def new_job(key: int, **fields: Any) -> Job:
    return Job(key=key, id=key, payload={"n": key}, fetched_at=0.0, **fields)


def commit(store: Store, times: Times, keep: Keep | None, *events: JobEvent) -> None:
    journal = store.open("numbers", times.clock(), keep=keep)
    with contextlib.closing(journal):
        journal.commit(events)


def done(key: int, result: Any = None, **fields: Any) -> list[JobEvent]:
    job = new_job(key, attempt=1, **fields)
    return [JobFetched(job), JobDone(job, 1, HERE, result, 0.25)]


def ended(store: Store, **fields: Any) -> list[dict[str, Any]]:
    fields = {"state": None, "fetcher": None} | fields
    with contextlib.closing(look_into(store.name)) as view:
        return list(view.ended(**fields))


def left(store: Store) -> tuple[list[int], int]:
    [[payloads]] = store.ask("SELECT count(*) FROM payload")
    return [each["key"] for each in ended(store)], payloads


@over_stores
def test_a_job_is_kept_with_all_that_became_of_it(store: Store, times: Times) -> None:
    job = new_job(1, attempt=2, own_id=False)
    failed = JobFailed(job, HERE, Failure("once"), 1)
    times.now = 5.0
    commit(
        store, times, WEEK, JobFetched(job), failed, JobDone(job, 2, HERE, [4], 0.25)
    )

    with contextlib.closing(look_into(store.name)) as view:
        [found] = view.find("1")
        history = view.history("numbers", 1)

    assert {name: found[name] for name in found if name != "seq"} == {
        "fetcher": "numbers",
        "key": 1,
        "id": 1,
        "payload": {"n": 1},
        "result": [4],
        "state": "done",
        "attempt": 2,
        "processor": "sqrt-1",
        "error": None,
        "fetched_at": "2027-01-15T08:00:00Z",
        "ended_at": "2027-01-15T08:00:05Z",
        "duration_s": 0.25,
        "not_before": None,
    }
    assert [each["error"] for each in history] == ["once"]


@over_stores
def test_one_that_was_dropped_is_kept_with_the_reason(
    store: Store, times: Times
) -> None:
    job = new_job(1)
    commit(store, times, WEEK, JobFetched(job), JobDropped(job, "the buffer is full"))

    [kept] = ended(store, state="dropped")

    assert (kept["error"], kept["result"], kept["payload"]) == (
        "the buffer is full",
        None,
        {"n": 1},
    )
    assert ended(store, state="done") == []


@over_stores
def test_jobs_stand_in_the_order_of_their_ends(store: Store, times: Times) -> None:
    jobs = [new_job(key) for key in (1, 2, 3)]
    commit(store, times, WEEK, *(JobFetched(job) for job in jobs))
    for job in reversed(jobs):
        times.now += 10.0
        commit(store, times, WEEK, JobDone(job, 1, HERE, None, 0.1))

    assert [each["key"] for each in ended(store)] == [3, 2, 1]
    assert [each["key"] for each in ended(store, last_first=True)] == [1, 2, 3]
    assert [each["key"] for each in ended(store, since=BEGIN + 20.0)] == [2, 1]
    assert ended(store, fetcher="others") == []


@over_stores
def test_nothing_is_kept_where_nothing_is_to_be(store: Store, times: Times) -> None:
    commit(store, times, None, *done(1))

    assert left(store) == ([], 0)


@over_stores
def test_what_is_older_is_forgotten_with_its_payload_and_history(
    store: Store, times: Times, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.journal.sqlite.PURGED_AT_ONCE", 2)
    keep = Keep(60.0, 1 << 20)
    for key in (1, 2, 3):
        job = new_job(key, own_id=False)
        failed = JobFailed(job, HERE, Failure("once"), 1)
        commit(store, times, keep, failed, *done(key, own_id=False))
    times.now = 59.0
    commit(store, times, keep, *done(4))
    times.now = 60.0

    with contextlib.closing(store.open("numbers", times.clock(), keep=keep)) as journal:
        times.now = 63.0
        more = [journal.purge(), journal.purge()]

    assert more == [True, False]
    assert left(store) == ([4], 1)
    with contextlib.closing(look_into(store.name)) as view:
        assert view.history("numbers", 1) == []


@over_stores
@pytest.mark.parametrize("wrong_s", [8 * 86400.0, -10 * 86400.0, 1000.0 - BEGIN])
def test_a_clock_that_is_wrong_at_a_start_forgets_and_moves_none(
    store: Store, wrong_s: float
) -> None:
    commit(store, Times(), WEEK, *done(1, own_id=False))
    times = Times()
    times.ahead = 600.0 + wrong_s

    with contextlib.closing(store.open("numbers", times.clock(), keep=WEEK)) as journal:
        journal.take_up()
        journal.purge()
        journal.commit(done(2, own_id=False))
        times.now, times.ahead = 60.0, 600.0
        journal.purge()

    ends = dict(store.ask("SELECT key, ended_at FROM ended ORDER BY seq"))
    assert ends == pytest.approx({1: BEGIN, 2: BEGIN + 600.0}, abs=1.0, rel=0)


@over_stores
def test_a_journal_that_keeps_nothing_any_more_forgets_what_was_kept(
    store: Store, times: Times
) -> None:
    commit(store, times, WEEK, *done(1), *done(2))

    with contextlib.closing(store.open("numbers", times.clock())) as journal:
        assert not journal.purge()

    assert left(store) == ([], 0)


@over_stores
def test_the_oldest_are_forgotten_when_they_take_too_much(
    store: Store, times: Times
) -> None:
    keep = Keep(WEEK.for_s, 100_000)
    journal = store.open("numbers", times.clock(), keep=keep)
    with contextlib.closing(journal):
        for key in range(1, 401):
            journal.commit(done(key, "x" * 1000))
            [[size]] = store.ask("SELECT coalesce(sum(bytes), 0) FROM ended")
            assert size <= 100_000
    keys, payloads = left(store)

    assert keys == list(range(keys[0], 401))
    assert payloads == len(keys) > 20


@over_stores
def test_each_fetcher_has_its_own_room(store: Store, times: Times) -> None:
    commit(store, times, WEEK, *done(1, "quiet"))
    other = store.open("others", times.clock(), keep=Keep(60.0, 1000))
    with contextlib.closing(other):
        for key in range(1, 100):
            other.commit(done(key, "x" * 100))
        times.now = 3600.0
        other.purge()

    assert [each["result"] for each in ended(store)] == ["quiet"]


@over_stores
def test_a_job_larger_than_the_room_is_not_kept(store: Store, times: Times) -> None:
    commit(store, times, Keep(60.0, 1000), *done(1, "x" * 2000))

    assert left(store) == ([], 0)


@over_stores
def test_what_was_not_committed_is_not_counted(store: Store, times: Times) -> None:
    keep = Keep(WEEK.for_s, 3000)
    journal = store.open("numbers", times.clock(), keep=keep)
    with contextlib.closing(journal):
        journal.commit(done(1, "x" * 1000))
        twice = JobFetched(new_job(2)), JobFetched(new_job(2))
        for _ in range(9):
            with pytest.raises(JournalError):
                journal.commit([*done(3, "y" * 1000), *twice])
        journal.commit(done(4, "z" * 1000))

    assert left(store)[0] == [1, 4]


@over_stores
def test_no_number_of_an_end_is_given_twice(store: Store, times: Times) -> None:
    commit(store, times, WEEK, *done(1), *done(2))
    with contextlib.closing(store.open("numbers", times.clock())) as journal:
        journal.purge()
    commit(store, times, WEEK, *done(3))

    with contextlib.closing(look_into(store.name)) as view:
        assert [each["key"] for each in view.ended_after(2, 9)] == [3]
        assert view.last_end() == 3


@over_stores
def test_a_quarantined_job_is_kept_whatever_is_kept(store: Store, times: Times) -> None:
    job = new_job(1, own_id=False)
    commit(
        store, times, None, JobFetched(job), JobQuarantined(job, None, Failure("no"))
    )

    with contextlib.closing(store.open("numbers", times.clock())) as journal:
        journal.purge()
    with contextlib.closing(look_into(store.name)) as view:
        [found] = view.held("quarantined", None)

    assert (found["payload"], found["error"], found["result"]) == ({"n": 1}, "no", None)


@over_stores
@pytest.mark.parametrize("keep", [None, Keep(1e10, 1 << 20)])
def test_one_that_is_discarded_while_nothing_runs_is_kept_for_the_next_run(
    store: Store, times: Times, keep: Keep | None
) -> None:
    job = new_job(1, own_id=False, attempt=2)
    aside = JobQuarantined(job, None, Failure("no"))
    commit(store, times, WEEK, *done(2), JobFetched(job), aside)
    store.close()

    assert decide(store.name, "discard", {"numbers": [1]}) == 1

    [kept] = ended(store, state="dropped")
    assert (kept["payload"], kept["error"], kept["attempt"]) == (
        *({"n": 1}, "discarded by hand", 2),
    )
    assert left(store) == ([2, 1], 2)
    after = Store(store.name)
    with contextlib.closing(after.open(keep=keep)) as journal:
        while journal.purge():
            pass
    assert left(after) == (([2, 1], 2) if keep else ([], 0))
    after.close()


def test_all_fetchers_leave_half_of_the_journal_to_what_has_not_ended() -> None:
    fetchers = tuple(FetcherConfig(name=name) for name in "ab")
    system = SystemConfig(fetchers=fetchers, processors=(), journal_mib=8, keep_s=5.0)

    assert system.keep == Keep(5.0, 2 << 20)
    assert SystemConfig(fetchers=fetchers, processors=(), keep_s="none").keep is None
    assert SystemConfig(fetchers=fetchers, processors=()).keep == Keep(
        7 * 86400.0, 64 << 20
    )
