from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.demand.consumer import FORMER, Consumer, Send, Task
from actors.demand.job import Failure, Process
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
    ToConsumer,
)
from actors.demand.windows import Window
from tests.support.consuming import next_of

NOW = 100.0
P, Q = "numbers", "letters"
A, B = "r1/1", "r1/2"
PROCESS = Process(name="sqrt-1", run="r1", pid=7, host="here")
UNKNOWN = "unknown_subscription"


def opened(most: int = 1, least: int | None = None) -> Consumer:
    """A consumer of ``P`` by the subscription ``A``, which is open."""
    consumer = Consumer(PROCESS, Window(max_demand=most, min_demand=least))
    consumer.open(P, NOW)
    consumer.received(Subscribed(subscription=A), NOW)
    return consumer


def jobs(first: int, upto: int, subscription: str = A) -> Jobs:
    return Jobs(
        subscription=subscription,
        first=first,
        upto=upto,
        jobs=tuple(assignment(number) for number in range(first, upto)),
    )


def assignment(number: int) -> Assignment:
    return Assignment(number, 11 + number, 1, f"id{number}", number)


def task(number: int, source: str = P, ticket: int | None = None) -> Task:
    return Task(source, assignment(number), ticket or number + 1)


def outcome(number: int) -> Outcome:
    return Outcome(11 + number, 1, result=number)


def demand(
    total: int, received: int, *, subscription: str = A, resend: bool = False
) -> Send:
    message = Demand(
        subscription=subscription, total=total, received=received, resend=resend
    )
    return Send(P, message)


def done(*numbers: int, total: int, received: int, subscription: str = A) -> Send:
    message = Done(
        subscription=subscription,
        outcomes=tuple(map(outcome, numbers)),
        total=total,
        received=received,
    )
    return Send(P, message)


def cancel(reason: str, subscription: str = A) -> Send:
    return Send(P, Cancel(subscription=subscription, reason=reason))


def request(subscription: str = A) -> Send:
    return Send(P, Subscribe(subscription=subscription, process=PROCESS))


def run(consumer: Consumer, *numbers: int, now: float = NOW) -> list[Send]:
    sends = []
    for number in numbers:
        begun = next_of(consumer)
        assert begun is not None
        assert begun == task(number, ticket=begun.ticket)
        sends += consumer.finished(outcome(number), now)
    return sends


@pytest.mark.parametrize(
    ("window", "floor"),
    [
        (Window(), 0),
        (Window(max_demand=2), 1),
        (Window(max_demand=1000), 500),
        (Window(max_demand=5), 2),
        (Window(max_demand=5, min_demand=0), 0),
        (Window(max_demand=5, min_demand=4), 4),
    ],
)
def test_the_least_demand_is_half_of_the_most_unless_given(
    window: Window, floor: int
) -> None:
    assert window.floor == floor


@pytest.mark.parametrize("most", [0, -1])
def test_a_window_for_no_job_is_refused(most: int) -> None:
    with pytest.raises(ValueError, match=f"max_demand must be at least 1, got {most}"):
        Window(max_demand=most)


@pytest.mark.parametrize("least", [-1, 5, 6])
def test_a_window_that_could_never_ask_again_is_refused(least: int) -> None:
    with pytest.raises(ValueError, match=r"min_demand must be from 0 to .* \(4\)"):
        Window(max_demand=5, min_demand=least)


def test_a_consumer_asks_for_its_most_when_it_subscribes() -> None:
    consumer = Consumer(PROCESS, Window(max_demand=1000))

    sends = consumer.open(P, NOW)

    assert sends == [request(), demand(1000, 0)]
    assert (consumer.demand, consumer.held) == (1000, 0)


def test_a_consumer_asks_for_one_job_unless_told_otherwise() -> None:
    assert Consumer(PROCESS).open(P, NOW) == [request(), demand(1, 0)]


