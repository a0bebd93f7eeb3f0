from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.demand.buffer import Buffer
from actors.demand.dispatchers import (
    DemandDispatcher,
    DuplicateSubscriptionError,
    UnknownSubscriptionError,
)

A, B, C = "a", "b", "c"


def asked(**counts: int) -> DemandDispatcher:
    dispatcher = DemandDispatcher()
    for subscription, count in counts.items():
        dispatcher.subscribe(subscription)
        dispatcher.ask(subscription, count)
    return dispatcher


def buffered(count: int) -> Buffer[int]:
    buffer: Buffer[int] = Buffer(100)
    buffer.store(range(count))
    return buffer


def credits_of(dispatcher: DemandDispatcher, *subscriptions: str) -> dict[str, int]:
    return {each: dispatcher.credit(each) for each in subscriptions}


def test_nothing_is_dispatched_before_it_is_asked_for() -> None:
    dispatcher = asked(a=0, b=0)
    buffer = buffered(3)

    sent = dispatcher.dispatch(buffer)

    assert (sent, len(buffer)) == ([], 3)


def test_demand_is_remembered_until_there_are_jobs() -> None:
    dispatcher = asked(a=2)
    dispatcher.dispatch(buffered(0))

    sent = dispatcher.dispatch(buffered(3))

    assert sent == [(A, (0, 1))]


def test_the_largest_demand_is_served_first() -> None:
    dispatcher = asked(a=4, b=2, c=3)

    sent = dispatcher.dispatch(buffered(9))

    assert sent == [(A, (0, 1, 2, 3)), (C, (4, 5, 6)), (B, (7, 8))]


def test_a_later_ask_changes_the_order() -> None:
    dispatcher = asked(a=4, b=2, c=3)
    dispatcher.ask(B, 3)

    sent = dispatcher.dispatch(buffered(6))

    assert sent == [(B, (0, 1, 2, 3, 4)), (A, (5,))]
    assert credits_of(dispatcher, A, B, C) == {A: 3, B: 0, C: 3}


def test_jobs_that_nobody_asked_for_stay_buffered() -> None:
    dispatcher = asked(a=3, b=2)
    buffer = buffered(8)

    sent = dispatcher.dispatch(buffer)

    assert sent == [(A, (0, 1, 2)), (B, (3, 4))]
    assert (dispatcher.demand, buffer.take(9)) == (0, (5, 6, 7))


def test_what_is_left_of_a_demand_counts_next_time() -> None:
    dispatcher = asked(a=3, b=3)

    sent = dispatcher.dispatch(buffered(2)) + dispatcher.dispatch(buffered(2))

    assert sent == [(A, (0, 1)), (B, (0, 1))]
    assert credits_of(dispatcher, A, B) == {A: 1, B: 1}


def test_equal_demands_are_served_in_turn() -> None:
    dispatcher = asked(a=1, b=1, c=1)
    spread: Counter[str] = Counter()
    order = []

    for _ in range(10):
        ((subscription, _jobs),) = dispatcher.dispatch(buffered(1))
        dispatcher.ask(subscription, 1)
        spread[subscription] += 1
        order.append(subscription)

    assert order == [A, B, C, A, B, C, A, B, C, A]
    assert spread == {A: 4, B: 3, C: 3}


def test_a_cancelled_demand_is_withdrawn() -> None:
    dispatcher = asked(a=10, b=5)

    dispatcher.cancel(A)

    assert dispatcher.demand == 5
    assert dispatcher.dispatch(buffered(9)) == [(B, (0, 1, 2, 3, 4))]


def test_a_cancelled_subscription_comes_back_without_its_demand() -> None:
    dispatcher = asked(a=10)
    dispatcher.cancel(A)

    dispatcher.subscribe(A)

    assert credits_of(dispatcher, A) == {A: 0}


def test_cancelling_an_unknown_subscription_changes_nothing() -> None:
    dispatcher = asked(a=1)

    dispatcher.cancel(B)

    assert dispatcher.demand == 1


@pytest.mark.parametrize("order", [*itertools.permutations([A, B, C])])
def test_one_that_asks_for_nothing_never_blocks_another(order: tuple[str, ...]) -> None:
    dispatcher = asked(**{each: int(each == C) for each in order})

    sent = dispatcher.dispatch(buffered(2))

    assert sent == [(C, (0,))]


@pytest.mark.parametrize("count", [0, -3])
def test_asking_for_nothing_changes_nothing(count: int) -> None:
    dispatcher = asked(a=2)

    dispatcher.ask(A, count)

    assert dispatcher.demand == 2


def test_a_subscription_is_admitted_once() -> None:
    dispatcher = asked(a=2)

    with pytest.raises(DuplicateSubscriptionError):
        dispatcher.subscribe(A)

    assert dispatcher.demand == 2


def test_an_unknown_subscription_can_neither_ask_nor_have_credit() -> None:
    dispatcher = asked(a=2)

    with pytest.raises(UnknownSubscriptionError):
        dispatcher.ask(B, 1)
    with pytest.raises(UnknownSubscriptionError):
        dispatcher.credit(B)


STEPS = st.tuples(st.sampled_from(["ask", "store", "cancel"]), st.sampled_from("abc"))


@settings(deadline=None)
@given(st.lists(st.tuples(STEPS, st.integers(0, 5))))
def test_no_order_of_steps_over_sends_reorders_or_leaves_jobs_beside_demand(
    steps: list[tuple[tuple[str, str], int]],
) -> None:
    dispatcher = asked(a=0, b=0, c=0)
    buffer: Buffer[int] = Buffer(5)
    due: Counter[str] = Counter()
    sent: list[int] = []
    fetched = 0
    for (step, who), count in steps:
        match step:
            case "ask":
                dispatcher.ask(who, count)
                due[who] += count
            case "store":
                buffer.store(range(fetched, fetched + count))
                fetched += count
            case _:
                dispatcher.cancel(who)
                dispatcher.subscribe(who)
                due[who] = 0

        for subscription, jobs in dispatcher.dispatch(buffer):
            assert jobs
            due[subscription] -= len(jobs)
            sent += jobs

        assert credits_of(dispatcher, A, B, C) == {each: due[each] for each in "abc"}
        assert min(due.values(), default=0) >= 0
        assert not (len(buffer) and dispatcher.demand)

    assert sent == list(range(fetched - len(buffer)))
