from __future__ import annotations

from dataclasses import replace

import pytest

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.job import Accounting, Failure, Job, JobState, Process
from actors.demand.job_events import (
    NOT_BEGUN,
    JobDone,
    JobDropped,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
    OutcomeIgnored,
)
from actors.demand.job_store import JobStore
from actors.demand.messages import Outcome

NOW = 100.0
HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")
THERE = Process(name="sqrt-2", run="r2", pid=8, host="here")
ERROR = Failure("ValueError: no")


@pytest.fixture
def store() -> JobStore:
    policy = RetryPolicy(attempts=3, crashes=2, jitter=0.0)
    return JobStore(Buffer(4), policy, first_key=11)


def fetch(store: JobStore, count: int) -> list[Job]:
    events = store.fetched([(f"id{n}", n) for n in range(count)], NOW)
    return [event.job for event in events if isinstance(event, JobFetched)]


def lease(store: JobStore, count: int = 1) -> list[tuple[Job, int]]:
    jobs = [store.take_suspect()] if store.has_suspects else store.buffer.take(count)
    store.leased(jobs, HERE)
    return [(job, job.attempt) for job in jobs]


def one_leased(store: JobStore) -> Job:
    (job,) = fetch(store, 1)
    lease(store)
    return job


def set_aside_unheard(store: JobStore) -> Job:
    job = one_leased(store)
    job.attempt = 3
    store.give_back([(job, 3)], HERE, "its machine is gone", crash=False)
    assert job.state is JobState.QUARANTINED
    return job


def success(job: Job, attempt: int) -> Outcome:
    return Outcome(job.key, attempt, result=42, duration_s=0.5)


def failure(job: Job, attempt: int, what: Failure = ERROR) -> Outcome:
    return Outcome(job.key, attempt, failure=what)


def test_fetched_jobs_are_ready_in_order_and_counted(store: JobStore) -> None:
    events = store.fetched([("x", {"n": 1}), (5, None)], NOW)

    first, second = store.buffer.take(9)
    assert events == [JobFetched(first), JobFetched(second)]
    assert [(job.key, job.id, job.payload) for job in (first, second)] == [
        (11, "x", {"n": 1}),
        (12, 5, None),
    ]
    assert (first.fetched_at, first.state, first.attempt) == (NOW, JobState.READY, 0)


def test_each_lease_has_its_number(store: JobStore) -> None:
    (job,) = fetch(store, 1)

    events = store.leased(store.buffer.take(1), HERE)

    assert events == [JobLeased(job, HERE)]
    assert (job.state, job.attempt) == (JobState.LEASED, 1)
    assert store.accounting() == Accounting(fetched=1, in_flight=1)


def test_a_success_ends_the_job(store: JobStore) -> None:
    job = one_leased(store)

    event = store.settle(success(job, 1), HERE, NOW, 0.5)

    assert event == JobDone(job, 1, HERE, 42, 0.5)
    assert job.state is JobState.DONE
    assert store.accounting() == Accounting(fetched=1, done=1)


def test_a_success_that_comes_twice_counts_once(store: JobStore) -> None:
    job = one_leased(store)
    store.settle(success(job, 1), HERE, NOW, 0.5)

    event = store.settle(success(job, 1), HERE, NOW, 0.5)

    assert event == OutcomeIgnored(11, 1, "the job has ended")
    assert store.accounting() == Accounting(fetched=1, done=1)


def test_an_outcome_of_an_unknown_job_is_ignored(store: JobStore) -> None:
    event = store.settle(Outcome(99, 1), HERE, NOW, 0.5)

    assert event == OutcomeIgnored(99, 1, "the job has ended")


def test_a_failed_job_is_ready_again_after_its_delay(store: JobStore) -> None:
    job = one_leased(store)

    event = store.settle(failure(job, 1), HERE, NOW, 0.5)
    waiting = store.next_retry, store.accounting()
    store.retry_due(NOW + 0.9)
    early = store.accounting()
    store.retry_due(NOW + 1.0)

    assert event == JobFailed(job, HERE, ERROR, 1.0)
    assert waiting == (NOW + 1.0, Accounting(fetched=1, retrying=1))
    assert early == Accounting(fetched=1, retrying=1)
    assert store.accounting() == Accounting(fetched=1, buffered=1)
    assert (store.next_retry, job.state, job.attempt) == (None, JobState.READY, 1)


