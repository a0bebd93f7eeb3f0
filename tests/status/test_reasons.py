"""Which reason is told, and what counts as a stall."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.fetcher.status import STALLED_AFTER_S, TOLD_AGAIN_S, StallWatch
from actors.status.reasons import (
    FetcherSituation,
    fetcher_waits_for,
    processor_waits_for,
)

ALL = FetcherSituation(
    draining=True,
    paused=True,
    room=0,
    unasked=True,
    backing_off=True,
    buffered=3,
    held=True,
    throttled=True,
    limited=True,
)


def test_the_reason_that_hides_the_others_is_told() -> None:
    situations = [ALL]
    situations.append(replace(situations[-1], draining=False))
    situations.append(replace(situations[-1], paused=False))
    situations.append(replace(situations[-1], held=False))
    situations.append(replace(situations[-1], room=5))
    situations.append(replace(situations[-1], limited=False))
    situations.append(replace(situations[-1], backing_off=False))
    situations.append(replace(situations[-1], throttled=False))
    situations.append(replace(situations[-1], buffered=0))
    situations.append(replace(situations[-1], unasked=False))

    reasons = [fetcher_waits_for(each) for each in situations]

    assert reasons == [
        *("drain", "paused", "hold", "room", "rate", "backoff", "throttled"),
        *("demand", "demand", "jobs"),
    ]


def test_a_fetcher_that_is_to_keep_its_jobs_and_has_none_waits_for_jobs() -> None:
    situation = replace(ALL, draining=False, paused=False, buffered=0, room=1)

    situation = replace(situation, backing_off=False, throttled=False, unasked=False)
    situation = replace(situation, limited=False)

    assert fetcher_waits_for(situation) == "jobs"


@pytest.mark.parametrize(
    ("sources", "busy", "reason"),
    [(["jobs"], False, "ask"), (["paused"], False, "paused"), (["jobs"], True, None)],
)
def test_a_processor_that_was_not_told_to_ask_waits_for_that(
    sources: list[str],
    busy: bool,  # noqa: FBT001
    reason: str | None,
) -> None:
    said = processor_waits_for(draining=False, busy=busy, sources=sources, untold=True)

    assert said == reason


@pytest.mark.parametrize(
    ("draining", "busy", "sources", "reason"),
    [
        (True, True, ["jobs"], "drain"),
        (False, True, ["paused"], None),
        (False, False, ["paused", "paused"], "paused"),
        (False, False, ["backoff"], "backoff"),
        (False, False, ["throttled"], "throttled"),
        (False, False, ["hold"], "hold"),
        (False, False, ["paused", "backoff"], "jobs"),
        (False, False, ["paused", "jobs"], "jobs"),
        (False, False, ["room"], "jobs"),
        (False, False, [], "jobs"),
    ],
)
def test_a_processor_waits_for_what_holds_up_all_its_sources(
    draining: bool,  # noqa: FBT001
    busy: bool,  # noqa: FBT001
    sources: list[str],
    reason: str | None,
) -> None:
    assert processor_waits_for(draining=draining, busy=busy, sources=sources) == reason


def test_a_stall_is_told_when_it_lasts_and_again_now_and_then() -> None:
    watch = StallWatch()
    moments = [0.0, STALLED_AFTER_S - 0.1, STALLED_AFTER_S, 30.0, 70.0]

    told = [watch.look(moment, both_wait=True, moved=0) for moment in moments]

    assert told == [None, None, STALLED_AFTER_S, None, 70.0]
    assert watch.next_tick == 70.0 + TOLD_AGAIN_S


def test_what_moves_for_a_moment_is_no_stall() -> None:
    watch = StallWatch()
    watch.look(0.0, both_wait=True, moved=0)

    watch.look(3.0, both_wait=False, moved=0)
    told = [watch.look(moment, both_wait=True, moved=0) for moment in (4.0, 6.0)]

    assert told == [None, None]
    assert watch.next_tick == 4.0 + STALLED_AFTER_S


def test_jobs_that_go_slowly_are_no_stall() -> None:
    watch = StallWatch()

    told = [watch.look(4.0 * sent, both_wait=True, moved=sent) for sent in range(9)]

    assert told == [None] * 9
