from __future__ import annotations

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.dispatchers import DemandDispatcher
from actors.demand.job import Accounting, Failure, Job, JobState
from actors.demand.job_events import JobFetched, JobQuarantined
from actors.demand.job_store import JobStore
from actors.demand.producer import Producer

FAILURE = Failure("BadJsonError: expected strict JSON")
RAW = {"raw": "<html>", "encoding": "utf-8"}


def test_what_cannot_be_used_is_fetched_and_quarantined_in_one_decision() -> None:
    buffer: Buffer[Job] = Buffer(10)
    producer = Producer(
        JobStore(buffer, RetryPolicy(), first_key=7), DemandDispatcher()
    )

    decision = producer.set_aside("raw:1", RAW, FAILURE, now=3.0)

    [fetched, quarantined] = decision.events
    assert isinstance(fetched, JobFetched)
    job = fetched.job
    assert quarantined == JobQuarantined(job, None, FAILURE)
    assert (job.key, job.id, job.own_id, job.payload) == (7, "raw:1", True, RAW)
    assert job.state is JobState.QUARANTINED
    assert (decision.sends, decision.fetched) == ([], 1)
    accounting = producer.store.accounting()
    assert accounting == Accounting(fetched=1, quarantined=1)
    assert accounting.balanced


def test_what_cannot_be_used_takes_no_room_and_no_later_key() -> None:
    buffer: Buffer[Job] = Buffer(1)
    store = JobStore(buffer, RetryPolicy())
    store.set_aside(None, RAW, FAILURE, now=0.0)

    [event] = store.fetched([(None, {"n": 1})], now=0.0)

    assert isinstance(event, JobFetched)
    assert (event.job.key, event.job.id, len(buffer)) == (2, "#2", 1)


def test_a_released_one_is_a_job_like_any_other() -> None:
    buffer: Buffer[Job] = Buffer(10)
    store = JobStore(buffer, RetryPolicy())
    [fetched, _] = store.set_aside("raw:1", RAW, FAILURE, now=0.0)
    assert isinstance(fetched, JobFetched)

    store.released(fetched.job)

    assert store.accounting() == Accounting(fetched=1, buffered=1)