def test_a_failure_that_comes_twice_counts_once(store: JobStore) -> None:
    job = one_leased(store)
    store.settle(failure(job, 1), HERE, NOW, 0.5)

    event = store.settle(failure(job, 1), HERE, NOW, 0.5)

    assert event == OutcomeIgnored(11, 1, "its lease has ended")
    assert store.accounting() == Accounting(fetched=1, retrying=1)


def test_a_failure_of_an_earlier_lease_does_not_count(store: JobStore) -> None:
    job = one_leased(store)
    store.give_back([(job, 1)], HERE, "killed", crash=True)
    lease(store)

    event = store.settle(failure(job, 1), HERE, NOW, 0.5)

    assert event == OutcomeIgnored(11, 1, "its lease has ended")
    assert (job.state, job.attempt) == (JobState.LEASED, 2)


@pytest.mark.parametrize("state", [JobState.READY, JobState.RETRYING, JobState.LEASED])
def test_a_success_of_an_earlier_lease_counts_wherever_the_job_is(
    store: JobStore, state: JobState
) -> None:
    job = one_leased(store)
    store.give_back([(job, 1)], HERE, "killed", crash=True)
    if state is not JobState.READY:
        lease(store)
    if state is JobState.RETRYING:
        store.settle(failure(job, 2), HERE, NOW, 0.5)

    event = store.settle(success(job, 1), THERE, NOW, 0.5)
    store.retry_due(NOW + 999.0)

    assert event == JobDone(job, 1, THERE, 42, 0.5)
    assert store.accounting() == Accounting(fetched=1, done=1)


def test_a_job_is_quarantined_after_its_last_attempt(store: JobStore) -> None:
    job = one_leased(store)
    for attempt in (1, 2):
        store.settle(failure(job, attempt), HERE, NOW, 0.5)
        store.retry_due(NOW + 999.0)
        lease(store)

    event = store.settle(failure(job, 3), HERE, NOW, 0.5)

    assert event == JobQuarantined(job, HERE, ERROR)
    assert (job.state, job.attempt) == (JobState.QUARANTINED, 3)
    assert store.accounting() == Accounting(fetched=1, quarantined=1)


def test_a_permanent_failure_quarantines_at_once(store: JobStore) -> None:
    job = one_leased(store)
    permanent = Failure("TypeError: never", permanent=True)

    event = store.settle(failure(job, 1, permanent), HERE, NOW, 0.5)

    assert event == JobQuarantined(job, HERE, permanent)


def test_jobs_that_were_there_at_a_crash_are_kept_apart(store: JobStore) -> None:
    jobs = fetch(store, 4)
    leases = lease(store, 2)

    events = store.give_back(leases, HERE, "killed", crash=True)

    assert events == [JobReturned(job, HERE, "killed") for job in jobs[:2]]
    assert [store.take_suspect(), store.take_suspect()] == jobs[:2]
    assert not store.has_suspects
    assert store.buffer.take(9) == tuple(jobs[2:])
    assert [(job.state, job.crashes) for job in jobs[:2]] == [(JobState.READY, 1)] * 2


def test_among_others_a_job_is_suspected_once_and_alone_each_time(
    store: JobStore,
) -> None:
    one, other = fetch(store, 2)
    store.give_back(lease(store, 2), HERE, "killed", crash=True)
    both = [store.take_suspect(), store.take_suspect()]
    store.leased(both, HERE)
    store.give_back([(each, 2) for each in both], HERE, "killed", crash=True)
    store.leased([store.take_suspect()], HERE)

    events = store.give_back([(one, 3)], HERE, "killed", crash=True)

    assert [type(event) for event in events] == [JobQuarantined]
    assert (one.crashes, other.crashes) == (2, 1)


def test_only_leases_that_stand_are_given_back(store: JobStore) -> None:
    job, done = fetch(store, 2)
    leases = lease(store, 2)
    store.settle(success(done, 1), HERE, NOW, 0.5)
    store.settle(failure(job, 1), HERE, NOW, 0.5)
    store.retry_due(NOW + 1.0)
    lease(store)

    events = store.give_back(leases, HERE, "killed", crash=True)

    assert (events, job.state, job.attempt) == ([], JobState.LEASED, 2)


