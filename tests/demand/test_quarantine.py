"""When so much is set aside that no more should be fetched."""

from __future__ import annotations

import pytest

from actors.demand.buffer import Quarantine
from actors.journal.quota import LOOK_AGAIN_S, LOOK_S, Quota


def test_it_is_full_at_a_count_and_has_room_again_below() -> None:
    aside = Quarantine(most=2)
    full = []
    for _ in range(2):
        full.append(aside.is_full)
        aside.put({"n": 1})
    full.append(aside.is_full)
    aside.take({"n": 1})

    assert [*full, aside.is_full] == [False, False, True, False]


def test_it_is_full_at_a_size_however_few_jobs_that_is() -> None:
    aside = Quarantine(most=1000, most_bytes=100)

    aside.put("x" * 97)
    nearly = aside.size, aside.is_full
    aside.put(1)

    assert nearly == (99, False)
    assert (aside.count, aside.size, aside.is_full) == (2, 100, True)


def test_what_an_earlier_run_set_aside_counts() -> None:
    assert Quarantine(5, 1000, count=5).is_full
    assert Quarantine(5, 1000, count=1, size=1000).is_full
    assert not Quarantine(5, 1000, count=4, size=999).is_full


def test_without_limits_it_is_never_full() -> None:
    assert not Quarantine(count=1 << 40, size=1 << 60).is_full


@pytest.mark.parametrize("payload", [None, "ü", {"a": [1, 2.5]}])
def test_what_leaves_takes_along_what_it_brought(payload: object) -> None:
    aside = Quarantine()
    aside.put("first")
    before = aside.count, aside.size

    aside.put(payload)
    aside.take(payload)

    assert (aside.count, aside.size) == before


def test_a_size_is_looked_at_now_and_then_and_only_where_there_is_a_limit() -> None:
    quota = Quota(100)
    due = [quota.is_due(50.0)]
    quota.saw(99, 50.0)
    due += [quota.is_due(50.0), quota.is_due(50.0 + LOOK_S)]

    quota.saw(99, 60.0)
    quota.grew()
    due.append(quota.is_due(60.0))

    assert due == [True, False, True, True]
    assert (quota.is_reached, quota.next_tick) == (False, None)
    assert not Quota().is_due(50.0)


def test_a_size_that_is_reached_is_looked_at_again_though_nothing_comes() -> None:
    quota = Quota(100)

    quota.saw(100, 50.0)
    reached = quota.is_reached, quota.next_tick
    quota.saw(99, 60.0)

    assert reached == (True, 50.0 + LOOK_S + LOOK_AGAIN_S)
    assert (quota.is_reached, quota.next_tick) == (False, None)
