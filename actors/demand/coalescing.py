"""Jobs that follow one another closely travel in one message.

A source that hands out jobs one by one, and processors with large windows, would
make a message of each job; a transport that has hundreds of messages to deliver
to one process spends its time on keeping them. So what follows a message that
has not arrived waits for company, but not for long. With a window of 1 that
never happens: the next job is sent when the one before is done.

Where nothing arrives for longer, each message waits twice as long as the one
before: a peer that hangs, or a way that is slower than the source, would else have
hundreds queued up before it, and block who sends them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.demand.messages import Confirm, Demand, Done, Jobs
from actors.demand.sizes import MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from actors.demand.messages import SubscriptionId, ToConsumer, ToProducer

#: How long jobs wait for company, in seconds.
LINGER_S = 0.02
#: How long at most, where what went before does not arrive.
LONGEST_S = 2.0


@dataclass(slots=True)
class _Line:
    received: int = 0
    sent: int = 0
    wait_s: float = LINGER_S
    open_at: float = 0.0
    held: Jobs | None = None


class Linger:
    """Stands between a producer's decisions and the network."""

    def __init__(self) -> None:
        self._lines: dict[SubscriptionId, _Line] = {}

    def heard(self, message: ToProducer) -> None:
        """Note how much has arrived."""
        if isinstance(message, Demand | Done):
            line = self._line(message.subscription)
            line.received = max(line.received, message.received)
            if line.received >= line.sent:
                line.wait_s = LINGER_S

    def put(self, messages: Iterable[ToConsumer], now: float) -> list[ToConsumer]:
        """Take messages to send; returns those that go now, in order.

        A confirmation goes along with jobs for the same consumer, where there are.
        """
        out: list[ToConsumer] = []
        confirms: dict[SubscriptionId, Confirm] = {}
        for message in messages:
            line = self._line(message.subscription)
            confirm = confirms.pop(message.subscription, None)
            if isinstance(message, Jobs):
                out += _confirming(_put_jobs(line, message, now), confirm)
                continue
            if confirm is not None:
                out.append(confirm)
            if isinstance(message, Confirm):
                confirms[message.subscription] = message
                continue
            if line.held is not None:
                out.append(line.held)
                line.held = None
            out.append(message)
        return [*out, *confirms.values()]

    def due(self, now: float) -> list[ToConsumer]:
        """Take the jobs that have waited long enough."""
        out: list[ToConsumer] = []
        for line in self._lines.values():
            if line.held is not None and now >= line.open_at:
                out.append(line.held)
                _going(line, line.held, now)
                line.held = None
        return out

    def next_tick(self) -> float | None:
        """When ``due`` has something, in monotonic seconds."""
        times = [each.open_at for each in self._lines.values() if each.held is not None]
        return min(times, default=None)

    def keep(self, subscriptions: Collection[SubscriptionId]) -> None:
        """Forget all subscriptions but these."""
        if len(self._lines) > len(subscriptions):
            self._lines = {
                each: line
                for each, line in self._lines.items()
                if each in subscriptions
            }

    def _line(self, subscription: SubscriptionId) -> _Line:
        return self._lines.setdefault(subscription, _Line())


def _confirming(going: list[Jobs], confirm: Confirm | None) -> list[ToConsumer]:
    if confirm is None or not going:
        return [*([] if confirm is None else [confirm]), *going]
    first, *rest = going
    return [replace(first, confirmed=first.confirmed + confirm.outcomes), *rest]


def _put_jobs(line: _Line, message: Jobs, now: float) -> list[Jobs]:
    held, line.held = line.held, None
    # Those that fill a message gain nothing by waiting.
    size = message.size + (held.size if held else 0)
    if held is not None and held.upto == message.first and size <= MESSAGE_BYTES:
        jobs = held.jobs + message.jobs
        message = replace(held, upto=message.upto, jobs=jobs, size=size)
        held = None
    early = now < line.open_at and message.first > line.received
    if early and held is None and message.size < MESSAGE_BYTES // 2:
        line.held = message
        return []
    _going(line, message, now)
    return [message] if held is None else [held, message]


def _going(line: _Line, message: Jobs, now: float) -> None:
    if message.first > line.received:
        line.wait_s = min(2 * line.wait_s, LONGEST_S)
    line.sent = max(line.sent, message.upto)
    line.open_at = now + line.wait_s
