from __future__ import annotations

from dataclasses import replace

import pytest

from actors.demand.buffer import Buffer
from actors.demand.job_events import (
    NOT_BEGUN,
    Accounting,
    Job,
    JobDone,
    JobDropped,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
    JobState,
    OutcomeIgnored,
)
from actors.demand.job_store import Life
from actors.demand.messages import Failure, Outcome, Process
from actors.demand.retries import RetryPolicy

NOW = 100.0
HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")
THERE = Process(name="sqrt-2", run="r2", pid=8, host="here")
ERROR = Failure("ValueError: no")


@pytest.fixture
def life() -> Life:
    policy = RetryPolicy(attempts=3, crashes=2, jitter=0.0)
    return Life(Buffer(4), policy, first_key=11)


def fetch(life: Life, count: int) -> list[Job]:
    facts = life.fetched([(f"id{n}", n) for n in range(count)], NOW)
    return [fact.job for fact in facts if isinstance(fact, JobFetched)]


def lease(life: Life, count: int = 1) -> list[tuple[Job, int]]:
    jobs = [life.take_suspect()] if life.has_suspects else life.buffer.take(count)
    life.leased(jobs, HERE)
    return [(job, job.attempt) for job in jobs]


def one_leased(life: Life) -> Job:
    (job,) = fetch(life, 1)
    lease(life)
    return job


def set_aside_unheard(life: Life) -> Job:
    job = one_leased(life)
    job.attempt = 3
    life.give_back([(job, 3)], HERE, "its machine is gone", crash=False)
    assert job.state is JobState.QUARANTINED
    return job


def success(job: Job, attempt: int) -> Outcome:
    return Outcome(job.key, attempt, result=42, duration_s=0.5)


def failure(job: Job, attempt: int, what: Failure = ERROR) -> Outcome:
    return Outcome(job.key, attempt, failure=what)


def test_fetched_jobs_are_ready_in_order_and_counted(life: Life) -> None:
    facts = life.fetched([("x", {"n": 1}), (5, None)], NOW)

    first, second = life.buffer.take(9)
    assert facts == [JobFetched(first), JobFetched(second)]
    assert [(job.key, job.id, job.payload) for job in (first, second)] == [
        (11, "x", {"n": 1}),
        (12, 5, None),
    ]
    assert (first.fetched_at, first.state, first.attempt) == (NOW, JobState.READY, 0)


def test_each_lease_has_its_number(life: Life) -> None:
    (job,) = fetch(life, 1)

    facts = life.leased(life.buffer.take(1), HERE)

    assert facts == [JobLeased(job, HERE)]
    assert (job.state, job.attempt) == (JobState.LEASED, 1)
    assert life.accounting() == Accounting(fetched=1, in_flight=1)


def test_a_success_ends_the_job(life: Life) -> None:
    job = one_leased(life)

    fact = life.settle(success(job, 1), HERE, NOW, 0.5)

    assert fact == JobDone(job, 1, HERE, 42, 0.5)
    assert job.state is JobState.DONE
    assert life.accounting() == Accounting(fetched=1, done=1)


def test_a_success_that_comes_twice_counts_once(life: Life) -> None:
    job = one_leased(life)
    life.settle(success(job, 1), HERE, NOW, 0.5)

    fact = life.settle(success(job, 1), HERE, NOW, 0.5)

    assert fact == OutcomeIgnored(11, 1, "the job has ended")
    assert life.accounting() == Accounting(fetched=1, done=1)


def test_an_outcome_of_an_unknown_job_is_ignored(life: Life) -> None:
    fact = life.settle(Outcome(99, 1), HERE, NOW, 0.5)

    assert fact == OutcomeIgnored(99, 1, "the job has ended")


def test_a_failed_job_is_ready_again_after_its_delay(life: Life) -> None:
    job = one_leased(life)

    fact = life.settle(failure(job, 1), HERE, NOW, 0.5)
    waiting = life.next_retry, life.accounting()
    life.retry_due(NOW + 0.9)
    early = life.accounting()
    life.retry_due(NOW + 1.0)

    assert fact == JobFailed(job, HERE, ERROR, 1.0)
    assert waiting == (NOW + 1.0, Accounting(fetched=1, retrying=1))
    assert early == Accounting(fetched=1, retrying=1)
    assert life.accounting() == Accounting(fetched=1, buffered=1)
    assert (life.next_retry, job.state, job.attempt) == (None, JobState.READY, 1)


