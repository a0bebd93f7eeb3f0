"""How messages find their way between machines."""

from __future__ import annotations

import pytest

from actors.cluster.router import Switchboard
from actors.demand.messages import Cancel, Demand, Ping


@pytest.fixture
def board() -> Switchboard[str]:
    board: Switchboard[str] = Switchboard()
    board.source_up("numbers", "here")
    return board


def demand(subscription: str = "run/1") -> Demand:
    return Demand(subscription=subscription, total=1, received=0)


def test_what_a_consumer_says_goes_to_its_source(board: Switchboard[str]) -> None:
    assert board.up("numbers", demand(), "one") == "here"
    assert board.up("letters", demand(), "one") is None


def test_the_answer_finds_who_asked(board: Switchboard[str]) -> None:
    board.up("numbers", demand("run/1"), "one")
    board.up("numbers", demand("run/2"), "two")

    assert board.down(Ping(subscription="run/1", sent=0)) == "one"
    assert board.down(Ping(subscription="run/2", sent=0)) == "two"
    assert board.down(Ping(subscription="run/3", sent=0)) is None


def test_after_a_cancel_the_way_is_found_anew(board: Switchboard[str]) -> None:
    board.up("numbers", demand(), "one")

    assert board.down(Cancel(subscription="run/1", reason="drain")) == "one"
    assert board.down(Ping(subscription="run/1", sent=0)) is None
    board.up("numbers", demand(), "one")
    assert board.down(Ping(subscription="run/1", sent=0)) == "one"


def test_a_consumer_that_moved_is_found_where_it_is_now(
    board: Switchboard[str],
) -> None:
    board.up("numbers", demand(), "one")
    board.up("numbers", demand(), "two")

    assert board.down(Ping(subscription="run/1", sent=0)) == "two"


def test_where_nobody_is_any_more_nothing_goes(board: Switchboard[str]) -> None:
    board.source_up("step", "one")
    board.up("numbers", demand(), "one")

    board.forget(lambda where: where == "one")

    assert board.up("step", demand("run/9"), "two") is None
    assert board.down(Ping(subscription="run/1", sent=0)) is None
    assert board.up("numbers", demand(), "two") == "here"


def test_a_source_that_is_not_coming_back_gets_nothing(
    board: Switchboard[str],
) -> None:
    board.source_gone("numbers")
    board.source_gone("numbers")

    assert board.up("numbers", demand(), "one") is None
