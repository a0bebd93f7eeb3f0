"""Who is taken for dead, and who is not."""

from __future__ import annotations

import pytest

from actors.supervision.heartbeat import ALONG_S, Heartbeat


def let_pass(
    heartbeat: Heartbeat[str], start: float, end: float
) -> list[tuple[float, str]]:
    """Ask in time, answer nothing; returns who was found silent, and when."""
    found = []
    now = start
    while (at := heartbeat.next_tick()) is not None and at <= end:
        now = max(now, at)
        found += [(now, name) for name in heartbeat.silent(now)]
        for _, name in found:
            heartbeat.end(name)
        heartbeat.due(now)
    return found


def test_one_who_answers_nothing_is_silent_after_three_questions() -> None:
    heartbeat: Heartbeat[str] = Heartbeat(limit_s=30.0)
    heartbeat.begin("a", 100.0)

    found = let_pass(heartbeat, 100.0, 1000.0)

    # Asked at 110, 120 and 130; the last question has until 140.
    assert found == [(140.0, "a")]


def test_a_sign_at_any_time_begins_the_count_anew() -> None:
    heartbeat: Heartbeat[str] = Heartbeat(limit_s=30.0)
    heartbeat.begin("a", 0.0)
    let_pass(heartbeat, 0.0, 39.0)

    heartbeat.heard("a", 39.5)

    assert let_pass(heartbeat, 39.5, 69.0) == []
    assert let_pass(heartbeat, 69.0, 100.0) == [(70.0, "a")]


def test_one_who_was_held_up_itself_asks_again_before_it_gives_up_on_anybody() -> None:
    heartbeat: Heartbeat[str] = Heartbeat(limit_s=30.0)
    heartbeat.begin("a", 0.0)
    assert heartbeat.due(10.0) == ["a"]

    woken = 5000.0

    assert heartbeat.silent(woken) == []
    assert heartbeat.due(woken) == ["a"]
    heartbeat.heard("a", woken + 0.01)
    assert let_pass(heartbeat, woken, woken + 30.0) == []


def test_all_are_asked_at_once_and_each_is_counted_by_itself() -> None:
    heartbeat: Heartbeat[str] = Heartbeat(limit_s=30.0)
    heartbeat.begin("a", 0.0)
    heartbeat.begin("b", 9.0)

    asked = [heartbeat.due(10.0), heartbeat.due(20.0), heartbeat.due(30.0)]
    heartbeat.heard("a", 31.0)

    assert asked == [["a", "b"]] * 3
    assert heartbeat.next_tick() == 40.0
    assert (heartbeat.silent(39.9), heartbeat.silent(40.0)) == ([], ["b"])


def test_the_limit_is_never_short() -> None:
    heartbeat: Heartbeat[str] = Heartbeat(limit_s=0.1)
    heartbeat.begin("a", 0.0)

    assert let_pass(heartbeat, 0.0, 14.9) == []
    assert let_pass(heartbeat, 14.9, 60.0) == [(20.0, "a")]


def test_who_left_is_not_asked() -> None:
    heartbeat: Heartbeat[str] = Heartbeat(limit_s=15.0)
    heartbeat.begin("a", 0.0)

    heartbeat.end("a")
    heartbeat.end("nobody")
    heartbeat.heard("a", 1.0)

    assert heartbeat.next_tick() is None
    assert heartbeat.due(100.0) == []


# Over a line between machines.


def test_signs_are_given_five_times_in_what_a_line_bears() -> None:
    signs: Heartbeat[str] = Heartbeat.of_lines(5.0)
    signs.begin("line", 0.0)

    given = [now for now in range(12) if signs.due(float(now))]

    assert given == list(range(1, 12))
    assert signs.every_s == 1.0
    assert signs.next_tick() == 12.0


def test_silence_is_what_lasts_longer_than_a_line_bears() -> None:
    signs: Heartbeat[str] = Heartbeat.of_lines(5.0)
    signs.begin("line", 0.0)
    let_pass(signs, 0.0, 2.5)
    signs.heard("line", 3.0)

    assert let_pass(signs, 3.0, 7.999) == []
    assert let_pass(signs, 7.999, 8.0) == [(8.0, "line")]


def test_a_line_that_nothing_is_heard_of_ends_when_it_bears_no_more() -> None:
    signs: Heartbeat[str] = Heartbeat.of_lines(5.0)
    signs.begin("line", 0.0)

    assert let_pass(signs, 0.0, 60.0) == [(5.0, "line")]


def test_a_machine_that_was_held_up_itself_gives_no_line_up_for_that() -> None:
    signs: Heartbeat[str] = Heartbeat.of_lines(5.0)
    signs.begin("line", 0.0)
    signs.due(1.0)

    assert signs.silent(500.0) == []


def test_one_wake_up_does_for_two_that_began_at_other_moments() -> None:
    asking: Heartbeat[str] = Heartbeat(limit_s=60.0)
    beating: Heartbeat[str] = Heartbeat(limit_s=60.0)
    beating.begin("self", 0.0)
    asking.begin("stage", 0.3)

    woken: list[float] = []
    while not woken or woken[-1] < 100.0:
        times = [asking.next_tick(), beating.next_alone()]
        now = min(each for each in times if each is not None)
        woken.append(now)
        asking.heard("stage", now)
        for each in (asking, beating):
            each.due(now)

    assert woken == [pytest.approx(20.3 + 20.0 * number) for number in range(5)]


def test_a_beat_that_waits_for_none_comes_all_the_same() -> None:
    beating: Heartbeat[str] = Heartbeat(limit_s=60.0)
    beating.begin("self", 0.0)

    assert beating.next_alone() == 20.0 + ALONG_S
    assert Heartbeat(limit_s=60.0).next_alone() is None
