"""Barriers: each passes when all that was there before it has ended."""

from __future__ import annotations

from actors.demand.backoff import RetryPolicy
from actors.demand.barriers import Barriers
from actors.demand.buffer import Buffer
from actors.demand.job import Accounting, Failure, Job
from actors.demand.job_store import JobStore
from tests.conformance.line import Line


def test_nothing_to_wait_for_passes_at_once() -> None:
    marks, line = Barriers(), Line()

    marks.put(1, line.store)

    assert marks.passed(line.store) == [1]
    assert marks.passed(line.store) == []


def test_marks_pass_in_order_each_behind_its_own_jobs() -> None:
    marks, line = Barriers(), Line()
    line.join("a")
    for number in (1, 2, 3):
        line.fetch(number)
        marks.put(number, line.store)

    passed = []
    for _ in range(3):
        line.work("a")
        passed.append(marks.passed(line.store))

    assert passed == [[1], [2], [3]]


def test_what_is_fetched_later_holds_up_no_mark() -> None:
    marks, line = Barriers(), Line()
    line.join("a")
    line.fetch("before")
    marks.put(1, line.store)
    line.fetch("after")

    line.work("a")

    assert marks.passed(line.store) == [1]
    assert line.store.accounting().left == 1


def test_a_job_that_is_to_be_tried_again_holds_up_its_mark() -> None:
    marks, line = Barriers(), Line()
    line.join("a")
    line.fetch("job")
    marks.put(1, line.store)

    line.work("a", failure=Failure("E: once"))
    between = marks.passed(line.store)
    line.tick(3.0)
    line.work("a")

    assert (between, marks.passed(line.store)) == ([], [1])


def test_a_job_that_is_set_aside_has_ended() -> None:
    marks, line = Barriers(), Line()
    line.join("a")
    line.fetch("job")
    marks.put(1, line.store)

    line.work("a", failure=Failure("E: no", permanent=True))

    assert marks.passed(line.store) == [1]


def test_a_job_that_is_released_later_stands_behind_the_mark() -> None:
    marks, line = Barriers(), Line()
    line.join("a")
    line.fetch("bad")
    line.work("a", failure=Failure("E: no", permanent=True))
    bad = line.events[-1].job  # type: ignore[union-attr]
    line.fetch("good")
    marks.put(1, line.store)

    line.carry_out(line.producer.released([bad], line.now))
    line.work("a")

    assert marks.passed(line.store) == [1]
    assert line.store.accounting().left == 1


def test_what_an_earlier_run_left_in_the_journal_stands_before_every_mark() -> None:
    marks = Barriers()
    kept = Accounting(fetched=3, buffered=3)
    store = JobStore(Buffer(9), RetryPolicy(), first_key=4, kept=kept)
    jobs = [Job(key, key, "left", 0.0) for key in (1, 2, 3)]
    store.take_up(jobs[:1], more=True)
    for number in (1, 2):
        marks.put(number, store)
    early = marks.passed(store)

    store.take_up(jobs[1:], more=True)
    whole = marks.passed(store)
    store.fetched([(4, "new")], 1.0)

    assert (early, whole, marks.passed(store)) == ([], [], [])
    assert store.holds_before(3)
    assert not store.holds_before(0)
    assert len(marks) == 2


def test_a_mark_that_is_set_again_keeps_its_place() -> None:
    marks, line = Barriers(), Line()
    line.join("a")
    line.fetch("before")
    marks.put(1, line.store)
    line.fetch("after")
    marks.put(1, line.store)

    line.work("a")

    assert marks.passed(line.store) == [1]


def test_a_mark_that_has_passed_passes_again_when_it_is_set_again() -> None:
    marks, line = Barriers(), Line()
    marks.put(1, line.store)
    marks.passed(line.store)
    line.fetch("job")

    marks.put(1, line.store)

    assert marks.passed(line.store) == [1]