def test_a_job_that_takes_its_processors_down_is_quarantined(store: JobStore) -> None:
    job = one_leased(store)
    store.give_back([(job, 1)], HERE, "killed", crash=True)
    lease(store)

    events = store.give_back([(job, 2)], THERE, "killed", crash=True)

    gone = Failure("the processor was gone (killed) at attempt 2")
    assert events == [JobQuarantined(job, THERE, gone)]
    assert store.accounting() == Accounting(fetched=1, quarantined=1)


def test_a_crash_at_the_last_attempt_quarantines(store: JobStore) -> None:
    job = one_leased(store)
    for attempt in (1, 2):
        store.settle(failure(job, attempt), HERE, NOW, 0.5)
        store.retry_due(NOW + 999.0)
        lease(store)

    (event,) = store.give_back([(job, 3)], HERE, "killed", crash=True)

    assert isinstance(event, JobQuarantined)


def test_a_job_that_comes_back_without_blame_has_had_its_attempt(
    store: JobStore,
) -> None:
    job = one_leased(store)
    for attempt in (1, 2):
        store.give_back([(job, attempt)], HERE, "replaced", crash=False)
        lease(store)

    events = store.give_back([(job, 3)], THERE, "replaced", crash=False)

    gone = Failure("the processor was gone (replaced) at attempt 3")
    assert events == [JobQuarantined(job, THERE, gone)]
    assert (job.crashes, store.accounting().quarantined) == (0, 1)


def test_a_job_that_has_had_its_attempts_in_earlier_runs_gets_no_other() -> None:
    store = left_behind(3, RetryPolicy(attempts=3))
    spent, waits, one_more = old(1), old(2, JobState.RETRYING), old(3)
    spent.attempt = waits.attempt = 7
    spent.forgiven = waits.forgiven = 4
    one_more.attempt = 2

    events = store.take_up([spent, waits, one_more], more=False)

    assert events == [
        JobQuarantined(
            spent,
            None,
            Failure(
                "no attempt is left after attempt 7: the fetcher ended before it heard "
                "of that"
            ),
        ),
        JobQuarantined(
            waits, None, Failure("no attempt is left after attempt 7, which failed")
        ),
    ]
    assert store.buffer.take(9) == (one_more,)
    assert store.next_retry is None


def test_jobs_that_are_set_aside_as_they_are_taken_up_are_counted_once() -> None:
    store = left_behind(3, RetryPolicy(attempts=3))
    spent = old(1)
    spent.attempt = 3

    store.take_up([spent], more=True)

    assert store.accounting() == Accounting(
        fetched=20, done=3, buffered=2, quarantined=3, dropped=1
    )


def test_a_success_ends_a_job_that_was_set_aside_unheard(store: JobStore) -> None:
    job = set_aside_unheard(store)

    ignored = store.settle(failure(job, 3), HERE, NOW, 0.5)
    done = store.settle(success(job, 3), HERE, NOW, 0.5)
    again = store.settle(success(job, 3), HERE, NOW, 0.5)

    assert [type(each) for each in (ignored, done, again)] == [
        OutcomeIgnored,
        JobDone,
        OutcomeIgnored,
    ]
    assert store.accounting() == Accounting(fetched=1, done=1)


@pytest.mark.parametrize("decide", ["retry", "discard"])
def test_what_a_person_decides_stands_whatever_comes_late(
    store: JobStore, decide: str
) -> None:
    job = set_aside_unheard(store)
    kept = replace(job)  # as the journal has it
    if decide == "retry":
        store.released(kept)
    else:
        store.discarded(kept, "by hand")

    store.settle(success(job, 3), HERE, NOW, 0.5)

    account = store.accounting()
    assert account.balanced
    expected = (1, 0) if decide == "retry" else (0, 1)
    assert (account.done, account.dropped) == expected


def test_a_full_quarantine_leaves_no_room_until_somebody_decides() -> None:
    store = JobStore(Buffer(4), RetryPolicy(attempts=1))
    store.quarantine.most = 2
    rooms = []
    failed = []
    for key in (1, 2):
        store.fetched([(key, None)], NOW)
        [job] = store.buffer.take(1)
        store.leased([job], HERE)
        store.settle(Outcome(key, 1, None, Failure("no")), HERE, NOW, 0.5)
        failed.append(job)
        rooms.append(store.room)

    store.discarded(failed[0], "by hand")

    assert [*rooms, store.room] == [4, 0, 4]


