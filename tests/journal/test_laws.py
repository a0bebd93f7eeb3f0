"""The laws of a journal, over every store that outlives a process."""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING, Any

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
    JobRouted,
    StateMoved,
)
from actors.journal.edit import decide, set_state
from actors.journal.file import JournalInUseError
from actors.journal.sqlite import Clock
from actors.journal.stores import claimed, look_into
from tests.support.stores import (
    DURABLE,
    Store,
    database,
    pool,
    pooled,
    server,
    store,
)

if TYPE_CHECKING:
    from actors.demand.job import JobId
    from actors.journal.journal import Journal

__all__ = ["database", "pool", "pooled", "server", "store"]

pytestmark = pytest.mark.parametrize("store", DURABLE, indirect=True)

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")
DAY_S = 86400.0


def new_job(key: int, **fields: Any) -> Job:
    made: dict[str, Any] = {"id": f"id{key}", "own_id": True, "payload": {"n": key}}
    return Job(**(made | fields), key=key, fetched_at=0.0)


def keep(store: Store, *events: JobEvent, fetcher: str = "numbers") -> None:
    with store.run(fetcher) as journal:
        journal.commit(events)


def keys(jobs: list[Job]) -> list[int]:
    return [job.key for job in jobs]


def test_what_was_fetched_is_given_back_in_order_and_in_pages(store: Store) -> None:
    keep(store, *(JobFetched(new_job(key)) for key in range(1, 6)))

    with store.run() as journal:
        taken = journal.take_up()
        first = journal.load(JobState.READY, 0, 2)
        rest = journal.load(JobState.READY, 2, -1)
        small = journal.load(JobState.READY, 0, 9, 1)

    assert taken.accounting == Accounting(fetched=5, buffered=5)
    assert (taken.next_key, taken.jobs) == (6, [])
    assert (keys(first), keys(rest), keys(small)) == ([1, 2], [3, 4, 5], [1])
    assert [(job.id, job.payload) for job in first] == [
        ("id1", {"n": 1}),
        ("id2", {"n": 2}),
    ]


def test_a_leased_job_is_ready_again_and_a_retry_waits_on(store: Store) -> None:
    leased, failed = new_job(1, attempt=2), new_job(2, attempt=1)
    keep(store, JobFetched(leased), JobFetched(failed))
    keep(store, JobLeased(leased, HERE), JobFailed(failed, HERE, Failure("no"), 60.0))

    with store.run() as journal:
        first, second = journal.take_up().jobs

    assert (first.key, first.attempt, first.state) == (1, 2, JobState.READY)
    assert (second.key, second.state) == (2, JobState.RETRYING)
    assert 30.0 < second.not_before - time.monotonic() <= 60.0


def test_counts_and_keys_go_on_over_restarts(store: Store) -> None:
    jobs = [new_job(key, own_id=False) for key in range(1, 6)]
    keep(store, *map(JobFetched, jobs))
    keep(store, JobDone(jobs[0], 1, HERE, None, 0.1), JobDropped(jobs[1], "no"))
    keep(store, JobQuarantined(jobs[2], HERE, Failure("bad")))

    with store.run() as journal:
        taken = journal.take_up()

    assert taken.next_key == 6
    assert taken.accounting == Accounting(
        fetched=5, done=1, dropped=1, buffered=2, quarantined=1
    )
    assert taken.quarantined_bytes > 0


def test_ids_are_known_by_type_until_the_window_is_over(store: Store) -> None:
    jobs = [new_job(1, id=7), new_job(2, id="8"), new_job(3, id="x" * 5000)]
    keep(store, *map(JobFetched, jobs))
    for job in jobs:
        job.state = JobState.DONE
    keep(store, *(JobDone(job, 1, HERE, None, 0.1) for job in jobs))

    with store.run() as journal:
        known = journal.known([7, "7", 8, "8", "x" * 5000, "x" * 4999])
        ended = [journal.ended(each) for each in (7, "7", "x" * 5000)]
    forgetful = store.open(remember_s=0.0)
    after = forgetful.known([7, "8"])
    again = new_job(4, id=7)
    forgetful.commit([JobFetched(again)])

    assert known == {7, "8", "x" * 5000}
    assert ended == [JobState.DONE, None, JobState.DONE]
    assert after == set()
    assert keys(forgetful.load(JobState.READY, 0, 9)) == [4]
    forgetful.close()