def test_a_failure_that_comes_twice_counts_once(life: Life) -> None:
    job = one_leased(life)
    life.settle(failure(job, 1), HERE, NOW, 0.5)

    fact = life.settle(failure(job, 1), HERE, NOW, 0.5)

    assert fact == OutcomeIgnored(11, 1, "its lease has ended")
    assert life.accounting() == Accounting(fetched=1, retrying=1)


def test_a_failure_of_an_earlier_lease_does_not_count(life: Life) -> None:
    job = one_leased(life)
    life.give_back([(job, 1)], HERE, "killed", crash=True)
    lease(life)

    fact = life.settle(failure(job, 1), HERE, NOW, 0.5)

    assert fact == OutcomeIgnored(11, 1, "its lease has ended")
    assert (job.state, job.attempt) == (JobState.LEASED, 2)


@pytest.mark.parametrize("state", [JobState.READY, JobState.RETRYING, JobState.LEASED])
def test_a_success_of_an_earlier_lease_counts_wherever_the_job_is(
    life: Life, state: JobState
) -> None:
    job = one_leased(life)
    life.give_back([(job, 1)], HERE, "killed", crash=True)
    if state is not JobState.READY:
        lease(life)
    if state is JobState.RETRYING:
        life.settle(failure(job, 2), HERE, NOW, 0.5)

    fact = life.settle(success(job, 1), THERE, NOW, 0.5)
    life.retry_due(NOW + 999.0)

    assert fact == JobDone(job, 1, THERE, 42, 0.5)
    assert life.accounting() == Accounting(fetched=1, done=1)


def test_a_job_is_quarantined_after_its_last_attempt(life: Life) -> None:
    job = one_leased(life)
    for attempt in (1, 2):
        life.settle(failure(job, attempt), HERE, NOW, 0.5)
        life.retry_due(NOW + 999.0)
        lease(life)

    fact = life.settle(failure(job, 3), HERE, NOW, 0.5)

    assert fact == JobQuarantined(job, HERE, ERROR)
    assert (job.state, job.attempt) == (JobState.QUARANTINED, 3)
    assert life.accounting() == Accounting(fetched=1, quarantined=1)


def test_a_permanent_failure_quarantines_at_once(life: Life) -> None:
    job = one_leased(life)
    permanent = Failure("TypeError: never", permanent=True)

    fact = life.settle(failure(job, 1, permanent), HERE, NOW, 0.5)

    assert fact == JobQuarantined(job, HERE, permanent)


def test_jobs_that_were_there_at_a_crash_are_kept_apart(life: Life) -> None:
    jobs = fetch(life, 4)
    leases = lease(life, 2)

    facts = life.give_back(leases, HERE, "killed", crash=True)

    assert facts == [JobReturned(job, HERE, "killed") for job in jobs[:2]]
    assert [life.take_suspect(), life.take_suspect()] == jobs[:2]
    assert not life.has_suspects
    assert life.buffer.take(9) == tuple(jobs[2:])
    assert [(job.state, job.crashes) for job in jobs[:2]] == [(JobState.READY, 1)] * 2


def test_among_others_a_job_is_suspected_once_and_alone_each_time(life: Life) -> None:
    one, other = fetch(life, 2)
    life.give_back(lease(life, 2), HERE, "killed", crash=True)
    both = [life.take_suspect(), life.take_suspect()]
    life.leased(both, HERE)
    life.give_back([(each, 2) for each in both], HERE, "killed", crash=True)
    life.leased([life.take_suspect()], HERE)

    facts = life.give_back([(one, 3)], HERE, "killed", crash=True)

    assert [type(fact) for fact in facts] == [JobQuarantined]
    assert (one.crashes, other.crashes) == (2, 1)


