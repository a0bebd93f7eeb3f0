"""Jobs whose route is to be found out: held apart, counted, and let go as one."""

from __future__ import annotations

from typing import Any

import pytest

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.job import Accounting, Failure, Job, JobState, Process
from actors.demand.job_events import JobDropped, JobFetched, JobQuarantined, JobRouted
from actors.demand.job_routing import (
    Incoming,
    RouteError,
    Routes,
    Routing,
    partition_of,
)
from actors.demand.job_store import JobStore
from actors.demand.messages import Outcome
from tests.support.spooled import MuteError, double_later

NOW = 100.0
HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")
FAILURE = Failure("ValueError: no", permanent=True)


def made(keep: str | None = None) -> JobStore:
    policy = RetryPolicy(attempts=3, jitter=0.0)
    return JobStore(Buffer(4), policy, keep=keep, routed=True)


def fetch(store: JobStore, *payloads: Any) -> list[Job]:
    store.fetched([Incoming(None, each, None) for each in payloads], NOW)
    return list(store.unrouted)


def test_a_job_without_a_route_is_in_no_buffer_and_counted() -> None:
    store = made()

    first, second = fetch(store, "a", "b")

    assert (len(store.buffer), store.waiting, store.room) == (0, 0, 2)
    assert store.accounting() == Accounting(fetched=2, buffered=2)
    assert (first.is_routed, first.route, first.state) == (False, "", JobState.READY)
    assert store.live(second.key) is second


def test_a_route_lets_it_go_once() -> None:
    store = made()
    (job,) = fetch(store, "a")

    events = store.routed([(job.key, Routes(("x",)))])
    again = store.routed([(job.key, Routes(("y",))), (99, Routes(("y",)))])

    assert (events, again) == ([JobRouted(job)], [])
    assert store.buffer.take(9) == (job,)
    assert (job.route, job.is_routed, store.unrouted_count) == ("x", True, 0)


def test_several_routes_make_several_jobs_and_a_failure_is_that_ones() -> None:
    store = made()
    (job,) = fetch(store, "a")

    events = store.routed([(job.key, Routes(("x", "y", "z"), {"y": FAILURE}))])

    [y] = [each.job for each in events if isinstance(each, JobQuarantined)]
    copies = [each.job for each in events if isinstance(each, JobFetched)]
    assert store.accounting() == Accounting(fetched=3, buffered=2, quarantined=1)
    assert [each.route for each in store.buffer.take(9)] == ["x", "z"]
    assert (y.route, copies[0], [each.own_id for each in copies]) == (
        "y",
        y,
        [False, False],
    )


def test_no_route_at_all_drops_it() -> None:
    store = made()
    (job,) = fetch(store, "a")

    events = store.routed([(job.key, Routes(()))])

    assert events[-1] == JobDropped(job, "no selector takes it")
    assert store.accounting() == Accounting(fetched=1, dropped=1)


def test_a_buffer_that_keeps_the_last_drops_when_routes_are_known() -> None:
    store = made(keep="last")
    jobs = fetch(store, *"abcdef")

    events = store.routed([(job.key, Routes(("x",))) for job in jobs])

    dropped = [each.job for each in events if isinstance(each, JobDropped)]
    assert (store.room, dropped) == (4, jobs[:2])


def test_a_copy_stands_where_its_job_stood() -> None:
    store = made()
    (job,) = fetch(store, "a")
    mark = store.place
    (_, later) = fetch(store, "b")

    store.routed([(job.key, Routes(("x", "y")))])
    (first, copy) = store.buffer.take(9)
    store.leased([first, copy], HERE)
    store.settle(Outcome(first.key, 1), HERE, NOW, 0.5)

    assert store.holds_before(mark)
    store.settle(Outcome(copy.key, 1), HERE, NOW, 0.5)
    assert not store.holds_before(mark)
    assert store.holds_before(later.place + 1)


def test_what_the_journal_has_without_a_route_is_asked_about() -> None:
    store = made()
    old = [
        Job(1, 1, "a", NOW),
        Job(2, 2, "b", NOW, route="x"),
        Job(3, 3, "c", NOW, state=JobState.RETRYING, not_before=NOW + 1),
    ]

    store.take_up(old, more=False)
    at_first = store.unrouted
    store.retry_due(NOW + 1)

    assert (at_first, store.unrouted) == ((old[0],), (old[0], old[2]))
    assert store.buffer.take(9) == (old[1],)


def test_a_job_that_ends_meanwhile_is_asked_about_no_more() -> None:
    store = made()
    job = Job(1, 1, "a", NOW, attempt=1)
    store.take_up([job], more=False)

    store.settle(Outcome(1, 1, "late"), HERE, NOW, 0.5)

    assert (store.unrouted, store.routed([(1, Routes(("x",)))])) == ((), [])
    assert store.accounting().done == 1


def described(error: BaseException) -> Failure:
    return Failure(repr(error))


def test_a_user_s_function_gets_a_job_of_its_own() -> None:
    job = {"id": 1, "lines": [1]}

    def ruin(own: Any) -> Any:
        own["lines"].clear()
        return own.pop("id")

    routing = Routing(key_of=ruin, asks_user=True)

    assert routing.routes_of(job, described).names == ("1",)
    assert job == {"id": 1, "lines": [1]}


def test_what_a_selector_raises_is_that_kinds_failure() -> None:
    def mute(_: Any) -> bool:
        raise MuteError

    routing = Routing(
        selectors={"all": None, "mute": mute, "later": double_later, "no": lambda _: 0},
        asks_user=True,
    )

    names, failures = routing.routes_of({}, lambda _: Failure("it failed"))

    assert names == ("all", "mute", "later")
    assert failures.keys() == {"mute", "later"}
    assert failures["mute"] == Failure("it failed (where it goes)", permanent=True)


class Named:
    def __repr__(self) -> str:
        return "a name of its own"


class Unnamed:
    pass


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("a", "a"),
        (7, "7"),
        (None, "None"),
        (("a", 1), "('a', 1)"),
        (Named(), "a name of its own"),
        ("at 0x12 in text", "at 0x12 in text"),
        ("\ud800", "\\ud800"),
    ],
)
def test_a_key_is_what_its_text_says(key: Any, text: str) -> None:
    assert partition_of(key) == text


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (Unnamed(), "got Unnamed: its text is an address, another one each time"),
        ((1, Unnamed()), "got tuple: its text is an address"),
        (partition_of, "got function: its text is an address"),
        ({1, 2}, "got set: its text is in no certain order"),
        ((each for each in "ab"), "got a generator"),
    ],
)
def test_a_key_whose_text_is_another_each_time_is_refused(key: Any, why: str) -> None:
    with pytest.raises(RouteError, match=why):
        partition_of(key)
