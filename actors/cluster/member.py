"""The root of a machine that joined: it knows the leader by a line only.

What its processors and the stages there say to one another passes through here.
While there is no line they go on with what they have, and keep what they owe.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from actors.actor_system.stage import NOT_MADE, Address, Stage
from actors.cluster import identity
from actors.cluster.leader_connection import Caller
from actors.cluster.member_processors import Crew
from actors.cluster.member_status import CrewRounds, describe_crew
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
    Up,
    Welcome,
)
from actors.cluster.router import Switchboard
from actors.demand.job import Process
from actors.demand.messages import Cancel, Confirm, Jobs, Ping, Subscribed
from actors.supervision.control_input import CommandsIn
from actors.supervision.heartbeat import Pulse
from actors.supervision.messages import (
    Drained,
    Overdue,
    ProcessGone,
    ProcessLost,
    Sign,
    SourceGone,
    SourceUp,
    Started,
    StatusAnswer,
)

if TYPE_CHECKING:
    from actors.config.model import ProcessorConfig, SystemConfig
    from actors.demand.job import Process
    from actors.demand.messages import ToConsumer
    from actors.host.control_socket import Request
    from actors.host.reports import Reporter
    from actors.status.model import MemberStatus

#: How long a start waits for its name to be free, in seconds.
NAME_WITHIN_S = 15.0

#: Its own name among those whose time has come.
_SELF = ""
#: Where on the switchboard the leader and all behind it are.
_LEADER = "leader"


class MachineActor(Stage):
    """Runs processors for a leader elsewhere, for as long as that may take."""

    start: StartMachine
    reporter: Reporter
    crew: Crew
    rounds: CrewRounds
    caller: Caller
    commands_in: CommandsIn

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._board: Switchboard[Any] = Switchboard()
        self._sources: dict[str, SourceIs] = {}
        self._kind: ProcessorConfig | None = None
        self._line = ""
        self._begun_at = 0.0
        self._told_working = False
        self._deadline: float | None = None
        self._stopping: list[Request] = []
        self._over = False
        self._pulse = Pulse(0.0)

    def receive(  # noqa: C901 - one arm a message
        self, message: Any, sender: Address
    ) -> None:
        """Handle one message."""
        if isinstance(message, StartMachine) and not self._started:
            self._start(message)
        if not self._started:
            return
        match message:
            case Up():
                self._up(message, sender)
            case Subscribed() | Jobs() | Confirm() | Ping() | Cancel():
                self._down(message)
            case Started():
                self._processor_started(message, sender)
            case Drained(name=name):
                self.crew.end(name)
            case Overdue():
                self.crew.overdue(message)
            case ProcessLost():
                self.caller.send(message)
            case StatusAnswer():
                self.rounds.answered(message)
            case Sign(name=name):
                self.crew.heard(name)
            case StartMachine():
                pass
            case _:
                self.unexpected(message)

    def name_of(self, child: Address) -> str | None:
        """The processor's name."""
        return self.crew.name_of(child)

    def child_exited(self, child: Address) -> None:
        """Restart the processor, or give it up; its end may be told twice."""
        self.crew.exited(child)
        if self.crew.fatal:
            self.reporter.fatal("its processors died too often to be restarted")
        self._leave_if_done()

    def not_made(self, child: Address) -> None:
        """Give up before it has worked; later it counts as that processor's end."""
        if self._told_working:
            super().not_made(child)
        else:
            self._give_up(f"cannot start all processors: {NOT_MADE}")

    def tick(self, now: float) -> None:
        """See to the line, start who is due, close what is over."""
        if not self._started:
            return
        self._tell_main(now)
        self.commands_in.tick(now)
        self.caller.tick(now)
        self.crew.tick(now)
        self.rounds.tick(now)
        if self._deadline is not None and now >= self._deadline:
            self._leave("the drain took too long")

    def next_tick(self) -> float | None:
        """The line's next step, the next start, or the end of the drain."""
        if not self._started:
            return None
        times = [self.caller.next_tick(), self.crew.next_tick(), self._deadline]
        times += [self._pulse.next_tick(), self.rounds.next_tick()]
        times += [self.commands_in.next_tick()]
        return min((each for each in times if each is not None), default=None)

    def exiting(self) -> None:
        """Hang up."""
        if self._started:
            self.caller.close()

    def _start(self, message: StartMachine) -> None:
        self.reporter = self.edges.reporter(message.report_fd)
        self.reporter.alive(self.edges.process_id())
        with self.reporter.beginning():
            self._begin(message)

    def _begin(self, message: StartMachine) -> None:
        self.start = message
        self.log = self.edges.log(message.system.log_level)
        run = message.incarnation
        self.crew = Crew(self, message.name, run, self._processor_up, self._gone)
        self.rounds = CrewRounds(self, self.crew)
        self.caller = Caller(
            self,
            identity.Place(message.host, message.port),
            identity.read_key(message.system.cluster_key_file),
            message.system.machine_timeout_s,
            Join(
                name=message.name,
                run=run,
                host=socket.gethostname(),
                version=identity.own_version(),
            ),
            self._heard,
        )
        self._begun_at = self.now()
        control = self.edges.control(message.control_socket, message.orders_fd)
        self.commands_in = CommandsIn(self, control, self.reporter, self._command)
        self.commands_in.tick(self._begun_at)
        self._pulse = Pulse(message.system.lease_s)
        self._pulse.begin(_SELF, self._begun_at)
        self._started = True
        # It runs; whether the leader does is another matter, and may take long.
        self.reporter.started()

    def _tell_main(self, now: float) -> None:
        if self._pulse.due(now):
            self._pulse.heard(_SELF, now)
            self.reporter.beat()

    # The leader's word.

    def _heard(self, message: Any) -> None:  # noqa: C901 - one arm a message
        match message:
            case Up():
                self._up(message, _LEADER)
            case Down(message=inner):
                self._down(inner)
            case Welcome():
                self._welcomed(message)
            case Refuse(reason=reason, for_now=for_now):
                self._refused(reason, for_now=for_now)
            case SourceIs():
                self._source_is(message)
            case ProcessGone():
                self.crew.tell_all(message)
            case Order(verb="kill", process=process):
                self.crew.kill(process)
            case Order(verb="detach", process=process):
                self.crew.detach([process.name])
            case Retune(system=system):
                self._configure(system)
            case AskStatus(number=number):
                self.rounds.ask(
                    lambda answers: self.caller.send(
                        TellStatus(number=number, answers=tuple(answers.values()))
                    )
                )
            case _:
                self.unexpected(message)

    def _welcomed(self, welcome: Welcome) -> None:
        try:
            kind = self._choose(welcome.system)
        except ValueError as error:
            self._give_up(str(error))
            return
        ours = identity.versions(welcome.system.functions_of(kind))
        wrong = [
            f"{name} is {version} here and {welcome.versions.get(name)} at the leader"
            for name, version in ours.items()
            if welcome.versions.get(name) != version
        ]
        if wrong:
            self._give_up("another version of the code: " + "; ".join(wrong))
            return
        self._line = welcome.line
        name = self.start.name
        self.log.info("machine.joined", machine=name, leader=self._leader)
        if self._kind is None:
            self._kind = kind
            self.crew.hire(kind, welcome.system, self.start.count)
        else:
            self._configure(welcome.system)
        for process, _ in self.crew.processes:
            self.caller.send(ProcessIs(process=process, up=True))

    def _choose(self, system: SystemConfig) -> ProcessorConfig:
        kinds = {each.name: each for each in system.processors}
        if self.start.kind is None and len(kinds) == 1:
            return next(iter(kinds.values()))
        if self.start.kind not in kinds:
            expected = ", ".join(kinds)
            raise ValueError(
                f"--processor must be one of {expected}, got {self.start.kind!r}"
            )
        return kinds[self.start.kind]

    def _configure(self, system: SystemConfig) -> None:
        self._kind = self._choose(system)
        self.crew.configure(self._kind, system)

    def _refused(self, reason: str, *, for_now: bool) -> None:
        waited_s = self.now() - self._begun_at
        if not for_now or (self._kind is None and waited_s > NAME_WITHIN_S):
            self._give_up(reason)
            return
        self.caller.hang_up(reason)

    def _give_up(self, reason: str) -> None:
        self.log.error("machine.refused", reason=reason)
        self.caller.send(Leave(reason=reason))
        self.caller.close()
        self.reporter.failed(reason)

    def _source_is(self, source: SourceIs) -> None:
        if self._kind is None or source.kind not in self._kind.sources:
            return
        if not source.up:
            self._sources.pop(source.name, None)
            self._board.source_gone(source.name)
            self.crew.tell_all(SourceGone(name=source.name))
            return
        self._sources[source.name] = source
        self._board.source_up(source.name, _LEADER)
        self.crew.tell_all(self._as_seen_here(source))

    def _as_seen_here(self, source: SourceIs) -> SourceUp:
        return SourceUp(
            kind=source.kind,
            name=source.name,
            address=self.myAddress,
            relayed=True,
            line=f"{self._line}/{source.run}",
        )

    # The processors' word.

    def _processor_started(self, message: Started, sender: Address) -> None:
        if message.error is not None:
            self._give_up(message.error)
            return
        self.crew.started(message, sender)
        if not self._told_working and self.crew.is_complete:
            self._told_working = True
            self.log.info("machine.working", processors=len(self.crew))

    def _processor_up(self, process: Process, address: Address) -> None:
        self.log.info("processor.attached", processor=process.name, pid=process.pid)
        self._board.source_up(process.name, address)
        self.caller.send(ProcessIs(process=process, up=True))
        for source in self._sources.values():
            self.send(address, self._as_seen_here(source))

    def _gone(self, process: Process, reason: str, crash: bool) -> None:  # noqa: FBT001
        self._board.source_gone(process.name)
        self.caller.send(
            ProcessIs(process=process, up=False, reason=reason, crash=crash)
        )

    def _up(self, message: Up, origin: Any) -> None:
        where = self._board.up(message.source, message.message, origin)
        if isinstance(where, str):
            self.caller.send(message)
        elif where is not None:
            self.send(where, message.message)

    def _down(self, message: ToConsumer) -> None:
        where = self._board.down(message)
        if isinstance(where, str):
            self.caller.send(Down(message=message))
        elif where is not None:
            self.send(where, message)

    # The end.

    def _command(self, request: Request) -> None:
        match request.command.get("verb"):
            case "stop":
                self._stop(request)
            case "status":
                self.rounds.ask(lambda told: request.answer(self._describe(told)))
            case "journal":
                request.answer({"journal": None})
            case _:
                error = f"this machine works for {self._leader}: ask there"
                request.answer({"error": error})

    def _describe(self, answers: dict[str, StatusAnswer]) -> MemberStatus:
        is_open = self.caller.is_open
        return {
            "state": "draining" if self._deadline else "running" if is_open else "away",
            "accounting": {},
            "fetchers": [],
            "processors": describe_crew(self.crew, answers),
            "why": f"{'works' if is_open else 'waits'} for {self._leader}",
        }

    @property
    def _leader(self) -> str:
        return str(identity.Place(self.start.host, self.start.port))

    def _stop(self, request: Request) -> None:
        at_once = request.command.get("now") is True
        self._stopping.append(request)
        if self._deadline is None or at_once:
            timeout_s = 0.0 if at_once else self.start.system.drain_timeout_s
            self.log.info("drain.started", timeout_s=timeout_s)
            self._deadline = self.now() + timeout_s
            self.crew.detach()
            if not self.caller.is_open:
                self._forget_sources()
        self._leave_if_done()

    def _forget_sources(self) -> None:
        # There is nobody to deliver to, or to take leave of: what runs is finished,
        # and done again by whom the leader will find.
        for name in self._sources:
            self.crew.tell_all(SourceGone(name=name))

    def _leave_if_done(self) -> None:
        if self._deadline is not None and not len(self.crew):
            self._leave("it was stopped")

    def _leave(self, reason: str) -> None:
        if self._over:
            return
        self._over, self._deadline = True, None
        left = len(self.crew)
        self.caller.send(Leave(reason=reason))
        self.caller.close()
        for request in self._stopping:
            request.answer({"left": left})
        self.reporter.stopped({}, left)
