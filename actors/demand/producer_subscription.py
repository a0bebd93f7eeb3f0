"""A producer's side of its subscriptions: what was asked, sent and received.

For each subscription ``received <= sent <= asked``, each of them only grows,
and ``asked - sent`` is its credit, which the dispatcher spends. What was asked for
in place of jobs whose outcomes have not come is no credit yet: so the jobs that a
consumer holds, by this producer's account, are never more than its window.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Generic, TypeVar

from actors.demand.job import JobState
from actors.demand.messages import (
    MESSAGE_BYTES,
    CallOff,
    Confirm,
    Demand,
    Done,
    Jobs,
    Subscribe,
    assignments_of,
    in_parts,
)
from actors.demand.windows import WINDOW_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from actors.demand.job import Job, Process
    from actors.demand.messages import (
        Assignment,
        SubscriptionId,
        ToConsumer,
        ToProducer,
    )


#: A job that is to be ended and goes on, is to be ended again after this many seconds.
CALL_OFF_AGAIN_S = 2.0


@dataclass(slots=True, eq=False)
class ProducerSubscription:
    """One consumer's standing with a producer.

    Attributes:
        id: Chosen by the consumer, never used twice.
        process: Who it is.
        asked: Jobs it ever asked for.
        sent: Jobs it was ever sent, taken-back ones included.
        received: Jobs it said it has.
        ended: Jobs of these that it said have their outcome.
        heard_at: When it last gave a sign, monotonic seconds.
        pinged_at: When it was last asked for one.
        closing: It has cancelled, and only finishes what it holds.
        is_isolated: It gets one job at a time, to find out which crashes it.
        leases: The jobs it holds and the attempt of each lease, oldest first.
        held_bytes: What these jobs come to.
        called_off: Those of them, and the attempt, that are to be ended.
        call_off_at: When that is said again.
    """

    id: SubscriptionId
    process: Process
    heard_at: float
    pinged_at: float
    asked: int = 0
    sent: int = 0
    received: int = 0
    ended: int = 0
    closing: bool = False
    is_isolated: bool = False
    leases: dict[int, tuple[Job, int]] = field(default_factory=dict)
    held_bytes: int = 0
    called_off: dict[int, int] = field(default_factory=dict)
    call_off_at: float = 0.0
    _unreceived: deque[tuple[Assignment, int]] = field(default_factory=deque)

    @property
    def credit(self) -> int:
        """Jobs it may still be sent."""
        return max(0, self.asked - self.sent - self.owed)

    @property
    def owed(self) -> int:
        """Jobs that it has ended, and whose outcomes have not come."""
        arrived = len(self.leases) - len(self._unreceived)
        return max(0, arrived - (self.received - self.ended))

    @property
    def is_full(self) -> bool:
        """Whether what it holds is as large as it may be."""
        return self.held_bytes >= WINDOW_BYTES

    def raise_asked(self, total: int) -> int:
        """Note a running total; returns by how much it is news."""
        more = max(0, total - self.asked)
        self.asked += more
        return more

    def note_received(self, received: int, ended: int = 0) -> None:
        """Note how many jobs have arrived, and how many of them have ended."""
        self.received = max(self.received, min(received, self.sent))
        self.ended = max(self.ended, min(ended, self.received))
        while self._unreceived and self._unreceived[0][0].number < self.received:
            self._unreceived.popleft()

    def fitting(self, jobs: Sequence[Job]) -> int:
        """How many of these jobs it may be sent, as to what it would then hold."""
        held = self.held_bytes
        if held + sum([job.size for job in jobs]) <= WINDOW_BYTES:
            return len(jobs)
        for count, job in enumerate(jobs):
            if held >= WINDOW_BYTES:
                return count
            held += job.size
        return len(jobs)

    def send(self, jobs: Sequence[Job]) -> list[Jobs]:
        """Number the jobs and put them into messages; each becomes a lease."""
        first = self.sent
        sizes = [job.size for job in jobs]
        self.leases.update({job.key: (job, job.attempt) for job in jobs})
        self.held_bytes += sum(sizes)
        self.sent += len(jobs)
        numbered = list(zip(assignments_of(jobs, first), sizes, strict=True))
        self._unreceived.extend(numbered)
        return self._messages(first, numbered, sum(sizes))

    def nothing_follows(self) -> Jobs:
        """Say that no more comes before what was sent has ended."""
        return Jobs(
            subscription=self.id, first=self.sent, upto=self.sent, jobs=(), alone=True
        )

    def send_again(self) -> list[Jobs]:
        """Repeat what has not arrived, without what need not be run any more."""
        if self.received == self.sent:
            return []
        still = []
        for each, size in tuple(self._unreceived):
            if self._stands(each):
                still.append((each, size))
            else:
                self.release([(each.key, each.attempt)])
        self._unreceived = deque(still)
        total = sum(size for _, size in still)
        return self._messages(self.received, still, total)

    def release(self, ended: Iterable[tuple[int, int]]) -> None:
        """Forget the leases (key, attempt) that have their outcome."""
        leases = self.leases
        for key, attempt in ended:
            lease = leases.get(key)
            if lease and lease[1] == attempt:
                self.held_bytes -= lease[0].size
                del leases[key]
                self.called_off.pop(key, None)

    def call_off(self, now: float) -> CallOff:
        """Say which jobs are to be ended, and again later."""
        self.call_off_at = now + CALL_OFF_AGAIN_S
        jobs = tuple(self.called_off.items())
        return CallOff(subscription=self.id, jobs=jobs)

    def _stands(self, each: Assignment) -> bool:
        # A success of an earlier attempt ends a job under its later lease.
        job, attempt = self.leases.get(each.key, (None, 0))
        if job is None or job.state is not JobState.LEASED:
            return False
        return job.attempt == attempt == each.attempt

    def _messages(
        self, first: int, numbered: Sequence[tuple[Assignment, int]], total: int
    ) -> list[Jobs]:
        parts = [(list(numbered), total)]
        if total > MESSAGE_BYTES:
            parts = list(in_parts(numbered, itemgetter(1)))
        # What was taken back counts with what comes before it.
        ends = [following[0][0].number for following, _ in parts[1:]]
        messages = []
        for (part, size), upto in zip(parts, [*ends, self.sent], strict=True):
            jobs = tuple(each for each, _ in part)
            message = Jobs(
                subscription=self.id,
                first=first,
                upto=upto,
                jobs=jobs,
                alone=self.is_isolated,
                size=size,
            )
            messages.append(message)
            first = upto
        return messages


#: How long jobs wait for company, in seconds.
COALESCE_S = 0.02
#: The same for a consumer that runs several at a time: there a place is empty.
PLACES_S = 0.001

#: How long at most, where what went before does not arrive.
LONGEST_S = 2.0

#: How long a confirmation waits for jobs to go along with, in seconds, where some
#: went just before: nobody waits for it, and it is a message less at either end.
CONFIRM_S = 0.02


@dataclass(slots=True)
class _Line:
    """What waits for one subscription, and how long.

    Attributes:
        received: Jobs that it said it has.
        sent: The number behind the last job that went.
        least_s: What a wait begins with.
        wait_s: How long jobs wait now, from when some went.
        open_at: When jobs need not wait any more.
        held: Jobs that wait.
        busy_until: Until when a confirmation waits for jobs to go along with.
        confirm: It, if one waits.
        confirm_at: When it goes alone.
    """

    received: int = 0
    sent: int = 0
    least_s: float = COALESCE_S
    wait_s: float = COALESCE_S
    open_at: float = 0.0
    held: Jobs | None = None
    busy_until: float = 0.0
    confirm: Confirm | None = None
    confirm_at: float = 0.0

    def take(self) -> list[ToConsumer]:
        """Take all that is held."""
        held = self.confirm, self.held
        self.confirm = self.held = None
        return [each for each in held if each is not None]


class Coalescing:
    """Joins messages to the same consumer that come one soon after the other.

    What comes first goes at once. While it has not arrived, jobs that follow wait a
    little for one another, and longer each time that it still has not; a confirmation
    goes along with jobs. What is held here is sent already, as far as the producer's
    account is concerned, and what gets lost with it is repeated.
    """

    def __init__(self) -> None:
        self._lines: dict[SubscriptionId, _Line] = {}

    def received(self, message: ToProducer) -> None:
        """Note how much has arrived."""
        if isinstance(message, Subscribe) and message.process.concurrency > 1:
            line = self._line(message.subscription)
            line.least_s = line.wait_s = PLACES_S
        if isinstance(message, Demand | Done):
            line = self._line(message.subscription)
            line.received = max(line.received, message.received)
            if line.received >= line.sent:
                # It may have nothing to do: what is held goes now.
                line.wait_s, line.open_at = line.least_s, 0.0

    def put(self, messages: Iterable[ToConsumer], now: float) -> list[ToConsumer]:
        """Take messages to send; returns those that go now, in order.

        A confirmation goes along with jobs for the same consumer, where there are, or
        are likely to be soon.
        """
        out: list[ToConsumer] = []
        confirming: list[_Line] = []
        for message in messages:
            line = self._line(message.subscription)
            if isinstance(message, Jobs):
                out += _with_confirm(line, _put_jobs(line, message, now))
            elif isinstance(message, Confirm):
                if line.confirm is None:
                    line.confirm_at = now + CONFIRM_S
                line.confirm = _both(line.confirm, message)
                confirming.append(line)
            else:
                out += line.take()
                out.append(message)
        for line in confirming:
            if line.confirm is not None and now >= line.busy_until:
                out.append(line.confirm)
                line.confirm = None
        return out

    def due(self, now: float) -> list[ToConsumer]:
        """Take what has waited long enough."""
        out: list[ToConsumer] = []
        for line in self._lines.values():
            if line.held is not None and now >= line.open_at:
                held, line.held = line.held, None
                _note_going(line, held, now)
                out += _with_confirm(line, [held])
            if line.confirm is not None and now >= line.confirm_at:
                out.append(line.confirm)
                line.confirm = None
        return out

    def next_tick(self) -> float | None:
        """When ``due`` has something, in monotonic seconds."""
        times = []
        for line in self._lines.values():
            if line.held is not None:
                times.append(line.open_at)
            if line.confirm is not None:
                times.append(line.confirm_at)
        return min(times, default=None)

    @property
    def confirming(self) -> set[SubscriptionId]:
        """Those whose confirmations wait."""
        lines = self._lines.items()
        return {each for each, line in lines if line.confirm is not None}

    def keep(self, subscriptions: Collection[SubscriptionId]) -> None:
        """Forget all subscriptions but these."""
        if len(self._lines) > len(subscriptions):
            self._lines = {
                each: line
                for each, line in self._lines.items()
                if each in subscriptions
            }

    def forget(self, subscription: SubscriptionId) -> None:
        """Drop what waits for one of them."""
        self._lines.pop(subscription, None)

    def _line(self, subscription: SubscriptionId) -> _Line:
        return self._lines.setdefault(subscription, _Line())


A = TypeVar("A")


class ProducerSender(Generic[A]):
    """Sends a producer's messages to where its consumers are.

    Args:
        send: Sends one message to an address.
    """

    def __init__(self, send: Callable[[A, ToConsumer], None]) -> None:
        self._send = send
        self._coalescing = Coalescing()
        self._addresses: dict[SubscriptionId, A] = {}

    def received(self, message: ToProducer, sender: A) -> None:
        """Note where a subscription's messages go, and what has arrived there."""
        self._addresses[message.subscription] = sender
        self._coalescing.received(message)

    def send(self, messages: Iterable[ToConsumer]) -> None:
        """Send now; what is for a subscription that is not known is dropped."""
        for message in messages:
            if (address := self._addresses.get(message.subscription)) is not None:
                self._send(address, message)

    def put(self, messages: Iterable[ToConsumer], now: float) -> None:
        """Send what need not wait for company."""
        self.send(self._coalescing.put(messages, now))

    def tick(self, now: float) -> None:
        """Send what has waited for company long enough."""
        self.send(self._coalescing.due(now))

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do, in monotonic seconds."""
        return self._coalescing.next_tick()

    def forget(self, subscriptions: Iterable[SubscriptionId]) -> None:
        """Send nothing more to these: their process is gone, and its name with it."""
        for each in subscriptions:
            self._addresses.pop(each, None)
            self._coalescing.forget(each)

    def keep(self, subscriptions: Collection[SubscriptionId]) -> None:
        """Forget all subscriptions but these, and those to be confirmed yet."""
        if len(self._addresses) > len(subscriptions):
            still = self._coalescing.confirming.union(subscriptions)
            self._addresses = {
                key: address for key, address in self._addresses.items() if key in still
            }
            self._coalescing.keep(still)


def _with_confirm(line: _Line, going: list[Jobs]) -> list[Jobs]:
    if (confirm := line.confirm) is None or not going:
        return going
    line.confirm = None
    first, *rest = going
    return [replace(first, confirmed=first.confirmed + confirm.outcomes), *rest]


def _both(one: Confirm | None, other: Confirm) -> Confirm:
    return (
        other if one is None else replace(one, outcomes=one.outcomes + other.outcomes)
    )


def _put_jobs(line: _Line, message: Jobs, now: float) -> list[Jobs]:
    held, line.held = line.held, None
    # Those that fill a message gain nothing by waiting.
    size = message.size + (held.size if held else 0)
    if held is not None and held.upto == message.first and size <= MESSAGE_BYTES:
        jobs = held.jobs + message.jobs
        alone = held.alone or message.alone
        message = replace(held, upto=message.upto, jobs=jobs, alone=alone, size=size)
        held = None
    early = now < line.open_at and message.first > line.received
    if early and held is None and message.size < MESSAGE_BYTES // 2:
        line.held = message
        return []
    _note_going(line, message, now)
    return [message] if held is None else [held, message]


def _note_going(line: _Line, message: Jobs, now: float) -> None:
    # What is full has not waited: only a wait that is over tells of a slow way.
    if message.first > line.received and now >= line.open_at:
        line.wait_s = min(2 * line.wait_s, LONGEST_S)
    line.sent = max(line.sent, message.upto)
    line.open_at = now + line.wait_s
    line.busy_until = now + CONFIRM_S
