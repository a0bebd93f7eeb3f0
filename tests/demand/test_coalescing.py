"""Jobs that wait for company on their way."""

from __future__ import annotations

from dataclasses import replace

from actors.demand.job import Process
from actors.demand.messages import (
    MESSAGE_BYTES,
    Assignment,
    Cancel,
    Confirm,
    Demand,
    Jobs,
    Ping,
    Subscribe,
    ToConsumer,
)
from actors.demand.producer_subscription import (
    COALESCE_S,
    CONFIRM_S,
    PLACES_S,
    Coalescing,
    ProducerSender,
)


def jobs(first: int, upto: int, subscription: str = "a") -> Jobs:
    sent = tuple(Assignment(n, n, 1, n, n) for n in range(first, upto))
    return Jobs(subscription=subscription, first=first, upto=upto, jobs=sent)


def demand(received: int) -> Demand:
    return Demand(subscription="a", total=9999, received=received)


def test_the_first_message_goes_at_once() -> None:
    assert Coalescing().put([jobs(0, 1)], 10.0) == [jobs(0, 1)]


def test_what_follows_one_that_has_not_arrived_goes_together() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1)], 10.0)

    held = [coalescing.put([jobs(n, n + 1)], 10.001) for n in (1, 2, 3)]

    assert held == [[], [], []]
    assert coalescing.next_tick() == 10.0 + COALESCE_S
    assert coalescing.due(10.0 + COALESCE_S) == [jobs(1, 4)]
    assert coalescing.next_tick() is None


def test_where_nothing_arrives_each_message_waits_twice_as_long() -> None:
    coalescing, sent, now = Coalescing(), 0, 0.0
    for number in range(1000):
        now = number * 0.01
        sent += len(coalescing.due(now)) + len(
            coalescing.put([jobs(number, number + 1)], now)
        )

    # Ten seconds of a job each 10 ms: 20, 40, 80 ms ... and then every 2 s.
    assert sent <= 12

    coalescing.received(demand(1000))
    coalescing.due(99.0)
    coalescing.received(demand(1000))
    assert coalescing.put([jobs(1000, 1001)], 100.0) == [jobs(1000, 1001)]
    assert coalescing.put([jobs(1001, 1002)], 100.0) == []
    assert coalescing.next_tick() == 100.0 + COALESCE_S


def test_what_is_left_of_full_messages_waits_no_longer_for_them() -> None:
    coalescing = Coalescing()
    full = [replace(jobs(n, n + 1), size=MESSAGE_BYTES) for n in range(7)]

    assert coalescing.put([*full, jobs(7, 8)], 10.0) == full
    assert coalescing.next_tick() == 10.0 + COALESCE_S


def test_what_waits_goes_once_all_before_it_has_arrived() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1)], 10.0)
    coalescing.put([jobs(1, 2)], 10.0)

    coalescing.received(demand(0))
    early = coalescing.due(10.001)
    coalescing.received(demand(1))

    assert early == []
    assert coalescing.due(10.002) == [jobs(1, 2)]


def test_with_a_window_of_one_nothing_ever_waits() -> None:
    coalescing = Coalescing()

    sent: list[list[ToConsumer]] = []
    for number in range(3):
        sent.append(coalescing.put([jobs(number, number + 1)], 10.0))
        coalescing.received(demand(number + 1))

    assert sent == [[jobs(0, 1)], [jobs(1, 2)], [jobs(2, 3)]]


def test_nothing_overtakes_the_jobs_that_wait() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1)], 10.0)
    coalescing.put([jobs(1, 2)], 10.0)

    ping = Ping(subscription="a", sent=2)

    assert coalescing.put([ping], 10.0) == [jobs(1, 2), ping]


def test_what_is_sent_again_does_not_wait() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1)], 10.0)
    coalescing.put([jobs(1, 2)], 10.0)

    again = coalescing.put([jobs(0, 2)], 10.0)

    assert again == [jobs(1, 2), jobs(0, 2)]


def test_one_subscription_does_not_wait_for_another() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1)], 10.0)

    other = jobs(0, 1, subscription="b")

    assert coalescing.put([other], 10.0) == [other]


def test_closed_subscriptions_are_forgotten() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1), jobs(0, 1, subscription="b")], 10.0)
    coalescing.put([jobs(1, 2)], 10.0)

    coalescing.keep({"b"})

    assert coalescing.due(99.0) == []


def test_a_confirmation_goes_along_with_jobs() -> None:
    confirm = Confirm(subscription="a", outcomes=((4, 1), (5, 2)))
    other = Confirm(subscription="b", outcomes=((6, 1),))

    sent = Coalescing().put([confirm, other, jobs(0, 1)], 10.0)

    assert sent == [replace(jobs(0, 1), confirmed=((4, 1), (5, 2))), other]