def test_jobs_are_run_one_at_a_time_in_the_order_of_arrival() -> None:
    consumer = opened(3)
    consumer.received(jobs(0, 3), NOW)

    tasks = [next_of(consumer), next_of(consumer)]
    consumer.finished(outcome(0), NOW)
    tasks.append(next_of(consumer))

    assert tasks == [task(0), None, task(1)]
    assert (consumer.running, consumer.held, consumer.demand) == (task(1), 2, 0)


def test_there_is_nothing_to_run_before_a_job_arrives() -> None:
    assert next_of(opened()) is None


def test_a_job_that_is_asked_for_singly_is_followed_by_the_next() -> None:
    consumer = opened(1)
    arrival = consumer.received(jobs(0, 1), NOW)

    sends = run(consumer, 0)

    assert arrival == []
    assert sends == [done(0, total=2, received=1)]


@pytest.mark.parametrize(
    ("most", "least", "asked"),
    [
        (10, 8, {2: 2, 4: 2, 6: 2, 8: 2, 10: 2}),
        (10, 2, {8: 8}),
        (10, 0, {10: 10}),
        (10, None, {5: 5, 10: 5}),
        (3, None, {2: 2}),
    ],
)
def test_a_consumer_asks_again_when_it_is_down_to_its_least(
    most: int, least: int | None, asked: dict[int, int]
) -> None:
    consumer = opened(most, least)
    consumer.received(jobs(0, most), NOW)

    raised = {}
    for number in range(most):
        before = consumer.demand
        run(consumer, number)
        if more := consumer.demand - before:
            raised[number + 1] = more

    assert raised == asked


def test_what_was_asked_for_and_is_not_worked_off_never_exceeds_the_most() -> None:
    consumer = opened(10, 8)
    consumer.received(jobs(0, 4), NOW)
    most = consumer.demand + consumer.held
    for number in range(4):
        run(consumer, number)
        most = max(most, consumer.demand + consumer.held)

    assert most == 10


def test_jobs_that_come_twice_are_run_once() -> None:
    consumer = opened(3)
    consumer.received(jobs(0, 2), NOW)

    answers = [consumer.received(jobs(0, 2), NOW), consumer.received(jobs(0, 3), NOW)]

    assert answers == [[], []]
    assert (consumer.held, consumer.demand) == (3, 0)
    run(consumer, 0, 1, 2)


def test_jobs_after_a_gap_are_not_taken_but_asked_for_again() -> None:
    consumer = opened(3)
    consumer.received(jobs(0, 1), NOW)

    sends = consumer.received(jobs(2, 3), NOW)

    assert sends == [demand(3, 1, resend=True)]
    assert consumer.held == 1


def test_a_repeated_message_fills_the_gap() -> None:
    consumer = opened(3)
    consumer.received(jobs(2, 3), NOW)

    sends = consumer.received(jobs(0, 3), NOW)

    assert (sends, consumer.held, consumer.demand) == ([], 3, 0)


def test_a_job_that_was_left_out_counts_as_received() -> None:
    consumer = opened(3, 2)
    left_out = Jobs(subscription=A, first=0, upto=2, jobs=(assignment(1),))
    consumer.received(left_out, NOW)

    run(consumer, 1)

    assert consumer.received(jobs(2, 3), NOW) == []
    assert (consumer.held, consumer.demand) == (1, 2)


def test_a_message_with_all_jobs_left_out_makes_room_for_others() -> None:
    consumer = opened(2)

    sends = consumer.received(Jobs(subscription=A, first=0, upto=2, jobs=()), NOW)

    assert sends == [demand(4, 2)]


def test_jobs_beyond_what_was_asked_for_are_counted_and_run() -> None:
    consumer = opened(1)

    consumer.received(jobs(0, 3), NOW)

    assert (consumer.excess, consumer.held, consumer.demand) == (2, 3, 0)
    assert run(consumer, 0, 1, 2) == [done(0, 1, 2, total=4, received=3)]


