"""A machine's line to its leader: dialled again for as long as it takes."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.cluster.connection import FLUSH_S, LineEndedError, call
from actors.cluster.messages import Beat
from actors.demand.backoff import Backoff
from actors.host.frames import FrameError, Quiet, Refusal
from actors.host.tcp import is_address
from actors.supervision.heartbeat import PATIENCE_S, Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from actors.actor_system.stage import Stage
    from actors.actor_system.worker import Worker
    from actors.cluster.connection import Line
    from actors.cluster.identity import HostPort
    from actors.cluster.keys import Key
    from actors.demand.messages import SubscriptionId
    from actors.host.tcp import Endpoint

#: Waits between two tries, or two rounds of all places; each a quarter more or less.
AGAIN = Backoff(base_s=0.25, cap_s=2.0)
#: An address is tried beside those before it once they have had so long, in seconds;
#: those that a name had last, once the name service has.
NEXT_ADDRESS_S = 1.0
#: Who has not answered so long after the last address was dialled does not, in seconds.
ANSWER_S = 5.0


class LeaderConnection:
    """Keeps one line, says who calls when it opens, and gives signs.

    The leader's name is resolved at each try, and all its addresses are called, a
    second after one another: the first that shows the key has the line. It is back
    15 s after the network is, at the most: what that takes is the silence that is
    borne (`PATIENCE_S`), or else a try that had begun before and the wait after it.

    Args:
        stage: In whose mailbox this works.
        place: Where the leader listens.
        key: The cluster's, or this machine's.
        limit_s: The longest silence that a line bears, until the leader says.
        receive: Called with each message that arrives.
        others: Where a leader may listen as well: one of them at each try, in turn.
    """

    def __init__(
        self,
        stage: Stage,
        place: HostPort,
        key: Key,
        limit_s: float,
        join: Any,
        receive: Callable[[Any], None],
        others: Iterable[HostPort] = (),
    ) -> None:
        self._stage = stage
        # The first is the one that is dialled.
        self._places = deque((place, *others))
        self._key = key
        self._limit_s = limit_s
        self._signs: Heartbeat[HostPort] = _patient(limit_s)
        self._join = join
        self._receive = receive
        self._line: Line | None = None
        self._is_welcome = self._is_closed = False
        self._undelivered: Line | None = None
        self._dial_at: float | None = stage.now()
        self._failures = 0
        self._logged: dict[HostPort, str] = {}
        self._quiet = Quiet()
        # One try: who is called, who is left to be called, and until when.
        self._resolver: Worker | None = None
        self._asked: set[HostPort] = set()
        self._known: dict[HostPort, list[Endpoint]] = {}
        self._called: set[Endpoint] = set()
        self._calls: dict[int, Line] = {}
        self._left: deque[Endpoint] = deque()
        self._next_at: float | None = None
        self._problems: list[str] = []

    def tick(self, now: float) -> None:
        """Dial, give a sign, or give up a line that is silent."""
        if self._line is None:
            self._go_on_dialling(now)
            return
        if self._signs.silent(now):
            self.hang_up("the leader gave no sign")
        elif self._signs.due(now) and self._line.is_open:
            self.send(Beat())
        elif self._line.is_waiting:
            self._flush(self._line)

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do, in monotonic seconds."""
        if self._line is not None:
            if self._line.is_waiting:
                return self._stage.now() + FLUSH_S
            return self._signs.next_tick()
        times = [self._dial_at, self._next_at]
        if any(each.is_waiting for each in self._calls.values()):
            times.append(self._stage.now() + FLUSH_S)
        return min((each for each in times if each is not None), default=None)

    @property
    def _place(self) -> HostPort:
        return self._places[0]

    @property
    def leader(self) -> str:
        """Where the leader is, or is looked for."""
        return str(self._place) if self.is_open else ",".join(map(str, self._places))

    @property
    def is_open(self) -> bool:
        """Whether there is a line to the leader now."""
        return self._line is not None and self._line.is_open

    def is_crossing(self, subscription: SubscriptionId) -> bool:
        """Whether jobs of a subscription are in the line, and have not arrived."""
        return self._line is not None and self._line.is_crossing(subscription)

    def welcome(self, limit_s: float, *, back: bool) -> None:
        """Note that this machine is in.

        Args:
            limit_s: How long a silence both sides bear.
            back: Whether nothing has happened since the line before; then what that
                had not delivered is sent first.
        """
        former, self._undelivered = self._undelivered, None
        self._is_welcome, self._failures = True, 0
        if self._line is None:
            return
        self._signs = _patient(limit_s)
        self._signs.begin(self._place, self._stage.now())
        self._line.bear(limit_s)
        if former is None or not back:
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
            self._flush(self._line)
            self.hang_up("")
        self._end_calls()
        self._dial_at, self._is_closed = None, True

    def hang_up(self, reason: str) -> None:
        """End the line, and dial again in a while."""
        if self._line is None:
            return
        self._end(self._line)
        if self._is_welcome:
            self._undelivered = self._line
        was_open = self._line.is_open
        self._line, self._is_welcome = None, False
        self._dial_later(reason, was_open=was_open)

    # One try.

    def _go_on_dialling(self, now: float) -> None:
        for line in tuple(self._calls.values()):
            if line.is_waiting:
                self._flush(line)
        if self._dial_at is not None and now >= self._dial_at:
            self._dial_at = None
            self._problems.clear()
            self._called.clear()
            self._resolve(now)
        elif self._next_at is not None and now >= self._next_at:
            self._go_on_calling()

    def _go_on_calling(self) -> None:
        if not self._called and self._place in self._asked:
            # A name service that does not answer holds up nobody who knows more.
            self._problems.append(f"cannot find {self._place.host}: no answer")
            self._call_all(self._known.get(self._place, []))
            return
        if not self._left:
            self._problems.append("no answer")
        self._call_next()

    def _resolve(self, now: float) -> None:
        place = self._place
        if is_address(place.host):
            self._call_all(self._stage.environment.endpoints(*place))
            return
        self._next_at = now + (NEXT_ADDRESS_S if place in self._known else ANSWER_S)
        if place in self._asked:
            return
        if self._resolver is None:
            try:
                self._resolver = self._stage.environment.worker("resolve")
            except ValueError as error:
                self._give_up(str(error))
                return
            self._stage.watch(self._resolver.fd, self._resolved)
        self._asked.add(place)
        self._resolver.call(
            partial(self._ask_resolver, place), lambda error: iter([(place, error)])
        )

    def _ask_resolver(self, place: HostPort) -> Iterator[Any]:
        try:
            yield place, self._stage.environment.endpoints(*place)
        except OSError as error:
            yield place, error

    def _resolved(self) -> None:
        assert self._resolver is not None  # noqa: S101 - it has a word
        for place, found in self._resolver.take():
            self._asked.discard(place)
            if isinstance(found, list):
                self._known[place] = found
            is_tried = place == self._place and self._next_at is not None
            if not is_tried or self._is_closed:
                continue  # the next try has use for it
            if not isinstance(found, list):
                self._problems.append(f"cannot find {place.host}: {found}")
            # Where nobody can say now, it may be where it was.
            self._call_all(self._known.get(place, []))

    def _call_all(self, endpoints: list[Endpoint]) -> None:
        self._left.extend(each for each in endpoints if each not in self._called)
        self._called.update(endpoints)
        self._call_next()

    def _call_next(self) -> None:
        """Call the next address; with none left and none called, the try is over."""
        while self._left:
            endpoint = self._left.popleft()
            try:
                connection = self._stage.environment.connect(endpoint)
            except OSError as error:
                self._problems.append(f"{endpoint}: {error.strerror or error}")
                continue
            line = call(connection, self._key, str(endpoint), self._limit_s)
            self._calls[line.fd] = line
            self._stage.watch(line.fd, partial(self._spoke, line))
            wait_s = NEXT_ADDRESS_S if self._left else ANSWER_S
            self._next_at = self._stage.now() + wait_s
            self._flush(line)
            return
        if self._calls and self._stage.now() < (self._next_at or 0.0):
            return
        self._give_up("; ".join(dict.fromkeys(self._problems)))

    def _give_up(self, reason: str) -> None:
        self._end_calls()
        self._dial_later(reason, was_open=False)

    def _call_failed(self, line: Line, reason: str) -> None:
        if self._calls.pop(line.fd, None) is None:
            return
        self._end(line)
        self._problems.append(f"{line.about}: {reason}")
        if not self._calls:
            self._next_at = self._stage.now()
            self._call_next()

    def _choose(self, line: Line) -> None:
        del self._calls[line.fd]
        self._end_calls()
        self._line = line
        self._signs = _patient(self._limit_s)
        self._signs.begin(self._place, self._stage.now())
        self.send(self._join)

    def _end_calls(self) -> None:
        for line in self._calls.values():
            self._end(line)
        self._calls.clear()
        self._left.clear()
        self._next_at = None

    def _end(self, line: Line) -> None:
        self._stage.unwatch(line.fd)
        line.close()

    def _dial_later(self, reason: str, *, was_open: bool) -> None:
        self._failures += 1
        rounds, tried = divmod(self._failures, len(self._places))
        longest_s = AGAIN.base_s if tried else AGAIN.longest_s(rounds)
        delay_s = longest_s * (0.75 + self._stage.chance() / 2)
        self._dial_at = self._stage.now() + delay_s
        # The same trouble at every try is told once.
        place = self._place
        if reason and (was_open or reason != self._logged.get(place)):
            self._logged[place] = reason
            self._stage.log.warning(
                "machine.away" if was_open else "machine.waiting",
                leader=str(place),
                reason=reason,
            )
        if not was_open:
            self._places.rotate(-1)

    # What the line says.

    def _spoke(self, line: Line) -> None:
        try:
            messages = line.receive()
        except (LineEndedError, FrameError) as error:
            reason = str(error)
            if isinstance(error, LineEndedError) and not line.is_open:
                reason += ": is that a leader, with the same key?"
            self._line_ended(line, reason)
            return
        if line.is_open and line is not self._line:
            self._choose(line)
        if line is self._line:
            self._signs.heard(self._place, self._stage.now())
        for message in messages:
            if not isinstance(message, Beat):
                self._receive(message)

    def _line_ended(self, line: Line, reason: str) -> None:
        if line is self._line:
            self.hang_up(reason)
        else:
            self._call_failed(line, reason)

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

    def _flush(self, line: Line) -> None:
        try:
            line.flush()
        except LineEndedError as error:
            self._line_ended(line, str(error))


def _patient(limit_s: float) -> Heartbeat[HostPort]:
    return Heartbeat.of_lines(min(limit_s, PATIENCE_S))
