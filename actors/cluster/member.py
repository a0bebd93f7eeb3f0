"""The root of a machine that joined: it knows the leader by a line only.

Its processors are supervised as the leader's own. What they and the stages there
say to one another passes through here. While there is no line they go on with what
they have, and keep what they owe.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actors.cluster import allowed_functions, identity, keys
from actors.cluster.leader_connection import LeaderConnection
from actors.cluster.messages import (
    AskStatus,
    Down,
    Join,
    Leave,
    Order,
    ProcessIs,
    Refuse,
    Retune,
    SourceIs,
    StartMachine,
    TellStatus,
    Welcome,
)
from actors.cluster.router import Peer, Router
from actors.demand.messages import (
    CallOff,
    Cancel,
    Confirm,
    Crossing,
    Jobs,
    Ping,
    Subscribed,
)
from actors.hooks import spans
from actors.status import commands
from actors.supervision.actor import SupervisorActor
from actors.supervision.children import Fate
from actors.supervision.effects import Failed, Gone, Ready, SourceEnded
from actors.supervision.messages import (
    DemandGranted,
    ProcessGone,
    ProcessLost,
    SourceUp,
    Up,
)
from actors.supervision.status_answer import processors_here
from actors.user_code.versions import differing

if TYPE_CHECKING:
    from actors.actor_system.stage import Address
    from actors.cluster.router import Passed
    from actors.config.model import ProcessorConfig, SystemConfig
    from actors.demand.job import Process
    from actors.demand.messages import SubscriptionId
    from actors.host.control_socket import Request
    from actors.status.model import MemberStatus
    from actors.supervision.children import Child
    from actors.supervision.effects import Effect
    from actors.supervision.messages import StatusAnswer

#: How long a start waits for its name to be free, in seconds.
NAME_WITHIN_S = 15.0

#: The leader, and all behind it.
_LEADER = Peer("leader")


class MachineActor(SupervisorActor):
    """Runs processors for a leader elsewhere, for as long as that may take."""

    # The leader waits a little longer.
    answer_s = 0.3

    first: StartMachine
    connection: LeaderConnection

    def __init__(self) -> None:
        super().__init__()
        self._router = Router()
        self._sources: dict[str, SourceIs] = {}
        self._kind: ProcessorConfig | None = None
        self._line = ""
        self._begun_at = 0.0
        self._deadline: float | None = None
        self._stopping: list[Request] = []
        self._over = False

    # How it begins.

    def receive(self, message: Any, sender: Address) -> None:
        """Handle one message; before the first there is none."""
        if isinstance(message, StartMachine):
            if not self.is_open:
                self.start(message)
                # It runs; whether the leader does is another matter, and may take long.
                self.reporter.started()
        elif self.is_open:
            super().receive(message, sender)

    def begin(self, start: StartMachine) -> None:
        """Have the leader called; what is to be started, it says."""
        self.first = start
        # Until then there is nothing to start.
        self.open(replace(start.system, processors=()), start.incarnation)
        self.connection = LeaderConnection(
            self,
            identity.HostPort(start.host, start.port),
            keys.read_key(start.system.cluster_key_file),
            start.system.machine_timeout_s,
            Join(
                name=start.name,
                run=start.incarnation,
                host=socket.gethostname(),
                version=identity.own_version(),
                limit_s=start.system.machine_timeout_s,
            ),
            self._leader_says,
            [identity.HostPort(*each) for each in start.others],
        )
        self._begun_at = self.now()

    def carried_out(self) -> None:
        """Tell once that all processors work, and leave when none is left."""
        supervisor = self.supervisor
        count = len(supervisor.processors)
        if count and not supervisor.begun and supervisor.is_complete:
            supervisor.begun = True
            self.log.info("machine.working", processors=count)
        if self._deadline is not None and not count:
            self._leave("it was stopped")

    def unstartable(self, error: str) -> None:
        """Give up, and tell the leader and the main process why."""
        self.log.error("machine.refused", reason=error)
        self.connection.send(Leave(reason=error))
        self.connection.close()
        self.reporter.failed(error)

    def tick(self, now: float) -> None:
        """See to the line and to the processors, close what is over."""
        super().tick(now)
        if not self.is_open:
            return
        self.connection.tick(now)
        if self._deadline is not None and now >= self._deadline:
            self._leave("the drain took too long")

    def next_tick(self) -> float | None:
        """The line's next step, the next start, or the end of the drain."""
        if not self.is_open:
            return None
        times = [super().next_tick(), self.connection.next_tick(), self._deadline]
        return min((each for each in times if each is not None), default=None)

    def exiting(self) -> None:
        """Hang up."""
        if self.is_open:
            self.connection.close()

    # What the leader says.

    def _leader_says(self, message: Any) -> None:  # noqa: C901 - one arm a message
        match message:
            case Up():
                self._pass(self._router.up(message, _LEADER))
            case Down(message=inner):
                self._pass(self._router.down(inner))
            case Welcome():
                self._welcomed(message)
            case Refuse(reason=reason, for_now=for_now):
                self._refused(reason, for_now=for_now)
            case SourceIs():
                self._source_is(message)
            case ProcessGone():
                self.carry_out(self.supervisor.process_gone(message))
            case Order():
                self._ordered(message)
            case Retune(system=system):
                self._configure(system)
            case AskStatus(number=number):
                self._tell_status(number)
            case _:
                self.unexpected(message)

    def _welcomed(self, welcome: Welcome) -> None:
        try:
            kind = self._choose(welcome.system)
        except ValueError as error:
            self.unstartable(str(error))
            return
        if self._refuses(welcome.system, kind):
            return
        functions = tuple(welcome.system.functions_of(kind))
        wrong = differing(functions, welcome.versions, "at the leader")
        if wrong is not None:
            self.unstartable(wrong)
            return
        versions = {each: welcome.versions[each] for each in functions}
        back = welcome.line == self._line
        self.connection.welcome(welcome.limit_s, back=back)
        steps = {each.name for each in welcome.system.processors}
        spans.follow(welcome.trace, set(kind.sources) - steps)
        self._line = welcome.line
        name = self.first.name
        self.log.info("machine.joined", machine=name, leader=self._leader)
        is_first = self._kind is None
        is_newer = versions != self.supervisor.versions
        self.supervisor.versions = versions
        self._configure(welcome.system)
        if is_newer and not is_first:
            # What runs here is what the former leader ran.
            self.log.info("machine.renewed", machine=name, leader=self._leader)
            self.carry_out(self.supervisor.renew(self.now()))
        if is_first:
            count, now = self.first.count, self.now()
            self.supervisor.attach(kind, count, now, base=f"{name}/")
            self.carry_out(self.supervisor.tick(now))
        for child in self.supervisor.processors:
            if child.is_ready:
                process = self.supervisor.process_of(child)
                self.connection.send(ProcessIs(process=process, up=True))

    def _choose(self, system: SystemConfig) -> ProcessorConfig:
        kinds = {each.name: each for each in system.processors}
        chosen = self.first.kind
        if chosen is None and len(kinds) == 1:
            return next(iter(kinds.values()))
        if chosen not in kinds:
            expected = ", ".join(kinds)
            raise ValueError(f"--processor must be one of {expected}, got {chosen!r}")
        return kinds[chosen]

    def _refuses(self, system: SystemConfig, kind: ProcessorConfig) -> bool:
        names = allowed_functions.named_by(system, kind)
        if not (refused := allowed_functions.refused(names, self.first.allow)):
            return False
        flags = " ".join(f"--allow {each}" for each in refused)
        what = ", ".join(refused)
        self.unstartable(
            f"the leader asks for {what}, which this machine was not told to run: "
            f"join with {flags} if it may"
        )
        return True

    def _configure(self, system: SystemConfig) -> None:
        kind = self._choose(system)
        if self._refuses(system, kind):
            return
        self._kind = kind
        self.carry_out(self.supervisor.configure(self._kind, system))

    def _refused(self, reason: str, *, for_now: bool) -> None:
        waited_s = self.now() - self._begun_at
        if not for_now or (self._kind is None and waited_s > NAME_WITHIN_S):
            self.unstartable(reason)
        else:
            self.connection.hang_up(reason)

    def _source_is(self, source: SourceIs) -> None:
        if self._kind is None or source.kind not in self._kind.sources:
            return
        known = self._sources.get(source.name)
        if known is not None and (not source.up or known.run != source.run):
            # Another run of it, or none: this one has ended. Where there was no line
            # to tell of that, nobody can say how.
            fate = Fate(source.fate) if source.fate else Fate.RESTART
            if known.up or fate.is_final:
                self._source_ended(known, fate)
        if source.up:
            self._sources[source.name] = source
            self._router.source_up(source.name, _LEADER)
            self.carry_out(self.supervisor.source_up(self._as_seen_here(source)))

    def _source_ended(self, source: SourceIs, fate: Fate) -> None:
        self._sources[source.name] = replace(source, up=False)
        if fate.is_final:
            del self._sources[source.name]
            self._router.source_gone(source.name)
        ended = SourceEnded(source.kind, source.name, fate)
        self.carry_out(self.supervisor.source_ended(ended))

    def _as_seen_here(self, source: SourceIs) -> SourceUp:
        return SourceUp(
            kind=source.kind,
            name=source.name,
            address=self.myAddress,
            relayed=True,
            line=f"{self._line}/{source.run}",
        )

    def _ordered(self, order: Order) -> None:
        process = order.process
        child = self.supervisor.processors.get(process.name)
        is_it = child is not None and child.run == process.run
        match order.verb:
            case "detach":
                if child is not None:
                    self.carry_out(self.supervisor.detach(child))
                if self.supervisor.processors.get(process.name) is None:
                    self._tell_end(process, "detached", Fate.REMOVED)
            case "kill" if is_it:
                self.carry_out(self.supervisor.lost(process))
            case "kill":
                # A line that ended had lost that.
                fate = Fate.REMOVED if child is None else Fate.RESTART
                self._tell_end(process, "exited", fate)
            case "tell" if is_it:
                self.tell(process.name, order.message)
            case _:
                pass

    def _tell_end(
        self, process: Process, reason: str, fate: Fate, *, crash: bool = False
    ) -> None:
        self.connection.send(
            ProcessIs(
                process=process, up=False, reason=reason, crash=crash, fate=fate.value
            )
        )

    def _tell_status(self, number: int) -> None:
        def over(answers: dict[str, StatusAnswer]) -> None:
            here = [
                replace(answers[name], processor=status)
                for name, status in processors_here(self.supervisor, answers)
                if name in answers
            ]
            self.connection.send(TellStatus(number=number, answers=tuple(here)))

        self.ask_all(over)

    # What the processors say.

    def take(self, message: Any, sender: Address | None) -> None:
        """Pass on what a processor says, or says to a source."""
        match message:
            case Up():
                self._pass(self._router.up(message, sender))
            case Ping(subscription=subscription) if self._is_crossing(subscription):
                self.send(sender, Crossing(subscription=subscription))
            case Subscribed() | Jobs() | Confirm() | CallOff() | Ping() | Cancel():
                self._pass(self._router.down(message))
            case ProcessLost() | DemandGranted():
                self.connection.send(message)
            case _:
                self.unexpected(message)

    def news(self, news: Effect) -> None:
        """Tell the leader what has become of a processor."""
        match news:
            case Ready(child=child):
                self._ready(child)
            case Gone(message=gone, fate=fate):
                self._router.source_gone(gone.process.name)
                self._tell_end(gone.process, gone.reason, fate, crash=gone.crash)
            case SourceEnded() | Failed():
                pass  # the leader knows by the process that is gone
            case _:
                raise AssertionError(news)

    def _ready(self, child: Child[ProcessorConfig]) -> None:
        self._router.source_up(child.name, child.address)
        process = self.supervisor.process_of(child)
        self.connection.send(ProcessIs(process=process, up=True))
        for source in self._sources.values():
            if source.up:
                self.tell(child.name, self._as_seen_here(source))

    def _is_crossing(self, subscription: SubscriptionId) -> bool:
        is_afar = self._router.place_of(subscription) == _LEADER
        return is_afar and self.connection.is_crossing(subscription)

    def _pass(self, passed: Passed | None) -> None:
        match passed:
            case None:
                return
            case (Peer(), message):
                self.connection.send(message)
            case (address, message):
                self.send(address, message)

    # The end.

    def command(self, request: Request) -> None:
        """Carry out ``stop`` and ``status``; the rest is the leader's."""
        match request.command.get("verb"):
            case "stop":
                self._stop(request)
            case "status":
                self.ask_all(lambda answers: request.answer(self._describe(answers)))
            case "journal":
                request.answer(commands.Journal(journal=None))
            case _:
                error = f"this machine works for {self._leader}: ask there"
                request.answer({"error": error})

    def _describe(self, answers: dict[str, StatusAnswer]) -> MemberStatus:
        is_open = self.connection.is_open
        here = processors_here(self.supervisor, answers)
        return {
            "state": "draining" if self._deadline else "running" if is_open else "away",
            "accounting": {},
            "fetchers": [],
            "processors": [{"name": name, **status} for name, status in here],
            "why": f"{'works' if is_open else 'waits'} for {self._leader}",
        }

    @property
    def _leader(self) -> str:
        return self.connection.leader

    def _stop(self, request: Request) -> None:
        at_once = commands.Stop.of(request.command).now is True
        self._stopping.append(request)
        if self._deadline is None or at_once:
            timeout_s = 0.0 if at_once else self.first.system.drain_timeout_s
            self.log.info("drain.started", timeout_s=timeout_s)
            self._deadline = self.now() + timeout_s
            for child in self.supervisor.processors:
                self.carry_out(self.supervisor.detach(child))
            if not self.connection.is_open:
                self._forget_sources()
        self.carried_out()

    def _forget_sources(self) -> None:
        # There is nobody to deliver to, or to take leave of: what runs is finished,
        # and done again by whom the leader will find.
        for source in self._sources.values():
            ended = SourceEnded(source.kind, source.name, Fate.REMOVED)
            self.carry_out(self.supervisor.source_ended(ended))

    def _leave(self, reason: str) -> None:
        if self._over:
            return
        self._over, self._deadline = True, None
        left = len(self.supervisor.processors)
        self.connection.send(Leave(reason=reason))
        self.connection.close()
        for request in self._stopping:
            request.answer(commands.MemberStopped(left=left))
        self.reporter.stopped({}, left)