def test_finishing_what_never_ran_is_a_bug_and_said_so() -> None:
    with pytest.raises(AssertionError):
        opened().finished(outcome(0), NOW)


def test_outcomes_wait_a_moment_for_company_while_more_jobs_are_here() -> None:
    consumer = opened(10, 0)
    consumer.received(jobs(0, 4), NOW)

    sends = run(consumer, 0, 1)
    at = consumer.next_tick()
    early, due = consumer.tick(NOW + 0.04), consumer.tick(NOW + 0.05)

    assert (sends, at, early) == ([], NOW + 0.05, [])
    assert due == [done(0, 1, total=10, received=4)]


def test_an_outcome_after_that_moment_takes_the_others_along() -> None:
    consumer = opened(10, 0)
    consumer.received(jobs(0, 3), NOW)
    run(consumer, 0)

    sends = run(consumer, 1, now=NOW + 0.05)

    assert sends == [done(0, 1, total=10, received=3)]


def test_the_last_job_that_is_here_is_reported_at_once() -> None:
    consumer = opened(10, 0)
    consumer.received(jobs(0, 2), NOW)

    assert run(consumer, 0, 1) == [done(0, 1, total=10, received=2)]


def test_outcomes_are_repeated_until_they_are_confirmed() -> None:
    consumer = opened(1)
    consumer.received(jobs(0, 1), NOW)
    run(consumer, 0)

    due = [consumer.next_tick()]
    repeats = [consumer.tick(NOW + after) for after in (1.9, 2.0, 5.9, 6.0, 13.9, 14)]
    due.append(consumer.next_tick())
    has_unconfirmed = [consumer.has_unconfirmed]
    consumer.received(Confirm(subscription=A, outcomes=((11, 1),)), NOW + 15.0)

    again = [done(0, total=2, received=1)]
    assert repeats == [[], again, [], again, [], again]
    assert due == [NOW + 2.0, NOW + 30.0]
    assert (
        [*has_unconfirmed, consumer.has_unconfirmed],
        consumer.tick(NOW + 33.0),
    ) == (
        [True, False],
        [],
    )


def test_a_confirmation_of_one_outcome_leaves_the_others_owed() -> None:
    consumer = opened(2, 0)
    consumer.received(jobs(0, 2), NOW)
    run(consumer, 0, 1)
    consumer.received(Confirm(subscription=A, outcomes=((12, 1), (99, 9))), NOW)

    assert consumer.tick(NOW + 2.0) == [done(0, total=4, received=2)]


def test_later_outcomes_do_not_put_off_the_repetition_of_a_lost_one() -> None:
    consumer = opened(1)
    consumer.received(jobs(0, 1), NOW)
    run(consumer, 0)
    for number in (1, 2):
        now = NOW + 0.9 * number
        consumer.received(jobs(number, number + 1), now)
        run(consumer, number, now=now)
        confirm = Confirm(subscription=A, outcomes=((11 + number, 1),))
        consumer.received(confirm, now)

    assert consumer.tick(NOW + 2.0) == [done(0, total=4, received=3)]


def test_a_ping_is_answered_with_the_totals() -> None:
    consumer = opened(2)
    consumer.received(jobs(0, 1), NOW)

    assert consumer.received(Ping(subscription=A, sent=1), NOW) == [demand(2, 1)]


def test_a_ping_that_tells_of_missing_jobs_is_answered_by_asking_for_them() -> None:
    consumer = opened(2)

    sends = consumer.received(Ping(subscription=A, sent=1), NOW)

    assert sends == [demand(2, 0, resend=True)]


def test_a_ping_is_answered_with_the_outcomes_that_are_owed() -> None:
    consumer = opened(1)
    consumer.received(jobs(0, 1), NOW)
    run(consumer, 0)

    soon = consumer.received(Ping(subscription=A, sent=1), NOW + 1.0)
    later = consumer.received(Ping(subscription=A, sent=1), NOW + 2.0)

    assert soon == [demand(2, 1)], "it is on its way"
    assert later == [demand(2, 1), done(0, total=2, received=1)]


