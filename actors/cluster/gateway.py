"""The gate: where other machines dial in.

It passes on what their processors and the stages here say to one another, so that
no stage ever sends to another machine itself: a dead line is this process's
concern, and blocks nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.actor_system.stage import Address, Stage
from actors.cluster import identity, keys
from actors.cluster.connection import FLUSH_S, GateListener, LineEndedError
from actors.cluster.leader import agreed_limit_s
from actors.cluster.messages import (
    GATE,
    Beat,
    Down,
    FromMachine,
    Join,
    LineEnded,
    ProcessIs,
    Refuse,
    StartGate,
    ToMachine,
    Welcome,
)
from actors.cluster.router import Peer, Router
from actors.cluster.strangers import Strangers
from actors.demand.messages import (
    CallOff,
    Cancel,
    Confirm,
    Crossing,
    Jobs,
    Ping,
    Subscribed,
)
from actors.host.frames import FrameError, Quiet, Refusal
from actors.supervision.heartbeat import Heartbeat
from actors.supervision.messages import (
    AskSign,
    Sign,
    SourceGone,
    SourceUp,
    Started,
    Up,
)

if TYPE_CHECKING:
    from actors.cluster.connection import Line
    from actors.cluster.router import Passed
    from actors.config.model import SystemConfig
    from actors.demand.messages import SubscriptionId


@dataclass(slots=True, eq=False)
class _Call:
    line: Line
    run: str | None = None
    name: str = ""
    is_welcome: bool = False


class GateActor(Stage):
    """Holds a line for each machine, and routes by names and subscriptions."""

    system: SystemConfig
    _signs: Heartbeat[int]

    def __init__(self) -> None:
        super().__init__()
        self._root: Address | None = None
        self._calls: dict[int, _Call] = {}
        self._by_run: dict[str, _Call] = {}
        # What a line had not delivered goes over the next one of that machine.
        self._undelivered: dict[str, Line] = {}
        self._lines: dict[str, str] = {}
        self._router = Router()
        self._strangers = Strangers()
        self._quiet = Quiet()

    def receive(  # noqa: C901 - one arm a message
        self, message: Any, sender: Address
    ) -> None:
        """Handle one message."""
        match message:
            case StartGate():
                if self._root is None:
                    self._start(message, sender)
            case AskSign():
                self.send(sender, Sign(name=GATE))
            case SourceUp(name=name, address=address):
                self._router.source_up(name, address)
            case SourceGone(name=name):
                self._router.source_gone(name)
            case ToMachine():
                self._to_machine(message)
            case Up():
                self._pass(self._router.up(message, sender))
            case Ping(subscription=subscription) if self._is_crossing(subscription):
                self.send(sender, Crossing(subscription=subscription))
            case Subscribed() | Jobs() | Confirm() | CallOff() | Ping() | Cancel():
                self._pass(self._router.down(message))
            case _:
                self.unexpected(message)

    def tick(self, now: float) -> None:
        """Give signs, and give up those who give none."""
        if self._root is None:
            return
        for fd in self._strangers.late(now):
            self._is_late(self._calls[fd])
        for fd in self._signs.silent(now):
            self._end(self._calls[fd], "it gave no sign", silent=True)
        for fd in self._signs.due(now):
            if (call := self._calls.get(fd)) is not None and call.run is not None:
                self._send(call, Beat())
        for call in tuple(self._calls.values()):
            if call.line.is_waiting:
                self._send(call)

    def _is_late(self, call: _Call) -> None:
        # What it says may be there, and nobody has come to read it.
        self._spoke(call)
        if not call.line.is_open:
            self._end(call, "it showed no key")

    def next_tick(self) -> float | None:
        """The next sign, or the next try at a line that took no more."""
        if self._root is None:
            return None
        times = [self._signs.next_tick(), self._strangers.next_late()]
        if any(each.line.is_waiting for each in self._calls.values()):
            times.append(self.now() + FLUSH_S)
        return min((each for each in times if each is not None), default=None)

    def exiting(self) -> None:
        """Hang up."""
        for call in self._calls.values():
            call.line.close()

    def _start(self, message: StartGate, root: Address) -> None:
        system = self.system = message.system
        self.log = self.environment.log(system.log_level)
        error = None
        try:
            key = keys.read_cluster_key(system.cluster_key_file)
            place = identity.read_host_port(system.bind or "", system.port, "--bind")
            listeners = self.environment.listen(place.host, place.port)
        except (OSError, ValueError) as problem:
            error = f"cannot listen at {system.bind}: {problem}"
        else:
            self._root = root
            limit_s = system.machine_timeout_s
            self._signs = Heartbeat.of_lines(limit_s)
            for each in listeners:
                listener = GateListener(each, key, limit_s)
                self.watch(listener.fd, partial(self._called, listener))
        started = Started(name=GATE, pid=self.environment.process_id(), error=error)
        self.send(root, started)

    def _called(self, listener: GateListener) -> None:
        line = listener.accept()
        if line is None:
            return
        now = self.now()
        goes = self._strangers.comes(line.fd, line.about.rpartition(":")[0], now)
        if goes is not None:
            self._tell_full(line)
            self._end(self._calls[goes], "another one dials")
        call = self._calls[line.fd] = _Call(line)
        self._signs.begin(line.fd, now)
        self.watch(line.fd, lambda: self._spoke(call))

    def _spoke(self, call: _Call) -> None:
        try:
            messages = call.line.receive()
        except LineEndedError as error:
            self._end(call, str(error))
            return
        except FrameError as error:
            self._tell_refused(call, error)
            self._end(call, str(error))
            return
        if call.line.is_open:
            self._strangers.shows_key(call.line.fd)
        for message in messages:
            self._hear(call, message)
        # One who has not joined has a while to do so, whatever it sends.
        if call.run is not None:
            self._signs.heard(call.line.fd, self.now())

    def _hear(self, call: _Call, message: Any) -> None:
        if call.run is None:
            if isinstance(message, Join):
                self._joins(call, message)
            else:
                self.unexpected(message)
            return
        match message:
            case Beat():
                return
            case Up():
                self._pass(self._router.up(message, Peer(call.run)))
            case Down(message=inner):
                self._pass(self._router.down(inner))
            case ProcessIs():
                self._hear_of_process(call, call.run, message)
            case _:
                self._tell_root(call.run, message)

    def _hear_of_process(self, call: _Call, run: str, message: ProcessIs) -> None:
        process = message.process
        if not process.name.startswith(f"{call.name}/"):
            # By another's name it would get what others ask that one for.
            self._end(call, f"{process.name!r} is no process of machine {call.name}")
            return
        if message.up and process.kind in self.system.steps:
            self._router.source_up(process.name, Peer(run))
        self._tell_root(run, message)

    def _joins(self, call: _Call, message: Join) -> None:
        if (reason := self._problem_of(call, message)) is not None:
            about = {"machine": message.name, "reason": reason}
            self.log.warning("machine.refused", **about)
            self._send(call, Refuse(reason=reason, for_now=False))
            self._end(call, reason)
            return
        self._let_go(message.run)
        self._strangers.goes(call.line.fd)
        call.run, call.name = message.run, message.name
        self._by_run[message.run] = call
        limit_s = agreed_limit_s(self.system, message)
        call.line.bear(limit_s)
        self._signs.begin(call.line.fd, self.now(), limit_s)
        self._tell_root(message.run, message)

    def _problem_of(self, call: _Call, message: Join) -> str | None:
        own = call.line.machine
        if own and message.name != own:
            return f"it has the key of machine {own!r}, and joins as {message.name!r}"
        former = self._by_run.get(message.run)
        if former is not None and former.name != message.name:
            return f"it joins as the run of machine {former.name!r}"
        return None

    def _is_crossing(self, subscription: SubscriptionId) -> bool:
        place = self._router.place_of(subscription)
        call = self._by_run.get(place.run) if isinstance(place, Peer) else None
        return call is not None and call.line.is_crossing(subscription)

    def _pass(self, passed: Passed | None) -> None:
        match passed:
            case None:
                return
            case (Peer(run=run), message):
                self._send_to(run, message)
            case (address, message):
                self.send(address, message)

    def _to_machine(self, message: ToMachine) -> None:
        run = message.run
        self._send_to(run, message.message)
        if isinstance(message.message, Welcome):
            self._welcome(run, message.message)
        if message.last:
            self._router.forget(Peer(run))
            self._let_go(run)
            self._undelivered.pop(run, None)
            self._lines.pop(run, None)

    def _welcome(self, run: str, welcome: Welcome) -> None:
        former, is_same = self._undelivered.pop(run, None), False
        if run in self._lines:
            is_same = self._lines[run] == welcome.line
        self._lines[run] = welcome.line
        if (call := self._by_run.get(run)) is None:
            return
        call.is_welcome = True
        if former is not None and is_same:
            try:
                call.line.send_what_is_left_of(former)
            except LineEndedError as error:
                self._end(call, str(error))

    def _send_to(self, run: str, message: Any) -> None:
        if (call := self._by_run.get(run)) is not None:
            self._send(call, message)

    def _send(self, call: _Call, message: Any = None) -> None:
        try:
            if message is None:
                call.line.flush()
            elif not call.line.send(message):
                self._tell_dropped(call, message)
        except LineEndedError as error:
            self._end(call, str(error))

    def _let_go(self, run: str) -> None:
        # Without a word to the root: it knows, or another line takes over.
        if (call := self._by_run.pop(run, None)) is not None:
            self._keep_undelivered(call)
            call.run = None
            self._end(call, "")

    def _end(self, call: _Call, reason: str, *, silent: bool = False) -> None:
        if self._calls.pop(call.line.fd, None) is None:
            return
        self.unwatch(call.line.fd)
        self._signs.end(call.line.fd)
        self._strangers.goes(call.line.fd)
        call.line.close()
        if call.run is not None:
            self._keep_undelivered(call)
            del self._by_run[call.run]
            ended = LineEnded(run=call.run, silent=silent, reason=reason)
            self.send(self._root, ended)

    def _keep_undelivered(self, call: _Call) -> None:
        if call.run is not None and call.is_welcome:
            self._undelivered[call.run] = call.line

    def _tell_root(self, run: str, message: Any) -> None:
        self.send(self._root, FromMachine(run=run, message=message))

    def _tell_dropped(self, call: _Call, message: Any) -> None:
        count = self._quiet.note(Refusal.FULL, self.now())
        if count is not None:
            self.log.warning(
                "message.dropped",
                message=type(message).__name__,
                receiver=call.line.about,
                reason="as much waits for that line as may",
                count=count,
            )

    def _tell_full(self, line: Line) -> None:
        count = self._quiet.note(Refusal.CROWDED, self.now())
        if count is not None:
            about = {"strangers": len(self._strangers), "caller": line.about}
            self.log.warning("gate.full", **about, count=count)

    def _tell_refused(self, call: _Call, error: FrameError) -> None:
        count = self._quiet.note(error.refusal, self.now())
        if count is not None:
            self.log.warning(
                "frame.refused",
                reason=error.refusal.value,
                caller=call.line.about,
                count=count,
            )