def test_only_leases_that_stand_are_given_back(life: Life) -> None:
    job, done = fetch(life, 2)
    leases = lease(life, 2)
    life.settle(success(done, 1), HERE, NOW, 0.5)
    life.settle(failure(job, 1), HERE, NOW, 0.5)
    life.retry_due(NOW + 1.0)
    lease(life)

    facts = life.give_back(leases, HERE, "killed", crash=True)

    assert (facts, job.state, job.attempt) == ([], JobState.LEASED, 2)


def test_a_job_that_takes_its_processors_down_is_quarantined(life: Life) -> None:
    job = one_leased(life)
    life.give_back([(job, 1)], HERE, "killed", crash=True)
    lease(life)

    facts = life.give_back([(job, 2)], THERE, "killed", crash=True)

    gone = Failure("the processor was gone (killed) at attempt 2")
    assert facts == [JobQuarantined(job, THERE, gone)]
    assert life.accounting() == Accounting(fetched=1, quarantined=1)


def test_a_crash_at_the_last_attempt_quarantines(life: Life) -> None:
    job = one_leased(life)
    for attempt in (1, 2):
        life.settle(failure(job, attempt), HERE, NOW, 0.5)
        life.retry_due(NOW + 999.0)
        lease(life)

    (fact,) = life.give_back([(job, 3)], HERE, "killed", crash=True)

    assert isinstance(fact, JobQuarantined)


def test_a_job_that_comes_back_without_blame_has_had_its_attempt(life: Life) -> None:
    job = one_leased(life)
    for attempt in (1, 2):
        life.give_back([(job, attempt)], HERE, "replaced", crash=False)
        lease(life)

    facts = life.give_back([(job, 3)], THERE, "replaced", crash=False)

    gone = Failure("the processor was gone (replaced) at attempt 3")
    assert facts == [JobQuarantined(job, THERE, gone)]
    assert (job.crashes, life.accounting().quarantined) == (0, 1)