def test_repetition_follows_the_measured_round_trip() -> None:
    consumer = opened(2, 0)
    consumer.received(jobs(0, 2), NOW)
    run(consumer, 0, 1)
    consumer.received(Confirm(subscription=A, outcomes=((11, 1),)), NOW + 1.9)
    consumer.received(Confirm(subscription=A, outcomes=((12, 1),)), NOW + 8.0)
    consumer.received(jobs(2, 4), NOW + 10.0)
    run(consumer, 2, 3, now=NOW + 10.0)

    assert consumer.next_tick() == NOW + 10.0 + 2 * 8.0


def test_nothing_is_repeated_behind_itself_while_answers_keep_coming() -> None:
    """Each answer takes 8 s, and the next comes 8 s after it: 200 kbit/s, 200 KiB."""
    consumer = opened(1)
    sent, now = 0, NOW
    for number in range(12):
        consumer.received(jobs(number, number + 1), now)
        sent += len(run(consumer, number, now=now))
        for second in range(1, 9):
            sent += len(consumer.tick(now + second))
        now += 8.0
        key = (11 + number, 1)
        consumer.received(Confirm(subscription=A, outcomes=(key,)), now)

    assert sent <= 12 + 2 * 12


def test_the_request_to_subscribe_is_repeated_until_there_is_a_sign() -> None:
    consumer = Consumer(PROCESS)
    consumer.open(P, NOW)

    repeats = [consumer.tick(NOW + after) for after in (0.9, 1.0, 2.0)]
    consumer.received(jobs(0, 1), NOW + 2.0)

    assert repeats == [[], [request(), demand(1, 0)], [request(), demand(1, 0)]]
    assert consumer.tick(NOW + 3.0) == []


def test_after_a_long_silence_the_totals_are_told_again() -> None:
    consumer = opened()
    at = consumer.next_tick()

    repeats = [consumer.tick(NOW + after) for after in (39.9, 40.0, 79.9, 80.0)]

    assert at == NOW + 40.0
    assert repeats == [[], [demand(1, 0)], [], [demand(1, 0)]]


def test_a_consumer_whose_subscription_was_ended_opens_another() -> None:
    consumer = opened(2)
    consumer.received(jobs(0, 2), NOW)

    ended = Cancel(subscription=A, reason="lease ended")
    sends = consumer.received(ended, NOW)

    assert sends == [request(B), demand(2, 0, subscription=B)]
    assert (consumer.held, next_of(consumer)) == (0, None)


def test_the_job_that_runs_counts_for_the_new_subscription() -> None:
    consumer = opened(2, 0)
    consumer.received(jobs(0, 2), NOW)
    next_of(consumer)

    sends = consumer.open(P, NOW)
    finish = consumer.finished(outcome(0), NOW)

    assert sends == [request(B)]
    assert finish == [done(0, total=2, received=0, subscription=B)]


def test_outcomes_that_are_owed_are_told_to_the_new_subscription() -> None:
    consumer = opened(1)
    consumer.received(jobs(0, 1), NOW)
    run(consumer, 0)
    consumer.received(Cancel(subscription=A, reason=UNKNOWN), NOW)

    sends = consumer.received(Subscribed(subscription=B), NOW)

    assert sends == [done(0, total=1, received=0, subscription=B)]


@pytest.mark.parametrize(
    "message", [Subscribed(subscription=A), jobs(0, 1), Ping(subscription=A, sent=1)]
)
def test_messages_of_a_former_subscription_are_answered_with_cancel(
    message: ToConsumer,
) -> None:
    consumer = opened()
    consumer.open(P, NOW)

    assert consumer.received(message, NOW) == [cancel(UNKNOWN)]
    assert consumer.held == 0


