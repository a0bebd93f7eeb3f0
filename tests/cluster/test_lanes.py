"""What is in a line is slow, never stuck: it is not sent again behind itself."""

from __future__ import annotations

import pickle
from collections import deque
from typing import Any

import pytest

from actors.cluster.lanes import MAX_WAITING, PIECE, Incoming, Outgoing, receipt
from actors.cluster.messages import Beat, Down, ProcessIs
from actors.demand.job import Process
from actors.demand.messages import (
    Assignment,
    Confirm,
    Demand,
    Done,
    Jobs,
    Outcome,
    Ping,
)
from actors.host.frames import FrameError
from actors.supervision.messages import Up

A = "r1/1"
PROCESS = Process(name="m/p-1", run="r1", pid=7, host="far")


def done(*keys: int, size: int = 100, total: int = 9, subscription: str = A) -> Up:
    outcomes = tuple(Outcome(key, 1, "x" * size) for key in keys)
    message = Done(
        subscription=subscription, outcomes=outcomes, total=total, received=1
    )
    return Up(source="numbers", message=message)


def jobs(first: int, upto: int, *, confirmed: Any = (), size: int = 100) -> Down:
    numbers = range(first, upto)
    each = tuple(Assignment(n, 11 + n, 1, f"id{n}", "x" * size) for n in numbers)
    message = Jobs(
        subscription=A, first=first, upto=upto, jobs=each, confirmed=confirmed
    )
    return Down(message=message)


class Wire:
    """A line of so many bytes a second, and both its ends."""

    def __init__(self, bytes_s: float = 8000.0) -> None:
        self.outgoing = Outgoing(pickle.dumps)
        self.incoming = Incoming(Outgoing(pickle.dumps))
        self.bytes_s = bytes_s
        self.carried = 0
        self._budget = 0.0
        self._frames: deque[bytes] = deque()

    def carry(self, seconds: float) -> list[Any]:
        """Let time pass; returns what has arrived, and tells the sender of it."""
        self._budget += seconds * self.bytes_s
        arrived = []
        while self._frames or self._next():
            if self._budget < len(self._frames[0]):
                break
            frame = self._frames.popleft()
            self._budget -= len(frame)
            self.carried += len(frame)
            if (payload := self.incoming.take(frame)) is not None:
                arrived.append(pickle.loads(payload))  # noqa: S301 - made above
        else:
            self._budget = 0.0
        self.outgoing.has_arrived(self.incoming.arrived)
        return arrived

    def _next(self) -> bool:
        frame = self.outgoing.next_frame(0)
        if frame is not None:
            self._frames.append(frame)
        return frame is not None


def test_what_is_short_goes_before_the_next_piece_of_what_is_long() -> None:
    wire = Wire()
    wire.outgoing.put(done(1, size=100_000))
    wire.carry(1.0)

    wire.outgoing.put(Beat())

    assert wire.carry(1.1) == [Beat()]
    assert [type(each) for each in wire.carry(12.0)] == [Up]


def test_outcomes_in_the_line_are_not_sent_again_behind_themselves() -> None:
    wire = Wire()
    arrived: list[Any] = []
    for second in range(26):
        if second % 2 == 0:
            wire.outgoing.put(done(1, 2, size=100_000))
        arrived += wire.carry(1.0)

    outcomes = [each for each in arrived if isinstance(each.message, Done)]
    assert outcomes == [done(1, 2, size=100_000)]
    assert wire.outgoing.size == 0
    assert wire.carried < 1.02 * 200_000


def test_only_what_is_new_of_a_repetition_is_sent() -> None:
    outgoing = Outgoing(pickle.dumps)
    outgoing.put(done(1))
    outgoing.put(done(1, 2))
    incoming = Incoming(Outgoing(pickle.dumps))
    frames = iter(lambda: outgoing.next_frame(0), None)

    payloads = [incoming.take(each) for each in frames]

    arrived = [pickle.loads(each) for each in payloads if each]  # noqa: S301
    assert arrived == [done(1), done(2)]


