"""The actor at the top of a machine, which carries out what its supervisor decides."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from actors.actor_system.stage import NOT_MADE, Address, Stage
from actors.supervision.effects import (
    End,
    Fatal,
    Kill,
    Log,
    SourceEnded,
    Start,
    Tell,
    Unstartable,
)
from actors.supervision.gather import Gather
from actors.supervision.heartbeat import Heartbeat
from actors.supervision.messages import (
    Drained,
    Overdue,
    Sign,
    Started,
    StatusAnswer,
    StatusRequest,
)
from actors.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from structlog.typing import FilteringBoundLogger

    from actors.config.model import SystemConfig
    from actors.host.control_socket import ControlServer, Request
    from actors.host.reports import Reporter
    from actors.supervision.children import Role
    from actors.supervision.effects import Effect
    from actors.supervision.gather import Question

#: The actor's own name among those that give signs of life.
_SELF = "root"


@dataclass(frozen=True, slots=True)
class Means:
    """What a part of a root acts with: it knows neither the root nor other parts."""

    supervisor: Supervisor
    carry_out: Callable[[Iterable[Effect]], None]
    reporter: Reporter
    log: FilteringBoundLogger
    now: Callable[[], float]

    def tell(self, name: str, message: Any) -> None:
        """Send to a child, if it is there."""
        self.carry_out([Tell(name, message)])


class CommandsIn:
    """The control socket and the main process's line, watched by the actor at the top.

    One that cannot be reached by its socket goes on, and tries again: a signal
    stops the system then.
    """

    def __init__(
        self,
        stage: Stage,
        control: ControlServer,
        reporter: Reporter,
        run: Callable[[Request], None],
    ) -> None:
        self._stage = stage
        self._control = control
        self._reporter = reporter
        self._run = run
        self._watched: set[int] = set()
        self._reported: str | None = None

    def tick(self, now: float) -> None:
        """See that others can reach the socket."""
        self._control.tick(now)
        self._watch()
        problem = self._control.problem
        if problem is not None and problem != self._reported:
            self._reporter.unreachable(problem)
        self._reported = problem

    def next_tick(self) -> float | None:
        """When to see to it again, in monotonic seconds."""
        return self._control.next_tick()

    def _watch(self) -> None:
        fds = set(self._control.fds)
        for fd in self._watched - fds:
            self._stage.unwatch(fd)
        for fd in fds:
            self._stage.watch(fd, lambda fd=fd: self._ready(fd))  # type: ignore[misc]
        self._watched = fds

    def _ready(self, fd: int) -> None:
        request = self._control.ready(fd)
        self._watch()
        if request is not None:
            self._run(request)


class SupervisorActor(Stage):
    """Starts, watches and ends the stages of one machine.

    Attributes:
        stages: The class of each role's actor.
        answer_s: A stage that gives no status within this many seconds is shown as
            it was last.
    """

    stages: ClassVar[Mapping[Role, type[Stage]]] = {}
    answer_s: ClassVar[float]

    reporter: Reporter
    supervisor: Supervisor
    means: Means
    _commands_in: CommandsIn
    _beats: Heartbeat[str]

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False
        self.statuses = Gather()

    # What the root of a leader and that of a joined machine fill in.

    def begin(self, start: Any) -> None:
        """Begin with the first message; ``open`` is to be called."""
        raise NotImplementedError

    def command(self, request: Request) -> None:
        """Carry out a command of another terminal."""
        raise NotImplementedError

    def take(self, message: Any, sender: Address | None) -> None:
        """Handle a message that not every supervisor gets."""
        raise NotImplementedError

    def news(self, news: Effect) -> None:
        """Tell others what has become of a child."""
        raise NotImplementedError

    def unstartable(self, error: str) -> None:
        """Give up: what was to be started cannot be."""
        self.reporter.failed(error)

    def carried_out(self) -> None:
        """Look what follows, now that all effects are carried out."""

    # What they use.

    def start(self, message: Any) -> None:
        """Begin, and tell the main process what keeps this actor from it, if so."""
        self.reporter = self.environment.reporter(message.report_fd)
        # The keeper ends all, once the main process has ended; but it may be stopped.
        if (fd := self.environment.main_end()) >= 0:
            self.watch(fd, self.environment.end_system)
        self.reporter.alive(self.environment.process_id())
        with self.reporter.beginning():
            self.begin(message)
            control = self.environment.control(
                message.control_socket, message.orders_fd
            )
            self._commands_in = CommandsIn(self, control, self.reporter, self.command)
            self._commands_in.tick(self.now())
            self.is_open = True
            self.carry_out(self.supervisor.tick(self.now()))

    def open(
        self,
        system: SystemConfig,
        incarnation: str,
        is_elsewhere: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Make what every supervisor has."""
        self.log = self.environment.log(system.log_level)
        host = socket.gethostname()
        self.supervisor = Supervisor(system, incarnation, host, is_elsewhere)
        self.means = Means(
            self.supervisor, self.carry_out, self.reporter, self.log, self.now
        )
        self._beats = Heartbeat(system.lease_s)
        self._beats.begin(_SELF, self.now())

    def carry_out(  # noqa: C901 - one arm an effect
        self, effects: Iterable[Effect]
    ) -> None:
        """Do what was decided, in order."""
        for effect in effects:
            match effect:
                case Start(child=child, message=message):
                    child.address = self.create(self.stages[child.role])
                    self.send(child.address, message)
                case Tell(name=name, message=message):
                    self.tell(name, message)
                case End(address=address):
                    self.end(address)
                case Kill(pid=pid):
                    self.environment.kill(pid)
                case Log(level=level, event=event, fields=fields):
                    getattr(self.log, level)(event, **fields)
                case Fatal(reason=reason):
                    self.reporter.fatal(reason, self.supervisor.accounting().as_dict())
                case Unstartable(error=error):
                    self.unstartable(error)
                case SourceEnded():
                    self.carry_out(self.supervisor.source_ended(effect))
                    self.news(effect)
                case _:
                    self.news(effect)
        self.carried_out()

    def tell(self, name: str, message: Any) -> None:
        """Send to a child, if it has a process."""
        child = self.supervisor.get(name)
        if child is not None and child.address is not None:
            self.send(child.address, message)

    def ask_all(
        self,
        then: Callable[[dict[str, StatusAnswer]], None],
        elsewhere: Iterable[str] = (),
    ) -> int:
        """Ask every stage for its status; ``then`` gets the answers by name."""
        there = [e.name for e in self.supervisor.stages if e.address is not None]

        def over(question: Question) -> None:
            then(question.answers)

        until = self.now() + self.answer_s
        number = self.statuses.ask((*there, *elsewhere), over, until=until)
        for name in there:
            self.tell(name, StatusRequest(number=number))
        return number

    def status_answered(self, answer: StatusAnswer) -> None:
        """Note how a stage is, which is a sign of life as well."""
        self._heard(answer.name, answer.accounting)
        self.statuses.answered(answer.number, answer.name, answer)

    # The actor's side.

    def receive(self, message: Any, sender: Address) -> None:
        """Handle one message."""
        match message:
            case Started():
                self._stage_started(message, sender)
            case Drained(name=name) if self.supervisor.processors.get(name):
                self.carry_out(self.supervisor.drained(name))
            case StatusAnswer():
                self.status_answered(message)
            case Sign(name=name, accounting=accounting):
                self._heard(name, accounting)
            case Overdue(name=name, run=run):
                self.carry_out(self.supervisor.overdue(name, run))
            case _:
                self.take(message, sender)

    def child_exited(self, child: Address) -> None:
        """Restart the stage, or give it up; its end may be told twice."""
        if (name := self.name_of(child)) is not None:
            self.carry_out(self.supervisor.exited(name, self.now()))

    def name_of(self, child: Address) -> str | None:
        """The stage's name."""
        for each in self.supervisor.all if self.is_open else ():
            if each.address is not None and self.is_same(each.address, child):
                return each.name
        return None

    def not_made(self, child: Address) -> None:
        """Give up at the start; later it counts as the end of that stage."""
        if self.supervisor.begun:
            super().not_made(child)
        else:
            self.unstartable(f"cannot start all processes: {NOT_MADE}")

    def tick(self, now: float) -> None:
        """Start the children that are due, and end the questions whose time is over."""
        if not self.is_open:
            return
        if self._beats.due(now):
            self._beats.heard(_SELF, now)
            self.reporter.beat()
        self._commands_in.tick(now)
        self.carry_out(self.supervisor.tick(now))
        self.statuses.tick(now)

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do, in monotonic seconds."""
        if not self.is_open:
            return None
        times = [
            # With the questions to its stages, which have the same interval.
            self._beats.next_alone(),
            self._commands_in.next_tick(),
            self.supervisor.next_tick(),
            self.statuses.next_tick(),
        ]
        return min((each for each in times if each is not None), default=None)

    def _stage_started(self, message: Started, sender: Address) -> None:
        child = self.supervisor.get(message.name)
        address = None if child is None else child.address
        if child is None or address is None or not self.is_same(address, sender):
            return  # late news of an earlier run
        if message.error is not None:
            effects = self.supervisor.cannot_start(
                message.name, message.error, may_pass=message.may_pass
            )
            self.carry_out(effects)
            return
        if message.waits_for is not None:
            child.waits_for = message.waits_for
            return
        child.address = sender
        name, pid = message.name, message.pid
        self.carry_out(self.supervisor.started(name, pid, self.now()))

    def _heard(self, name: str, accounting: Any) -> None:
        self.supervisor.heard(name, self.now(), accounting)