@pytest.mark.parametrize(
    "message",
    [Cancel(subscription=A, reason="late"), Confirm(subscription=A, outcomes=())],
)
def test_the_end_of_a_former_subscription_needs_no_answer(message: ToConsumer) -> None:
    consumer = opened()
    consumer.open(P, NOW)

    assert consumer.received(message, NOW) == []


def test_messages_of_a_subscription_that_never_was_are_ignored() -> None:
    consumer = opened()

    assert consumer.received(jobs(0, 1, subscription="r0/1"), NOW) == []
    assert consumer.held == 0


def test_former_subscriptions_are_forgotten_in_the_end() -> None:
    consumer = opened()
    for _ in range(FORMER + 2):
        consumer.open(P, NOW)

    answers = [
        consumer.received(Ping(subscription=f"r1/{number}", sent=0), NOW)
        for number in (1, FORMER + 2)
    ]

    assert answers == [[], [cancel(UNKNOWN, f"r1/{FORMER + 2}")]]


def test_any_number_of_producers_can_be_subscribed_to() -> None:
    consumer = Consumer(PROCESS)
    sources = [f"p{number}" for number in range(FORMER + 9)]
    for source in sources:
        consumer.open(source, NOW)

    for number in range(1, len(sources) + 1):
        consumer.received(jobs(0, 1, subscription=f"r1/{number}"), NOW)

    assert consumer.held == len(sources)


def test_each_producer_has_its_own_demand_and_its_own_outcomes() -> None:
    consumer = opened(1)
    consumer.open(Q, NOW)
    consumer.received(Subscribed(subscription=B), NOW)
    consumer.received(jobs(0, 1, subscription=B), NOW)
    consumer.received(jobs(0, 1), NOW)

    tasks = [next_of(consumer)]
    sends = consumer.finished(outcome(0), NOW)
    tasks.append(next_of(consumer))

    report = Done(subscription=B, outcomes=(outcome(0),), total=2, received=1)
    assert tasks == [task(0, Q), task(0, P, ticket=2)]
    assert sends == [Send(Q, report)]
    assert [(each.source, each.total) for each in consumer.subscriptions] == [
        (P, 1),
        (Q, 2),
    ]


def test_a_draining_consumer_finishes_what_it_has_and_asks_for_no_more() -> None:
    consumer = opened(2)
    consumer.received(jobs(0, 2), NOW)

    sends = consumer.drain(NOW)
    consumer.received(Cancel(subscription=A, reason="cancelled", sent=2), NOW)
    drained = [consumer.drained]
    outcomes = run(consumer, 0, 1)
    drained.append(consumer.drained)
    confirm = Confirm(subscription=A, outcomes=((11, 1), (12, 1)))
    consumer.received(confirm, NOW)

    assert sends == [cancel("drain")]
    assert outcomes == [done(0, total=2, received=2), done(1, total=2, received=2)]
    assert [*drained, consumer.drained] == [False, False, True]
    assert consumer.next_tick() is None


def test_the_request_to_drain_is_repeated_until_its_own_answer() -> None:
    consumer = Consumer(PROCESS)
    consumer.open(P, NOW)
    consumer.drain(NOW)
    consumer.received(Subscribed(subscription=A), NOW)

    repeats = [consumer.tick(NOW + 1.0), consumer.tick(NOW + 2.0)]
    consumer.received(Cancel(subscription=A, reason="cancelled", sent=0), NOW)

    assert repeats == [[cancel("drain")], [cancel("drain")]]
    assert (consumer.tick(NOW + 3.0), consumer.drained) == ([], True)


def test_a_draining_consumer_waits_for_jobs_that_are_on_their_way() -> None:
    consumer = opened(2)
    consumer.drain(NOW)

    answer = Cancel(subscription=A, reason="cancelled", sent=1)
    sends = consumer.received(answer, NOW)
    drained = [consumer.drained]
    consumer.received(jobs(0, 1), NOW)
    drained.append(consumer.drained)
    run(consumer, 0)
    consumer.received(Confirm(subscription=A, outcomes=((11, 1),)), NOW)

    assert sends == [demand(2, 0, resend=True)]
    assert [*drained, consumer.drained] == [False, False, True]


