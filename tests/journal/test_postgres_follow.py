"""Following a journal in PostgreSQL whose server does what servers do."""

from __future__ import annotations

from typing import Any

import pytest

from actors.journal import postgres_follow
from actors.journal.file import JournalDamagedError
from actors.journal.follow import AwayError, MissedError
from actors.journal.postgres_follow import PostgresFollower, Reached


class View:
    """A view of two fetchers' ends, without a server."""

    def __init__(self) -> None:
        self.counts = {1: 0, 2: 0}
        self.rows: dict[int, list[int]] = {1: [], 2: []}
        self.is_away = False
        self.syncs = True

    def end(self, number: int, *seqs: int) -> None:
        self.counts[number] += len(seqs)
        self.rows[number] += seqs

    def totals(self) -> dict[int, int]:
        if self.is_away:
            raise JournalDamagedError("PostgreSQL: the connection is closed")
        return self.counts

    def ended_since(self, number: int, seq: int) -> tuple[int, int]:
        there = [each for each in self.rows[number] if each > seq]
        return self.counts[number], len(there)

    def ended_of(self, number: int, seq: int, limit: int) -> list[dict[str, Any]]:
        names = ("fetcher", "id", "state", "payload", "attempt", "ended_at")
        found = [each for each in self.rows[number] if each > seq][:limit]
        return [dict.fromkeys(names, each) | {"seq": each} for each in found]

    def written(self) -> str:
        return "0/0"

    def is_synced(self, written: str) -> bool:
        assert written == "0/0"
        return self.syncs


@pytest.fixture
def view() -> View:
    return View()


@pytest.fixture
def follower(view: View) -> PostgresFollower:
    made: Any = lambda _: view  # noqa: E731
    return PostgresFollower("postgresql://x", {1: Reached(0, 0)}, made)


def seqs(follower: PostgresFollower) -> list[Any]:
    return [each.id for each in follower.ends()]


def test_numbers_that_nobody_has_are_not_missed(
    view: View, follower: PostgresFollower
) -> None:
    view.end(1, 3, 40)
    view.end(2, 2, 41)

    assert [seqs(follower), seqs(follower), seqs(follower)] == [[3, 40], [2, 41], []]


def test_what_is_not_on_the_servers_disk_is_told_later(
    view: View, follower: PostgresFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_follow, "_SYNCED_WITHIN_S", 0.0)
    view.end(1, 1)
    view.syncs = False
    assert seqs(follower) == []

    # The server crashes, knows nothing of it, and another job has its number.
    view.counts[1], view.rows[1] = 0, []
    view.end(1, 1, 2)
    view.syncs = True

    assert seqs(follower) == [1]  # as many as it had counted before
    assert seqs(follower) == [2]
    assert seqs(follower) == []


def test_a_server_that_is_away_loses_no_place(
    view: View, follower: PostgresFollower
) -> None:
    view.end(1, 1)
    assert seqs(follower) == [1]
    view.end(1, 2)
    view.is_away = True
    for _ in range(2):
        with pytest.raises(AwayError, match="the connection is closed"):
            follower.ends()
    view.is_away = False

    assert [seqs(follower), seqs(follower)] == [[2], []]


def test_what_is_forgotten_while_it_is_read_is_told_behind_it(
    view: View, follower: PostgresFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_follow, "_AT_ONCE", 2)
    view.end(1, 1, 2, 3, 4, 5)
    assert seqs(follower) == [1, 2]
    del view.rows[1][:4]

    assert seqs(follower) == [5]
    assert seqs(follower) == []
    with pytest.raises(MissedError, match="2 ended jobs"):
        follower.ends()
    assert seqs(follower) == []


def test_a_server_that_went_back_is_followed_from_there(
    view: View, follower: PostgresFollower
) -> None:
    view.end(1, 1, 2, 3)
    assert seqs(follower) == [1, 2, 3]
    view.counts[1] = 1

    assert seqs(follower) == []
    view.end(1, 9)
    assert seqs(follower) == [9]
