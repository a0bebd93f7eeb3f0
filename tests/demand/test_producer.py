from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.dispatchers import DemandDispatcher
from actors.demand.job import Accounting, Failure, Job, Process
from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobFailed,
    JobLeased,
    JobReleased,
    JobReturned,
    OutcomeIgnored,
)
from actors.demand.job_store import JobStore
from actors.demand.messages import (
    Assignment,
    Cancel,
    Confirm,
    Demand,
    Done,
    Jobs,
    Outcome,
    Ping,
    Subscribe,
    Subscribed,
    ToProducer,
)
from actors.demand.producer import LATE_S, UNKNOWN, Decision, LeasePolicy, Producer

NOW = 100.0
A, B = "r1/1", "r2/1"
FIRST = Process(name="sqrt-1", run="r1", pid=7, host="here")
SECOND = Process(name="sqrt-2", run="r2", pid=8, host="here")
ERROR = Failure("ValueError: no")


@pytest.fixture
def producer() -> Producer:
    return new_producer()


def new_producer() -> Producer:
    store = JobStore(Buffer(9), RetryPolicy(attempts=3, jitter=0.0))
    return Producer(store, DemandDispatcher(), LeasePolicy(lease_s=60.0, ping_s=5.0))


def subscribe(producer: Producer, *subscriptions: str, now: float = NOW) -> None:
    for each in subscriptions:
        process = FIRST if each.startswith("r1") else SECOND
        producer.subscribe(Subscribe(subscription=each, process=process), now)


def fetch(producer: Producer, count: int, now: float = NOW) -> Decision:
    return producer.fetched([(f"id{n}", n) for n in range(count)], now)


def ask(
    producer: Producer, subscription: str, total: int, *, now: float = NOW
) -> Decision:
    demand = Demand(subscription=subscription, total=total, received=0)
    return producer.demanded(demand, now)


def report(
    producer: Producer, *outcomes: Outcome, total: int = 0, received: int = 0
) -> Decision:
    done = Done(subscription=A, outcomes=outcomes, total=total, received=received)
    return producer.done(done, NOW, 0.5)


def assignments(*keys: int, attempt: int = 1) -> tuple[Assignment, ...]:
    return tuple(
        Assignment(number, key, attempt, f"id{key - 1}", key - 1)
        for number, key in enumerate(keys)
    )


def jobs_of(decision: Decision) -> list[Job]:
    return [event.job for event in decision.events if isinstance(event, JobLeased)]


def unknown(subscription: str) -> Decision:
    return Decision(sends=[Cancel(subscription=subscription, reason=UNKNOWN)])


def test_nothing_is_sent_before_it_is_asked_for(producer: Producer) -> None:
    subscribe(producer, A)

    decision = fetch(producer, 2)

    assert decision.sends == []
    assert producer.store.accounting() == Accounting(fetched=2, buffered=2)


def test_a_subscription_is_confirmed_however_often_it_is_requested(
    producer: Producer,
) -> None:
    request = Subscribe(subscription=A, process=FIRST)

    decisions = [producer.subscribe(request, NOW) for _ in range(2)]

    assert decisions == [Decision(sends=[Subscribed(subscription=A)])] * 2
    assert len(producer.subscriptions) == 1


def test_what_was_asked_for_is_sent_when_it_is_there(producer: Producer) -> None:
    subscribe(producer, A)
    ask(producer, A, 2)
    demand = producer.demand

    decision = fetch(producer, 3)

    assert decision.sends == [
        Jobs(subscription=A, first=0, upto=2, jobs=assignments(1, 2))
    ]
    assert jobs_of(decision) == [
        job for job, _ in producer.subscriptions[0].leases.values()
    ]
    assert (demand, producer.demand, len(producer.store.buffer)) == (2, 0, 1)


