"""Who is taken for dead, and who is not."""

from __future__ import annotations

from actors.supervision.heartbeat import Pulse


def let_pass(pulse: Pulse, start: float, end: float) -> list[tuple[float, str]]:
    """Ask in time, answer nothing; returns who was found silent, and when."""
    found = []
    now = start
    while (at := pulse.next_tick()) is not None and at <= end:
        now = max(now, at)
        found += [(now, name) for name in pulse.silent(now)]
        for _, name in found:
            pulse.end(name)
        pulse.due(now)
    return found


def test_one_who_answers_nothing_is_silent_after_three_questions() -> None:
    pulse = Pulse(limit_s=30.0)
    pulse.begin("a", 100.0)

    found = let_pass(pulse, 100.0, 1000.0)

    # Asked at 110, 120 and 130; the last question has until 140.
    assert found == [(140.0, "a")]


def test_a_sign_at_any_time_begins_the_count_anew() -> None:
    pulse = Pulse(limit_s=30.0)
    pulse.begin("a", 0.0)
    let_pass(pulse, 0.0, 39.0)

    pulse.heard("a", 39.5)

    assert let_pass(pulse, 39.5, 69.0) == []
    assert let_pass(pulse, 69.0, 100.0) == [(70.0, "a")]


def test_one_who_was_held_up_itself_asks_again_before_it_gives_up_on_anybody() -> None:
    pulse = Pulse(limit_s=30.0)
    pulse.begin("a", 0.0)
    assert pulse.due(10.0) == ["a"]

    woken = 5000.0

    assert pulse.silent(woken) == []
    assert pulse.due(woken) == ["a"]
    pulse.heard("a", woken + 0.01)
    assert let_pass(pulse, woken, woken + 30.0) == []


def test_all_are_asked_at_once_and_each_is_counted_by_itself() -> None:
    pulse = Pulse(limit_s=30.0)
    pulse.begin("a", 0.0)
    pulse.begin("b", 9.0)

    asked = [pulse.due(10.0), pulse.due(20.0), pulse.due(30.0)]
    pulse.heard("a", 31.0)

    assert asked == [["a", "b"]] * 3
    assert pulse.next_tick() == 40.0
    assert (pulse.silent(39.9), pulse.silent(40.0)) == ([], ["b"])


def test_the_limit_is_never_short() -> None:
    pulse = Pulse(limit_s=0.1)
    pulse.begin("a", 0.0)

    assert let_pass(pulse, 0.0, 14.9) == []
    assert let_pass(pulse, 14.9, 60.0) == [(20.0, "a")]


def test_who_left_is_not_asked() -> None:
    pulse = Pulse(limit_s=15.0)
    pulse.begin("a", 0.0)

    pulse.end("a")
    pulse.end("nobody")
    pulse.heard("a", 1.0)

    assert pulse.next_tick() is None
    assert pulse.due(100.0) == []
