"""Behaviours 1 to 10: what is asked for, and when again."""

from __future__ import annotations

import pytest

from actors.demand.buffer import Buffer
from actors.demand.manual_demand import ManualDemand
from actors.demand.windows import Window
from tests.conformance.line import Line


def test_01_half_of_the_maximum_is_the_point_at_which_it_asks_again() -> None:
    line = Line()
    line.join("a", Window(max_demand=1000))
    line.fetch(*range(1000))

    before = list(line.asks["a"])
    line.work("a", 499)
    at_501 = list(line.asks["a"])
    line.work("a")

    assert (before, at_501, line.asks["a"]) == ([1000], [1000], [1000, 500])


def test_02_the_next_twenty_are_asked_for_when_twenty_are_worked_off() -> None:
    line = Line()
    line.join("a", Window(max_demand=100, min_demand=80))
    line.fetch(*range(200))

    line.work("a", 19)
    before = list(line.asks["a"])
    line.work("a", 21)

    assert (before, line.asks["a"]) == ([100], [100, 20, 20])


def test_03_a_low_minimum_asks_in_large_pieces() -> None:
    line = Line()
    line.join("a", Window(max_demand=100, min_demand=20))
    line.fetch(*range(300))

    line.work("a", 79)
    before = list(line.asks["a"])
    line.work("a", 81)

    assert (before, line.asks["a"]) == ([100], [100, 80, 80])


def test_04_a_maximum_of_one_is_one_job_and_one_ask_at_a_time() -> None:
    line = Line()
    consumer = line.join("a")
    line.fetch(*range(3))

    held = []
    for _ in range(3):
        held.append(consumer.held)
        line.work("a")

    assert held == [1, 1, 1]
    assert line.asks["a"] == [1, 1, 1, 1]


def test_05_nothing_arrives_until_asked_for_and_then_exactly_that() -> None:
    line = Line()
    manual = line.join("a", manual_demand=ManualDemand(["source"]))
    line.fetch(*range(200))

    held = [manual.held]
    for _ in range(2):
        line.send("a", manual.grant(50))
        held.append(manual.held)
        line.work("a", 50)
        held.append(manual.held)

    assert held == [0, 50, 0, 50, 0]
    assert line.asks["a"] == [50, 50]


def test_05_a_step_asks_for_no_more_than_is_asked_of_it() -> None:
    line = Line()
    step = line.join("a", Window(max_demand=1000), need=0)
    line.fetch(*range(200))

    before = step.held
    step.need = 50
    line.send("a", step.ask())

    assert (before, step.held) == (0, 50)


def test_06_a_demand_that_nothing_met_is_remembered_and_not_repeated() -> None:
    line = Line()
    consumer = line.join("a", Window(max_demand=3))

    line.tick(1.0)
    line.fetch("late")

    assert line.asks["a"] == [3]
    assert consumer.held == 1


def test_07_jobs_that_nobody_asked_for_wait_and_go_first() -> None:
    line = Line()
    line.fetch(1, 2, 3)

    line.join("a", Window(max_demand=5))
    line.fetch(4, 5)

    assert line.work("a", 5) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Window(max_demand=0), "max_demand must be at least 1, got 0"),
        (
            lambda: Window(max_demand=5, min_demand=5),
            r"min_demand must be from 0 to max_demand - 1 \(4\), got 5",
        ),
        (lambda: Buffer[int](0), "size must be at least 1, got 0"),
    ],
    ids=["no demand", "minimum too high", "no buffer"],
)
def test_10_options_that_could_never_work_are_refused(
    make: object, problem: str
) -> None:
    assert callable(make)

    with pytest.raises(ValueError, match=f"^{problem}$"):
        make()
