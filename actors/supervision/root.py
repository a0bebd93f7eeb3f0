"""The root: starts the other stages, brings them together, lets them drain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from actors.actor_system.stage import NOT_MADE, Address, Stage
from actors.cluster.gateway import GATE
from actors.cluster.leader import LocalSource, Remote
from actors.cluster.messages import FromMachine, LineEnded
from actors.demand.job import Accounting
from actors.supervision.children import Member, Roster, StageState
from actors.supervision.control_input import CommandsIn
from actors.supervision.control_verbs import Commands
from actors.supervision.drain import Shutdown
from actors.supervision.gather import StatusRound
from actors.supervision.live_settings import Tuning
from actors.supervision.liveness import Liveness
from actors.supervision.messages import (
    Asked,
    Begin,
    Drain,
    Drained,
    JobsDecided,
    MarkPassed,
    Overdue,
    ProcessGone,
    ProcessLost,
    Sign,
    SourceUp,
    Started,
    StartSystem,
    StateDecided,
    StatusAnswer,
    StatusRequest,
)
from actors.supervision.status_answer import STATUS_WITHIN_S
from actors.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.config.model import FetcherConfig, ProcessorConfig, SystemConfig
    from actors.host.reports import Reporter


class RootActor(Stage):
    """Knows where every stage is, and gives each what concerns it."""

    config: SystemConfig
    fetchers: Roster[FetcherConfig]
    processors: Roster[ProcessorConfig]
    reporter: Reporter
    supervisor: Supervisor
    commands: Commands
    shutdown: Shutdown
    liveness: Liveness
    tuning: Tuning
    remote: Remote
    commands_in: CommandsIn

    def __init__(self) -> None:
        super().__init__()
        self.begun = False
        self._started = False
        self._was_draining = False
        self._held = False
        self._addresses: dict[str, Address] = {}
        self._rounds: dict[int, StatusRound] = {}
        self._round_count = 0
        self._accounts: dict[str, Accounting] = {}

    def receive(  # noqa: C901 - one arm a message
        self, message: Any, sender: Address
    ) -> None:
        """Handle one message."""
        if isinstance(message, StartSystem):
            if not self._started:
                self._start_system(message)
            return
        if not self._started:
            return
        match message:
            case Started():
                self._stage_started(message, sender)
            case Drained(name=name):
                self._stage_drained(name)
            case StatusAnswer():
                self.stage_answered(message)
            case Sign():
                self._heard(message.name, message.accounting)
            case FromMachine() | LineEnded():
                self.remote.receive(message)
            case JobsDecided() | StateDecided() | Asked() | MarkPassed():
                self.commands.heard(message)
            case ProcessLost(process=process):
                self.supervisor.kill_lost(process)
            case Overdue():
                self.supervisor.replace_overdue(message)
            case _:
                self.unexpected(message)

    def child_exited(self, child: Address) -> None:
        """Restart the stage, or give it up; its end may be told twice."""
        if (name := self.name_of(child)) is not None:
            del self._addresses[name]
            self.liveness.exited(name)
            if self.shutdown.ending:
                self.shutdown.stage_ended()
            else:
                self.supervisor.stage_exited(name)

    def name_of(self, child: Address) -> str | None:
        """The stage's name."""
        found = (n for n, each in self._addresses.items() if self.is_same(each, child))
        return next(found, None)

    def not_made(self, child: Address) -> None:
        """Give up at the start; later it counts as the end of that stage."""
        if self.begun:
            super().not_made(child)
        else:
            self.reporter.failed(f"cannot start all processes: {NOT_MADE}")

    def tick(self, now: float) -> None:
        """Start who is due, close status rounds, see to the shutdown."""
        if not self._started:
            return
        self.commands_in.tick(now)
        self.supervisor.tick(now)
        for number, each in tuple(self._rounds.items()):
            if now >= each.deadline:
                self._close_round(number)
        self.remote.tick(now)
        self.shutdown.tick(now)
        self.liveness.tick(now)

    def next_tick(self) -> float | None:
        """The next start, status deadline, or step of the shutdown."""
        if not self._started:
            return None
        times = [
            self.supervisor.next_tick(),
            self.shutdown.next_tick(),
            self.liveness.next_tick(),
            self.remote.next_tick(),
            self.commands_in.next_tick(),
            *(each.deadline for each in self._rounds.values()),
        ]
        return min((each for each in times if each is not None), default=None)

    # What its parts use.

    @property
    def state(self) -> Literal["running", "paused", "draining"]:
        """``running``, ``paused`` or ``draining``."""
        if self.shutdown.draining:
            return "draining"
        return "paused" if self.tuning.all_paused else "running"

    def ask_all(self, then: Callable[[dict[str, StatusAnswer]], None]) -> None:
        """Ask every stage for its status; ``then`` gets the answers by name."""
        self._round_count += 1
        running = tuple(self._addresses)
        deadline = self.now() + STATUS_WITHIN_S
        missing = set(running) | self.remote.ask(self._round_count)
        missing.discard(GATE)
        self._rounds[self._round_count] = StatusRound(deadline, missing, then)
        for name in running:
            if name != GATE:
                self.tell(name, StatusRequest(number=self._round_count))
        if not missing:
            self._close_round(self._round_count)

    def tell(self, name: str, message: Any) -> None:
        """Send to a stage, if it is there."""
        if (address := self._addresses.get(name)) is not None:
            self.send(address, message)

    def accounting(self) -> Accounting:
        """Where every job is; of a fetcher that is not there, as it said last."""
        return sum(self._accounts.values(), Accounting())

    def is_there(self, name: str) -> bool:
        """Whether a stage has a process, ready or not."""
        return name in self._addresses

    def is_any_there(self) -> bool:
        """Whether a fetcher or processor has a process."""
        return any(name != GATE for name in self._addresses)

    def sources(self) -> list[LocalSource]:
        """The stages here that others take from, as they run now."""
        steps = self.config.steps
        ready = (StageState.RUNNING, StageState.DRAINING)
        members: list[tuple[str, Member[Any]]] = [
            *((each.name, each) for each in self.fetchers),
            *((e.config.name, e) for e in self.processors if e.config.name in steps),
        ]
        return [
            LocalSource(kind, each.name, self._addresses[each.name], each.run)
            for kind, each in members
            if each.state in ready and each.name in self._addresses
        ]

    def start_stage(self, name: str, stage: type[Stage], start: Any) -> None:
        """Create a stage in a process of its own, and send it its first message."""
        self._addresses[name] = self.create(stage)
        self.send(self._addresses[name], start)

    def takers_of(self, kind: str) -> list[Member[ProcessorConfig]]:
        """The processors that take from a kind of stage and are there."""
        ready = (StageState.RUNNING, StageState.DRAINING)
        return [
            each
            for each in self.processors
            if each.state in ready and kind in each.config.sources
        ]

    def tell_gone(self, gone: ProcessGone) -> None:
        """Tell whatever processors take from that one of them is no more."""
        steps = [
            each.name
            for each in self.processors
            if each.config.name in self.config.steps
        ]
        for name in (*(each.name for each in self.fetchers), *steps):
            self.tell(name, gone)
        self.remote.process_gone(gone)

    def end_stage(self, name: str) -> None:
        """End a stage's process, if it is there."""
        if (address := self._addresses.get(name)) is not None:
            self.end(address)

    def stage_answered(self, answer: StatusAnswer) -> None:
        """Note how a stage is; the answer to a round that is over is ignored."""
        self._heard(answer.name, answer.accounting)
        status_round = self._rounds.get(answer.number)
        if status_round is None:
            return
        status_round.answered(answer)
        if not status_round.missing:
            self._close_round(answer.number)

    def begin_when_ready(self) -> None:
        """Let the fetchers poll, once nothing of the system is waited for."""
        members = (*self.fetchers, *self.processors)
        # One that leaves already, or is given up, is not waited for.
        awaited = (StageState.STARTING, StageState.BACKOFF)
        if self._held or self.begun or any(each.state in awaited for each in members):
            return
        if not self.remote.is_ready:
            return
        self.begun = True
        for fetcher in self.fetchers:
            self.tell(fetcher.name, Begin())
        self.reporter.started()
        self.shutdown.begin(self.now())
        if self._was_draining:
            self.shutdown.stop(self.now(), then=lambda _: None)

    def let_begin(self) -> None:
        """Hold the fetchers back no longer: what they call was found to be sound."""
        self._held = False
        self.begin_when_ready()

    # How it begins, and what its stages say.

    def _start_system(self, message: StartSystem) -> None:
        self.reporter = self.edges.reporter(message.report_fd)
        self.reporter.alive(self.edges.process_id())
        with self.reporter.beginning():
            self._begin(message)

    def _begin(self, message: StartSystem) -> None:
        self.config = message.config
        self.log = self.edges.log(message.config.log_level)
        self.fetchers = Roster(message.incarnation)
        self.processors = Roster(message.incarnation)
        self.supervisor = Supervisor(self)
        self.shutdown = Shutdown(self)
        self.liveness = Liveness(self, message.config.lease_s, self.now())
        self.tuning = Tuning(self, dict(message.paused))
        self._was_draining = message.draining
        self._held = message.held
        self.commands = Commands(self)
        self.remote = Remote(self, message.incarnation)
        now = self.now()
        control = self.edges.control(message.control_socket, message.orders_fd)
        self.commands_in = CommandsIn(self, control, self.reporter, self.commands.run)
        self.commands_in.tick(now)
        self._started = True
        self.remote.begin(now)
        self.supervisor.begin(now)

    def _stage_started(self, message: Started, sender: Address) -> None:
        name = message.name
        started = self._addresses.get(name)
        if started is None or not self.is_same(started, sender):
            return  # late news of an earlier run
        if message.error is not None:
            self.supervisor.cannot_start(name, message.error)
            return
        self._addresses[name] = sender
        self.liveness.started(name, self.now())
        if name == GATE:
            self.remote.gate_started(sender, message.pid)
        self._ready(name, message.pid)
        if self.supervisor.is_restarted(name):
            self.log.info("stage.restarted", stage=name, pid=message.pid)
        self.commands.stage_started(name)
        self.begin_when_ready()

    def _ready(self, name: str, pid: int) -> None:
        if (fetcher := self.fetchers.get(name)) is not None:
            self.fetchers.started(name, pid)
            self._source_up(fetcher.name, fetcher)
            self.tuning.stage_started(name)
            self.commands.waits.stage_started(name)
            if self.shutdown.draining:
                self.tell(name, Drain())
            elif self.begun:
                self.tell(name, Begin())
        elif (processor := self.processors.get(name)) is not None:
            self.processors.started(name, pid)
            self._subscribe(processor)
            self._source_up(processor.config.name, processor)
            self.log.info("processor.attached", processor=name, pid=pid)

    def _source_up(self, kind: str, source: Member[Any]) -> None:
        address = self._addresses[source.name]
        up = SourceUp(kind=kind, name=source.name, address=address)
        for taker in self.takers_of(kind):
            self.tell(taker.name, up)
        if kind == source.name or kind in self.config.steps:
            local = LocalSource(kind, source.name, address, source.run)
            self.remote.source_up(local)

    def _subscribe(self, processor: Member[ProcessorConfig]) -> None:
        members: list[tuple[str, Member[Any]]] = [
            *((each.name, each) for each in self.fetchers),
            *((each.config.name, each) for each in self.processors),
        ]
        for kind, source in members:
            running = source.state in (StageState.RUNNING, StageState.DRAINING)
            if running and kind in processor.config.sources:
                address = self._addresses[source.name]
                up = SourceUp(kind=kind, name=source.name, address=address)
                self.tell(processor.name, up)
        for kind in processor.config.sources:
            for step in self.remote.steps_of(kind):
                self.tell(processor.name, step)

    def _stage_drained(self, name: str) -> None:
        if self.processors.get(name) is not None:
            self.end_stage(name)
        else:
            self.shutdown.stage_drained(name)

    def _heard(self, name: str, accounting: Accounting | None) -> None:
        self.liveness.heard(name, self.now())
        if accounting is not None:
            self._accounts[name] = accounting

    def _close_round(self, number: int) -> None:
        status_round = self._rounds.pop(number)
        status_round.then(status_round.answers)