BIG = 1 << 63
#: Around nothing, around where SQLite's integers end, beyond them, and texts.
MANY_IDS: list[JobId] = [
    *(-5, -1, 0, 1, 2, 7, 8, 40, 41, "7", "abc", "41", "", -BIG, -BIG - 9),
    *(BIG - 2, BIG - 1, BIG, BIG + 1, 10**60, 10**60 + 1, "9" * 40),
]


@pytest.mark.parametrize("seed", range(6))
def test_ids_are_known_in_whatever_order_they_come(store: Store, seed: int) -> None:
    """A number above all others is not looked for; no other is to be missed."""
    chance = random.Random(seed)
    came: dict[tuple[type, Any], None] = {}
    key = 0
    for _ in range(2):
        with store.run() as journal:
            for _ in range(25):
                asked = chance.sample(MANY_IDS, chance.randint(1, 4))
                known = journal.known(asked)
                named = {(type(each), each) for each in asked}
                assert {(type(each), each) for each in known} == named & came.keys()
                new = [each for each in asked if (type(each), each) not in came]
                # Not all that is asked for comes to be kept: the disk may be full.
                for each in new[: chance.randint(0, 2)]:
                    key += 1
                    journal.commit([JobFetched(new_job(key, id=each))])
                    came[type(each), each] = None


def test_fetchers_do_not_see_one_anothers_jobs(store: Store) -> None:
    keep(store, JobFetched(new_job(1)), StateMoved('{"at":1}'), fetcher="north")
    keep(store, JobFetched(new_job(1)), JobFetched(new_job(2)), fetcher="south")

    with store.run("north") as north, store.run("south") as south:
        assert keys(north.load(JobState.READY, 0, 9)) == [1]
        assert keys(south.load(JobState.READY, 0, 9)) == [1, 2]
        assert (north.state().text, south.state().text) == ('{"at":1}', "null")


def test_a_commit_is_kept_as_a_whole_or_not_at_all(store: Store) -> None:
    with store.run() as journal:
        bad = new_job(2, payload={1, 2})
        with contextlib.suppress(TypeError):
            journal.commit([JobFetched(new_job(1)), JobFetched(bad)])
        assert journal.load(JobState.READY, 0, 9) == []
        assert journal.known(["id1"]) == set()
        journal.commit([JobFetched(new_job(1)), StateMoved("1")])

    with store.run() as journal:
        assert keys(journal.load(JobState.READY, 0, 9)) == [1]
        assert journal.take_up().accounting.fetched == 1


def test_what_is_kept_is_looked_into_while_a_system_has_it(store: Store) -> None:
    job = new_job(1, id=17, attempt=3)
    odd = Failure("E: \0 and ü", trace="trace \0")
    keep(store, JobFetched(job), JobFetched(new_job(2)), StateMoved('{"at":5}'))
    keep(store, JobFailed(job, HERE, Failure("E: one"), 5.0))
    keep(store, JobQuarantined(job, HERE, odd))

    with contextlib.closing(look_into(store.name)) as view:
        [shown] = view.jobs("quarantined", 10)
        every = view.jobs(None, -1)
        [found] = view.find("17")
        history = view.history("numbers", 1)
        assert view.left() == {"numbers": 1}
        assert view.highest_id() == 17
        assert view.states()["numbers"][0] == '{"at":5}'

    assert (shown["id"], shown["payload"], shown["attempt"]) == (17, {"n": 1}, 3)
    assert shown["error"].startswith("E: ")
    assert shown["error"].endswith(" and ü")
    assert [each["key"] for each in every] == [1, 2]
    assert found == shown
    assert [each["event"] for each in history] == ["failed", "quarantined"]


def test_people_decide_while_no_system_has_it(store: Store) -> None:
    jobs = [new_job(1, attempt=5), new_job(2, attempt=5)]
    keep(store, *map(JobFetched, jobs))
    keep(store, *(JobQuarantined(job, HERE, Failure("bad")) for job in jobs))
    store.close()

    # A job that is named twice is meant once.
    assert decide(store.name, "retry", {"numbers": [1, 1]}) == 1
    assert decide(store.name, "discard", {"numbers": [1, 2, 2]}) == 1
    set_state(store.name, "numbers", '{"at":9}')

    after = Store(store.name)
    with after.run() as journal:
        taken = journal.take_up()
        [ready] = journal.load(JobState.READY, 0, 9)
        assert (ready.key, ready.forgiven) == (1, 5)
        assert taken.accounting == Accounting(fetched=2, dropped=1, buffered=1)
        assert journal.state().text == '{"at":9}'
    after.close()


