"""The root's side of other machines: who is in, and what follows when one is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.cluster import identity
from actors.cluster.gateway import GATE, GateActor
from actors.cluster.membership import Machine, Machines, NameTakenError
from actors.cluster.messages import (
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
    StartGate,
    TellStatus,
    ToMachine,
    Welcome,
)
from actors.supervision.messages import (
    ProcessGone,
    ProcessLost,
    SourceGone,
    SourceUp,
)
from actors.supervision.restarts import Restarts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from actors.actor_system.stage import Address
    from actors.demand.job import Process
    from actors.status.model import ProcessorAnswer
    from actors.supervision.messages import StatusAnswer
    from actors.supervision.root import RootActor


class LocalSource(NamedTuple):
    """A stage on this machine that others take from, as it runs now."""

    kind: str
    name: str
    address: Address
    run: str


class Remote:
    """Admits machines, and takes back what was out on one that is lost."""

    def __init__(self, root: RootActor, incarnation: str) -> None:
        self.machines = Machines(incarnation)
        self._root = root
        self.gate_pid: int | None = None
        self._gate: Address | None = None
        self._start_at: float | None = None
        self._restarts = Restarts()

    @property
    def processes(self) -> Iterator[tuple[Machine, Process]]:
        """Every processor on another machine."""
        for machine in self.machines:
            for process in machine.processes.values():
                yield machine, process

    def begin(self, now: float) -> None:
        """Open the gate, if other machines may join."""
        if self._root.config.bind is not None:
            self._start_at = now
            self.tick(now)

    @property
    def is_ready(self) -> bool:
        """Whether nothing is waited for here."""
        return self._root.config.bind is None or self._gate is not None

    def receive(self, message: FromMachine | LineEnded) -> None:
        """Take what the gate says."""
        match message:
            case FromMachine(run=run, message=Join() as join):
                self._joins(run, join)
            case FromMachine(run=run, message=inner):
                if (machine := self.machines.get(run)) is not None:
                    self._hear(machine, inner)
            case LineEnded(run=run, silent=silent, reason=reason):
                self._line_ended(run, reason, silent=silent)

    def tick(self, now: float) -> None:
        """Open the gate if it is time, and give up those who stay away."""
        self._lost(*self.machines.due(now), reason="it did not come back")
        if self._start_at is not None and now >= self._start_at:
            self._start_at = None
            start = StartGate(system=self._root.config)
            self._root.start_stage(GATE, GateActor, start)

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do next, in monotonic seconds."""
        times = (self.machines.next_due(), self._start_at)
        return min((each for each in times if each is not None), default=None)

    def gate_started(self, sender: Address, pid: int) -> None:
        """The gate is open; it gets to know every source."""
        self._gate, self.gate_pid = sender, pid
        for source in self._root.sources():
            self.source_up(source)

    def gate_exited(self) -> None:
        """The gate is no more, and no line either: they dial again."""
        now = self._root.now()
        self._gate, self.gate_pid = None, None
        lost = tuple(self.machines)
        for machine in lost:
            self.machines.leaves(machine.run)
        self._lost(*lost, reason="the gate was gone")
        delay = self._restarts.exited(now)
        self._root.log.warning("stage.exited", stage=GATE, restart_in_s=delay)
        if delay is None:
            self._root.reporter.fatal("the gate died too often to be restarted")
        else:
            self._start_at = now + delay

    def source_up(self, source: LocalSource) -> None:
        """A source on this machine is there now."""
        if self._gate is None:
            return
        up = SourceUp(kind=source.kind, name=source.name, address=source.address)
        self._root.send(self._gate, up)
        for machine in self.machines:
            self._tell(machine, _is_up(source))

    def source_gone(self, kind: str, name: str) -> None:
        """A source on this machine is not coming back."""
        if self._gate is not None:
            self._root.send(self._gate, SourceGone(name=name))
        for machine in self.machines:
            self._tell(machine, SourceIs(kind=kind, name=name, up=False))

    def steps_of(self, kind: str) -> Iterator[SourceUp]:
        """Sources of this kind on other machines, as those here subscribe to them."""
        if self._gate is None or kind not in self._root.config.steps:
            return
        for _, process in self.processes:
            if process.kind == kind:
                yield self._step(process)

    def has(self, kind: str) -> bool:
        """Whether there is a processor of this kind on another machine."""
        return any(process.kind == kind for _, process in self.processes)

    def process_gone(self, gone: ProcessGone) -> None:
        """A process is no more: steps elsewhere may have given it jobs."""
        for machine in self.machines:
            kinds = {each.kind for each in machine.processes.values()}
            if kinds & self._root.config.steps:
                self._tell(machine, gone)

    def order(self, verb: str, name: str, run: str | None = None) -> bool:
        """Have a processor killed or detached; returns whether it is elsewhere.

        Args:
            verb: ``kill`` or ``detach``.
            name: The processor's.
            run: Which run of it; None for the one that there is.
        """
        found = self.machines.where(name)
        if found is None or run not in (None, found[1].run):
            return False
        self._tell(found[0], Order(verb=verb, process=found[1]))
        return True

    def retune(self) -> None:
        """Tell every machine how processors are configured now."""
        for machine in self.machines:
            self._tell(machine, Retune(system=self._root.config.for_machines()))

    def ask(self, number: int) -> set[str]:
        """Ask for the status of every processor elsewhere; returns their names."""
        there = [each for each in self.machines if each.away_since is None]
        for machine in there:
            self._tell(machine, AskStatus(number=number))
        return {each.name for machine in there for each in machine.processes.values()}

    def _joins(self, run: str, join: Join) -> None:
        ours = identity.own_version()
        if join.version != ours:
            reason = f"lowtide {join.version} is there, {ours} is here"
            self._refuse(run, join, reason, for_now=False)
            return
        was_here = self.machines.get(run) is not None
        try:
            machine, former = self.machines.joins(join.name, run, join.host)
        except NameTakenError as error:
            self._refuse(run, join, str(error), for_now=True)
            return
        if former is not None:
            self._lost(former, reason="another took its place")
        event = "machine.returned" if was_here else "machine.joined"
        self._root.log.info(event, machine=machine.name, host=machine.host)
        self._welcome(machine)

    def _welcome(self, machine: Machine) -> None:
        system = self._root.config
        needed = {f for each in system.processors for f in system.functions_of(each)}
        welcome = Welcome(
            line=machine.line,
            system=system.for_machines(),
            versions=identity.versions(sorted(needed)),
        )
        self._tell(machine, welcome)
        for source in self._root.sources():
            self._tell(machine, _is_up(source))
        for other, process in self.processes:
            if other is not machine and process.kind in system.steps:
                self._tell_step(machine, process)

    def _refuse(self, run: str, join: Join, reason: str, *, for_now: bool) -> None:
        self._root.log.warning("machine.refused", machine=join.name, reason=reason)
        self._send(run, Refuse(reason=reason, for_now=for_now), last=True)

    def _hear(self, machine: Machine, message: Any) -> None:
        match message:
            case ProcessIs():
                self._process_is(machine, message)
            case TellStatus(number=number, answers=answers):
                for answer in answers:
                    self._root.stage_answered(replace(answer, number=number))
            case ProcessLost(process=process):
                self._root.supervisor.kill_lost(process)
            case Leave(reason=reason):
                self.machines.leaves(machine.run)
                self._lost(machine, reason=reason, event="machine.left")
            case _:
                self._root.unexpected(message)

    def _process_is(self, machine: Machine, message: ProcessIs) -> None:
        process = message.process
        if message.up:
            if self.machines.process_up(machine.run, process):
                self._process_up(machine, process)
        elif self.machines.process_gone(machine.run, process):
            self._processes_gone(process, reason=message.reason, crash=message.crash)

    def _line_ended(self, run: str, reason: str, *, silent: bool) -> None:
        machine = self.machines.get(run)
        if machine is None:
            return
        log = self._root.log
        log.warning("machine.away", machine=machine.name, reason=reason)
        if self.machines.line_ended(run, self._root.now(), silent=silent):
            self._lost(machine, reason=reason)

    def _lost(
        self, *machines: Machine, reason: str, event: str = "machine.lost"
    ) -> None:
        # That a machine is gone says nothing about the jobs that were there.
        tell = self._root.log.info if event == "machine.left" else self._root.log.error
        for machine in machines:
            tell(event, machine=machine.name, host=machine.host, reason=reason)
        processes = [each for one in machines for each in one.processes.values()]
        self._processes_gone(*processes, reason="its machine is gone", crash=False)
        for machine in machines:
            self._send(machine.run, Refuse(reason=reason, for_now=True), last=True)

    def _process_up(self, machine: Machine, process: Process) -> None:
        self._root.log.info(
            "processor.attached",
            processor=process.name,
            pid=process.pid,
            host=process.host,
            machine=machine.name,
        )
        if process.kind in self._root.config.steps:
            for taker in self._root.takers_of(process.kind):
                self._root.tell(taker.name, self._step(process))
            for other in self.machines:
                if other is not machine:
                    self._tell_step(other, process)

    def _processes_gone(self, *processes: Process, reason: str, crash: bool) -> None:
        if not processes:
            return
        log = self._root.log
        for process in processes:
            log.info("processor.detached", processor=process.name, reason=reason)
        first, *others = processes
        gone = ProcessGone(
            process=first, reason=reason, crash=crash, others=tuple(others)
        )
        self._root.tell_gone(gone)
        for process in processes:
            self._root.commands.stage_detached(process.name)

    def _step(self, process: Process) -> SourceUp:
        assert self._gate is not None  # noqa: S101 - it told of the process
        return SourceUp(
            kind=process.kind,
            name=process.name,
            address=self._gate,
            relayed=True,
            line=process.run,
        )

    def _tell_step(self, machine: Machine, process: Process) -> None:
        is_there = SourceIs(
            kind=process.kind, name=process.name, up=True, run=process.run
        )
        self._tell(machine, is_there)

    def _tell(self, machine: Machine, message: Any) -> None:
        self._send(machine.run, message)

    def _send(self, run: str, message: Any, *, last: bool = False) -> None:
        if self._gate is not None:
            self._root.send(self._gate, ToMachine(run=run, message=message, last=last))


def _is_up(source: LocalSource) -> SourceIs:
    return SourceIs(kind=source.kind, name=source.name, up=True, run=source.run)


def describe_remote(
    remote: Remote, answers: Mapping[str, StatusAnswer]
) -> Iterator[tuple[str, ProcessorAnswer, str]]:
    """Each processor on another machine: its name, how it is, and its kind."""
    for machine, process in remote.processes:
        answer = answers.get(process.name)
        if answer is not None and answer.processor is not None:
            yield process.name, answer.processor, process.kind
            continue
        silent: ProcessorAnswer = {
            "pid": process.pid,
            "host": process.host,
            "state": "silent" if machine.away_since is None else "away",
            "in_flight": 0,
            "demand": 0,
            "manual": False,
            "done": 0,
            "failed": 0,
            "restarts": 0,
        }
        yield process.name, silent, process.kind