def test_what_is_there_is_sent_when_it_is_asked_for(producer: Producer) -> None:
    subscribe(producer, A)
    fetch(producer, 3)

    decision = ask(producer, A, 1)

    assert decision.sends == [
        Jobs(subscription=A, first=0, upto=1, jobs=assignments(1))
    ]


def test_a_demand_that_comes_twice_or_late_asks_for_nothing_more(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 5)
    ask(producer, A, 2)

    decisions = [ask(producer, A, 2), ask(producer, A, 1)]

    assert decisions == [Decision(), Decision()]


def test_demand_of_no_subscription_is_answered_with_cancel(producer: Producer) -> None:
    assert ask(producer, A, 1) == unknown(A)


def test_outcomes_of_no_subscription_are_answered_with_cancel(
    producer: Producer,
) -> None:
    assert report(producer, Outcome(1, 1)) == unknown(A)


def test_the_end_of_no_subscription_is_answered_with_cancel(producer: Producer) -> None:
    cancel = Cancel(subscription=A, reason="drain")

    assert producer.cancelled(cancel, NOW) == unknown(A)


def test_outcomes_are_confirmed_and_the_demand_beside_them_is_served(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 2)
    (job,) = jobs_of(ask(producer, A, 1))

    decision = report(producer, Outcome(1, 1, 8), total=2, received=1)

    (leased,) = jobs_of(decision)
    second = Assignment(1, 2, 1, "id1", 1)
    assert decision == Decision(
        events=[JobDone(job, 1, FIRST, 8, 0.0), JobLeased(leased, FIRST)],
        sends=[
            Confirm(subscription=A, outcomes=((1, 1),)),
            Jobs(subscription=A, first=1, upto=2, jobs=(second,)),
        ],
    )


