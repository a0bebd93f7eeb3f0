"""Producers and consumers that face each other over a network without faults."""

from __future__ import annotations

from collections import Counter

import pytest

from actors.demand.job import Accounting, Failure
from actors.demand.messages import Confirm, Demand, Done, Jobs, Subscribe
from actors.demand.windows import Window
from tests.demand.world import Options, World


def shares(world: World) -> Counter[str]:
    return Counter(run for run, _ in world.started)


def order(world: World, run: str, source: str = "p0") -> list[int]:
    return [
        task.assignment.key
        for by, task in world.started
        if (by, task.source) == (run, source)
    ]


def deliver_all(world: World) -> None:
    while wires := world.busy_wires:
        world.deliver(wires[0])


def work(world: World, seconds: float = 0.1) -> None:
    """Let every consumer run one job, all side by side."""
    deliver_all(world)
    for run in world.consumers:
        world.start(run)
    world.now += seconds
    for run, consumer in world.consumers.items():
        if consumer.running:
            world.finish(run)
    deliver_all(world)
    world.check()


@pytest.mark.parametrize("most", [1, 2, 5, 100])
@pytest.mark.parametrize(("producers", "consumers"), [(1, 1), (1, 3), (2, 2)])
def test_every_job_is_done_once_and_in_order(
    producers: int, consumers: int, most: int
) -> None:
    window = Window(max_demand=most)
    world = World(Options(producers=producers, consumers=consumers, window=window))
    for source in world.producers:
        world.fetch(source, 17)

    world.settle()

    done = Accounting(fetched=17, done=17)
    assert [each.store.accounting() for each in world.producers.values()] == [
        done
    ] * producers
    assert len(world.started) == 17 * producers
    for run in world.consumers:
        for source in world.producers:
            assert order(world, run, source) == sorted(order(world, run, source))
    assert not world.disturbed


def test_ten_jobs_over_three_consumers_are_spread_four_three_three() -> None:
    world = World(Options(consumers=3))
    world.flow()
    world.fetch("p0", 10)

    for _ in range(4):
        work(world)

    assert shares(world) == {"c0.1": 4, "c1.1": 3, "c2.1": 3}
    assert order(world, "c0.1") == [1, 4, 7, 10]


def test_jobs_that_come_singly_are_spread_as_well() -> None:
    world = World(Options(consumers=3))
    world.flow()

    for _ in range(10):
        world.fetch("p0", 1)
        work(world)

    assert shares(world) == {"c0.1": 4, "c1.1": 3, "c2.1": 3}


def test_a_slow_consumer_holds_up_nobody_but_itself() -> None:
    world = World(Options(consumers=2))
    world.flow()
    world.fetch("p0", 9)
    deliver_all(world)
    world.start("c0.1")

    for _ in range(8):
        world.start("c1.1")
        world.finish("c1.1")
        deliver_all(world)

    assert shares(world) == {"c0.1": 1, "c1.1": 8}
    assert world.producers["p0"].store.accounting() == Accounting(
        fetched=9, done=8, in_flight=1
    )


def test_a_busy_consumer_asks_for_nothing() -> None:
    world = World(Options(consumers=1, window=Window(max_demand=2)))
    world.flow()
    world.fetch("p0", 20)

    deliver_all(world)

    assert world.producers["p0"].store.accounting() == Accounting(
        fetched=20, buffered=18, in_flight=2
    )
    assert world.producers["p0"].demand == 0


@pytest.mark.parametrize(
    ("window", "batches"),
    [
        (Window(max_demand=10, min_demand=8), [10, 2, 2, 2, 2, 2]),
        (Window(max_demand=10, min_demand=2), [10, 8, 2]),
        (Window(max_demand=10), [10, 5, 5]),
        (Window(max_demand=3, min_demand=0), [3, 3, 3, 3, 3, 3, 2]),
    ],
)
def test_jobs_are_sent_in_batches_of_the_window(
    window: Window, batches: list[int]
) -> None:
    world = World(Options(consumers=1, window=window, buffer=100))
    sizes = []
    world.fetch("p0", 20)

    while (wires := world.busy_wires) or world.consumers["c0.1"].held:
        if not wires:
            world.start("c0.1")
            world.finish("c0.1")
            continue
        message = world.wires[wires[0]][0]
        if isinstance(message, Jobs):
            sizes.append(len(message.jobs))
        world.deliver(wires[0])

    assert sizes == batches


