"""Following a journal of any kind: each end once, and a count of what was forgotten."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from actors.demand.job import Job, Process
from actors.demand.job_events import JobDone, JobDropped, JobFetched
from actors.journal.follow import MissedError
from actors.journal.journal import Keep
from actors.journal.sqlite import Clock
from actors.journal.stores import follower_of, position_of
from tests.support.stores import DURABLE, database, pool, pooled, server, store

if TYPE_CHECKING:
    from actors.journal.journal import Journal
    from tests.support.stores import Store

__all__ = ["database", "pool", "pooled", "server", "store"]

pytestmark = pytest.mark.parametrize("store", DURABLE, indirect=True)

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")


class Desk:
    """One fetcher, whose jobs end at once, on a clock that the test sets."""

    def __init__(self, store: Store, name: str) -> None:
        self.now = 0.0
        clock = Clock(lambda: 1.8e9 + self.now, lambda: self.now)
        keep = Keep(60.0, 1 << 20)
        self.journal: Journal = store.open(name, clock, keep=keep)
        self._key = 0

    def end(self, count: int = 1, *, dropped: bool = False) -> None:
        events: list[Any] = []
        for _ in range(count):
            self._key += 1
            job = Job(key=self._key, id=self._key, payload={}, fetched_at=0.0)
            end = JobDropped(job, "full") if dropped else JobDone(job, 1, HERE, 5, 0.1)
            events += [JobFetched(job), end]
        self.journal.commit(events)

    def forget(self) -> None:
        self.now += 120.0
        while self.journal.purge():
            pass


def ids(follower: Any) -> list[tuple[str, Any, str]]:
    ends: list[Any] = []
    while more := follower.ends():
        ends += more
    return [(each.fetcher, each.id, each.state) for each in ends]


def test_each_end_of_each_fetcher_comes_once_and_in_its_order(store: Store) -> None:
    north, south = Desk(store, "north"), Desk(store, "south")
    north.end(3)  # before anybody looks
    place = position_of(store.name)

    with contextlib.closing(follower_of(store.name, place)) as follower:
        assert ids(follower) == []
        north.end(2)
        south.end(1, dropped=True)
        north.end(1)
        told = ids(follower)
        south.end(600)
        many = ids(follower)

        west = Desk(store, "west")
        west.end(1)
        last = ids(follower)

    assert [each for each in told if each[0] == "north"] == [
        ("north", number, "done") for number in (4, 5, 6)
    ]
    assert [each for each in told if each[0] != "north"] == [("south", 1, "dropped")]
    assert many == [("south", number, "done") for number in range(2, 602)]
    assert last == [("west", 1, "done")]


def test_what_was_forgotten_before_it_was_read_is_counted_once(store: Store) -> None:
    desk = Desk(store, "desk")
    place = position_of(store.name)

    with contextlib.closing(follower_of(store.name, place)) as follower:
        desk.end(2)
        assert len(ids(follower)) == 2
        desk.end(3)
        desk.forget()
        desk.end(1)
        with pytest.raises(MissedError, match="3 ended jobs were forgotten"):
            ids(follower)
        assert ids(follower) == [("desk", 6, "done")]

        desk.end(2)
        desk.forget()
        with pytest.raises(MissedError, match="2 ended jobs were forgotten"):
            ids(follower)
        assert ids(follower) == []
