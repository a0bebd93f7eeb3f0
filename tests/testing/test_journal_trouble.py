"""A journal that cannot be written or read for a while: nothing is lost or doubled."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from actors.demand.consumer import Consumer
from actors.demand.job_events import JobDone, JobEvent, JobFetched
from actors.demand.messages import Jobs
from actors.demand.producer_subscription import ProducerSender
from actors.fetcher.commit_queue import CommitQueue, Delivery
from actors.journal.journal import (
    JournalAwayError,
    JournalLockedError,
    JournalOtherError,
)
from actors.journal.sqlite import SqliteJournal
from actors.testing import CommandRefusedError, Harness


@contextmanager
def full_disk(pipeline: Harness) -> Iterator[None]:
    """No commit succeeds in here."""
    pipeline.journal.execute("PRAGMA query_only = 1")
    yield
    pipeline.journal.execute("PRAGMA query_only = 0")


@contextmanager
def unreadable(pipeline: Harness) -> Iterator[None]:
    """Nothing can be read in here."""
    pipeline.journal.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
    yield
    pipeline.journal.set_authorizer(None)


@contextmanager
def locked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another program writes to the journal in here."""

    def commit(*_: object, **__: object) -> None:
        raise JournalLockedError("it is locked by another program")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "commit", commit)
        yield


def refuse(_: Any) -> None:
    raise ValueError("no")


def events(pipeline: Harness, name: str) -> list[dict[str, Any]]:
    return [each for each in pipeline.events if each["event"] == name]


@pytest.mark.file
@pytest.mark.parametrize("action", ["retry", "discard"])
def test_a_decision_that_cannot_be_kept_is_refused_and_made_once_later(
    action: str,
) -> None:
    with Harness(process=refuse, retries=1) as pipeline:
        pipeline.push([{"id": 1}, {"id": 2}])
        pipeline.run_until_idle()
        [fetcher] = pipeline.status()["fetchers"]
        command = {"verb": "jobs", "action": action, "keys": {fetcher["name"]: [1]}}

        with full_disk(pipeline):
            for _ in range(3):
                with pytest.raises(CommandRefusedError, match="cannot be written"):
                    pipeline.command(command)
        pipeline.run_until_idle()

        account = pipeline.accounting
        expected = {"retry": (2, 0), "discard": (1, 1)}[action]
        assert (account["quarantined"], account["dropped"]) == expected
        assert len(events(pipeline, "job.quarantined")) == (
            3 if action == "retry" else 2
        )
        assert events(pipeline, "stage.error") == []