def test_one_job_costs_three_messages() -> None:
    world = World(Options(consumers=1))
    world.flow()
    world.fetch("p0", 20)
    seen: Counter[type] = Counter()

    while (wires := world.busy_wires) or world.consumers["c0.1"].held:
        if wires:
            seen[type(world.wires[wires[0]][0])] += 1
            world.deliver(wires[0])
        else:
            world.start("c0.1")
            world.finish("c0.1")

    assert seen == {Jobs: 20, Done: 20, Confirm: 20}


def test_a_consumer_that_joins_later_gets_its_share() -> None:
    world = World(Options(consumers=1))
    world.flow()
    world.fetch("p0", 10)
    work(world)
    work(world)
    world.join("c1")

    for _ in range(4):
        work(world)

    assert shares(world) == {"c0.1": 6, "c1.1": 4}


def test_a_consumer_that_drains_finishes_what_it_has_and_leaves_the_rest() -> None:
    world = World(Options(consumers=2, window=Window(max_demand=2)))
    world.flow()
    world.fetch("p0", 9)
    deliver_all(world)

    world.drain("c0.1")
    world.settle()

    assert shares(world) == {"c0.1": 2, "c1.1": 7}
    assert world.consumers["c0.1"].drained
    assert [each.process.run for each in world.producers["p0"].subscriptions] == [
        "c1.1"
    ]


def test_jobs_of_a_killed_consumer_are_run_by_another() -> None:
    world = World(Options(consumers=2))
    world.flow()
    world.fetch("p0", 4)
    deliver_all(world)
    world.start("c0.1")

    world.kill("c0.1")
    world.settle()

    assert order(world, "c0.1") + order(world, "c1.1") == [1, 2, 1, 3, 4]
    assert world.producers["p0"].store.accounting() == Accounting(fetched=4, done=4)


def test_failures_are_tried_again_and_those_for_good_are_set_aside() -> None:
    world = World(Options(consumers=1))
    world.flow()
    world.fetch("p0", 3)
    for failure in (Failure("E: once"), Failure("E: for good", permanent=True)):
        deliver_all(world)
        world.start("c0.1")
        world.finish("c0.1", failure)

    world.settle()

    assert order(world, "c0.1") == [1, 2, 3, 1]
    assert world.producers["p0"].store.accounting() == Accounting(
        fetched=3, done=2, quarantined=1
    )


def test_a_restarted_producer_is_asked_anew() -> None:
    world = World(Options(consumers=2))
    world.flow()
    world.fetch("p0", 5)
    deliver_all(world)
    world.start("c0.1")

    world.restart("p0")
    world.settle()

    assert world.producers["p0"].store.accounting() == Accounting(fetched=5, done=5)


def test_a_consumer_that_nobody_tells_of_a_restart_finds_out() -> None:
    world = World(Options(consumers=1))
    world.flow()

    world.restart("p0")
    world.unnoticed.clear()
    world.fetch("p0", 3)
    world.settle()

    assert world.producers["p0"].store.accounting() == Accounting(fetched=3, done=3)


def test_a_pause_holds_jobs_and_forgets_no_demand() -> None:
    world = World(Options(consumers=1))
    world.flow()
    world.open_gate("p0", is_open=False)
    world.fetch("p0", 2)
    deliver_all(world)
    paused = world.producers["p0"].store.accounting(), world.producers["p0"].demand

    world.open_gate("p0", is_open=True)
    world.flow()

    assert paused == (Accounting(fetched=2, buffered=2), 1)
    assert world.producers["p0"].store.accounting() == Accounting(fetched=2, done=2)


def test_a_late_request_to_subscribe_leaves_no_job_behind() -> None:
    world = World(Options(consumers=1))
    (wire,) = world.busy_wires
    late = list(world.wires[wire])
    world.fetch("p0", 1)
    world.flow()
    world.drain("c0.1")
    world.flow()

    world.wires[wire] += late
    world.flow()
    world.fetch("p0", 2)
    world.settle()

    assert [type(each) for each in late] == [Subscribe, Demand]
    assert shares(world) == {"c0.1": 1, "late.1": 2}