def test_a_job_of_a_broadcast_ends_with_its_last_copy(store: Store) -> None:
    jobs = [new_job(1, id=7, route="a"), new_job(2, id=7, own_id=False, route="b")]
    with store.run() as journal:
        journal.follow_copies()
        journal.commit([JobFetched(job) for job in jobs])
        jobs[0].state = JobState.DONE
        journal.commit([JobDone(jobs[0], 1, HERE, None, 0.1)])
        copies = sorted(journal.copies(7))
        before = journal.ended(7)
        journal.commit([JobQuarantined(jobs[1], HERE, Failure("bad"))])
        after = journal.ended(7)

    assert [(copy.key, copy.route) for copy in copies] == [(1, "a"), (2, "b")]
    assert (before, after) == (None, JobState.QUARANTINED)


def test_one_system_has_it(store: Store) -> None:
    with pytest.raises(JournalInUseError), claimed(store.name):
        pass


def test_what_has_ended_long_ago_is_forgotten(store: Store) -> None:
    jobs = [new_job(key) for key in (1, 2, 3)]
    keep(store, *map(JobFetched, jobs))
    keep(store, JobFailed(jobs[0], HERE, Failure("no"), 0.0))
    keep(store, *(JobDone(job, 1, HERE, None, 0.1) for job in jobs[:2]))

    journal = store.open(remember_s=0.0)
    while journal.purge():
        pass
    with contextlib.closing(look_into(store.name)) as view:
        assert view.history("numbers", 1) == []
        assert view.jobs("done", -1) == []
    assert journal.take_up().accounting == Accounting(fetched=3, done=2, buffered=1)
    journal.close()


@pytest.mark.parametrize("by_s", [1000 * DAY_S, -2 * DAY_S])
def test_a_clock_that_is_set_while_it_runs_changes_no_window(
    store: Store, by_s: float
) -> None:
    now = {"wall": 2_000_000_000.0, "monotonic": 5000.0}

    def pass_s(seconds: float, *, set_by: float = 0.0) -> None:
        now["monotonic"] += seconds
        now["wall"] += seconds + set_by

    clock = Clock(lambda: now["wall"], lambda: now["monotonic"])
    journal = store.open(clock=clock, remember_s=7 * DAY_S)
    job, late = new_job(1), new_job(2, attempt=1)
    journal.commit([JobFetched(job), JobFetched(late)])
    journal.commit([JobDone(job, 1, HERE, None, 0.1)])
    journal.commit([JobFailed(late, HERE, Failure("no"), 100.0)])

    pass_s(DAY_S, set_by=by_s)
    assert journal.known(["id1"]) == {"id1"}
    pass_s(5 * DAY_S)
    assert journal.known(["id1"]) == {"id1"}
    pass_s(2 * DAY_S)
    assert journal.known(["id1"]) == set()
    journal.close()


@pytest.mark.parametrize("wrong_by", [-3 * DAY_S, 400 * DAY_S])
def test_a_clock_that_was_wrong_in_an_earlier_run_forgets_no_id(
    store: Store, wrong_by: float
) -> None:
    today = 2_000_000_000.0
    first = store.open(clock=Clock(lambda: today + wrong_by, lambda: 5.0))
    job = new_job(1)
    first.commit([JobFetched(job)])
    first.commit([JobDone(job, 1, HERE, None, 0.1)])
    first.close()

    second = store.open(clock=Clock(lambda: today, lambda: 5.0))
    second.take_up()
    assert second.known(["id1"]) == {"id1"}
    second.purge()
    assert second.known(["id1"]) == {"id1"}
    second.close()


