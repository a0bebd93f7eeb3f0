"""What is on its way over a line: in pieces, what is short before what is long.

1. Jobs and their outcomes wait in the slow lane and go in pieces. Demand, signs,
   orders and answers go before the next piece: so they take as long as one piece
   does, however much waits.
2. Each end says with every frame how much of the slow lane has arrived. What has
   not is still in the line, and is not sent again behind itself.
3. What a line had not delivered when it ended is put before all else on the next.

Rules only: messages go in, frames come out, and the other way round.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from actors.cluster.messages import Down, ProcessIs
from actors.demand.messages import Confirm, Demand, Done, Jobs, SubscriptionId
from actors.host.frames import MAX_FRAME, FrameError, Refusal
from actors.supervision.messages import Up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Bytes of the slow lane in one frame: a second of 64 kbit/s.
PIECE = 8 << 10
#: Bytes that may wait in the slow lane. What is beyond that is lost, and is said again
#: by who said it.
MAX_WAITING = 16 << 20

_HEAD = struct.Struct(">BQ")
_WHOLE, _MORE, _LAST, _NOTHING = range(4)

#: An outcome on its way: its subscription, key and attempt.
OutcomeMark = tuple[SubscriptionId, int, int]


@dataclass(slots=True, eq=False)
class _Slow:
    """One message of the slow lane."""

    payload: bytes
    outcomes: tuple[OutcomeMark, ...] = ()
    jobs: tuple[SubscriptionId, int, int] | None = None
    sent: int = 0


class Outgoing:
    """What waits for one end of a line, and what has left it and not arrived.

    Args:
        encode: Makes bytes of a message.
    """

    def __init__(self, encode: Callable[[Any], bytes]) -> None:
        self._encode = encode
        self._urgent: deque[bytes] = deque()
        self._slow: deque[_Slow] = deque()
        self._crossing: deque[_Slow] = deque()
        self._outcomes: set[OutcomeMark] = set()
        self._jobs: dict[SubscriptionId, list[tuple[int, int]]] = {}
        self._arrived = 0
        self.size = 0

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self._urgent or self._slow)

    def put(self, message: Any) -> bool:
        """Take a message, but for what of it is in the line already.

        Returns:
            Whether there was room for it.

        Raises:
            ValueError: It is longer than any message may be.
        """
        for each in self._without_crossing(message):
            payload = self._encode(each)
            if len(payload) > MAX_FRAME:
                raise ValueError(f"a message of {len(payload)} bytes is too long")
            slow = _slow(each, payload)
            if slow is not None:
                if self.size + len(payload) > MAX_WAITING:
                    return False
                self._keep(slow)
            elif payload not in self._urgent:
                self._urgent.append(payload)
        return True

    def put_back(self, former: Outgoing) -> None:
        """Take over what another line has not delivered, before all else."""
        mine = [*self._crossing, *self._slow]
        self._forget()
        for each in (*former._crossing, *former._slow, *mine):
            self._keep(replace(each, sent=0))

    def is_crossing(self, subscription: SubscriptionId) -> bool:
        """Whether jobs of a subscription are still on their way."""
        return subscription in self._jobs

    def next_frame(self, arrived: int) -> bytes | None:
        """The next one to send; it says how much has arrived here."""
        if self._urgent:
            return _HEAD.pack(_WHOLE, arrived) + self._urgent.popleft()
        if not self._slow:
            return None
        first = self._slow[0]
        piece = first.payload[first.sent : first.sent + PIECE]
        first.sent += len(piece)
        kind = _MORE
        if first.sent >= len(first.payload):
            kind = _LAST
            self._crossing.append(self._slow.popleft())
        return _HEAD.pack(kind, arrived) + piece

    def has_arrived(self, count: int) -> None:
        """Note how many messages of the slow lane have arrived so far."""
        while self._arrived < count and self._crossing:
            self._arrived += 1
            each = self._crossing.popleft()
            self.size -= len(each.payload)
            self._outcomes.difference_update(each.outcomes)
            if each.jobs is not None:
                subscription, first, upto = each.jobs
                ranges = self._jobs[subscription]
                ranges.remove((first, upto))
                if not ranges:
                    del self._jobs[subscription]

    def _keep(self, slow: _Slow) -> None:
        self._slow.append(slow)
        self.size += len(slow.payload)
        self._outcomes.update(slow.outcomes)
        if slow.jobs is not None:
            subscription, first, upto = slow.jobs
            self._jobs.setdefault(subscription, []).append((first, upto))

    def _forget(self) -> None:
        for each in (self._slow, self._crossing, self._outcomes, self._jobs):
            each.clear()
        self.size = 0

    def _without_crossing(self, message: Any) -> Iterator[Any]:
        match message:
            case Up(message=Done() as done):
                yield replace(message, message=self._news_of(done))
            case Down(message=Jobs() as jobs):
                yield from (replace(message, message=e) for e in self._new_jobs(jobs))
            case _:
                yield message

    def _news_of(self, done: Done) -> Done | Demand:
        inside = self._outcomes
        news = tuple(
            each
            for each in done.outcomes
            if (done.subscription, each.key, each.attempt) not in inside
        )
        if news or not done.outcomes:
            return done if len(news) == len(done.outcomes) else _with(done, news)
        return Demand(
            subscription=done.subscription,
            total=done.total,
            received=done.received,
            ended=done.ended,
        )

    def _new_jobs(self, jobs: Jobs) -> Iterator[Jobs | Confirm]:
        inside = self._jobs.get(jobs.subscription)
        # What comes before all that is in the line would let that come too early.
        if not inside or jobs.first < min(inside)[0]:
            yield jobs
            return
        upto = max(each for _, each in inside)
        if jobs.confirmed:
            yield Confirm(subscription=jobs.subscription, outcomes=jobs.confirmed)
        if jobs.upto > upto:
            first = max(upto, jobs.first)
            rest = tuple(each for each in jobs.jobs if each.number >= first)
            yield replace(jobs, first=first, jobs=rest, confirmed=())


class Incoming:
    """Puts together what arrives at one end of a line.

    Attributes:
        arrived: Messages of the slow lane that have come, in all.
    """

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._pieces: list[bytes] = []
        self._size = 0
        self.arrived = 0

    def take(self, frame: bytes) -> bytes | None:
        """Take a frame; returns the message that it completes, if any.

        Raises:
            FrameError: It is none.
        """
        if len(frame) < _HEAD.size:
            raise FrameError(Refusal.GARBLED)
        kind, arrived = _HEAD.unpack_from(frame)
        self._outgoing.has_arrived(arrived)
        payload = frame[_HEAD.size :]
        if kind == _WHOLE:
            return payload
        if kind == _NOTHING:
            return None
        if kind not in {_MORE, _LAST}:
            raise FrameError(Refusal.GARBLED)
        self._pieces.append(payload)
        self._size += len(payload)
        if self._size > MAX_FRAME:
            raise FrameError(Refusal.TOO_LONG)
        if kind == _MORE:
            return None
        self.arrived += 1
        whole, self._pieces, self._size = b"".join(self._pieces), [], 0
        return whole


def receipt(arrived: int) -> bytes:
    """A frame that says how much has arrived, and nothing else."""
    return _HEAD.pack(_NOTHING, arrived)


def _with(done: Done, outcomes: tuple[Any, ...]) -> Done:
    return replace(done, outcomes=outcomes)


def _slow(message: Any, payload: bytes) -> _Slow | None:
    """What goes piece by piece: jobs and outcomes, and what is to come after them."""
    match message:
        case Up(message=Done(subscription=subscription, outcomes=outcomes)):
            marks = tuple((subscription, each.key, each.attempt) for each in outcomes)
            return _Slow(payload, outcomes=marks)
        case Down(message=Jobs(subscription=subscription, first=first, upto=upto)):
            return _Slow(payload, jobs=(subscription, first, upto))
        # What a process had delivered before its end counts, as long as it arrives
        # before the news of that.
        case ProcessIs(up=False):
            return _Slow(payload)
        case _:
            return None
