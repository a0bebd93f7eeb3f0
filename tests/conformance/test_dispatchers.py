"""Behaviours 23 to 40: who gets the next job."""

from __future__ import annotations

from itertools import permutations

import pytest

from actors.demand.buffer import Buffer
from actors.demand.dispatchers import (
    BroadcastDispatcher,
    DemandDispatcher,
    DuplicateSubscriptionError,
    PartitionDispatcher,
)
from actors.demand.job_events import JobDropped, JobQuarantined
from actors.demand.job_routing import Incoming, Routing
from actors.demand.messages import Subscribe
from actors.demand.windows import Window
from actors.user_code.failures import describe
from tests.conformance.line import Line


def asked(**demands: int) -> DemandDispatcher:
    dispatcher = DemandDispatcher()
    for name, demand in demands.items():
        dispatcher.subscribe(name)
        dispatcher.ask(name, demand)
    return dispatcher


def filled(*jobs: int) -> Buffer[int]:
    buffer: Buffer[int] = Buffer(100)
    buffer.store(jobs)
    return buffer


def test_23_the_largest_demand_comes_first_and_a_later_ask_changes_that() -> None:
    dispatcher = asked(a=4, b=2, c=3)

    first = dispatcher.dispatch(filled(*range(5)))
    dispatcher.ask("b", 9)
    second = dispatcher.dispatch(filled(*range(5, 8)))

    assert first == [("a", (0, 1, 2, 3)), ("c", (4,))]
    assert second == [("b", (5, 6, 7))]


def test_24_each_gets_what_it_asked_for_and_the_rest_stays() -> None:
    dispatcher, buffer = asked(a=3, b=2), filled(*range(8))

    sent = dispatcher.dispatch(buffer)

    assert sent == [("a", (0, 1, 2)), ("b", (3, 4))]
    assert buffer.take(9) == (5, 6, 7)


def test_25_equal_demands_take_turns() -> None:
    dispatcher = asked(a=1, b=1, c=1)

    turns = []
    for job in range(7):
        [(name, _)] = dispatcher.dispatch(filled(job))
        turns.append(name)
        dispatcher.ask(name, 1)

    assert "".join(turns) == "abcabca"


def test_26_what_a_cancelled_consumer_asked_for_is_not_owed_to_another() -> None:
    line = Line()
    line.join("a", Window(max_demand=10))
    line.gone("a")
    consumer = line.join("b", Window(max_demand=5))

    line.fetch(*range(8))

    assert (consumer.held, line.store.accounting().buffered) == (5, 3)


def test_27_a_consumer_that_leaves_one_producer_keeps_its_place_at_another() -> None:
    one, two = asked(x=2, y=3), asked(x=4)

    one.cancel("x")

    assert (one.demand, two.demand) == (3, 4)


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_30_one_that_asks_for_nothing_never_blocks_another(
    order: tuple[str, ...],
) -> None:
    demands = {"a": 0, "b": 2, "c": 0}
    dispatcher = asked(**{name: demands[name] for name in order})

    assert dispatcher.dispatch(filled(1, 2, 3)) == [("b", (1, 2))]


def test_31_32_a_kind_that_is_slow_holds_up_no_other() -> None:
    line = Line(dispatcher=BroadcastDispatcher())
    line.join("fast-1", Window(max_demand=20))
    line.join("slow-1", Window(max_demand=1))

    line.route(*((number, kind) for number in range(9) for kind in ("fast", "slow")))

    assert line.work("fast-1", 20) == [*range(9)]
    assert line.consumers["slow-1"].held == 1
    assert line.store.accounting().buffered == 8


def test_32_a_silent_kind_stops_the_poller_once_the_buffer_is_full() -> None:
    line = Line(buffer=4, dispatcher=BroadcastDispatcher())
    line.join("fast-1", Window(max_demand=20))

    line.route(*((number, kind) for number in range(4) for kind in ("fast", "slow")))
    full = line.store.room
    line.join("slow-1", Window(max_demand=20))

    assert (full, line.store.room) == (0, 4)