def test_jobs_that_wait_for_a_retry_take_room(store: JobStore) -> None:
    rooms = [store.room]
    jobs = fetch(store, 3)
    rooms.append(store.room)
    lease(store, 3)
    rooms.append(store.room)
    for job in jobs:
        store.settle(failure(job, 1), HERE, NOW, 0.5)
    rooms.append(store.room)
    fetch(store, 3)
    rooms.append(store.room)

    assert rooms == [4, 1, 4, 1, 0]


def test_retries_become_ready_in_the_order_of_their_times(store: JobStore) -> None:
    jobs = fetch(store, 3)
    lease(store, 3)
    for job, delay in zip(jobs, (3.0, 1.0, 2.0), strict=True):
        later = Failure("Busy", retry_after_s=delay)
        store.settle(failure(job, 1, later), HERE, NOW, 0.5)

    times = [store.next_retry]
    for after in (1.0, 3.0):
        store.retry_due(NOW + after)
        times.append(store.next_retry)

    assert times == [NOW + 1.0, NOW + 2.0, None]
    assert store.buffer.take(9) == (jobs[1], jobs[2], jobs[0])


def test_the_oldest_job_is_the_first_fetched_that_has_not_ended(
    store: JobStore,
) -> None:
    empty = store.oldest_fetched_at
    (first,) = fetch(store, 1)
    store.fetched([("later", 0)], NOW + 5.0)
    ages = [store.oldest_fetched_at]
    lease(store)
    ages.append(store.oldest_fetched_at)
    store.settle(success(first, 1), HERE, NOW, 0.5)

    assert [empty, *ages, store.oldest_fetched_at] == [None, NOW, NOW, NOW + 5.0]


def test_a_job_whose_state_has_no_place_is_a_bug_and_said_so(store: JobStore) -> None:
    job = one_leased(store)
    job.state = JobState.DROPPED

    with pytest.raises(AssertionError):
        store.settle(success(job, 1), HERE, NOW, 0.5)


def test_a_success_ends_a_job_that_waits_to_be_sent_alone(store: JobStore) -> None:
    job = one_leased(store)
    store.give_back([(job, 1)], HERE, "killed", crash=True)

    store.settle(success(job, 1), HERE, NOW, 0.5)

    assert (store.has_suspects, store.waiting) == (False, 0)
    assert store.accounting() == Accounting(fetched=1, done=1)


def quarantined(store: JobStore) -> Job:
    job = one_leased(store)
    permanent = Failure("TypeError: never", permanent=True)
    store.settle(failure(job, 1, permanent), HERE, NOW, 0.5)
    return job


def test_a_job_that_is_released_is_ready_with_all_its_attempts(store: JobStore) -> None:
    job = quarantined(store)

    event = store.released(job)

    assert event == JobReleased(job)
    assert (job.state, job.tries, job.crashes) == (JobState.READY, 0, 0)
    assert store.accounting() == Accounting(fetched=1, buffered=1)
    assert store.buffer.take(9) == (job,)


def test_the_late_word_of_an_attempt_before_the_release_changes_nothing(
    store: JobStore,
) -> None:
    job = quarantined(store)
    store.released(job)
    store.leased(store.buffer.take(1), THERE)

    late = store.settle(failure(job, 1), HERE, NOW, 0.5)

    assert late == OutcomeIgnored(job.key, 1, "its lease has ended")
    assert (job.state, job.attempt, job.tries) == (JobState.LEASED, 2, 1)


def test_a_job_that_is_discarded_is_given_up(store: JobStore) -> None:
    job = quarantined(store)

    event = store.discarded(job, "by hand")

    assert (event, job.state) == (JobDropped(job, "by hand"), JobState.DROPPED)
    assert store.accounting() == Accounting(fetched=1, dropped=1)


def left_behind(buffered: int, retry: RetryPolicy | None = None) -> JobStore:
    kept = Accounting(fetched=20, done=3, buffered=buffered, quarantined=2, dropped=1)
    retry = retry or RetryPolicy(jitter=0.0)
    return JobStore(Buffer(4), retry, first_key=21, kept=kept)


def old(key: int, state: JobState = JobState.READY) -> Job:
    return Job(key, f"id{key}", None, NOW, attempt=1, state=state, not_before=NOW + 7)


def test_jobs_of_an_earlier_run_are_counted_before_they_are_here() -> None:
    store = left_behind(14)

    assert store.accounting() == Accounting(
        fetched=20, done=3, buffered=14, quarantined=2, dropped=1
    )
    assert (store.backlog, store.waiting, store.wants_backlog) == (14, 0, True)


