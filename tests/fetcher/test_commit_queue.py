"""What leaves a fetcher when: after the commit, or after the sync."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from actors.demand.job_events import Fact, Job, JobDone, JobFetched, JobLeased
from actors.demand.messages import Confirm, Ping, Process
from actors.demand.producer import Decision
from actors.fetcher.commit_queue import AGAIN_S, LOCKED_S, SOON_S, SYNC_S, Outbox
from actors.journal.file import JournalFile, connect
from actors.journal.journal import Journal, JournalError, JournalLockedError
from actors.journal.memory import NoJournal

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")
CONFIRM = Confirm(subscription="a", outcomes=((1, 1),))
PING = Ping(subscription="a", sent=1)


class FailingJournal(Journal):
    """A journal on a disk that can be full."""

    full = False

    def commit(self, facts: Iterable[Fact], *, sync: bool = True) -> None:
        if self.full:
            raise JournalError("disk full")
        super().commit(facts, sync=sync)

    def sync(self) -> None:
        if self.full:
            raise JournalError("disk full")
        super().sync()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[FailingJournal]:
    path = tmp_path / "lowtide.db"
    JournalFile(path).prepare()
    journal = FailingJournal(path, "numbers")
    yield journal
    journal.close()


def job(key: int = 1) -> Job:
    return Job(key, f"#{key}", None, 0.0, own_id=False, attempt=1)


def fetched() -> Decision:
    return Decision(facts=[JobFetched(job())], sends=[PING])


def leased() -> Decision:
    return Decision(facts=[JobLeased(job(), HERE)], sends=[PING])


def done(key: int = 1) -> Decision:
    fact = JobDone(job(key), 1, HERE, 42, 0.5)
    return Decision(facts=[fact], sends=[CONFIRM, PING])


def test_a_fetched_job_is_synced_at_once(journal: Journal) -> None:
    outbox = Outbox(journal)
    decision = fetched()
    outbox.put(decision)

    assert outbox.release(0.0) == [decision]
    assert (bool(outbox), outbox.next_tick) == (False, None)


def test_an_outcome_is_told_at_once_and_let_go_of_after_the_sync(
    journal: Journal,
) -> None:
    outbox = Outbox(journal)
    first, second = done(1), done(2)
    outbox.put(first)
    released = outbox.release(0.0)
    outbox.put(second)
    released += outbox.release(SYNC_S / 2)
    early = outbox.take_synced()

    outbox.release(SYNC_S)

    assert (released, early, outbox.next_tick) == ([first, second], [], None)
    assert outbox.take_synced() == [first, second]
    assert (outbox.take_synced(), bool(outbox)) == ([], False)


def test_what_is_synced_for_another_reason_takes_the_outcomes_along(
    journal: Journal,
) -> None:
    outbox = Outbox(journal)
    outcome = done()
    outbox.put(outcome)
    outbox.release(0.0)
    outbox.put(fetched())

    outbox.release(0.001)

    assert outbox.take_synced() == [outcome]


def test_a_lease_alone_waits_for_no_sync(journal: Journal) -> None:
    outbox = Outbox(journal)
    outbox.put(leased())

    assert len(outbox.release(0.0)) == 1
    assert (bool(outbox), outbox.next_tick) == (False, None)


@pytest.mark.parametrize("full_at", ["commit", "sync"])
def test_a_full_disk_holds_back_and_heals(
    journal: FailingJournal, full_at: str
) -> None:
    outbox = Outbox(journal)
    outcome = done()
    outbox.put(outcome)
    if full_at == "sync":
        outbox.release(0.0)
    journal.full = True

    blocked = outbox.release(SYNC_S)
    told = outbox.error, outbox.next_tick, outbox.take_synced(), bool(outbox)
    journal.full = False
    outbox.release(SYNC_S + AGAIN_S)
    outbox.release(2 * SYNC_S + AGAIN_S)

    assert blocked == []
    assert told == ("disk full", SYNC_S + AGAIN_S, [], True)
    assert (outbox.error, outbox.take_synced()) == (None, [outcome])


def test_without_a_journal_nothing_is_waited_for() -> None:
    outbox = Outbox(NoJournal())
    outcome = done()
    outbox.put(outcome)

    assert outbox.release(0.0) == [outcome]
    assert (outbox.take_synced(), outbox.next_tick) == ([outcome], None)


def test_a_journal_that_is_written_by_another_holds_nobody_up_and_is_told_late(
    journal: FailingJournal,
) -> None:
    journal.take_up()
    outbox = Outbox(journal)
    with contextlib.closing(connect(journal.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        outbox.put(fetched())
        began = time.monotonic()
        told = []
        for now in (0.0, SOON_S, LOCKED_S):
            assert outbox.release(now) == []
            told.append(outbox.error)
        took_s = time.monotonic() - began
        other.execute("ROLLBACK")

    at = outbox.next_tick
    assert at == LOCKED_S + AGAIN_S
    assert len(outbox.release(at)) == 1
    assert told == [None, None, "it is locked by another program"]
    assert outbox.error is None
    assert took_s < 5.0


def test_a_lock_that_was_met_in_passing_is_forgotten(journal: FailingJournal) -> None:
    outbox = Outbox(journal)

    outbox.failed(JournalLockedError("locked"), 0.0)

    assert outbox.next_tick == SOON_S
    assert outbox.release(SOON_S) == []
    assert outbox.next_tick is None