def test_33_one_that_comes_late_gets_what_waits_for_its_kind_only() -> None:
    line = Line(dispatcher=BroadcastDispatcher())
    line.join("a-1", Window(max_demand=20))
    line.route((1, "a"), (1, "b"), (2, "a"), (2, "b"))

    line.join("a-2", Window(max_demand=20))
    line.join("b-1", Window(max_demand=20))

    assert line.consumers["a-2"].held == 0
    assert line.work("b-1", 9) == [1, 2]


def test_34_what_no_selector_takes_is_dropped_and_told() -> None:
    line = Line(dispatcher=BroadcastDispatcher())
    routing = Routing(selectors={"large": lambda job: job > 5, "even": _is_even})

    jobs = [
        Incoming(None, number, routing.routes_of(number, describe))
        for number in (3, 4, 8)
    ]
    line.carry_out(line.producer.fetched(jobs, line.now))

    names = [job.routes.names for job in jobs if job.routes]
    assert names == [(), ("even",), ("large", "even")]
    assert line.payloads(JobDropped) == [3]
    assert line.store.accounting().buffered == 3


def _is_even(job: int) -> bool:
    return job % 2 == 0


def test_35_a_subscription_is_opened_once() -> None:
    line = Line()
    consumer = line.join("a", Window(max_demand=3))
    again = Subscribe(
        subscription=consumer.subscriptions[0].id, process=consumer.process
    )

    line.carry_out(line.producer.subscribe(again, line.now))

    assert (len(line.producer.subscriptions), line.producer.demand) == (1, 3)
    with pytest.raises(DuplicateSubscriptionError):
        asked(a=1).subscribe("a")


def partitioned(*names: str, max_demand: int = 100) -> Line:
    line = Line(dispatcher=PartitionDispatcher())
    for name in names:
        line.join(name, Window(max_demand=max_demand))
    return line


def test_36_no_partition_gets_more_than_it_asked_for() -> None:
    line = partitioned("a", "b", max_demand=3)

    line.route(*((number, "hot") for number in range(10)))

    assert sorted(each.held for each in line.consumers.values()) == [0, 3]
    assert line.store.accounting().buffered == 7


def test_37_jobs_wait_for_a_processor_to_come() -> None:
    line = partitioned()
    line.route((1, "x"), (2, "y"), (3, "x"))

    line.join("a", Window(max_demand=9))

    assert line.work("a", 9) == [1, 2, 3]


def test_39_a_job_without_a_place_is_set_aside_with_the_error() -> None:
    line = partitioned("a")
    routing = Routing(key_of=lambda job: job["key"])

    payload = {"no": "key"}
    job = Incoming("17", payload, routing.routes_of(payload, describe))
    line.carry_out(line.producer.fetched([job], line.now))

    [event] = [each for each in line.events if isinstance(each, JobQuarantined)]
    assert event.failure.error == "KeyError: 'key' (where it goes)"
    assert line.store.accounting().quarantined == 1


def test_40_a_partition_whose_processor_goes_loses_nothing() -> None:
    line = partitioned("a", "b", max_demand=2)
    line.route(*((number, "key") for number in range(6)))
    [first] = [name for name, each in line.consumers.items() if each.held]

    line.gone(first)
    [second] = line.consumers

    assert line.work(second, 9) == [*range(6)]


def test_a_partition_stays_where_jobs_of_it_are_out() -> None:
    dispatcher = PartitionDispatcher()
    line = Line(dispatcher=dispatcher)
    routes = [f"key{number}" for number in range(20)]
    line.join("a", Window(max_demand=20))
    line.route(*((route, route) for route in routes))
    for name in ("b", "c"):
        line.join(name, Window(max_demand=20))

    line.work("a", 10)
    line.route(*((route, route) for route in routes))

    moved = {line.work(name, 1)[0] for name in ("b", "c")}
    assert moved <= set(routes[:10])
    still = [p for name, p in line.ran if name != "a"]
    assert set(still).isdisjoint(routes[10:])