class Walk:
    """Events that a fetcher might write, at random, each of them possible."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.jobs: dict[int, Job] = {}
        self.next_key = 1

    def commit(self) -> list[JobEvent]:
        return [
            event for _ in range(self.chance.randint(1, 12)) for event in self.step()
        ]

    def step(self) -> list[JobEvent]:
        live = [job for job in self.jobs.values() if job.state is not JobState.DONE]
        if not live or self.chance.random() < 0.4:
            return self.fetch_page() if self.chance.random() < 0.3 else self.fetch()
        job = self.chance.choice(live)
        if job.state is JobState.LEASED and self.chance.random() < 0.2:
            return self.end_page(job)
        return [self.change(job)]

    def fetch_page(self) -> list[JobEvent]:
        # As a source without ids gives them, some of them leased at once.
        begin, self.next_key = self.next_key, self.next_key + self.chance.randint(2, 9)
        jobs = [
            Job(key, f"#{key}", {"n": key}, 0.0, own_id=False)
            for key in range(begin, self.next_key)
        ]
        self.jobs |= {job.key: job for job in jobs}
        leased = jobs[: self.chance.randint(0, len(jobs))]
        for job in leased:
            job.attempt, job.state = 1, JobState.LEASED
        return [*map(JobFetched, jobs), *(JobLeased(job, HERE) for job in leased)]

    def end_page(self, job: Job) -> list[JobEvent]:
        keys = range(job.key, job.key + self.chance.randint(1, 9))
        jobs = [self.jobs[key] for key in keys if key in self.jobs]
        ended = [job for job in jobs if job.state is JobState.LEASED]
        for each in ended:
            each.state = JobState.DONE
        return [JobDone(each, each.attempt, HERE, None, 0.1) for each in ended]

    def fetch(self) -> list[JobEvent]:
        own = self.chance.random() < 0.7
        key, self.next_key = self.next_key, self.next_key + 1
        ids: list[int | str] = [key, f"ü{key}", f"{key}" * 900]
        job_id = self.chance.choice(ids) if own else f"#{key}"
        payload = self.chance.choice([{"n": key}, "x" * 5000, None, [1.5, "\0ü"]])
        job = Job(key=key, id=job_id, payload=payload, fetched_at=0.0, own_id=own)
        self.jobs[key] = job
        return [JobFetched(job)]

    def change(self, job: Job) -> JobEvent:
        if job.state is JobState.QUARANTINED:
            job.state, job.forgiven = JobState.READY, job.attempt
            return JobReleased(job)
        if job.state is JobState.READY:
            if self.chance.random() < 0.1:
                job.route = self.chance.choice(["", "north", "süd"])
                return JobRouted(job)
            job.attempt += 1
            job.state = JobState.LEASED
            return JobLeased(job, HERE)
        if job.state is JobState.RETRYING:
            job.attempt += 1
            job.state = JobState.LEASED
            return JobLeased(job, HERE)
        return self.end(job)

    def end(self, job: Job) -> JobEvent:
        match self.chance.randrange(6):
            case 0:
                job.state = JobState.RETRYING
                return JobFailed(job, HERE, Failure("E: no", trace="trace"), 1000.0)
            case 1:
                job.state, job.crashes = JobState.QUARANTINED, job.crashes + 1
                return JobQuarantined(job, HERE, Failure("E: bad"))
            case 2:
                job.state = JobState.READY
                return JobReturned(job, HERE, "it died")
            case 3:
                job.state = JobState.DROPPED
                del self.jobs[job.key]
                return JobDropped(job, "no")
            case _:
                job.state = JobState.DONE
                return JobDone(job, job.attempt, HERE, None, 0.1)


def seen_of(journal: Journal, ids: list[Any]) -> Any:
    taken = journal.take_up()

    def plain(jobs: list[Job]) -> list[Any]:
        return [
            (
                *(job.key, job.id, job.own_id, job.payload, job.attempt),
                *(job.crashes, job.route, job.forgiven, job.state),
            )
            for job in jobs
        ]

    states = (JobState.READY, JobState.RETRYING, JobState.QUARANTINED)
    return (
        taken.accounting,
        taken.next_key,
        plain(sorted(taken.jobs, key=lambda job: job.key)),
        [plain(journal.load(state, 0, -1)) for state in states],
        plain(journal.quarantined(range(1, 500))),
        journal.known(ids),
        [journal.ended(each) for each in ids],
        journal.state().text,
    )


@pytest.mark.parametrize("seed", range(4))
def test_it_is_as_the_memory_of_a_model_says(
    store: Store, seed: int, tmp_path: Any
) -> None:
    """The file is the model: whatever it gives back, the others do."""
    walk, model = Walk(seed), Store(str(tmp_path / "model.db"))
    ours, theirs = store.open(), model.open()
    for _ in range(25):
        events = [*walk.commit(), StateMoved(str(walk.next_key))]
        sync = walk.chance.random() < 0.5
        ours.commit(events, sync=sync)
        theirs.commit(events, sync=sync)
        if walk.chance.random() < 0.2:
            ours.close()
            theirs.close()
            ours, theirs = store.open(), model.open()
            ids = [job.id for job in walk.jobs.values()]
            assert seen_of(ours, ids) == seen_of(theirs, ids)
            # As a fetcher does: what was leased is ready again.
            for job in walk.jobs.values():
                if job.state is JobState.LEASED:
                    job.state = JobState.READY
    ids = [job.id for job in walk.jobs.values()]
    assert seen_of(ours, ids) == seen_of(theirs, ids)
    ours.close()
    theirs.close()
    model.close()
