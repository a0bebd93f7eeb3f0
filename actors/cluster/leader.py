"""The leader's side of other machines: who is in, and what follows when one is not.

Rules only: what is to be done is returned as effects, as the supervisor returns
them. What is for a machine goes to the gate, which is a child like others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actors.cluster.membership import Machine, Machines, NameTakenError
from actors.cluster.messages import (
    GATE,
    AskStatus,
    FromMachine,
    Join,
    Leave,
    LineEnded,
    Order,
    ProcessIs,
    Refuse,
    Retune,
    SourceIs,
    TellStatus,
    ToMachine,
    Welcome,
)
from actors.hooks import spans
from actors.supervision.children import READY, Fate, Role, StageState
from actors.supervision.effects import (
    Gone,
    Heard,
    Log,
    SourceEnded,
    Tell,
)
from actors.supervision.messages import (
    DemandGranted,
    ProcessGone,
    ProcessLost,
    SourceGone,
    SourceUp,
)
from actors.supervision.status_answer import unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from actors.config.model import SystemConfig
    from actors.demand.job import Process
    from actors.status.model import ProcessorAnswer
    from actors.supervision.children import Child
    from actors.supervision.effects import Effect
    from actors.supervision.messages import StatusAnswer
    from actors.supervision.supervisor import Supervisor


#: No machine has its leader wait longer than this for a sign, in seconds.
LONGEST_S = 3600.0


class Leader:
    """Admits machines, and takes back what was out on one that is lost.

    Args:
        supervisor: Of the stages on this machine.
        incarnation: Unique for this run of the root.
        own_version: Tells the version of lowtide here.
        versions: Tells the versions of the code behind functions.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        incarnation: str,
        own_version: Callable[[], str],
        versions: Callable[[list[str]], dict[str, str]],
    ) -> None:
        self.machines = Machines(incarnation)
        self._supervisor = supervisor
        self._own_version = own_version
        self._versions = versions
        self._last_answers: dict[str, dict[str, ProcessorAnswer]] = {}
        # Sources that are no more: a machine may have had no line to hear of that.
        self._ended: dict[str, SourceIs] = {}

    @property
    def processes(self) -> Iterator[tuple[Machine, Process]]:
        """Every processor that works on another machine."""
        for machine in self.machines:
            for process in machine.processes.values():
                yield machine, process

    @property
    def processors(self) -> Iterator[Process]:
        """Every processor on another machine, those that wait for a restart as well."""
        for machine in self.machines:
            yield from machine.processors

    def has(self, kind: str) -> bool:
        """Whether there is a processor of this kind on another machine."""
        return any(process.kind == kind for process in self.processors)

    def receive(self, message: FromMachine | LineEnded, now: float) -> list[Effect]:
        """Take what the gate says."""
        match message:
            case FromMachine(run=run, message=Join() as join):
                return self._joins(run, join)
            case FromMachine(run=run, message=inner):
                machine = self.machines.get(run)
                return [] if machine is None else self._hear(machine, inner)
            case LineEnded(run=run, silent=silent, reason=reason):
                return self._line_ended(run, reason, now, silent=silent)

    def tick(self, now: float) -> list[Effect]:
        """Give up the machines that stay away."""
        return self._lost(*self.machines.due(now), reason="it did not come back")

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do next, in monotonic seconds."""
        return self.machines.next_due()

    # What becomes of stages on this machine.

    def child_ready(self, child: Child[Any]) -> list[Effect]:
        """Tell machines of a source, a processor of steps there, the gate of all."""
        effects: list[Effect] = []
        if child.role is Role.GATE:
            for kind, source in self._supervisor.sources():
                effects.append(_source_here(kind, source))
            return effects
        kind = child.config.name
        if child.role is Role.PROCESSOR:
            for machine, process in self.processes:
                if process.kind in child.config.sources:
                    effects += self._step_up(machine, process, child.name)
        if self._supervisor.is_source(child):
            self._ended.pop(child.name, None)
            effects.append(_source_here(kind, child))
            effects += self._tell_all(_is_there(kind, child))
        return effects

    def source_ended(self, ended: SourceEnded) -> list[Effect]:
        """Tell machines that a source has ended, wherever it was."""
        effects: list[Effect] = []
        fate = ended.fate
        over = SourceIs(kind=ended.kind, name=ended.name, up=False, fate=fate.value)
        if fate.is_final:
            self._ended[ended.name] = over
            effects.append(Tell(GATE, SourceGone(name=ended.name)))
        return effects + self._tell_all(over)

    def gate_gone(self) -> list[Effect]:
        """Give up every machine: the gate is no more, and no line either."""
        lost = tuple(self.machines)
        for machine in lost:
            self.machines.leaves(machine.run)
        return self._lost(*lost, reason="the gate was gone")

    def process_gone(self, gone: ProcessGone) -> list[Effect]:
        """Tell machines with steps, which may have given it jobs."""
        effects: list[Effect] = []
        for machine in self.machines:
            kinds = {each.kind for each in machine.processes.values()}
            if any(map(self._is_step, kinds)):
                effects.append(_to(machine, gone))
        return effects

    # What is wanted of machines.

    def order(self, verb: str, process: Process, message: Any = None) -> list[Effect]:
        """Have a processor elsewhere killed, detached, or told something."""
        found = self.machines.where(process.name)
        if found is None or found[1].run != process.run:
            return []
        return [_to(found[0], Order(verb=verb, process=process, message=message))]

    def tell_processes(self, message: Any) -> list[Effect]:
        """Have every processor elsewhere told something."""
        return [
            effect
            for _, process in self.processes
            for effect in self.order("tell", process, message)
        ]

    def lost_process(self, process: Process) -> list[Effect]:
        """Have a processor killed that gives no sign while it holds jobs."""
        order = self.order("kill", process)
        about = {"stage": process.name, "pid": process.pid, "host": process.host}
        return [Log("error", "stage.silent", about), *order] if order else []

    def retune(self) -> list[Effect]:
        """Tell every machine how processors are configured now."""
        return self._tell_all(Retune(system=self._supervisor.system.for_machines()))

    def names(self) -> list[str]:
        """The processors that can be asked how they are."""
        there = [each for each in self.machines if each.away_since is None]
        return [each.name for machine in there for each in machine.processes.values()]

    def ask(self, number: int) -> list[Effect]:
        """Ask for the status of every processor elsewhere."""
        there = [each for each in self.machines if each.away_since is None]
        return [_to(each, AskStatus(number=number)) for each in there]

    def describe(
        self, answers: Mapping[str, StatusAnswer]
    ) -> Iterator[tuple[str, ProcessorAnswer, str]]:
        """Each processor on another machine: its name, how it is, and its kind."""
        for machine in self.machines:
            last_answers = self._last_answers.get(machine.run, {})
            for process in machine.processors:
                answer, last = answers.get(process.name), last_answers.get(process.name)
                state = machine.state_of(process)
                # A way there and back may take longer than a person is to wait.
                is_same = last is not None and last["pid"] == process.pid
                if answer is not None and answer.processor is not None:
                    yield process.name, answer.processor, process.kind
                elif last is not None and is_same and state == "silent":
                    yield process.name, last, process.kind
                else:
                    silent = unanswered(process.pid, process.host, state)
                    yield process.name, silent, process.kind

    # What machines say.

    def _joins(self, run: str, join: Join) -> list[Effect]:
        ours = self._own_version()
        if join.version != ours:
            # Read on both sides, each of which is here.
            reason = f"lowtide {join.version} on the machine, {ours} at its leader"
            return _refuse(run, join, reason, for_now=False)
        was_here = self.machines.get(run) is not None
        try:
            machine, former = self.machines.joins(join.name, run, join.host)
        except NameTakenError as error:
            return _refuse(run, join, str(error), for_now=True)
        effects: list[Effect] = []
        if former is not None:
            effects += self._lost(former, reason="another took its place")
        event = "machine.returned" if was_here else "machine.joined"
        limit_s = agreed_limit_s(self._supervisor.system, join)
        about: dict[str, Any] = {"machine": machine.name, "host": machine.host}
        about["machine_timeout_s"] = limit_s
        return [*effects, Log("info", event, about), *self._welcome(machine, limit_s)]

    def _welcome(self, machine: Machine, limit_s: float) -> list[Effect]:
        system = self._supervisor.system
        needed = {f for each in system.processors for f in system.functions_of(each)}
        welcome = Welcome(
            line=machine.line,
            system=system.for_machines(),
            versions=self._versions(sorted(needed)),
            limit_s=limit_s,
            trace=spans.seed or "",
        )
        effects: list[Effect] = [_to(machine, welcome)]
        effects += [_to(machine, each) for each in self._ended.values()]
        for child in self._supervisor.stages:
            kind = child.config.name
            if not self._supervisor.is_source(child):
                continue
            if child.is_ready:
                effects.append(_to(machine, _is_there(kind, child)))
            elif child.state not in READY and child.starts:
                # It may have ended while there was no line to say so.
                is_over = child.state is StageState.FATAL
                fate = Fate.FATAL if is_over else Fate.RESTART
                ended = SourceIs(kind=kind, name=child.name, up=False, fate=fate.value)
                effects.append(_to(machine, ended))
        for other, process in self.processes:
            if other is not machine and self._is_step(process.kind):
                effects.append(_to(machine, _step_there(other, process)))
        return effects

    def _hear(self, machine: Machine, message: Any) -> list[Effect]:
        match message:
            case ProcessIs():
                return self._process_is(machine, message)
            case TellStatus(number=number, answers=answers):
                # One that does not answer its own machine is not among them.
                self._last_answers[machine.run] = {
                    each.name: each.processor for each in answers if each.processor
                }
                return [Heard(replace(each, number=number)) for each in answers]
            case Leave(reason=reason):
                self.machines.leaves(machine.run)
                return self._lost(machine, reason=reason, event="machine.left")
            case ProcessLost() | DemandGranted():
                return [Heard(message)]
            case _:
                about = {"message": type(message).__name__}
                return [Log("warning", "message.unexpected", about)]

    def _process_is(self, machine: Machine, message: ProcessIs) -> list[Effect]:
        process = message.process
        if message.up:
            effects: list[Effect] = []
            former = self.machines.where(process.name)
            if former is not None and former[1].run != process.run:
                # What told of its end was lost with a line.
                over = ProcessIs(
                    process=former[1],
                    up=False,
                    reason="exited",
                    fate=Fate.RESTART.value,
                )
                effects += self._process_is(machine, over)
            is_news = self.machines.process_up(machine.run, process)
            return effects + self._process_up(machine, process) if is_news else []
        fate = Fate(message.fate)
        for_good = fate.is_final
        if not self.machines.process_gone(machine.run, process, for_good=for_good):
            return []
        gone = ProcessGone(process=process, reason=message.reason, crash=message.crash)
        return self._processes_gone(gone, fate, machine.name)

    def _line_ended(
        self, run: str, reason: str, now: float, *, silent: bool
    ) -> list[Effect]:
        machine = self.machines.get(run)
        if machine is None:
            return []
        about = {"machine": machine.name, "reason": reason}
        effects: list[Effect] = [Log("warning", "machine.away", about)]
        if self.machines.line_ended(run, now, silent=silent):
            effects += self._lost(machine, reason=reason)
        return effects

    def _lost(
        self, *machines: Machine, reason: str, event: str = "machine.lost"
    ) -> list[Effect]:
        # That a machine is gone says nothing about the jobs that were there.
        effects: list[Effect] = []
        level = "info" if event == "machine.left" else "error"
        for machine in machines:
            self._last_answers.pop(machine.run, None)
            about = {"machine": machine.name, "host": machine.host, "reason": reason}
            effects.append(Log(level, event, about))
        processes = [each for one in machines for each in one.processors]
        if processes:
            first, *others = processes
            gone = ProcessGone(
                process=first,
                reason="its machine is gone",
                crash=False,
                others=tuple(others),
            )
            effects += self._processes_gone(gone, Fate.FATAL)
        refuse = Refuse(reason=reason, for_now=True)
        for machine in machines:
            last = ToMachine(run=machine.run, message=refuse, last=True)
            effects.append(Tell(GATE, last))
        return effects

    def _process_up(self, machine: Machine, process: Process) -> list[Effect]:
        about = {
            "processor": process.name,
            "pid": process.pid,
            "host": process.host,
            "machine": machine.name,
        }
        effects: list[Effect] = [Log("info", "processor.attached", about)]
        # Before anybody asks: over a slow line the answer comes late.
        effects.append(_to(machine, AskStatus(number=0)))
        if self._is_step(process.kind):
            self._ended.pop(process.name, None)
            for taker in self._supervisor.takers_of(process.kind):
                effects += self._step_up(machine, process, taker.name)
            for other in self.machines:
                if other is not machine:
                    effects.append(_to(other, _step_there(machine, process)))
        return effects

    def _processes_gone(
        self, gone: ProcessGone, fate: Fate, machine: str | None = None
    ) -> list[Effect]:
        effects: list[Effect] = []
        processes = (gone.process, *gone.others)
        for each in processes:
            if fate is Fate.RESTART:
                about = {"stage": each.name, "pid": each.pid, "machine": machine}
                effects.append(Log("warning", "stage.exited", about))
            else:
                about = {"processor": each.name, "pid": each.pid}
                about["reason"] = gone.reason
                effects.append(Log("info", "processor.detached", about))
        effects.append(Gone(gone, fate))
        effects += [
            SourceEnded(each.kind, each.name, fate)
            for each in processes
            if self._is_step(each.kind)
        ]
        return effects

    def _step_up(self, machine: Machine, process: Process, taker: str) -> list[Effect]:
        gate = self._supervisor.gates.get(GATE)
        if gate is None or gate.address is None:
            return []
        up = SourceUp(
            kind=process.kind,
            name=process.name,
            address=gate.address,
            relayed=True,
            line=_run_of(machine, process),
        )
        return [Tell(taker, up)]

    def _tell_all(self, message: Any) -> list[Effect]:
        return [_to(each, message) for each in self.machines]

    def _is_step(self, kind: str) -> bool:
        return kind in self._supervisor.system.steps


def agreed_limit_s(system: SystemConfig, join: Join) -> float:
    """How long a silence a leader and a machine bear: the longer of what each says."""
    return max(system.machine_timeout_s, min(join.limit_s, LONGEST_S))


def _to(machine: Machine, message: Any) -> Tell:
    return Tell(GATE, ToMachine(run=machine.run, message=message))


def _refuse(run: str, join: Join, reason: str, *, for_now: bool) -> list[Effect]:
    refuse = Refuse(reason=reason, for_now=for_now)
    return [
        Log("warning", "machine.refused", {"machine": join.name, "reason": reason}),
        Tell(GATE, ToMachine(run=run, message=refuse, last=True)),
    ]


def _source_here(kind: str, child: Child[Any]) -> Tell:
    return Tell(GATE, SourceUp(kind=kind, name=child.name, address=child.address))


def _is_there(kind: str, child: Child[Any]) -> SourceIs:
    return SourceIs(kind=kind, name=child.name, up=True, run=child.run)


def _step_there(machine: Machine, process: Process) -> SourceIs:
    run = _run_of(machine, process)
    return SourceIs(kind=process.kind, name=process.name, up=True, run=run)


def _run_of(machine: Machine, process: Process) -> str:
    # On a machine that was lost and is back, it is a new one to those that took
    # from it.
    return f"{machine.line}/{process.run}"