def test_a_job_that_has_had_its_attempts_in_earlier_runs_gets_no_other() -> None:
    life = left_behind(3, RetryPolicy(attempts=3))
    spent, waits, one_more = old(1), old(2, JobState.RETRYING), old(3)
    spent.attempt = waits.attempt = 7
    spent.forgiven = waits.forgiven = 4
    one_more.attempt = 2

    facts = life.take_up([spent, waits, one_more], more=False)

    assert facts == [
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
    assert life.buffer.take(9) == (one_more,)
    assert life.next_retry is None


def test_jobs_that_are_set_aside_as_they_are_taken_up_are_counted_once() -> None:
    life = left_behind(3, RetryPolicy(attempts=3))
    spent = old(1)
    spent.attempt = 3

    life.take_up([spent], more=True)

    assert life.accounting() == Accounting(
        fetched=20, done=3, buffered=2, quarantined=3, dropped=1
    )


def test_a_success_ends_a_job_that_was_set_aside_unheard(life: Life) -> None:
    job = set_aside_unheard(life)

    ignored = life.settle(failure(job, 3), HERE, NOW, 0.5)
    done = life.settle(success(job, 3), HERE, NOW, 0.5)
    again = life.settle(success(job, 3), HERE, NOW, 0.5)

    assert [type(each) for each in (ignored, done, again)] == [
        OutcomeIgnored,
        JobDone,
        OutcomeIgnored,
    ]
    assert life.accounting() == Accounting(fetched=1, done=1)


@pytest.mark.parametrize("decide", ["retry", "discard"])
def test_what_a_person_decides_stands_whatever_comes_late(
    life: Life, decide: str
) -> None:
    job = set_aside_unheard(life)
    kept = replace(job)  # as the journal has it
    if decide == "retry":
        life.released(kept)
    else:
        life.discarded(kept, "by hand")

    life.settle(success(job, 3), HERE, NOW, 0.5)

    account = life.accounting()
    assert account.balanced
    expected = (1, 0) if decide == "retry" else (0, 1)
    assert (account.done, account.dropped) == expected


def test_a_full_quarantine_leaves_no_room_until_somebody_decides() -> None:
    life = Life(Buffer(4), RetryPolicy(attempts=1))
    life.quarantine.most = 2
    rooms = []
    failed = []
    for key in (1, 2):
        life.fetched([(key, None)], NOW)
        [job] = life.buffer.take(1)
        life.leased([job], HERE)
        life.settle(Outcome(key, 1, None, Failure("no")), HERE, NOW, 0.5)
        failed.append(job)
        rooms.append(life.room)

    life.discarded(failed[0], "by hand")

    assert [*rooms, life.room] == [4, 0, 4]


def test_jobs_that_wait_for_a_retry_take_room(life: Life) -> None:
    rooms = [life.room]
    jobs = fetch(life, 3)
    rooms.append(life.room)
    lease(life, 3)
    rooms.append(life.room)
    for job in jobs:
        life.settle(failure(job, 1), HERE, NOW, 0.5)
    rooms.append(life.room)
    fetch(life, 3)
    rooms.append(life.room)

    assert rooms == [4, 1, 4, 1, 0]


def test_retries_become_ready_in_the_order_of_their_times(life: Life) -> None:
    jobs = fetch(life, 3)
    lease(life, 3)
    for job, delay in zip(jobs, (3.0, 1.0, 2.0), strict=True):
        later = Failure("Busy", retry_after_s=delay)
        life.settle(failure(job, 1, later), HERE, NOW, 0.5)

    times = [life.next_retry]
    for after in (1.0, 3.0):
        life.retry_due(NOW + after)
        times.append(life.next_retry)

    assert times == [NOW + 1.0, NOW + 2.0, None]
    assert life.buffer.take(9) == (jobs[1], jobs[2], jobs[0])


def test_the_oldest_job_is_the_first_fetched_that_has_not_ended(life: Life) -> None:
    empty = life.oldest_fetched_at
    (first,) = fetch(life, 1)
    life.fetched([("later", 0)], NOW + 5.0)
    ages = [life.oldest_fetched_at]
    lease(life)
    ages.append(life.oldest_fetched_at)
    life.settle(success(first, 1), HERE, NOW, 0.5)

    assert [empty, *ages, life.oldest_fetched_at] == [None, NOW, NOW, NOW + 5.0]


def test_a_job_whose_state_has_no_place_is_a_bug_and_said_so(life: Life) -> None:
    job = one_leased(life)
    job.state = JobState.DROPPED

    with pytest.raises(AssertionError):
        life.settle(success(job, 1), HERE, NOW, 0.5)


def test_a_success_ends_a_job_that_waits_to_be_sent_alone(life: Life) -> None:
    job = one_leased(life)
    life.give_back([(job, 1)], HERE, "killed", crash=True)

    life.settle(success(job, 1), HERE, NOW, 0.5)

    assert (life.has_suspects, life.waiting) == (False, 0)
    assert life.accounting() == Accounting(fetched=1, done=1)


def quarantined(life: Life) -> Job:
    job = one_leased(life)
    permanent = Failure("TypeError: never", permanent=True)
    life.settle(failure(job, 1, permanent), HERE, NOW, 0.5)
    return job


def test_a_job_that_is_released_is_ready_with_all_its_attempts(life: Life) -> None:
    job = quarantined(life)

    fact = life.released(job)

    assert fact == JobReleased(job)
    assert (job.state, job.tries, job.crashes) == (JobState.READY, 0, 0)
    assert life.accounting() == Accounting(fetched=1, buffered=1)
    assert life.buffer.take(9) == (job,)


def test_the_late_word_of_an_attempt_before_the_release_changes_nothing(
    life: Life,
) -> None:
    job = quarantined(life)
    life.released(job)
    life.leased(life.buffer.take(1), THERE)

    late = life.settle(failure(job, 1), HERE, NOW, 0.5)

    assert late == OutcomeIgnored(job.key, 1, "its lease has ended")
    assert (job.state, job.attempt, job.tries) == (JobState.LEASED, 2, 1)


def test_a_job_that_is_discarded_is_given_up(life: Life) -> None:
    job = quarantined(life)

    fact = life.discarded(job, "by hand")

    assert (fact, job.state) == (JobDropped(job, "by hand"), JobState.DROPPED)
    assert life.accounting() == Accounting(fetched=1, dropped=1)


def left_behind(buffered: int, retry: RetryPolicy | None = None) -> Life:
    kept = Accounting(fetched=20, done=3, buffered=buffered, quarantined=2, dropped=1)
    retry = retry or RetryPolicy(jitter=0.0)
    return Life(Buffer(4), retry, first_key=21, kept=kept)


def old(key: int, state: JobState = JobState.READY) -> Job:
    return Job(key, f"id{key}", None, NOW, attempt=1, state=state, not_before=NOW + 7)


def test_jobs_of_an_earlier_run_are_counted_before_they_are_here() -> None:
    life = left_behind(14)

    assert life.accounting() == Accounting(
        fetched=20, done=3, buffered=14, quarantined=2, dropped=1
    )
    assert (life.backlog, life.waiting, life.wants_backlog) == (14, 0, True)


def test_nothing_is_fetched_while_jobs_of_an_earlier_run_are_not_here() -> None:
    life = left_behind(14)
    rooms = [life.room]

    life.take_up([old(1), old(2)], more=True)
    rooms.append(life.room)
    life.take_up([old(3)], more=False)
    rooms.append(life.room)

    assert rooms == [0, 0, 1]
    assert (life.backlog, life.wants_backlog) == (0, False)


def test_jobs_of_an_earlier_run_are_taken_up_in_pieces() -> None:
    life = left_behind(14)
    wants = [life.wants_backlog]
    life.take_up([old(key) for key in range(1, 5)], more=True)
    wants.append(life.wants_backlog)
    life.buffer.take(1)
    wants.append(life.wants_backlog)

    assert (wants, life.backlog) == ([True, False, True], 10)


def test_retries_of_an_earlier_run_keep_their_time() -> None:
    life = left_behind(13)
    job = old(1, JobState.RETRYING)

    life.take_up([job], more=True)
    waiting = life.next_retry, life.accounting()
    life.retry_due(NOW + 7.0)

    assert waiting == (
        NOW + 7.0,
        Accounting(
            fetched=20, done=3, buffered=13, retrying=1, quarantined=2, dropped=1
        ),
    )
    assert life.buffer.take(9) == (job,)


def test_a_job_that_is_here_is_not_taken_up_again() -> None:
    life = left_behind(2)
    job = old(1)
    life.take_up([job], more=True)

    life.take_up([old(1), old(2)], more=False)

    jobs = life.buffer.take(9)
    assert [each.key for each in jobs] == [1, 2]
    assert jobs[0] is job


def test_keys_go_on_where_an_earlier_run_ended() -> None:
    life = left_behind(0)

    (job,) = fetch(life, 1)

    assert (job.key, life.accounting().fetched) == (21, 21)


def test_a_job_without_an_id_of_its_own_is_known_by_its_key(life: Life) -> None:
    (own,) = fetch(life, 1)
    life.fetched([(None, 5)], NOW)
    none = life.buffer.take(2)[1]

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
    life = Life(Buffer(9), RetryPolicy(attempts=1))
    life.fetched([(11, "a"), (12, "b"), (13, "c")], NOW)
    first, second = jobs = life.buffer.take(2)
    life.leased(jobs, HERE)
    given = [Outcome(job.key, 1, begun=False) for job in jobs]

    facts = life.hand_back([*given, given[0]], HERE)

    assert facts == [
        JobReturned(first, HERE, NOT_BEGUN),
        JobReturned(second, HERE, NOT_BEGUN),
        OutcomeIgnored(first.key, 1, "its lease has ended"),
    ]
    assert life.accounting() == Accounting(fetched=3, buffered=3)
    assert life.buffer.take(1) == (first,)
    life.leased([first], HERE)
    assert (first.attempt, first.tries) == (2, 1)


def test_a_suspect_that_is_handed_back_stays_one() -> None:
    life = Life(Buffer(9), RetryPolicy())
    life.fetched([(11, "a")], NOW)
    [job] = life.buffer.take(1)
    life.leased([job], HERE)
    job.crashes = 1

    life.hand_back([Outcome(job.key, 1, begun=False)], HERE)

    assert life.suspects == (job,)
