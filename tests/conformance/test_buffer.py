"""Behaviours 11 to 22: the buffer, what it drops, and the gate before it."""

from __future__ import annotations

import pytest

from actors.demand.barriers import Barriers
from actors.demand.job_events import JobDropped
from actors.demand.windows import Window
from tests.conformance.line import Line


@pytest.mark.parametrize(
    ("keep", "dropped", "kept"),
    [
        pytest.param("first", "fgh", "abcde", id="11"),
        pytest.param("last", "abc", "defgh", id="12"),
    ],
)
def test_11_12_a_full_buffer_keeps_the_first_or_the_last(
    keep: str, dropped: str, kept: str
) -> None:
    line = Line(buffer=5, keep=keep)

    line.fetch(*"abcdefgh")
    line.join("a", Window(max_demand=10))

    assert line.payloads(JobDropped) == list(dropped)
    assert line.work("a", 10) == list(kept)


def test_13_without_a_choice_to_drop_a_full_buffer_stops_the_poller() -> None:
    line = Line(buffer=5)

    rooms = []
    for number in range(5):
        rooms.append(line.store.room)
        line.fetch(number)

    assert rooms == [5, 4, 3, 2, 1]
    assert line.store.room == 0
    assert line.payloads(JobDropped) == []


def test_14_each_dropped_job_is_told_by_its_id_and_counted() -> None:
    line = Line(buffer=2, keep="first")

    line.fetch(*"abcd")

    dropped = [event for event in line.events if isinstance(event, JobDropped)]
    assert [(event.job.id, event.reason) for event in dropped] == [
        ("#3", "the buffer is full and keeps the first"),
        ("#4", "the buffer is full and keeps the first"),
    ]
    assert line.store.accounting().dropped == 2


def test_15_the_account_is_exact_before_during_and_after() -> None:
    line = Line()

    line.fetch(*range(4))
    before = line.store.accounting()
    line.join("a", Window(max_demand=3))
    during = line.store.accounting()
    line.work("a", 4)
    after = line.store.accounting()

    assert (before.buffered, before.in_flight, before.done) == (4, 0, 0)
    assert (during.buffered, during.in_flight, during.done) == (1, 3, 0)
    assert (after.buffered, after.in_flight, after.done) == (0, 0, 4)


def test_16_a_mark_passes_after_exactly_what_was_there_before_it() -> None:
    line, marks = Line(), Barriers()
    line.fetch(*range(3))
    for number in (1, 2):
        marks.put(number, line.store)
    line.fetch(*range(3, 6))
    line.join("a")

    passed = []
    while line.work("a"):
        passed.append(marks.passed(line.store))

    assert passed == [[], [], [1, 2], [], [], []]


def test_17_a_mark_behind_a_job_that_is_dropped_passes_at_once() -> None:
    line, marks = Line(buffer=2, keep="last"), Barriers()
    line.fetch("old")
    marks.put(1, line.store)

    before = marks.passed(line.store)
    line.fetch("new", "newer")

    assert line.payloads(JobDropped) == ["old"]
    assert (before, marks.passed(line.store)) == ([], [1])


def test_18_a_mark_holds_up_nothing_that_is_behind_it() -> None:
    line, marks = Line(), Barriers()
    line.fetch(1)
    marks.put(1, line.store)
    line.fetch(2)

    line.join("a")
    line.join("b")

    assert [each.held for each in line.consumers.values()] == [1, 1]
    assert line.work("b") == [2]
    assert marks.passed(line.store) == []


def test_19_nothing_passes_a_closed_gate_until_it_opens() -> None:
    line = Line()
    line.producer.gate_open = False
    consumer = line.join("a", Window(max_demand=5))
    line.fetch(1, 2)

    before = consumer.held
    line.producer.gate_open = True
    line.tick(0.0)

    assert (before, consumer.held) == (0, 2)


def test_20_demand_before_a_closed_gate_adds_up_to_one_total() -> None:
    line = Line()
    line.producer.gate_open = False
    line.join("a", Window(max_demand=2))
    line.join("b", Window(max_demand=2))

    demand = line.producer.demand
    line.producer.gate_open = True
    line.fetch(*range(9))

    assert demand == 4
    assert [each.held for each in line.consumers.values()] == [2, 2]


def test_21_a_gate_that_is_closed_twice_loses_nothing() -> None:
    line = Line()
    line.join("a", Window(max_demand=5))
    line.producer.gate_open = False
    line.fetch(1)
    line.producer.gate_open = False
    line.fetch(2)

    line.producer.gate_open = True
    line.tick(0.0)

    assert line.work("a", 5) == [1, 2]


def test_22_consumers_may_change_before_a_closed_gate() -> None:
    line = Line()
    line.producer.gate_open = False
    line.join("a", Window(max_demand=5))
    line.fetch(1, 2)
    line.gone("a")
    line.fetch(3)
    line.join("b", Window(max_demand=5))

    line.producer.gate_open = True
    line.tick(0.0)

    assert line.work("b", 5) == [1, 2, 3]
    assert line.store.accounting().buffered == 0