def test_demand_of_a_repetition_goes_on_by_itself() -> None:
    wire = Wire()
    wire.outgoing.put(done(1, size=100_000, total=2))
    wire.carry(1.0)
    wire.outgoing.put(done(1, size=100_000, total=5))

    [up] = wire.carry(1.1)

    assert up.message == Demand(subscription=A, total=5, received=1)


def test_what_has_arrived_and_is_not_confirmed_is_sent_again() -> None:
    wire = Wire()
    for _ in range(2):
        wire.outgoing.put(done(1))
        assert wire.carry(1.0) == [done(1)]


def test_jobs_in_the_line_are_not_sent_again_and_their_confirmations_are() -> None:
    wire = Wire()
    wire.outgoing.put(jobs(0, 2, size=50_000))
    wire.carry(1.0)
    assert wire.outgoing.is_crossing(A)

    wire.outgoing.put(jobs(0, 3, confirmed=((4, 1),)))
    arrived = wire.carry(20.0)

    assert [each.message for each in arrived] == [
        Confirm(subscription=A, outcomes=((4, 1),)),
        jobs(0, 2, size=50_000).message,
        jobs(2, 3).message,
    ]
    assert not wire.outgoing.is_crossing(A)


def test_jobs_that_come_before_those_in_the_line_are_sent() -> None:
    wire = Wire()
    wire.outgoing.put(jobs(2, 3))
    wire.outgoing.put(jobs(0, 3))

    assert [each.message.first for each in wire.carry(1.0)] == [2, 0]


def test_the_end_of_a_process_comes_after_what_it_had_delivered() -> None:
    wire = Wire()
    ended = ProcessIs(process=PROCESS, up=False, reason="killed", crash=True)
    wire.outgoing.put(done(1, size=30_000))
    wire.outgoing.put(ended)

    assert wire.carry(6.0) == [done(1, size=30_000), ended]


def test_a_line_that_takes_nothing_holds_no_more_for_all_that_is_repeated() -> None:
    outgoing = Outgoing(pickle.dumps)
    for _ in range(1000):
        outgoing.put(Down(message=Ping(subscription=A, sent=3)))
        outgoing.put(done(1, 2, size=1000, total=9))
        outgoing.put(Beat())

    frames = list(iter(lambda: outgoing.next_frame(0), None))

    assert len(frames) == 4


def test_what_waits_is_bounded_and_the_line_goes_on() -> None:
    wire = Wire()
    taken = [wire.outgoing.put(done(key, size=1 << 20)) for key in range(20)]

    assert taken == [True] * 15 + [False] * 5
    assert wire.outgoing.size <= MAX_WAITING
    wire.carry(150.0)
    assert wire.outgoing.put(done(19, size=1 << 20))


def test_the_next_line_begins_with_what_the_one_before_had_not_delivered() -> None:
    before, after = Wire(), Wire()
    for key in (1, 2, 3):
        before.outgoing.put(done(key, size=5000))
    assert before.carry(0.7) == [done(1, size=5000)]
    after.outgoing.put(Beat())
    after.outgoing.put(done(4))

    after.outgoing.put_back(before.outgoing)
    after.outgoing.put(done(3))

    beat, demand, *late = after.carry(5.0)
    assert (beat, type(demand.message)) == (Beat(), Demand)
    assert late == [done(2, size=5000), done(3, size=5000), done(4)]


@pytest.mark.parametrize("frame", [b"", b"\0", b"\x09" + bytes(8), b"\x80" * 20])
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameError):
        Incoming(Outgoing(pickle.dumps)).take(frame)


def test_pieces_without_end_are_refused() -> None:
    incoming = Incoming(Outgoing(pickle.dumps))
    piece = b"\1" + bytes(8) + bytes(PIECE)

    for _ in range(511):
        incoming.take(piece)

    with pytest.raises(FrameError):
        [incoming.take(piece) for _ in range(2)]


def test_a_receipt_is_no_message() -> None:
    outgoing = Outgoing(pickle.dumps)
    outgoing.put(done(1))
    outgoing.next_frame(0)

    assert Incoming(outgoing).take(receipt(1)) is None
    assert outgoing.size == 0
