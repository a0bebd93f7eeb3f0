"""How messages find their way between machines."""

from __future__ import annotations

import pytest

from actors.cluster.messages import Down
from actors.cluster.router import Peer, Router
from actors.demand.messages import Cancel, Demand, Ping
from actors.supervision.messages import Up


@pytest.fixture
def router() -> Router:
    router = Router()
    router.source_up("numbers", "here")
    return router


def up(source: str = "numbers", subscription: str = "run/1") -> Up:
    demand = Demand(subscription=subscription, total=1, received=0)
    return Up(source=source, message=demand)


def ping(subscription: str = "run/1") -> Ping:
    return Ping(subscription=subscription, sent=0)


def test_what_a_consumer_says_goes_to_its_source(router: Router) -> None:
    assert router.up(up(), "one") == ("here", up().message)
    assert router.up(up("letters"), "one") is None


def test_the_answer_finds_who_asked(router: Router) -> None:
    router.up(up(subscription="run/1"), "one")
    router.up(up(subscription="run/2"), "two")

    assert router.down(ping("run/1")) == ("one", ping("run/1"))
    assert router.down(ping("run/2")) == ("two", ping("run/2"))
    assert router.down(ping("run/3")) is None


def test_what_goes_over_a_line_says_where_it_is_for(router: Router) -> None:
    far = Peer("machine")
    router.source_up("step", far)
    router.up(up(), far)

    assert router.up(up("step"), "one") == (far, up("step"))
    assert router.down(ping()) == ("one", ping())
    router.up(up(), far)
    assert router.down(ping()) == (far, Down(message=ping()))


def test_after_a_cancel_the_way_is_found_anew(router: Router) -> None:
    cancel = Cancel(subscription="run/1", reason="drain")
    router.up(up(), "one")

    assert router.down(cancel) == ("one", cancel)
    assert router.down(ping()) is None
    router.up(up(), "one")
    assert router.down(ping()) == ("one", ping())


def test_a_consumer_that_moved_is_found_where_it_is_now(router: Router) -> None:
    router.up(up(), "one")
    router.up(up(), "two")

    assert router.down(ping()) == ("two", ping())


def test_where_nobody_is_any_more_nothing_goes(router: Router) -> None:
    gone = Peer("one")
    router.source_up("step", gone)
    router.up(up(), gone)

    router.forget(Peer("one"))

    assert router.up(up("step", "run/9"), Peer("two")) is None
    assert router.down(ping()) is None
    assert router.up(up(), Peer("two")) == ("here", up().message)


def test_a_source_that_is_not_coming_back_gets_nothing(router: Router) -> None:
    router.source_gone("numbers")
    router.source_gone("numbers")

    assert router.up(up(), "one") is None