def test_a_draining_consumer_asks_for_what_is_missing_until_it_has_it() -> None:
    consumer = opened(2)
    consumer.drain(NOW)
    consumer.received(Cancel(subscription=A, reason="cancelled", sent=1), NOW)

    repeats = [consumer.tick(NOW + after) for after in (0.9, 1.0, 2.0)]
    consumer.received(Cancel(subscription=A, reason=UNKNOWN), NOW + 2.0)

    again = [demand(2, 0, resend=True)]
    assert repeats == [[], again, again]
    assert (consumer.drained, consumer.next_tick()) == (True, None)


def test_a_draining_consumer_that_has_it_all_asks_no_more() -> None:
    consumer = opened(2)
    consumer.drain(NOW)
    consumer.received(Cancel(subscription=A, reason="cancelled", sent=1), NOW)

    consumer.received(Jobs(subscription=A, first=0, upto=1, jobs=()), NOW)

    assert (consumer.tick(NOW + 1.0), consumer.next_tick()) == ([], None)
    assert consumer.drained


def test_draining_again_changes_nothing() -> None:
    consumer = opened()
    consumer.drain(NOW)
    consumer.received(Cancel(subscription=A, reason="cancelled", sent=0), NOW)

    assert consumer.drain(NOW) == []
    assert consumer.next_tick() is None


def test_a_consumer_that_drains_with_nothing_open_is_drained() -> None:
    consumer = Consumer(PROCESS)

    assert (consumer.drain(NOW), consumer.drained) == ([], True)


def test_a_subscription_that_the_producer_does_not_know_is_drained() -> None:
    consumer = opened()
    consumer.drain(NOW)

    sends = consumer.received(Cancel(subscription=A, reason=UNKNOWN), NOW)

    assert (sends, consumer.subscriptions, consumer.drained) == ([], (), True)


def test_a_draining_consumer_opens_anew_only_to_deliver_what_it_owes() -> None:
    consumer = opened(2)
    consumer.received(jobs(0, 2), NOW)
    next_of(consumer)
    consumer.drain(NOW)

    opens = consumer.received(Cancel(subscription=A, reason=UNKNOWN), NOW)
    repeats = consumer.tick(NOW + 1.0)
    sends = consumer.finished(outcome(0), NOW + 1.0)
    consumer.received(Subscribed(subscription=B), NOW + 1.0)
    waits = consumer.drained
    consumer.received(Confirm(subscription=B, outcomes=((11, 1),)), NOW + 1.0)

    assert opens == [request(B)]
    assert repeats == [request(B), demand(0, 0, subscription=B)]
    assert sends == [done(0, total=0, received=0, subscription=B)]
    assert (waits, consumer.drained, consumer.next_tick()) == (False, True, None)


SUBSCRIPTIONS = st.sampled_from([A, B, "r1/3", "", "nobody/9"])
TOTALS = st.integers(-2, 5) | st.integers()
ASSIGNMENTS = st.builds(
    Assignment, TOTALS, st.integers(0, 5), st.integers(0, 3), st.just("x"), st.none()
)
MESSAGES: st.SearchStrategy[ToConsumer] = st.one_of(
    st.builds(Subscribed, subscription=SUBSCRIPTIONS),
    st.builds(
        Jobs,
        subscription=SUBSCRIPTIONS,
        first=TOTALS,
        upto=TOTALS,
        jobs=st.lists(ASSIGNMENTS, max_size=4).map(tuple),
    ),
    st.builds(
        Confirm,
        subscription=SUBSCRIPTIONS,
        outcomes=st.lists(st.tuples(TOTALS, TOTALS), max_size=3).map(tuple),
    ),
    st.builds(Ping, subscription=SUBSCRIPTIONS, sent=TOTALS),
    st.builds(
        Cancel,
        subscription=SUBSCRIPTIONS,
        reason=st.sampled_from(["x", UNKNOWN]),
        sent=st.none() | TOTALS,
    ),
)
STEPS = MESSAGES | st.sampled_from(["run", "fail", "open", "drain", "tick"])


