"""Ids of spans that two processes come to by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.demand.consumer import Task
from actors.demand.job import Failure
from actors.demand.messages import Assignment, Outcome
from actors.hooks import event_queue, spans
from actors.hooks.event_queue import Message
from actors.hooks.events import STEP


@pytest.fixture
def seed() -> Iterator[str]:
    yield spans.trace(["desk"])
    spans.trace_no_more()


def task(source: str, trace: str = "") -> Task:
    return Task(source, Assignment(0, 3, 2, "#3", None, trace))


def test_ids_are_the_same_for_the_same_and_others_for_others() -> None:
    assert spans.trace_id("s", "desk", 1) == spans.trace_id("s", "desk", 1)
    ids = {
        spans.trace_id("s", "desk", 1),
        spans.trace_id("t", "desk", 1),
        spans.trace_id("s", "door", 1),
        spans.trace_id("s", "desk", 2),
    }
    assert len(ids) == 4
    assert spans.span_id("s", "desk", 1, 1) != spans.span_id("s", "desk", 1, 2)


def test_what_is_traced_within_an_attempt_is_below_its_span(seed: str) -> None:
    trace = pytest.importorskip("opentelemetry.trace")

    with spans.Within(task("desk")):
        here = trace.get_current_span().get_span_context()
    after = trace.get_current_span().get_span_context()

    assert here.trace_id == spans.trace_id(seed, "desk", 3)
    assert here.span_id == spans.span_id(seed, "desk", 3, 2)
    assert here.trace_flags.sampled
    assert not after.is_valid


def test_of_a_step_nothing_is_known(seed: str) -> None:
    trace = pytest.importorskip("opentelemetry.trace")

    with spans.Within(task("step")):
        assert not trace.get_current_span().get_span_context().is_valid


def test_a_machine_that_joined_follows_whoever_leads_now() -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    ids = []
    for leaders in ("", "0123456789abcdef", "fedcba9876543210", "ß\ud800" * 20):
        spans.follow(leaders, ["desk"])
        with spans.Within(task("desk")):
            ids.append(trace.get_current_span().get_span_context().trace_id)
    spans.trace_no_more()

    assert ids[:3] == [
        0,
        spans.trace_id("0123456789abcdef", "desk", 3),
        spans.trace_id("fedcba9876543210", "desk", 3),
    ]
    assert spans.of_now() is None


ABOVE = f"00-{7:032x}-{8:016x}-01"


@pytest.mark.parametrize("trace", ["", "nonsense", ABOVE[:-1], ABOVE.upper() + "\n"])
def test_what_is_no_traceparent_is_none(trace: str) -> None:
    assert spans.read(trace) is None


def test_what_a_step_makes_names_the_attempt_that_it_comes_from(seed: str) -> None:
    above = spans.parent_of(task("desk"))

    assert spans.read(above) == spans.span_of(task("desk"))
    assert spans.span_of(task("sort-1", above)) == spans.read(above)
    assert spans.parent_of(task("step")) == ""


def test_a_later_step_has_a_span_of_its_own_where_it_can_be_told() -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    reader = event_queue.open_way({STEP})
    failed = Outcome(3, 2, None, Failure("ValueError: no"), 0.25)
    try:
        spans.trace(["desk"])
        with spans.Within(task("sort-1", ABOVE)):
            here = trace.get_current_span().get_span_context()
        parent = spans.parent_of(task("sort-1", ABOVE))
        spans.tell_step(task("sort-1", ABOVE), failed)
    finally:
        spans.trace_no_more()
        event_queue.close_way()

    with reader:
        [event] = Message(reader.recv(1 << 20)).events()
    assert (here.trace_id, here.span_id) == (7, event["span_id"])
    assert here.span_id != 8
    assert parent == f"00-{7:032x}-{here.span_id:016x}-01"
    assert (event["fetcher"], event["job_id"], event["trace"]) == (
        "sort-1",
        "#3",
        ABOVE,
    )
    assert (event["error"], event["duration_s"]) == ("ValueError: no", 0.25)


def test_a_function_that_runs_elsewhere_is_within_its_span() -> None:
    trace = pytest.importorskip("opentelemetry.trace")

    def function(job: int) -> tuple[int, int]:
        """Say where it is."""
        return job, trace.get_current_span().get_span_context().span_id

    traced = spans.Traced(function, ABOVE)

    assert traced(1) == (1, 8)
    assert traced.__doc__ == "Say where it is."
    assert not trace.get_current_span().get_span_context().is_valid
