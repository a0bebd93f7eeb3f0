"""What leaves a fetcher when: after the commit, or after the sync."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from actors.demand.job import Job, Process
from actors.demand.job_events import JobDone, JobEvent, JobFetched, JobLeased
from actors.demand.messages import Confirm, Ping
from actors.demand.producer import Decision
from actors.fetcher.commit_queue import AGAIN_S, LOCKED_S, SOON_S, SYNC_S, CommitQueue
from actors.journal.file import JournalFile, connect
from actors.journal.journal import JournalError, JournalLockedError
from actors.journal.memory import MemoryJournal
from actors.journal.sqlite import SqliteJournal

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")
CONFIRM = Confirm(subscription="a", outcomes=((1, 1),))
PING = Ping(subscription="a", sent=1)
#: Behind this key are jobs that are there already.
OUT = 100


class FailingJournal(SqliteJournal):
    """A journal on a disk that can be full.

    Attributes:
        sizes: How many events each commit had.
    """

    full = False

    def __init__(self, path: Path, fetcher: str) -> None:
        super().__init__(path, fetcher)
        self.sizes: list[int] = []

    def commit(self, events: Iterable[JobEvent], *, sync: bool = True) -> None:
        if self.full:
            raise JournalError("disk full")
        kept = list(events)
        super().commit(kept, sync=sync)
        self.sizes.append(len(kept))

    def sync(self) -> None:
        if self.full:
            raise JournalError("disk full")
        super().sync()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[FailingJournal]:
    path = tmp_path / "lowtide.db"
    JournalFile(path).prepare()
    journal = FailingJournal(path, "numbers")
    SqliteJournal.commit(journal, [JobFetched(job(OUT + each)) for each in range(1, 9)])
    yield journal
    journal.close()


def job(key: int = 1) -> Job:
    return Job(key, f"#{key}", None, 0.0, own_id=False, attempt=1)


def fetched() -> Decision:
    return Decision(events=[JobFetched(job())], sends=[PING])


def leased() -> Decision:
    return Decision(events=[JobLeased(job(), HERE)], sends=[PING])


def done(key: int = 1) -> Decision:
    event = JobDone(job(OUT + key), 1, HERE, 42, 0.5)
    return Decision(events=[event], sends=[CONFIRM, PING])


def test_a_fetched_job_is_synced_at_once(journal: SqliteJournal) -> None:
    commit_queue = CommitQueue(journal)
    decision = fetched()
    commit_queue.put(decision)

    assert commit_queue.release(0.0) == [decision]
    assert (bool(commit_queue), commit_queue.next_tick) == (False, None)


def test_an_outcome_is_told_at_once_and_let_go_of_after_the_sync(
    journal: SqliteJournal,
) -> None:
    commit_queue = CommitQueue(journal)
    first, second = done(1), done(2)
    commit_queue.put(first)
    released = commit_queue.release(0.0)
    commit_queue.put(second)
    released += commit_queue.release(SYNC_S / 2)
    early = commit_queue.take_synced()

    commit_queue.release(SYNC_S)

    assert (released, early, commit_queue.next_tick) == ([first, second], [], None)
    assert commit_queue.take_synced() == [first, second]
    assert (commit_queue.take_synced(), bool(commit_queue)) == ([], False)


def test_what_is_synced_for_another_reason_takes_the_outcomes_along(
    journal: SqliteJournal,
) -> None:
    commit_queue = CommitQueue(journal)
    outcome = done()
    commit_queue.put(outcome)
    commit_queue.release(0.0)
    commit_queue.put(fetched())

    commit_queue.release(0.001)

    assert commit_queue.take_synced() == [outcome]


def test_a_lease_alone_waits_for_no_sync(journal: SqliteJournal) -> None:
    commit_queue = CommitQueue(journal)
    commit_queue.put(leased())

    assert len(commit_queue.release(0.0)) == 1
    assert (bool(commit_queue), commit_queue.next_tick) == (False, None)


@pytest.mark.parametrize("full_at", ["commit", "sync"])
def test_a_full_disk_holds_back_and_heals(
    journal: FailingJournal, full_at: str
) -> None:
    commit_queue = CommitQueue(journal)
    outcome = done()
    commit_queue.put(outcome)
    if full_at == "sync":
        commit_queue.release(0.0)
    journal.full = True

    blocked = commit_queue.release(SYNC_S)
    told = (
        commit_queue.error,
        commit_queue.next_tick,
        commit_queue.take_synced(),
        bool(commit_queue),
    )
    journal.full = False
    commit_queue.release(SYNC_S + AGAIN_S)
    commit_queue.release(2 * SYNC_S + AGAIN_S)

    assert blocked == []
    assert told == ("disk full", SYNC_S + AGAIN_S, [], True)
    assert (commit_queue.error, commit_queue.take_synced()) == (None, [outcome])


def test_without_a_journal_nothing_is_waited_for() -> None:
    commit_queue = CommitQueue(MemoryJournal())
    outcome = done()
    commit_queue.put(outcome)

    assert commit_queue.release(0.0) == [outcome]
    assert (commit_queue.take_synced(), commit_queue.next_tick) == ([outcome], None)


def test_a_journal_that_is_written_by_another_holds_nobody_up_and_is_told_late(
    journal: FailingJournal,
) -> None:
    journal.take_up()
    commit_queue = CommitQueue(journal)
    with contextlib.closing(connect(journal.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        commit_queue.put(fetched())
        began = time.monotonic()
        told = []
        for now in (0.0, SOON_S, LOCKED_S):
            assert commit_queue.release(now) == []
            told.append(commit_queue.error)
        took_s = time.monotonic() - began
        other.execute("ROLLBACK")

    at = commit_queue.next_tick
    assert at == LOCKED_S + AGAIN_S
    assert len(commit_queue.release(at)) == 1
    assert told == [None, None, "it is locked by another program"]
    assert commit_queue.error is None
    assert took_s < 5.0


def test_a_lock_that_was_met_in_passing_is_forgotten(journal: FailingJournal) -> None:
    commit_queue = CommitQueue(journal)

    commit_queue.failed(JournalLockedError("locked"), 0.0)

    assert commit_queue.next_tick == SOON_S
    assert commit_queue.release(SOON_S) == []
    assert commit_queue.next_tick is None


def ended(key: int = 1) -> Decision:
    event = JobDone(job(OUT + key), 1, HERE, 42, 0.5)
    return Decision(events=[event], sends=[CONFIRM])


def test_ends_that_nobody_waits_for_share_a_transaction(
    journal: FailingJournal,
) -> None:
    commit_queue = CommitQueue(journal)
    first, second = ended(1), ended(2)
    commit_queue.put(first)
    early = commit_queue.release(0.0)
    commit_queue.put(second)
    early += commit_queue.release(SYNC_S / 2)

    waited = journal.sizes[:]
    released = commit_queue.release(SYNC_S)

    assert (early, waited) == ([], [])
    assert (released, journal.sizes) == ([first, second], [2])
    assert commit_queue.take_synced() == [first, second]
    assert (bool(commit_queue), commit_queue.next_tick) == (False, None)


def test_ends_go_with_what_somebody_waits_for(journal: FailingJournal) -> None:
    commit_queue = CommitQueue(journal)
    outcome, new = ended(), fetched()
    commit_queue.put(outcome)
    commit_queue.release(0.0)
    may_go_on = commit_queue.has_kept_all
    commit_queue.put(new)

    assert may_go_on
    assert commit_queue.release(0.001) == [outcome, new]
    assert journal.sizes == [2]
    assert commit_queue.take_synced() == [outcome]


def test_ends_that_wait_are_kept_once_the_disk_has_room(
    journal: FailingJournal,
) -> None:
    commit_queue = CommitQueue(journal)
    outcome = ended()
    commit_queue.put(outcome)
    commit_queue.release(0.0)
    journal.full = True

    assert commit_queue.release(SYNC_S) == []
    journal.full = False
    assert commit_queue.release(SYNC_S + AGAIN_S) == [outcome]
    assert commit_queue.take_synced() == [outcome]