@settings(deadline=None)
@given(st.lists(STEPS, max_size=30), st.integers(1, 3))
def test_nothing_that_a_peer_sends_breaks_a_rule(
    steps: list[ToConsumer | str], most: int
) -> None:
    consumer, now = opened(most), NOW
    for step in steps:
        now += 0.7
        match step:
            case "run" | "fail":
                if (begun := next_of(consumer)) is not None:
                    failure = Failure("E") if step == "fail" else None
                    job = begun.assignment
                    consumer.finished(Outcome(job.key, job.attempt, None, failure), now)
            case "open":
                consumer.open(Q, now)
            case "drain":
                consumer.drain(now)
            case "tick":
                consumer.tick(now)
            case _:
                assert not isinstance(step, str)
                consumer.received(step, now)

        assert consumer.held == sum(each.unfinished for each in consumer.subscriptions)
        for each in consumer.subscriptions:
            assert 0 <= each.received <= each.total
            assert each.unfinished >= 0


def test_what_is_not_begun_is_handed_back_and_owed_until_confirmed() -> None:
    consumer = opened(4)
    consumer.received(jobs(0, 4), NOW)
    next_of(consumer)
    consumer.window = Window(max_demand=1)

    sends = consumer.hand_back(1, NOW)

    given = tuple(Outcome(11 + number, 1, begun=False) for number in (2, 3))
    message = Done(subscription=A, outcomes=given, total=4, received=4)
    assert sends == [Send(P, message)]
    assert (consumer.held, consumer.queued, consumer.has_unconfirmed) == (2, 1, True)
    assert consumer.tick(NOW + 3.0) == [Send(P, message)]
    consumer.received(Confirm(subscription=A, outcomes=((13, 1), (14, 1))), NOW)
    assert not consumer.has_unconfirmed


def test_what_was_taken_and_not_begun_comes_next() -> None:
    consumer = opened(4)
    consumer.received(jobs(0, 4), NOW)
    consumer.take(3)

    consumer.untake(2)

    assert (consumer.running, consumer.queued) == (task(0), 3)
    consumer.finished(outcome(0), NOW)
    assert consumer.take(2) == (task(1), task(2))


def test_after_a_long_job_it_asks_again_where_it_gave_jobs_back() -> None:
    consumer = opened()
    consumer.open(Q, NOW)
    consumer.received(Subscribed(subscription=B), NOW)
    consumer.received(jobs(0, 1), NOW)
    consumer.received(jobs(0, 1, B), NOW)
    next_of(consumer)
    consumer.hand_back(0, NOW)

    sends = consumer.finished(outcome(0), NOW)

    again = Demand(subscription=B, total=2, received=1)
    assert sends == [done(0, total=2, received=1), Send(Q, again)]


def test_outcomes_that_are_ready_together_travel_together() -> None:
    consumer = opened(most=4)
    consumer.received(jobs(0, 4), NOW)
    consumer.take(4)

    sends = consumer.all_finished([outcome(number) for number in range(4)], NOW)

    assert sends == [done(0, 1, 2, 3, total=8, received=4)]
    assert consumer.held == 0


def test_more_outcomes_than_jobs_that_run_are_refused_whole() -> None:
    consumer = opened(most=2)
    consumer.received(jobs(0, 2), NOW)
    consumer.take(1)

    with pytest.raises(AssertionError):
        consumer.all_finished([outcome(0), outcome(1)], NOW)

    assert consumer.running == task(0)
