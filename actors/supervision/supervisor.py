"""Which stages of a machine are started, restarted, replaced, ended or given up.

One for one: a stage that dies is started again by itself. The rules are the same
for the leader's root and for the root of a machine that joined; neither a process
nor a clock is touched here. What is to be done is returned, as effects in the order
in which they are to be carried out.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from actors.demand.job import Accounting, Process
from actors.supervision.children import (
    Child,
    Children,
    Fate,
    Follow,
    Role,
    StageState,
    follow,
)
from actors.supervision.effects import (
    End,
    Failed,
    Fatal,
    Gone,
    Kill,
    Log,
    Ready,
    SourceEnded,
    Start,
    Tell,
    Unstartable,
)
from actors.supervision.heartbeat import Heartbeat
from actors.supervision.messages import (
    AskSign,
    Drain,
    ProcessGone,
    SourceGone,
    SourceUp,
    StartFetcher,
    StartProcessor,
    Tune,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from actors.config.model import FetcherConfig, ProcessorConfig, SystemConfig
    from actors.supervision.effects import Effect
    from actors.supervision.messages import SourceWaits


class Supervisor:
    """The children of one machine, and what follows from what happens to them.

    Args:
        system: What the children are started with.
        incarnation: Unique for this run of the supervisor.
        host: The name of this machine.
        is_elsewhere: Whether another machine has a processor of this kind.

    Attributes:
        begun: Whether all children were ready once: before that, one that cannot
            be started keeps the system from starting.
        is_over: Whether one was given up that nothing goes on without.
        is_again: Whether there was a supervisor before, in this run of the system.
        versions: Of the code that processors are to run; none is any.
    """

    def __init__(
        self,
        system: SystemConfig,
        incarnation: str,
        host: str,
        is_elsewhere: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.system = system
        self.begun = False
        self.is_over = False
        self.is_again = False
        self.versions: dict[str, str] = {}
        self.fetchers: Children[FetcherConfig] = Children(incarnation, Role.FETCHER)
        self.processors: Children[ProcessorConfig] = Children(incarnation)
        self.gates: Children[Any] = Children(incarnation, Role.GATE)
        self._host = host
        self._is_elsewhere = is_elsewhere
        self._accounts: dict[str, Accounting] = {}
        self._outdated: set[str] = set()
        self._waits: dict[str, SourceWaits] = {}
        self._heartbeat: Heartbeat[str] = Heartbeat(system.lease_s)

    # Who is there.

    @property
    def stages(self) -> Iterator[Child[Any]]:
        """The fetchers and processors."""
        yield from self.fetchers
        yield from self.processors

    @property
    def all(self) -> Iterator[Child[Any]]:
        """Every child."""
        yield from self.stages
        yield from self.gates

    def get(self, name: str) -> Child[Any] | None:
        """The child of this name."""
        rosters: tuple[Children[Any], ...] = self.fetchers, self.processors, self.gates
        return next((e for each in rosters if (e := each.get(name))), None)

    @property
    def is_complete(self) -> bool:
        """Whether no child is waited for; one that leaves or is given up is not."""
        awaited = (StageState.STARTING, StageState.BACKOFF)
        return all(each.state not in awaited for each in self.all)

    def sources(self) -> Iterator[tuple[str, Child[Any]]]:
        """The stages that others take from and are ready, by what they are called."""
        for each in self.stages:
            kind = each.config.name
            if each.is_ready and self.is_source(each):
                yield kind, each

    def is_source(self, child: Child[Any]) -> bool:
        """Whether others take from it."""
        if child.role is Role.PROCESSOR:
            return child.config.name in self.system.steps
        return child.role is Role.FETCHER

    def takers_of(self, kind: str) -> Iterator[Child[ProcessorConfig]]:
        """The processors that take from a kind of stage and are ready."""
        for each in self.processors:
            if each.is_ready and kind in each.config.sources:
                yield each

    def process_of(self, child: Child[Any]) -> Process:
        """A processor as the protocol names it."""
        return Process(
            name=child.name,
            run=child.run,
            pid=child.pid or 0,
            host=self._host,
            kind=child.config.name,
            concurrency=child.config.concurrency,
        )

    def accounting(self) -> Accounting:
        """Where every job is; of a fetcher that is not there, as it said last."""
        return sum(self._accounts.values(), Accounting())

    # What time brings, and what the children say.

    def tick(self, now: float) -> list[Effect]:
        """Start the children that are due, and find those that hang."""
        effects: list[Effect] = []
        for roster in (self.gates, self.fetchers, self.processors):
            effects += [Start(e, self._first_message(e)) for e in roster.due(now)]
        for name in self._heartbeat.silent(now):
            self._heartbeat.end(name)
            effects += self.silent(name)
        effects += [Tell(name, AskSign()) for name in self._heartbeat.due(now)]
        return effects

    def next_tick(self) -> float | None:
        """When a child is to be started, or asked for a sign of life."""
        rosters: tuple[Children[Any], ...] = self.fetchers, self.processors, self.gates
        times = [self._heartbeat.next_tick(), *(each.next_start() for each in rosters)]
        return min((each for each in times if each is not None), default=None)

    def heard(
        self, name: str, now: float, accounting: Accounting | None = None
    ) -> None:
        """Note that a child said something; a fetcher says what it has as well."""
        self._heartbeat.heard(name, now)
        if accounting is not None:
            self._accounts[name] = accounting

    def source_waits(self, waits: SourceWaits) -> None:
        """Note how long a source is to be left alone, whoever asks it then."""
        self._waits[waits.name] = waits

    def started(self, name: str, pid: int, now: float) -> list[Effect]:
        """Bring a child that is ready together with the others."""
        child = self.get(name)
        if child is None:
            return []
        self._heartbeat.begin(name, now)
        self._of(child).started(name, pid)
        effects: list[Effect] = []
        if child.role is Role.PROCESSOR:
            effects += [
                Tell(name, SourceUp(kind=kind, name=each.name, address=each.address))
                for kind, each in self.sources()
                if kind in child.config.sources
            ]
            effects.append(_log("info", "processor.attached", processor=name, pid=pid))
        if child.role is not Role.GATE:
            kind = child.config.name
            up = SourceUp(kind=kind, name=name, address=child.address)
            effects += self.source_up(up)
        if child.starts > 1:
            effects.append(_log("info", "stage.restarted", stage=name, pid=pid))
        effects.append(Ready(child))
        if child.run in self._outdated:
            effects += self.replace(child)
        return effects

    def exited(self, name: str, now: float) -> list[Effect]:
        """Restart a child whose process has ended, forget it, or give it up."""
        child = self.get(name)
        if child is None:
            return []
        self._heartbeat.end(name)
        self._outdated.discard(child.run)
        child.address = None
        is_leaving = child.state is StageState.DRAINING
        if child.role is Role.FETCHER and is_leaving and name in self._accounts:
            # What it has left is no longer this system's to do.
            self._accounts[name] = self._accounts[name].without_what_is_left()
        replaced = child.state is StageState.REPLACING
        process = None
        if child.role is Role.PROCESSOR:
            process = self.process_of(child)
        fate = self._of(child).exited(name, now)
        if fate is Fate.UNKNOWN:
            return []
        effects = self._judged(child, fate, now)
        if process is not None:
            # What one held that is not ended by us may have taken it down, whether
            # it was to leave or not.
            reason = "replaced" if replaced else "exited"
            gone = ProcessGone(process=process, reason=reason, crash=not replaced)
            effects.append(Gone(gone, fate))
        if self.is_source(child):
            effects.append(SourceEnded(child.config.name, name, fate))
        return effects

    def ended(self, name: str) -> None:
        """Note that a process has ended as all of them are to."""
        if (child := self.get(name)) is not None:
            child.address = None

    def cannot_start(
        self, name: str, error: str, *, may_pass: bool = False
    ) -> list[Effect]:
        """Give a child up that said why it cannot run, or the system at its start.

        Where that may pass, one that worked before is started again.
        """
        child = self.get(name)
        if child is None:
            return []
        if not self.begun:
            return [Unstartable(error)]
        effects: list[Effect] = [
            _log("error", "stage.failed", stage=name, error=error),
            Failed(name, error),
            End(child.address),
        ]
        if child.role is Role.GATE:
            return effects  # its address may be free again when it is restarted
        if may_pass and child.starts > 1:
            return effects
        fate = Fate.FATAL if child.starts > 1 else Fate.REMOVED
        if child.role is Role.PROCESSOR:
            # Its end is no news any more: who waits for it hears of it now.
            gone = ProcessGone(
                process=self.process_of(child), reason=error, crash=False
            )
            effects.append(Gone(gone, fate))
        if self.is_source(child):
            effects.append(SourceEnded(child.config.name, name, fate))
        if fate is Fate.FATAL:
            # It worked before: what it is started from has changed since.
            self._of(child).give_up(name)
            effects += self._fatal_if_useless(child)
        else:
            self._of(child).remove(name)
        return effects

    # What the supervisor is told to do.

    def open_gate(self, name: str, start: Any, now: float) -> None:
        """Admit the gate, which is started with this message."""
        self.gates.add(name, start, now)

    def begin(self, now: float, detached: Container[str] = ()) -> None:
        """Admit what the configuration names, but for fetchers that are detached."""
        for fetcher in self.system.fetchers:
            if fetcher.name not in detached:
                self.fetchers.add(fetcher.name, fetcher, now)
        for processor in self.system.processors:
            self.attach(processor, processor.count, now)

    def attach(
        self, kind: ProcessorConfig, count: int, now: float, base: str = ""
    ) -> list[str]:
        """Admit processors, to be started at once; returns their names.

        Args:
            kind: What they are to be.
            count: How many.
            now: Monotonic seconds.
            base: What their names begin with, before the kind's.
        """
        name = f"{base}{kind.name}"
        added = [self.processors.add_numbered(name, kind, now) for _ in range(count)]
        return [each.name for each in added]

    def detach(self, child: Child[Any]) -> list[Effect]:
        """Let a processor, or a fetcher, finish what it has, then end it."""
        if child.address is None:
            self._of(child).remove(child.name)
            if not self.is_source(child):
                return []
            return [SourceEnded(child.config.name, child.name, Fate.REMOVED)]
        child.state = StageState.DRAINING
        return [Tell(child.name, Drain())]

    def drained(self, name: str) -> list[Effect]:
        """End a stage that was to leave, and has nothing left to do."""
        child = self.get(name)
        if child is None or child.address is None:
            return []
        if child.role is Role.FETCHER and child.state is not StageState.DRAINING:
            return []  # the whole system is: it ends with all others
        return [End(child.address)]

    def replace(self, child: Child[Any]) -> list[Effect]:
        """End a processor at once and put another in its place, without blame."""
        if child.state is StageState.RUNNING:
            child.state = StageState.REPLACING
        return [] if child.pid is None else [Kill(child.pid)]

    def overdue(self, name: str, run: str) -> list[Effect]:
        """Replace a processor that is over its time with a job."""
        child = self.processors.get(name)
        if child is None or child.run != run:
            return []
        late = _log("warning", "stage.overdue", stage=name, pid=child.pid)
        return [late, *self.replace(child)]

    def silent(self, name: str) -> list[Effect]:
        """End a child that answers nothing; it is restarted as any that dies."""
        child = self.get(name)
        if child is None or child.pid is None:
            return []
        return [
            _log("error", "stage.silent", stage=name, pid=child.pid),
            Kill(child.pid),
        ]

    def lost(self, process: Process) -> list[Effect]:
        """End a processor that gives no sign while it holds jobs."""
        child = self.processors.get(process.name)
        is_it = child is not None and child.run == process.run
        return self.silent(process.name) if is_it else []

    def tune(self, child: Child[Any], config: Any) -> list[Effect]:
        """Have a stage work by other values."""
        child.config = config
        return [Tell(child.name, Tune(config=config))]

    def configure(self, config: ProcessorConfig, system: SystemConfig) -> list[Effect]:
        """Let the processors be as configured now; what they cannot take up is new."""
        was, self.system = self.system, system
        self._heartbeat.bear(system.lease_s)
        effects: list[Effect] = []
        for child in self.processors:
            if was != system and not _is_tuned(child.config, config, was, system):
                child.config = config
                if child.pid is None and child.address is not None:
                    self._outdated.add(child.run)
                effects += self.replace(child)
            elif child.config != config:
                effects += self.tune(child, config)
        return effects

    def renew(self, now: float) -> list[Effect]:
        """Have every processor started anew, those that were given up as well."""
        effects: list[Effect] = []
        for child in self.processors:
            if child.state is StageState.FATAL:
                child.start_at = now
            effects += self.replace(child)
        return effects

    # What follows for others.

    def source_up(self, up: SourceUp) -> list[Effect]:
        """Tell those that take from a source that it is there, wherever it runs."""
        return [Tell(each.name, up) for each in self.takers_of(up.kind)]

    def source_ended(self, ended: SourceEnded) -> list[Effect]:
        """Let those that took from a source do as their ``cancel`` says."""
        effects: list[Effect] = []
        for taker in self.takers_of(ended.kind):
            if ended.fate.is_final:
                effects.append(Tell(taker.name, SourceGone(name=ended.name)))
            if taker.state is not StageState.RUNNING:
                continue  # one that leaves does so anyhow
            what = follow(taker.config.cancel_of(ended.kind), ended.fate)
            if what is Follow.STAY:
                continue
            about = {"stage": taker.name, "source": ended.name, "what": what.value}
            effects.append(Log("warning", "stage.followed", about))
            is_to_leave = what is Follow.LEAVE
            effects += self.detach(taker) if is_to_leave else self.replace(taker)
        return effects

    def process_gone(self, gone: ProcessGone) -> list[Effect]:
        """Tell whatever processors take from that one of them is no more."""
        sources = [each for each in self.stages if self.is_source(each)]
        return [Tell(each.name, gone) for each in sources]

    def _judged(self, child: Child[Any], fate: Fate, now: float) -> list[Effect]:
        name, about = child.name, {"stage": child.name, "pid": child.pid}
        child.pid = None
        match fate:
            case Fate.REMOVED:
                role = child.role.value
                gone = {role: name, "pid": about["pid"]}
                return [
                    Log("info", "stage.exited", {**about, "reason": "drained"}),
                    Log("info", f"{role}.detached", gone),
                ]
            case Fate.RESTART:
                wait = max(0.0, round((child.start_at or 0.0) - now, 3))
                return [Log("warning", "stage.exited", {**about, "restart_in_s": wait})]
            case _:
                why = "restart intensity exceeded"
                return [
                    Log("error", "stage.fatal", {**about, "reason": why}),
                    Failed(name, why),
                    *self._fatal_if_useless(child),
                ]

    def _fatal_if_useless(self, child: Child[Any]) -> list[Effect]:
        # Without a fetcher nothing comes in, without the gate no other machine;
        # without the last processor of a kind, nothing gets past it.
        if child.role is Role.PROCESSOR:
            kind = child.config.name
            over = (StageState.FATAL, StageState.DRAINING)
            left = [e for e in self.processors if e.config.name == kind]
            if self._is_elsewhere(kind) or any(e.state not in over for e in left):
                return []
        what = "the gate" if child.role is Role.GATE else child.name
        self.is_over = True
        return [Fatal(f"{what} died too often to be restarted")]

    def _first_message(self, child: Child[Any]) -> Any:
        match child.role:
            case Role.FETCHER:
                return StartFetcher(
                    config=child.config,
                    system=self.system,
                    again=self.is_again or child.starts > 1,
                    waits=self._waits.get(child.name),
                )
            case Role.PROCESSOR:
                return StartProcessor(
                    config=child.config,
                    system=self.system,
                    name=child.name,
                    run=child.run,
                    versions=self.versions,
                )
            case Role.GATE:
                return child.config

    def _of(self, child: Child[Any]) -> Children[Any]:
        rosters: dict[Role, Children[Any]] = {
            Role.FETCHER: self.fetchers,
            Role.PROCESSOR: self.processors,
            Role.GATE: self.gates,
        }
        return rosters[child.role]


def _log(level: str, event: str, **fields: Any) -> Log:
    return Log(level, event, fields)


def _is_tuned(
    old: ProcessorConfig,
    new: ProcessorConfig,
    was: SystemConfig,
    system: SystemConfig,
) -> bool:
    """Whether a processor can take up the new configuration while it runs."""
    tuned = dataclasses.replace(
        old, max_demand=new.max_demand, min_demand=new.min_demand, count=new.count
    )
    return (
        tuned == new
        and was.job_timeout_s == system.job_timeout_s
        and was.retries == system.retries
        and was.lease_s == system.lease_s
        and was.steps == system.steps
    )
