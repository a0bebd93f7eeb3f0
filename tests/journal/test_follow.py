"""Following a journal: each end once, in order, and a count of what was forgotten."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from actors.demand.job import Job, Process
from actors.demand.job_events import JobDone, JobFetched
from actors.journal.file import JournalFile
from actors.journal.follow import FileFollower, JournalPosition, MissedError
from actors.journal.journal import Keep
from actors.journal.sqlite import Clock, SqliteJournal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")
#: Each job is kept for so long, in seconds.
KEPT_S = 60.0


class Desk:
    """A journal in which jobs end, on a clock that the test sets."""

    def __init__(self, path: Path) -> None:
        JournalFile(path).prepare()
        self.now = 0.0
        clock = Clock(lambda: 1.8e9 + self.now, lambda: self.now)
        self.follower = FileFollower(path, JournalPosition())
        self._journal = SqliteJournal(path, "desk", clock, keep=Keep(KEPT_S, 1 << 20))
        self._key = 0

    def close(self) -> None:
        self.follower.close()
        self._journal.close()

    def forget(self) -> None:
        """Let all be too old that has ended, and have it forgotten."""
        self.now += 2 * KEPT_S
        while self._journal.purge():
            pass

    def end(self, count: int = 1) -> None:
        for _ in range(count):
            self._key += 1
            job = Job(key=self._key, id=self._key, payload={}, fetched_at=0.0)
            self._journal.commit([JobFetched(job), JobDone(job, 1, HERE, None, 0.1)])

    def ids(self) -> list[Any]:
        return [each.id for each in self.follower.ends()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with contextlib.closing(Desk(tmp_path / "lowtide.db")) as desk:
        yield desk


def test_each_end_comes_once_in_order(desk: Desk) -> None:
    assert desk.ids() == []
    desk.end(2)
    assert desk.ids() == [1, 2]
    desk.end()
    assert [desk.ids(), desk.ids()] == [[3], []]


def test_what_was_forgotten_before_what_is_there_is_told_once(desk: Desk) -> None:
    desk.end()
    assert desk.ids() == [1]
    desk.end(3)
    desk.forget()
    desk.end()

    with pytest.raises(MissedError, match="3 ended jobs were forgotten") as raised:
        desk.ids()

    assert raised.value.count == 3
    assert desk.ids() == [5]
    assert desk.ids() == []


def test_what_was_forgotten_with_nothing_after_it_is_told(desk: Desk) -> None:
    desk.end(2)
    desk.forget()

    with pytest.raises(MissedError, match="2 ended jobs were"):
        desk.ids()

    assert desk.ids() == []
