"""Ids of spans that two processes come to by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.hooks import spans


@pytest.fixture
def seed() -> Iterator[str]:
    yield spans.trace(["desk"])
    spans.trace_no_more()


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

    with spans.Within("desk", 3, 2):
        here = trace.get_current_span().get_span_context()
    after = trace.get_current_span().get_span_context()

    assert here.trace_id == spans.trace_id(seed, "desk", 3)
    assert here.span_id == spans.span_id(seed, "desk", 3, 2)
    assert here.trace_flags.sampled
    assert not after.is_valid


def test_of_a_step_nothing_is_known(seed: str) -> None:
    trace = pytest.importorskip("opentelemetry.trace")

    with spans.Within("step", 3, 2):
        assert not trace.get_current_span().get_span_context().is_valid


def test_a_machine_that_joined_follows_whoever_leads_now() -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    ids = []
    for leaders in ("", "0123456789abcdef", "fedcba9876543210", "ß\ud800" * 20):
        spans.follow(leaders, ["desk"])
        with spans.Within("desk", 3, 2):
            ids.append(trace.get_current_span().get_span_context().trace_id)
    spans.trace_no_more()

    assert ids[:3] == [
        0,
        spans.trace_id("0123456789abcdef", "desk", 3),
        spans.trace_id("fedcba9876543210", "desk", 3),
    ]
    assert spans.of_now() is None
