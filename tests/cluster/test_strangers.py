"""Who goes where more dial than there is room for, and when."""

from __future__ import annotations

from actors.cluster.strangers import (
    HELLO_WITHIN_S,
    MAX_OF_ADDRESS,
    MAX_STRANGERS,
    Strangers,
)


def full() -> Strangers:
    strangers = Strangers()
    for fd in range(MAX_STRANGERS):
        assert strangers.comes(fd, f"10.0.0.{fd}", float(fd)) is None
    return strangers


def test_the_one_that_was_silent_for_longest_goes_first() -> None:
    strangers = full()

    assert strangers.comes(100, "10.0.1.1", 100.0) == 0
    assert strangers.comes(101, "10.0.1.2", 101.0) == 1
    assert len(strangers) == MAX_STRANGERS


def test_of_an_address_that_has_its_share_one_of_its_own_goes() -> None:
    strangers = Strangers()
    strangers.comes(1, "10.0.0.1", 0.0)
    for fd in range(2, 2 + MAX_OF_ADDRESS):
        assert strangers.comes(fd, "10.0.0.2", 1.0) is None

    assert strangers.comes(99, "10.0.0.2", 2.0) == 2
    assert strangers.comes(98, "10.0.0.1", 2.0) is None


def test_who_has_shown_a_key_goes_last() -> None:
    strangers = full()
    strangers.shows_key(0)

    assert strangers.comes(100, "10.0.1.1", 100.0) == 1
    for fd in range(2, MAX_STRANGERS):
        strangers.shows_key(fd)
    strangers.shows_key(100)
    assert strangers.comes(101, "10.0.1.1", 101.0) == 0


def test_who_shows_no_key_is_late_and_who_does_is_not() -> None:
    strangers = Strangers()
    strangers.comes(1, "a", 10.0)
    strangers.comes(2, "b", 10.5)
    strangers.shows_key(1)

    assert strangers.next_late() == 10.5 + HELLO_WITHIN_S
    assert strangers.late(10.4 + HELLO_WITHIN_S) == []
    assert strangers.late(10.5 + HELLO_WITHIN_S) == [2]
    strangers.goes(2)
    assert strangers.next_late() is None
