"""A machine's line to its leader: dialled again for as long as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.cluster.connection import FLUSH_S, LineEndedError, dial
from actors.cluster.messages import Beat
from actors.host.frames import FrameError, Quiet, Refusal
from actors.supervision.heartbeat import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.actor_system.stage import Stage
    from actors.cluster.connection import Line
    from actors.cluster.identity import Place
    from actors.demand.messages import SubscriptionId

#: How long to wait before the next try, in seconds; a quarter more or less.
AGAIN_S = 1.0


class LeaderConnection:
    """Keeps one line, says who calls when it opens, and gives signs.

    Args:
        stage: In whose mailbox this works.
        place: Where the leader listens.
        key: The cluster's.
        limit_s: The longest silence that a line bears.
        heard: Called with each message that arrives.
    """

    def __init__(
        self,
        stage: Stage,
        place: Place,
        key: bytes,
        limit_s: float,
        join: Any,
        heard: Callable[[Any], None],
    ) -> None:
        self._stage = stage
        self._place = place
        self._key = key
        self._signs: Heartbeat[Place] = Heartbeat.of_lines(limit_s)
        self._limit_s = limit_s
        self._join = join
        self._heard = heard
        self._line: Line | None = None
        self._is_welcome = False
        self._undelivered: Line | None = None
        self._dial_at: float | None = stage.now()
        self._told: str | None = None
        self._quiet = Quiet()

    def tick(self, now: float) -> None:
        """Dial, give a sign, or give up a line that is silent."""
        if self._line is None:
            if self._dial_at is not None and now >= self._dial_at:
                self._dial(now)
            return
        if self._signs.silent(now):
            self.hang_up("the leader gave no sign")
        elif self._signs.due(now) and self._line.is_open:
            self.send(Beat())
        elif self._line.is_waiting:
            self._flush()

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do, in monotonic seconds."""
        if self._line is None:
            return self._dial_at
        if self._line.is_waiting:
            return self._stage.now() + FLUSH_S
        return self._signs.next_tick()

    @property
    def is_open(self) -> bool:
        """Whether there is a line to the leader now."""
        return self._line is not None and self._line.is_open

    def is_crossing(self, subscription: SubscriptionId) -> bool:
        """Whether jobs of a subscription are in the line, and have not arrived."""
        return self._line is not None and self._line.is_crossing(subscription)

    def welcome(self, *, back: bool) -> None:
        """Note that this machine is in; ``back`` if nothing has happened meanwhile.

        Then what the line before this one had not delivered is sent first.
        """
        former, self._undelivered = self._undelivered, None
        self._is_welcome = True
        if self._line is None or former is None or not back:
            return
        try:
            self._line.send_what_is_left_of(former)
        except LineEndedError as error:
            self.hang_up(str(error))

    def send(self, message: Any) -> None:
        """Send, if there is a line; what is lost is said again by who said it."""
        if self._line is None:
            return
        try:
            if not self._line.send(message):
                self._tell_dropped(message)
        except LineEndedError as error:
            self.hang_up(str(error))

    def close(self) -> None:
        """Hang up for good; what was sent before is on its way."""
        if self._line is not None:
            self._flush()
            self.hang_up("")
        self._dial_at = None

    def hang_up(self, reason: str) -> None:
        """End the line, and dial again in a while."""
        if self._line is None:
            return
        was_open = self._line.is_open
        self._stage.unwatch(self._line.fd)
        self._line.close()
        if self._is_welcome:
            self._undelivered = self._line
        self._line, self._is_welcome = None, False
        self._dial_later(reason, was_open=was_open)

    def _dial(self, now: float) -> None:
        self._signs.end(self._place)
        self._signs.begin(self._place, now)
        place = self._place
        try:
            line = dial(place.host, place.port, self._key, self._limit_s)
            line.send(self._join)
        except LineEndedError as error:
            self._dial_later(str(error), was_open=False)
            return
        self._line, self._dial_at = line, None
        self._stage.watch(line.fd, self._spoke)

    def _dial_later(self, reason: str, *, was_open: bool) -> None:
        delay = AGAIN_S * (0.75 + self._stage.chance() / 2)
        self._dial_at = self._stage.now() + delay
        # The same trouble every second is told once.
        if reason and (was_open or reason != self._told):
            self._told = reason
            self._stage.log.warning(
                "machine.away" if was_open else "machine.waiting",
                leader=str(self._place),
                reason=reason,
            )

    def _spoke(self) -> None:
        if self._line is None:
            return
        try:
            messages = self._line.receive()
        except LineEndedError as error:
            reason = str(error)
            if not self._line.is_open:
                reason += ": is that a leader, with the same key?"
            self.hang_up(reason)
            return
        except FrameError as error:
            self.hang_up(str(error))
            return
        if self._line.is_open:
            self._signs.heard(self._place, self._stage.now())
        for message in messages:
            if not isinstance(message, Beat):
                self._heard(message)

    def _tell_dropped(self, message: Any) -> None:
        count = self._quiet.note(Refusal.FULL, self._stage.now())
        if count is not None:
            self._stage.log.warning(
                "message.dropped",
                message=type(message).__name__,
                receiver=str(self._place),
                reason="as much waits for that line as may",
                count=count,
            )

    def _flush(self) -> None:
        assert self._line is not None  # noqa: S101 - asked before
        try:
            self._line.flush()
        except LineEndedError as error:
            self.hang_up(str(error))