def test_where_jobs_went_just_before_a_confirmation_waits_for_the_next() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1)], 10.0)
    confirm = Confirm(subscription="a", outcomes=((4, 1),))

    assert coalescing.put([confirm], 10.005) == []
    coalescing.received(demand(1))
    sent = coalescing.put([jobs(1, 2)], 10.0 + COALESCE_S)

    assert sent == [replace(jobs(1, 2), confirmed=((4, 1),))]
    assert coalescing.next_tick() is None


def test_a_confirmation_waits_no_longer_than_for_jobs_that_are_likely() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1)], 10.0)
    first, second = (Confirm(subscription="a", outcomes=((n, 1),)) for n in (1, 2))

    held = [coalescing.put([first], 10.005), coalescing.put([second], 10.015)]

    assert held == [[], []]
    assert coalescing.next_tick() == 10.005 + CONFIRM_S
    [sent] = coalescing.due(10.005 + CONFIRM_S)
    assert sent == Confirm(subscription="a", outcomes=((1, 1), (2, 1)))
    assert coalescing.next_tick() is None


def test_where_no_jobs_went_a_confirmation_does_not_wait() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1)], 10.0)
    confirm = Confirm(subscription="a", outcomes=((4, 1),))

    assert coalescing.put([confirm], 10.0 + CONFIRM_S) == [confirm]


def test_a_confirmation_does_not_wait_for_jobs_that_do_not_arrive() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1)], 10.0)
    coalescing.put([jobs(1, 2)], 10.0)
    coalescing.due(10.0 + COALESCE_S)
    confirm = Confirm(subscription="a", outcomes=((4, 1),))
    at = 10.0 + COALESCE_S + 0.001

    assert coalescing.put([confirm, jobs(2, 3)], at) == []
    assert coalescing.next_tick() == at + CONFIRM_S
    assert coalescing.due(at + CONFIRM_S) == [confirm]
    assert coalescing.due(99.0) == [jobs(2, 3)]


def test_what_ends_a_subscription_does_not_overtake_its_confirmation() -> None:
    coalescing = Coalescing()
    coalescing.put([jobs(0, 1)], 10.0)
    confirm = Confirm(subscription="a", outcomes=((0, 1),))
    cancel = Cancel(subscription="a", reason="cancelled", sent=1)

    coalescing.put([confirm], 10.0)

    assert coalescing.put([cancel], 10.0) == [confirm, cancel]


def test_a_subscription_that_is_over_hears_of_its_last_end() -> None:
    sent: list[tuple[str, ToConsumer]] = []
    sender = ProducerSender[str](lambda to, message: sent.append((to, message)))
    sender.received(demand(0), "a's address")
    sender.put([jobs(0, 1)], 10.0)
    confirm = Confirm(subscription="a", outcomes=((0, 1),))
    sender.put([confirm], 10.0)

    sender.keep(())
    sender.tick(10.0 + CONFIRM_S)
    sender.keep(())
    sender.put([confirm], 20.0)

    assert sent == [("a's address", jobs(0, 1)), ("a's address", confirm)]


def test_nothing_is_sent_to_whom_is_gone() -> None:
    """Somebody else may have the name of a process that is gone."""
    sent: list[tuple[str, ToConsumer]] = []
    sender: ProducerSender[str] = ProducerSender(lambda *each: sent.append(each))
    sender.received(Demand(subscription="a", total=1, received=0), "a's address")
    sender.put([jobs(0, 1)], 10.0)
    confirm = Confirm(subscription="a", outcomes=((0, 1),))
    sender.put([confirm], 10.0)

    sender.forget(["a", "b"])
    sender.tick(10.0 + CONFIRM_S)
    sender.put([confirm], 20.0)

    assert sent == [("a's address", jobs(0, 1))]


def test_two_confirmations_go_as_one() -> None:
    confirms = [Confirm(subscription="a", outcomes=((n, 1),)) for n in (1, 2)]

    [sent] = Coalescing().put(confirms, 10.0)

    assert sent == Confirm(subscription="a", outcomes=((1, 1), (2, 1)))


def test_jobs_for_empty_places_wait_for_a_moment_only() -> None:
    coalescing = Coalescing()
    process = Process(name="p", run="r", pid=1, host="h", kind="p", concurrency=8)
    coalescing.received(Subscribe(subscription="a", process=process))
    coalescing.put([jobs(0, 8)], 10.0)

    assert coalescing.put([jobs(8, 9)], 10.0005) == []
    assert coalescing.next_tick() == 10.0 + PLACES_S
    assert coalescing.put([jobs(9, 10)], 10.0 + PLACES_S) == [jobs(8, 10)]