def test_outcomes_that_come_twice_are_confirmed_twice_and_counted_once(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    ask(producer, A, 1)
    report(producer, Outcome(1, 1), total=1, received=1)

    decision = report(producer, Outcome(1, 1), total=1, received=1)

    assert decision == Decision(
        events=[OutcomeIgnored(1, 1, "the job has ended")],
        sends=[Confirm(subscription=A, outcomes=((1, 1),))],
    )
    assert producer.store.accounting() == Accounting(fetched=1, done=1)


def test_a_failed_job_is_sent_again_when_its_time_has_come(producer: Producer) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    (job,) = jobs_of(ask(producer, A, 1))
    failed = report(producer, Outcome(1, 1, failure=ERROR), total=2, received=1)
    at = producer.next_tick()

    early, due = producer.tick(NOW + 0.9), producer.tick(NOW + 1.0)

    again = Assignment(1, 1, 2, "id0", 0)
    assert failed.events == [JobFailed(job, FIRST, ERROR, 1.0)]
    assert (at, early) == (NOW + 1.0, Decision())
    assert due == Decision(
        events=[JobLeased(job, FIRST)],
        sends=[Jobs(subscription=A, first=1, upto=2, jobs=(again,))],
    )


def test_jobs_that_did_not_arrive_are_sent_again(producer: Producer) -> None:
    subscribe(producer, A)
    fetch(producer, 3)
    ask(producer, A, 3)

    decision = producer.demanded(
        Demand(subscription=A, total=3, received=1, resend=True), NOW
    )

    missing = assignments(1, 2, 3)[1:]
    assert decision == Decision(
        sends=[Jobs(subscription=A, first=1, upto=3, jobs=missing)]
    )


def test_nothing_is_sent_again_when_all_has_arrived(producer: Producer) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    ask(producer, A, 1)

    decision = producer.demanded(
        Demand(subscription=A, total=1, received=1, resend=True), NOW
    )

    assert decision == Decision()


def test_a_job_that_has_ended_meanwhile_is_left_out_of_what_is_sent_again(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 2)
    ask(producer, A, 1)
    producer.cancelled(Cancel(subscription=A, reason=UNKNOWN), NOW)
    subscribe(producer, "r1/2")
    ask(producer, "r1/2", 2)
    done = Done(subscription="r1/2", outcomes=(Outcome(1, 1),), total=2, received=0)
    producer.done(done, NOW, 0.5)

    decision = producer.demanded(
        Demand(subscription="r1/2", total=2, received=0, resend=True), NOW
    )

    second = Assignment(1, 2, 1, "id1", 1)
    jobs = Jobs(subscription="r1/2", first=0, upto=2, jobs=(second,))
    assert decision == Decision(sends=[jobs])
    assert list(producer.subscriptions[0].leases) == [2]


def test_a_closed_gate_holds_jobs_until_it_opens(producer: Producer) -> None:
    subscribe(producer, A)
    producer.gate_open = False
    ask(producer, A, 1)
    closed = fetch(producer, 1)
    producer.gate_open = True

    opened = producer.tick(NOW)

    assert closed.sends == []
    assert opened.sends == [Jobs(subscription=A, first=0, upto=1, jobs=assignments(1))]


def test_jobs_of_a_process_that_is_gone_go_to_another(producer: Producer) -> None:
    subscribe(producer, A, B)
    fetch(producer, 1)
    (job,) = jobs_of(ask(producer, A, 3))
    ask(producer, B, 1)

    decision = producer.gone(FIRST, "killed", NOW)

    again = Assignment(0, 1, 2, "id0", 0)
    assert decision == Decision(
        events=[JobReturned(job, FIRST, "killed"), JobLeased(job, SECOND)],
        sends=[Jobs(subscription=B, first=0, upto=1, jobs=(again,), alone=True)],
    )
    assert ([each.id for each in producer.subscriptions], producer.demand) == ([B], 0)


def test_what_went_with_a_process_is_not_given_its_jobs(producer: Producer) -> None:
    subscribe(producer, A, B)
    fetch(producer, 1)
    (job,) = jobs_of(ask(producer, A, 3))
    ask(producer, B, 1)

    decision = producer.gone(FIRST, "cut off", NOW, crash=False, others=[SECOND])

    assert decision == Decision(events=[JobReturned(job, FIRST, "cut off")])
    assert (producer.subscriptions, producer.store.waiting) == ((), 1)


def test_what_a_process_asked_before_its_end_opens_nothing_behind_the_word_of_it(
    producer: Producer,
) -> None:
    subscribe(producer, B)
    producer.gone(FIRST, "killed", NOW)

    late = Subscribe(subscription=A, process=FIRST)
    assert producer.subscribe(late, NOW + 0.1) == Decision()
    assert ask(producer, A, 1, now=NOW + 0.1) == Decision()
    ask(producer, B, 1, now=NOW + 0.1)
    sent = fetch(producer, 1, now=NOW + 0.2).sends

    assert [each.subscription for each in sent] == [B]
    assert [each.id for each in producer.subscriptions] == [B]


def test_a_process_that_was_cut_off_and_lives_subscribes_again(
    producer: Producer,
) -> None:
    producer.gone(SECOND, "cut off", NOW, crash=False, others=[FIRST])

    again = Subscribe(subscription=A, process=FIRST)
    assert producer.subscribe(again, NOW + LATE_S / 2).sends == []
    [answer] = producer.subscribe(again, NOW + LATE_S).sends

    assert answer == Subscribed(subscription=A)
    producer.gone(FIRST, "killed", NOW + LATE_S)
    assert ask(producer, A, 1, now=NOW + LATE_S) == unknown(A)


def test_another_run_of_a_process_that_is_gone_keeps_its_jobs(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    ask(producer, A, 1)
    earlier = Process(name="sqrt-1", run="r0", pid=6, host="here")

    decision = producer.gone(earlier, "killed", NOW)

    assert (decision, len(producer.subscriptions[0].leases)) == (Decision(), 1)


def test_a_late_request_does_not_open_an_ended_subscription_anew(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    producer.gone(FIRST, "killed", NOW)

    decision = producer.subscribe(Subscribe(subscription=A, process=FIRST), NOW)

    assert (decision, producer.subscriptions) == (unknown(A), ())


def test_a_consumer_that_cancels_gets_nothing_more_and_is_told_its_count(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    ask(producer, A, 3)

    decision = producer.cancelled(Cancel(subscription=A, reason="drain"), NOW)
    later = fetch(producer, 5).sends + ask(producer, A, 9).sends

    answer = Cancel(subscription=A, reason="cancelled", sent=1)
    assert decision == Decision(sends=[answer])
    assert (later, producer.demand, len(producer.subscriptions)) == ([], 0, 1)


def test_a_cancelled_subscription_ends_with_its_last_outcome(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    ask(producer, A, 1)
    producer.cancelled(Cancel(subscription=A, reason="drain"), NOW)

    decision = report(producer, Outcome(1, 1), total=1, received=1)

    assert decision.sends == [Confirm(subscription=A, outcomes=((1, 1),))]
    assert producer.subscriptions == ()


def test_a_cancelled_subscription_without_jobs_ends_at_once(producer: Producer) -> None:
    subscribe(producer, A)
    ask(producer, A, 1)

    producer.cancelled(Cancel(subscription=A, reason="drain"), NOW)

    assert (producer.subscriptions, producer.demand) == ((), 0)


def test_jobs_of_a_disowned_subscription_are_ready_again_and_no_crash(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    (job,) = jobs_of(ask(producer, A, 1))

    decision = producer.cancelled(Cancel(subscription=A, reason=UNKNOWN), NOW)

    assert decision == Decision(events=[JobReturned(job, FIRST, UNKNOWN)])
    assert (job.crashes, producer.subscriptions) == (0, ())


def test_a_silent_consumer_with_jobs_is_asked_for_a_sign(producer: Producer) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    ask(producer, A, 1)
    at = producer.next_tick()

    decisions = [producer.tick(NOW + after) for after in (4.9, 5.0, 9.9, 10.0)]

    ping = Decision(sends=[Ping(subscription=A, sent=1)])
    assert at == NOW + 5.0
    assert decisions == [Decision(), ping, Decision(), ping]


def test_a_consumer_that_asks_for_nothing_while_jobs_wait_is_asked_for_a_sign(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 1)

    decision = producer.tick(NOW + 5.0)

    assert decision == Decision(sends=[Ping(subscription=A, sent=0)])


def test_an_idle_consumer_is_left_alone(producer: Producer) -> None:
    subscribe(producer, A)
    ask(producer, A, 1)

    assert (producer.tick(NOW + 999.0), producer.next_tick()) == (Decision(), None)


def test_nobody_is_asked_for_demand_while_the_gate_is_closed(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    producer.gate_open = False
    fetch(producer, 1)

    assert (producer.tick(NOW + 5.0), producer.next_tick()) == (Decision(), None)


def test_a_sign_renews_the_lease(producer: Producer) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    ask(producer, A, 1)
    for after in range(5, 200, 5):
        producer.tick(NOW + after)
        ask(producer, A, 1, now=NOW + after + 1)

    assert len(producer.subscriptions[0].leases) == 1


def test_a_lease_without_a_sign_ends_and_its_job_goes_to_another(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    (job,) = jobs_of(ask(producer, A, 1))
    for after in range(5, 60, 5):
        producer.tick(NOW + after)
    subscribe(producer, B, now=NOW + 59.0)
    ask(producer, B, 1, now=NOW + 59.0)

    decision = producer.tick(NOW + 60.0)

    again = Assignment(0, 1, 2, "id0", 0)
    assert decision == Decision(
        events=[JobReturned(job, FIRST, "lease ended"), JobLeased(job, SECOND)],
        sends=[
            Cancel(subscription=A, reason="lease ended"),
            Jobs(subscription=B, first=0, upto=1, jobs=(again,), alone=True),
        ],
        lost=[FIRST],
    )


def test_a_lease_is_counted_from_its_job_and_not_from_an_older_sign(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    ask(producer, A, 1)
    fetch(producer, 1, now=NOW + 999.0)

    decision = producer.tick(NOW + 1000.0)

    assert decision == Decision()


def test_a_producer_that_was_held_up_asks_before_it_ends_a_lease(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    ask(producer, A, 1)

    after_the_pause = producer.tick(NOW + 300.0)
    still_silent = producer.tick(NOW + 305.0)

    assert after_the_pause == Decision(sends=[Ping(subscription=A, sent=1)])
    assert still_silent.lost == [FIRST]


def test_a_cancelled_subscription_ends_when_its_last_job_needs_no_running(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    ask(producer, A, 1)
    producer.gone(FIRST, "cut off", NOW, crash=False)
    subscribe(producer, "r1/2")
    ask(producer, "r1/2", 1)
    done = Done(subscription="r1/2", outcomes=(Outcome(1, 1),), total=1, received=0)
    producer.done(done, NOW, 0.5)
    producer.cancelled(Cancel(subscription="r1/2", reason="drain"), NOW)

    producer.demanded(
        Demand(subscription="r1/2", total=1, received=0, resend=True), NOW
    )

    assert producer.subscriptions == ()


def test_a_process_that_was_ended_on_purpose_did_not_crash_over_its_jobs(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 1)
    (job,) = jobs_of(ask(producer, A, 1))

    producer.gone(FIRST, "replaced", NOW, crash=False)

    assert (job.crashes, producer.store.has_suspects) == (0, False)
    assert producer.store.buffer.oldest is job


def test_jobs_of_an_earlier_run_are_sent_when_they_are_there(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    ask(producer, A, 1)
    left = Job(1, "id0", 0, NOW, attempt=2)

    decision = producer.taken_up([left], NOW, more=False)

    third = assignments(1, attempt=3)
    assert decision.sends == [Jobs(subscription=A, first=0, upto=1, jobs=third)]


def test_jobs_that_leave_the_quarantine_are_sent_or_given_up(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    fetch(producer, 2)
    jobs = jobs_of(ask(producer, A, 2))
    never = Failure("TypeError: never", permanent=True)
    report(producer, *(Outcome(key, 1, failure=never) for key in (1, 2)), total=2)
    ask(producer, A, 3)

    released = producer.released(jobs[:1], NOW)
    discarded = producer.discarded(jobs[1:], "by hand")

    assert released.events == [JobReleased(jobs[0]), JobLeased(jobs[0], FIRST)]
    assert discarded == Decision(events=[JobDropped(jobs[1], "by hand")])
    assert producer.store.accounting() == Accounting(fetched=2, in_flight=1, dropped=1)


def test_a_decision_says_how_many_jobs_came_from_the_source(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    ask(producer, A, 1)

    assert fetch(producer, 3).fetched == 3


@pytest.mark.parametrize(("lease_s", "ping_s"), [(60.0, 5.0), (20.0, 5.0), (2.0, 0.5)])
def test_a_short_lease_is_pinged_more_often(lease_s: float, ping_s: float) -> None:
    assert LeasePolicy.of(lease_s) == LeasePolicy(lease_s=lease_s, ping_s=ping_s)


SUBSCRIPTIONS = st.sampled_from([A, B, "r1/2", "", "nobody/9"])
TOTALS = st.integers() | st.integers(-3, 3)
COUNTS = st.integers(0, 5) | st.integers(0, 10**30)
FAILURES = st.none() | st.builds(
    Failure, st.text(), st.booleans(), st.none() | st.floats()
)
OUTCOMES = st.builds(
    Outcome, st.integers(-1, 6), st.integers(-1, 4), st.none(), FAILURES
)
MESSAGES: st.SearchStrategy[ToProducer] = st.one_of(
    st.builds(
        Subscribe, subscription=SUBSCRIPTIONS, process=st.sampled_from([FIRST, SECOND])
    ),
    st.builds(
        lambda subscription, received, more, resend: Demand(
            subscription=subscription,
            total=received + more,
            received=received,
            resend=resend,
        ),
        SUBSCRIPTIONS,
        COUNTS,
        COUNTS,
        st.booleans(),
    ),
    st.builds(
        Done,
        subscription=SUBSCRIPTIONS,
        outcomes=st.lists(OUTCOMES, max_size=4).map(tuple),
        total=TOTALS,
        received=TOTALS,
    ),
    st.builds(
        Cancel,
        subscription=SUBSCRIPTIONS,
        reason=st.sampled_from(["drain", UNKNOWN]),
        sent=st.none() | TOTALS,
    ),
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(MESSAGES | st.none(), st.sampled_from([0.0, 1.0, 30.0])), max_size=30
    )
)
def test_nothing_that_a_peer_sends_breaks_a_rule(
    steps: list[tuple[ToProducer | None, float]],
) -> None:
    producer, now = new_producer(), NOW
    for message, seconds in steps:
        now += seconds
        if message is None:
            fetch(producer, 2, now)
        else:
            producer.receive(message, now, lambda: 0.5)
        producer.tick(now)

        accounting = producer.store.accounting()
        assert accounting.balanced
        assert not (len(producer.store.buffer) and producer.demand)
        for each in producer.subscriptions:
            assert 0 <= each.received <= each.sent <= each.asked


def test_totals_that_no_consumer_can_mean_are_refused() -> None:
    with pytest.raises(ValueError, match="received must be from 0 to total"):
        Demand(subscription=A, total=1, received=2)


def test_one_that_gave_jobs_back_gets_none_until_it_is_heard_of(
    producer: Producer,
) -> None:
    subscribe(producer, A, B)
    ask(producer, A, 4)
    ask(producer, B, 1)
    jobs = jobs_of(fetch(producer, 3))
    given = [Outcome(job.key, 1, begun=False) for job in jobs[1:]]

    back = report(producer, *given, total=4, received=3)
    rests = [each.id for each in producer.subscriptions if producer.is_resting(each)]
    heard = producer.demanded(Demand(subscription=A, total=4, received=3), NOW)

    sent = [
        [
            (each.subscription, len(each.jobs))
            for each in decision.sends
            if isinstance(each, Jobs)
        ]
        for decision in (back, heard)
    ]
    assert (rests, sent) == ([A], [[(B, 1)], [(A, 1)]])


def test_demand_that_comes_before_its_outcome_waits_for_that(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    ask(producer, A, 1)
    fetch(producer, 3)
    ended = Demand(subscription=A, total=2, received=1, ended=1)

    early = producer.demanded(ended, NOW)
    [confirm, jobs] = report(producer, Outcome(1, 1), total=2, received=1).sends

    assert early.sends == []
    assert isinstance(confirm, Confirm)
    assert isinstance(jobs, Jobs)
    assert jobs.jobs == (Assignment(1, 2, 1, "id1", 1),)


def test_lost_outcomes_take_back_what_was_asked_for_in_their_place(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    ask(producer, A, 2)
    fetch(producer, 2)
    # Both are done, each with its demand; what said so is lost but for the demand.
    for total, ended in ((3, 1), (4, 2)):
        message = Demand(subscription=A, total=total, received=2, ended=ended)
        producer.demanded(message, NOW)

    [held] = producer.subscriptions
    sends = producer.fetched([("x", 1), ("y", 2)], NOW).sends

    assert (sends, held.owed, producer.demand, len(held.leases)) == ([], 2, 0, 2)


def test_where_no_outcome_is_owed_a_job_that_runs_holds_nothing_back(
    producer: Producer,
) -> None:
    subscribe(producer, A)
    ask(producer, A, 2)
    fetch(producer, 1)

    producer.demanded(Demand(subscription=A, total=2, received=1), NOW)

    assert producer.demand == 1