@pytest.mark.file
@pytest.mark.parametrize("action", ["retry", "discard"])
def test_a_decision_is_made_once_that_comes_twice_while_another_writes(
    action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Harness(process=refuse, retries=1) as pipeline:
        pipeline.push([{"id": 1}, {"id": 2}])
        pipeline.run_until_idle()
        [fetcher] = pipeline.status()["fetchers"]
        command = {"verb": "jobs", "action": action, "keys": {fetcher["name"]: [1]}}

        with locked(monkeypatch):
            for _ in range(3):
                with pytest.raises(CommandRefusedError, match="locked by another"):
                    pipeline.command(command)
        pipeline.run_until_idle()

        account = pipeline.accounting
        expected = {"retry": (2, 0), "discard": (1, 1)}[action]
        assert (account["quarantined"], account["dropped"]) == expected
        assert len(events(pipeline, "job.quarantined")) == (
            3 if action == "retry" else 2
        )
        assert events(pipeline, "stage.error") == []


@pytest.mark.file
def test_a_state_is_not_said_to_be_set_before_it_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fetch(state: Any = None) -> tuple[list[Any], Any]:
        return [], state

    with Harness(fetch=fetch) as pipeline:
        pipeline.run_until_idle()
        [fetcher] = pipeline.status()["fetchers"]
        command = {"verb": "state", "fetcher": fetcher["name"]}
        move = command | {"action": "set", "state": 7}

        with locked(monkeypatch), pytest.raises(CommandRefusedError, match="locked"):
            pipeline.command(move)
        pipeline.run_until_idle()

        assert pipeline.command(command | {"action": "show"})["state"] == 7
        assert pipeline.command(move)["state"] == 7


@pytest.mark.file
def test_a_job_is_kept_that_comes_while_the_journal_cannot_be_read() -> None:
    with Harness() as pipeline:
        pipeline.advance(1)
        with unreadable(pipeline):
            pipeline.push([{"id": 1}])
            pipeline.advance(5)
            assert pipeline.status()["fetchers"][0]["journal_error"]
        pipeline.run_until_idle()

        assert pipeline.results == [{"id": 1}]
        assert len(events(pipeline, "journal.failed")) == 1
        assert len(events(pipeline, "journal.healed")) == 1
        assert events(pipeline, "stage.error") == []


@pytest.mark.parametrize("action", ["retry", "discard", "cancel"])
def test_a_job_that_is_named_twice_is_decided_about_once(action: str) -> None:
    ran: list[int] = []

    def process(job: dict[str, int]) -> None:
        ran.append(job["n"])
        if len(ran) == 1:
            refuse(job)

    with Harness(process=process, retries=1, processors=1, process_s=5.0) as pipeline:
        pipeline.push([{"n": 1}, {"n": 2}])
        pipeline.advance(7.0)  # the first is set aside, the second runs

        key = 2 if action == "cancel" else 1
        keys = {pipeline.status()["fetchers"][0]["name"]: [key, key]}
        answer = pipeline.command({"verb": "jobs", "action": action, "keys": keys})
        pipeline.run_until_idle()

        assert answer["count"] == 1
        before = pipeline.accounting
        pipeline.restart()
        assert pipeline.accounting == before
        counts = before["done"], before["dropped"], before["quarantined"]
        assert (ran, counts) == {
            "retry": ([1, 2, 1], (2, 0, 0)),
            "discard": ([1, 2], (1, 1, 0)),
            "cancel": ([1, 2], (0, 0, 2)),
        }[action]


@pytest.mark.file
def test_a_fetcher_that_starts_while_nothing_can_be_written_loses_no_lease() -> None:
    with Harness(process_s=5.0, processors=1) as pipeline:
        pipeline.push([{"id": 1}, {"id": 2}])
        pipeline.advance(3)

        with full_disk(pipeline):
            pipeline.crash("source")
            pipeline.advance(10)
        pipeline.run_until_idle()

        assert pipeline.accounting["done"] == 2
        assert events(pipeline, "stage.error") == []


def test_a_full_quarantine_stops_the_polling_until_somebody_decides() -> None:
    with Harness(process=refuse, retries=1, quarantine=3, buffer=1) as pipeline:
        pipeline.push([{"id": number} for number in range(1, 9)])
        pipeline.advance(60)

        status = pipeline.status()
        [fetcher] = status["fetchers"]
        before = status["accounting"]["quarantined"]
        assert 3 <= before <= 3 + 1 + 2  # what is buffered and out comes as well
        assert (fetcher["waiting_for"], fetcher["quarantine_full"]) == ("room", True)
        assert "its quarantine is full" in status["why"]

        keys = {fetcher["name"]: [1, 2, 3]}
        pipeline.command({"verb": "jobs", "action": "discard", "keys": keys})
        pipeline.advance(60)

        assert pipeline.accounting["fetched"] > before


def test_a_quarantine_of_a_few_large_jobs_stops_the_polling_as_well() -> None:
    with Harness(process=refuse, retries=1, quarantine_mib=1, buffer=1) as pipeline:
        pipeline.push([{"id": n, "text": "x" * 300_000} for n in range(1, 10)])
        pipeline.advance(60)

        before = pipeline.status()
        pipeline.restart()
        after = pipeline.status()

        [fetcher] = before["fetchers"]
        assert 4 <= fetcher["quarantined"] <= 4 + 1 + 2
        assert "its quarantine is full" in before["why"]
        assert "MiB" in before["why"]
        [again] = after["fetchers"]
        assert again["quarantined_bytes"] == fetcher["quarantined_bytes"] > 1 << 20
        keys = {fetcher["name"]: [1, 2, 3, 4, 5]}
        pipeline.command({"verb": "jobs", "action": "discard", "keys": keys})
        pipeline.advance(60)
        assert pipeline.accounting["fetched"] == 9


@pytest.mark.file
def test_a_journal_of_its_size_stops_the_polling_until_there_is_room() -> None:
    with Harness(processors=0, journal_mib=1) as pipeline:
        pipeline.push([{"id": n, "text": "x" * 10_000} for n in range(200)])
        pipeline.advance(60)

        status = pipeline.status()
        [fetcher] = status["fetchers"]
        fetched = fetcher["buffered"]
        assert 50 < fetched < 150
        assert (fetcher["waiting_for"], fetcher["journal_full"]) == ("room", True)
        assert "the journal has reached --journal-mib" in status["why"]

        pipeline.attach()
        pipeline.run_until_idle()

        assert pipeline.accounting["done"] == 200
        assert pipeline.results == [{"id": n, "text": "x" * 10_000} for n in range(200)]
        told = [events(pipeline, "journal.full"), events(pipeline, "journal.has_room")]
        assert all(told)


@pytest.mark.slow
def test_a_journal_that_runs_for_weeks_forgets_what_is_long_over() -> None:
    with Harness(every_s=3600.0) as pipeline:
        pipeline.push([{"id": 1}, {"id": 2}])
        pipeline.run_until_idle()

        pipeline.advance(8 * 24 * 3600)

        assert pipeline.journal.execute("SELECT count(*) FROM job").fetchone() == (0,)
        assert pipeline.accounting["done"] == 2


@pytest.mark.file
def test_nobody_is_lost_whom_nothing_can_be_sent_to() -> None:
    with Harness(process_s=200.0, processors=2, lease_s=20.0) as pipeline:
        pipeline.push([{"id": 1}])
        pipeline.advance(5)

        with full_disk(pipeline):
            # One processor works; the other is to have a job that is not kept yet.
            pipeline.push([{"id": 2}])
            pipeline.advance(120)
        pipeline.run_until_idle()

        assert events(pipeline, "stage.silent") == []
        assert events(pipeline, "job.returned") == []
        assert [each.attempt for each in pipeline.done] == [1, 1]


@pytest.mark.file
def test_a_journal_that_went_back_is_taken_up_by_a_new_fetcher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Harness(process=str, every_s=1.0) as pipeline:
        pipeline.push([{"id": 0, "number": 0}])  # in the hand of the one that ends

        def commit(*_: object, **__: object) -> None:
            raise JournalOtherError("it holds another state")

        with monkeypatch.context() as patch:
            patch.setattr(SqliteJournal, "commit", commit)
            while not events(pipeline, "journal.went_back"):
                pipeline.advance(0.1)
                assert pipeline.now < 60.0
        pipeline.push([{"id": 1, "number": 1}])
        pipeline.run_until_idle()

        assert events(pipeline, "stage.restarted")
        assert [each.job["id"] for each in pipeline.done] == [1]


@pytest.mark.parametrize("at", ["__init__", "take_up"])
def test_a_fetcher_that_starts_while_its_server_is_away_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    with Harness(process=str, every_s=1.0) as pipeline:
        pipeline.push([{"id": 1}])
        pipeline.run_until_idle()

        def away(*_: object, **__: object) -> None:
            raise JournalAwayError("nobody answers")

        with monkeypatch.context() as patch:
            patch.setattr(SqliteJournal, at, away)
            pipeline.crash("source")
            pipeline.push([{"id": 2}])
            pipeline.advance(60.0)
            assert pipeline.status()["fetchers"][0]["journal_error"] == "nobody answers"
        pipeline.run_until_idle()

        assert [each.job["id"] for each in pipeline.done] == [1, 2]
        assert len(events(pipeline, "journal.failed")) == 1
        assert len(events(pipeline, "journal.healed")) == 1
        assert events(pipeline, "stage.failed") == []


@pytest.mark.parametrize("journal", ["lowtide.db", "none"])
def test_a_fetch_goes_on_though_what_was_kept_cannot_be_sent(
    monkeypatch: pytest.MonkeyPatch, journal: str
) -> None:
    put = ProducerSender.put
    with Harness(journal=journal, lease_s=20.0) as pipeline:
        pipeline.run_until_idle()  # the processors ask: what is fetched goes at once

        def no_memory(sender: Any, messages: Any, now: float) -> None:
            if any(isinstance(each, Jobs) for each in messages):
                monkeypatch.setattr(ProducerSender, "put", put)
                raise MemoryError
            put(sender, messages, now)

        monkeypatch.setattr(ProducerSender, "put", no_memory)
        pipeline.push([{"id": each} for each in range(1, 4)])
        pipeline.run_until_idle()

        assert sorted(each.job["id"] for each in pipeline.done) == [1, 2, 3]
        assert len(events(pipeline, "stage.error")) == 1


def test_what_a_fetch_handed_over_is_taken_in_though_memory_failed_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = iter([[{"id": 1}, object(), {"id": 2}]])

    def fetch() -> Iterator[Any]:
        yield from next(pages, [])

    with Harness(fetch=fetch, process=lambda job: job["id"]) as pipeline:

        def fails(*_: object) -> None:
            monkeypatch.undo()
            raise MemoryError

        monkeypatch.setattr(Delivery, "_send", fails)
        pipeline.run_until_idle()

        account = pipeline.accounting
        assert (account["done"], account["quarantined"]) == (2, 1)
        assert len(events(pipeline, "stage.error")) == 1


def test_what_was_decided_is_kept_though_memory_failed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Harness(process=lambda job: job["id"]) as pipeline:
        pipeline.push([{"id": 1}, {"id": 2}])

        def fails(*_: object, **__: object) -> None:
            monkeypatch.undo()
            raise MemoryError

        monkeypatch.setattr(CommitQueue, "_keep", fails)
        pipeline.run_until_idle()

        account = pipeline.accounting
        assert (account["fetched"], account["done"]) == (2, 2)
        assert len(events(pipeline, "stage.error")) == 1


@pytest.mark.parametrize("where", ["record_outcomes", "all_finished"])
def test_a_job_whose_end_an_error_took_is_run_again_by_another_process(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Harness(process=lambda job: job["id"]) as pipeline:

        def fails(*_: object, **__: object) -> None:
            monkeypatch.undo()
            raise MemoryError

        monkeypatch.setattr(Consumer, where, fails)
        pipeline.push([{"id": 1}, {"id": 2}])
        pipeline.run_until_idle()

        assert sorted(each.job["id"] for each in pipeline.done) == [1, 2]
        assert len(events(pipeline, "stage.error")) == 1
        assert len(events(pipeline, "stage.restarted")) == 1


@pytest.mark.file
@pytest.mark.parametrize("strikes", [JobFetched, JobDone])
def test_what_was_kept_is_taken_up_where_an_error_came_right_after(
    monkeypatch: pytest.MonkeyPatch, strikes: type
) -> None:
    commit = SqliteJournal.commit
    with Harness(process=lambda job: job["id"], every_s=1.0) as pipeline:

        def keeps_and_fails(
            self: SqliteJournal, given: list[JobEvent], **more: Any
        ) -> None:
            commit(self, given, **more)
            if type(given[0]) is strikes:
                monkeypatch.undo()
                raise MemoryError

        monkeypatch.setattr(SqliteJournal, "commit", keeps_and_fails)
        pipeline.push([{"id": 1}, {"id": 2}])
        pipeline.run_until_idle()
        pipeline.push([{"id": 3}])
        pipeline.run_until_idle()

        rows = pipeline.journal.execute("SELECT id, state FROM ended ORDER BY id")
        assert rows.fetchall() == [("1", "done"), ("2", "done"), ("3", "done")]
        [other] = events(pipeline, "journal.went_back")
        assert "kept more than was known" in other["error"]
        pipeline.restart()
        assert (pipeline.accounting["done"], pipeline.accounting["buffered"]) == (3, 0)
