"""The root: starts the other stages, brings them together, lets them drain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from actors.cluster import identity
from actors.cluster.gateway import GateActor
from actors.cluster.leader import Leader
from actors.cluster.messages import GATE, FromMachine, LineEnded, StartGate
from actors.fetcher.actor import FetcherActor
from actors.processor.actor import ProcessorActor
from actors.status import commands
from actors.supervision.actor import SupervisorActor
from actors.supervision.children import Fate, Role
from actors.supervision.control_verbs import (
    CommandError,
    FetcherVerbs,
    ProcessorVerbs,
    names_in,
    run,
)
from actors.supervision.drain import Shutdown
from actors.supervision.effects import (
    Failed,
    Gone,
    Heard,
    Ready,
    SourceEnded,
)
from actors.supervision.live_settings import LiveSettings
from actors.supervision.messages import (
    BarrierPassed,
    Begin,
    DemandGranted,
    Drain,
    Drained,
    JobsDecided,
    ProcessLost,
    SourceWaits,
    StartSystem,
    StateDecided,
    StatusAnswer,
)
from actors.supervision.status_answer import describe_system

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.actor_system.stage import Address
    from actors.host.control_socket import Request
    from actors.supervision.effects import Effect


class RootActor(SupervisorActor):
    """Knows where every stage is, and gives each what concerns it."""

    stages = {  # noqa: RUF012 - the base says that it is the class's
        Role.FETCHER: FetcherActor,
        Role.PROCESSOR: ProcessorActor,
        Role.GATE: GateActor,
    }
    answer_s = 0.5

    leader: Leader
    shutdown: Shutdown
    settings: LiveSettings
    fetcher_verbs: FetcherVerbs
    processor_verbs: ProcessorVerbs

    def __init__(self) -> None:
        super().__init__()
        self._was_draining = False
        self._held = False

    # How it begins.

    def receive(self, message: Any, sender: Address) -> None:
        """Handle one message; before the first there is none."""
        if isinstance(message, StartSystem):
            if not self.is_open:
                self.start(message)
        elif self.is_open:
            super().receive(message, sender)

    def begin(self, start: StartSystem) -> None:
        """Make the parts, and admit what the configuration names."""
        now, config = self.now(), start.config
        self.open(config, start.incarnation, self._is_elsewhere)
        self._was_draining, self._held = start.draining, start.held
        self.supervisor.is_again = start.again
        self.leader = Leader(
            self.supervisor, start.incarnation, identity.own_version, identity.versions
        )
        self.shutdown = Shutdown(self.means, self.leader, self.ask_for_status)
        self.settings = LiveSettings(self.means, self.leader, dict(start.paused))
        self.fetcher_verbs = FetcherVerbs(self.means, self.leader)
        self.fetcher_verbs.begin(start.detached)
        self.processor_verbs = ProcessorVerbs(self.means, self.leader, self.environment)
        if config.bind is not None:
            self.supervisor.open_gate(GATE, StartGate(system=config), now)
        self.supervisor.begin(now, start.detached)

    def carried_out(self) -> None:
        """Let the fetchers poll, once nothing of the system is waited for."""
        supervisor = self.supervisor
        if self._held or supervisor.begun or not supervisor.is_complete:
            return
        if supervisor.is_over:
            return  # the last that was waited for is given up: nothing is to begin
        supervisor.begun = True
        for fetcher in supervisor.fetchers:
            self.tell(fetcher.name, Begin())
        self.reporter.started()
        self.shutdown.begin(self.now())
        if self._was_draining:
            self.shutdown.stop(self.now(), then=lambda _: None)

    # What its stages and other machines say.

    def take(self, message: Any, sender: Address | None) -> None:  # noqa: ARG002
        """Handle a message that only the root of a system gets."""
        match message:
            case Drained(name=name, accounting=accounting):
                self.supervisor.heard(name, self.now(), accounting)
                self.carry_out(self.supervisor.drained(name))
                self.shutdown.stage_drained(name)
            case SourceWaits():
                self.supervisor.source_waits(message)
            case FromMachine() | LineEnded():
                self.carry_out(self.leader.receive(message, self.now()))
            case JobsDecided() | StateDecided() | BarrierPassed():
                self.fetcher_verbs.answered(message)
            case DemandGranted():
                self.processor_verbs.asked(message)
            case ProcessLost(process=process):
                self.carry_out(self.supervisor.lost(process))
                self.carry_out(self.leader.lost_process(process))
            case _:
                self.unexpected(message)

    def child_exited(self, child: Address) -> None:
        """Restart the stage, or give it up, unless all are to end."""
        name = self.name_of(child)
        if name is not None and self.shutdown.ending:
            self.supervisor.ended(name)
            self.shutdown.stage_ended()
        else:
            super().child_exited(child)
            if name == GATE:
                self.carry_out(self.leader.gate_gone())

    def news(self, news: Effect) -> None:
        """Tell machines and people what has become of a child."""
        match news:
            case Ready(child=child):
                self._ready(child.name, child.role)
                self.carry_out(self.leader.child_ready(child))
            case Gone(message=gone, fate=fate):
                self.carry_out(self.supervisor.process_gone(gone))
                self.carry_out(self.leader.process_gone(gone))
                for process in (gone.process, *gone.others):
                    self.processor_verbs.exited(process.name, fate)
            case SourceEnded():
                self._source_ended(news)
            case Failed(name=name, error=error):
                self.fetcher_verbs.failed(name, error)
                self.processor_verbs.failed(name, error)
            case Heard(message=StatusAnswer() as answer):
                self.status_answered(answer)
            case Heard(message=message):
                self.take(message, None)
            case _:
                raise AssertionError(news)

    def _source_ended(self, ended: SourceEnded) -> None:
        self.carry_out(self.leader.source_ended(ended))
        self.fetcher_verbs.exited(ended.name, ended.fate)
        if ended.fate is Fate.REMOVED:
            self.shutdown.stage_drained(ended.name)

    def _ready(self, name: str, role: Role) -> None:
        match role:
            case Role.FETCHER:
                self.settings.stage_started(name)
                self.fetcher_verbs.started(name)
                if self.shutdown.draining:
                    self.tell(name, Drain())
                elif self.supervisor.begun:
                    self.tell(name, Begin())
            case Role.PROCESSOR:
                self.processor_verbs.started(name)
            case Role.GATE:
                pass

    # What time brings.

    def tick(self, now: float) -> None:
        """See to the stages, to other machines, and to the shutdown."""
        super().tick(now)
        if self.is_open:
            self.carry_out(self.leader.tick(now))
            self.fetcher_verbs.tick(now)
            self.processor_verbs.tick(now)
            self.shutdown.tick(now)

    def next_tick(self) -> float | None:
        """The next start, status deadline, or step of the shutdown."""
        if not self.is_open:
            return None
        times = [
            super().next_tick(),
            self.leader.next_tick(),
            self.fetcher_verbs.next_tick(),
            self.processor_verbs.next_tick(),
            self.shutdown.next_tick(),
        ]
        return min((each for each in times if each is not None), default=None)

    # What a person wants.

    def command(self, request: Request) -> None:
        """Carry out a command; whatever is wrong with it is the answer."""
        verbs: dict[str, Callable[[Request], None]] = {
            "status": self._status,
            "attach": self._attach,
            "detach": self._detach,
            "stop": self.shutdown.stop_verb,
            "pause": self.settings.pause,
            "resume": self.settings.resume,
            "set": self.settings.change,
            "ask": self.processor_verbs.ask,
            "wait": self.fetcher_verbs.wait,
            "jobs": self.fetcher_verbs.jobs,
            "journal": self._journal,
            "state": self.fetcher_verbs.state,
            "begin": self._let_begin,
        }
        run(verbs, request)

    def ask_for_status(self, then: Callable[[dict[str, StatusAnswer]], None]) -> None:
        """Ask the stages here and elsewhere; ``then`` gets the answers by name."""
        number = self.ask_all(then, self.leader.names())
        self.carry_out(self.leader.ask(number))

    def _status(self, request: Request) -> None:
        def answer(answers: dict[str, StatusAnswer]) -> None:
            status = describe_system(
                self.supervisor,
                answers,
                state=self._state,
                drain_left_s=self.shutdown.left_s,
                elsewhere=self.leader.describe(answers),
                events=self.environment.last_lines(),
            )
            request.answer(status)

        self.ask_for_status(answer)

    def _is_elsewhere(self, kind: str) -> bool:
        return self.leader.has(kind)

    @property
    def _state(self) -> Literal["running", "paused", "draining"]:
        if self.shutdown.draining:
            return "draining"
        return "paused" if self.settings.all_paused else "running"

    def _attach(self, request: Request) -> None:
        verbs = self.fetcher_verbs if names_in(request) else self.processor_verbs
        verbs.attach(request, draining=self.shutdown.draining)

    def _detach(self, request: Request) -> None:
        names = names_in(request)
        fetchers = [each for each in names if self.supervisor.fetchers.get(each)]
        if not fetchers:
            self.processor_verbs.detach(request)
        elif len(fetchers) == len(names):
            self.fetcher_verbs.detach(request)
        else:
            raise CommandError("expected fetchers or processors, got both")

    def _journal(self, request: Request) -> None:
        request.answer(commands.Journal(journal=self.supervisor.system.journal))

    def _let_begin(self, _: Request) -> None:
        # What the fetchers call was found to be sound.
        self._held = False
        self.carried_out()