def test_nothing_is_fetched_while_jobs_of_an_earlier_run_are_not_here() -> None:
    store = left_behind(14)
    rooms = [store.room]

    store.take_up([old(1), old(2)], more=True)
    rooms.append(store.room)
    store.take_up([old(3)], more=False)
    rooms.append(store.room)

    assert rooms == [0, 0, 1]
    assert (store.backlog, store.wants_backlog) == (0, False)


def test_jobs_of_an_earlier_run_are_taken_up_in_pieces() -> None:
    store = left_behind(14)
    wants = [store.wants_backlog]
    store.take_up([old(key) for key in range(1, 5)], more=True)
    wants.append(store.wants_backlog)
    store.buffer.take(1)
    wants.append(store.wants_backlog)

    assert (wants, store.backlog) == ([True, False, True], 10)


def test_retries_of_an_earlier_run_keep_their_time() -> None:
    store = left_behind(13)
    job = old(1, JobState.RETRYING)

    store.take_up([job], more=True)
    waiting = store.next_retry, store.accounting()
    store.retry_due(NOW + 7.0)

    assert waiting == (
        NOW + 7.0,
        Accounting(
            fetched=20, done=3, buffered=13, retrying=1, quarantined=2, dropped=1
        ),
    )
    assert store.buffer.take(9) == (job,)


def test_a_job_that_is_here_is_not_taken_up_again() -> None:
    store = left_behind(2)
    job = old(1)
    store.take_up([job], more=True)

    store.take_up([old(1), old(2)], more=False)

    jobs = store.buffer.take(9)
    assert [each.key for each in jobs] == [1, 2]
    assert jobs[0] is job


def test_keys_go_on_where_an_earlier_run_ended() -> None:
    store = left_behind(0)

    (job,) = fetch(store, 1)

    assert (job.key, store.accounting().fetched) == (21, 21)


def test_a_job_without_an_id_of_its_own_is_known_by_its_key(store: JobStore) -> None:
    (own,) = fetch(store, 1)
    store.fetched([(None, 5)], NOW)
    none = store.buffer.take(2)[1]

    assert [(job.id, job.own_id) for job in (own, none)] == [
        ("id0", True),
        ("#12", False),
    ]


def test_accounts_add_up_and_balance() -> None:
    one = Accounting(fetched=5, done=1, buffered=2, in_flight=1, retrying=1)
    two = Accounting(fetched=3, quarantined=2, dropped=1)

    both = one + two

    assert both == Accounting(
        fetched=8,
        done=1,
        buffered=2,
        in_flight=1,
        retrying=1,
        quarantined=2,
        dropped=1,
    )
    assert (one.left, two.left, both.left) == (4, 0, 4)
    assert one.balanced
    assert both.balanced
    assert not Accounting(fetched=1).balanced


def test_accounts_are_told_by_name() -> None:
    assert Accounting(fetched=2, done=1, buffered=1).as_dict() == {
        "fetched": 2,
        "done": 1,
        "buffered": 1,
        "in_flight": 0,
        "retrying": 0,
        "quarantined": 0,
        "dropped": 0,
    }


def test_a_job_that_is_handed_back_is_first_again_and_has_all_its_attempts() -> None:
    store = JobStore(Buffer(9), RetryPolicy(attempts=1))
    store.fetched([(11, "a"), (12, "b"), (13, "c")], NOW)
    first, second = jobs = store.buffer.take(2)
    store.leased(jobs, HERE)
    given = [Outcome(job.key, 1, begun=False) for job in jobs]

    events = store.hand_back([*given, given[0]], HERE)

    assert events == [
        JobReturned(first, HERE, NOT_BEGUN),
        JobReturned(second, HERE, NOT_BEGUN),
        OutcomeIgnored(first.key, 1, "its lease has ended"),
    ]
    assert store.accounting() == Accounting(fetched=3, buffered=3)
    assert store.buffer.take(1) == (first,)
    store.leased([first], HERE)
    assert (first.attempt, first.tries) == (2, 1)


def test_a_suspect_that_is_handed_back_stays_one() -> None:
    store = JobStore(Buffer(9), RetryPolicy())
    store.fetched([(11, "a")], NOW)
    [job] = store.buffer.take(1)
    store.leased([job], HERE)
    job.crashes = 1

    store.hand_back([Outcome(job.key, 1, begun=False)], HERE)

    assert store.suspects == (job,)
