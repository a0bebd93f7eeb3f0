"""Which stages are started, restarted, given up or ended, and what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.cluster.gateway import GATE
from actors.demand.cancel_modes import Fate
from actors.demand.job import Process
from actors.fetcher.actor import FetcherActor
from actors.processor.actor import ProcessorActor
from actors.supervision.children import Member, StageState
from actors.supervision.followers import source_ended
from actors.supervision.messages import (
    Drain,
    Overdue,
    ProcessGone,
    SourceGone,
    StartFetcher,
    StartProcessor,
)

if TYPE_CHECKING:
    from actors.config.model import ProcessorConfig
    from actors.supervision.root import RootActor


class Supervisor:
    """Supervises one for one: a stage that dies is started again by itself.

    Apart from the root, which knows where the stages are and what passes between
    them: here is only whether they are to be there.
    """

    def __init__(self, root: RootActor) -> None:
        self._root = root

    def begin(self, now: float) -> None:
        """Start what the configuration names."""
        root = self._root
        for fetcher in root.config.fetchers:
            root.fetchers.add(fetcher.name, fetcher, now)
        for processor in root.config.processors:
            for _ in range(processor.count):
                root.processors.add_numbered(processor.name, processor, now)
        self.tick(now)

    def tick(self, now: float) -> None:
        """Start who is due."""
        root = self._root
        for fetcher in root.fetchers.due(now):
            start = StartFetcher(config=fetcher.config, system=root.config)
            root.start_stage(fetcher.name, FetcherActor, start)
        for processor in root.processors.due(now):
            root.start_stage(
                processor.name,
                ProcessorActor,
                StartProcessor(
                    config=processor.config,
                    system=root.config,
                    name=processor.name,
                    run=processor.run,
                ),
            )

    def next_tick(self) -> float | None:
        """When somebody is to be started next, in monotonic seconds."""
        rosters = (self._root.fetchers, self._root.processors)
        times = [each.next_start() for each in rosters]
        return min((each for each in times if each is not None), default=None)

    def attach(self, kind: ProcessorConfig, count: int) -> list[str]:
        """Add processors; returns their names."""
        now = self._root.now()
        names = [
            self._root.processors.add_numbered(kind.name, kind, now).name
            for _ in range(count)
        ]
        self.tick(now)
        return names

    def detach(self, member: Member[ProcessorConfig]) -> None:
        """Let a processor finish what it has, then end it."""
        if self._root.is_there(member.name):
            member.state = StageState.DRAINING
            self._root.tell(member.name, Drain())
        else:
            self._root.processors.remove(member.name)
        self._root.begin_when_ready()

    def replace(self, member: Member[ProcessorConfig]) -> None:
        """End a processor at once and put another in its place, without blame."""
        if member.state is StageState.RUNNING:
            member.state = StageState.REPLACING
        if member.pid is not None:
            self._root.edges.kill(member.pid)

    def replace_overdue(self, message: Overdue) -> None:
        """Replace a processor that is over its time with a job."""
        member = self._root.processors.get(message.name)
        if member is not None and member.run == message.run:
            self._root.log.warning("stage.overdue", stage=member.name, pid=member.pid)
            self.replace(member)

    def kill_silent(self, name: str) -> None:
        """End a stage that answers nothing; it is restarted as any that dies."""
        member = self._root.fetchers.get(name) or self._root.processors.get(name)
        pid = None if member is None else member.pid
        if name == GATE:
            pid = self._root.remote.gate_pid
        if pid is not None:
            self._root.log.error("stage.silent", stage=name, pid=pid)
            self._root.edges.kill(pid)

    def kill_lost(self, process: Process) -> None:
        """End a processor that gives no sign while it holds jobs."""
        if self._root.remote.order("kill", process.name, process.run):
            self._root.log.warning("stage.silent", stage=process.name, pid=process.pid)
            return
        member = self._root.processors.get(process.name)
        if member is not None and member.run == process.run:
            self.kill_silent(member.name)

    def is_restarted(self, name: str) -> bool:
        """Whether a stage has been started before."""
        member = self._root.fetchers.get(name) or self._root.processors.get(name)
        return member is not None and member.starts > 1

    def cannot_start(self, name: str, error: str) -> None:
        """Give a stage up that said why it cannot run, or the system at its start."""
        root = self._root
        if not root.begun:
            root.reporter.failed(error)
            return
        root.log.error("stage.failed", stage=name, error=error)
        root.commands.stage_failed(name, error)
        if self.is_restarted(name):
            # It worked before: what it is started from has changed since.
            root.fetchers.give_up(name)
            root.processors.give_up(name)
            self._end_if_useless(name)
        else:
            root.processors.remove(name)
        root.end_stage(name)

    def stage_exited(self, name: str) -> None:
        """Restart a stage whose process has ended, forget it, or give it up."""
        root = self._root
        if name == GATE:
            root.remote.gate_exited()
        elif (fetcher := root.fetchers.get(name)) is not None:
            fate = root.fetchers.exited(name, root.now())
            self._judge(fetcher, fate)
            source_ended(root, name, name, fate)
        elif (processor := root.processors.get(name)) is not None:
            self._processor_exited(processor)

    def _processor_exited(self, processor: Member[ProcessorConfig]) -> None:
        root, name, kind = self._root, processor.name, processor.config.name
        gone = _process_of(processor)
        crash = processor.state is not StageState.REPLACING
        fate = root.processors.exited(name, root.now())
        self._judge(processor, fate)
        reason = "exited" if crash else "replaced"
        root.tell_gone(ProcessGone(process=gone, reason=reason, crash=crash))
        if fate in (Fate.REMOVED, Fate.FATAL):
            for taker in root.takers_of(kind):
                root.tell(taker.name, SourceGone(name=name))
            root.remote.source_gone(kind, name)
        root.commands.stage_exited(name)
        source_ended(root, kind, name, fate)
        if fate is Fate.REMOVED:
            root.log.info("processor.detached", processor=name, pid=gone.pid)
            root.commands.stage_detached(name)

    def _judge(self, member: Member[Any], fate: Fate) -> None:
        root = self._root
        about = {"stage": member.name, "pid": member.pid}
        match fate:
            case Fate.REMOVED:
                root.log.info("stage.exited", **about, reason="drained")
            case Fate.RESTART:
                wait = round((member.start_at or 0.0) - root.now(), 3)
                wait = max(0.0, wait)
                root.log.warning("stage.exited", **about, restart_in_s=wait)
            case Fate.FATAL:
                why = "restart intensity exceeded"
                root.log.error("stage.fatal", **about, reason=why)
                root.commands.stage_failed(member.name, why)
                self._end_if_useless(member.name)
            case Fate.UNKNOWN:
                return
        member.pid = None

    def _end_if_useless(self, name: str) -> None:
        # Without a fetcher nothing comes in; without the last processor of a
        # kind, nothing gets past it.
        member = self._root.processors.get(name)
        kind = [
            each.state in (StageState.FATAL, StageState.DRAINING)
            for each in self._root.processors
            if member is not None and each.config.name == member.config.name
        ]
        elsewhere = member is not None and self._root.remote.has(member.config.name)
        if all(kind) and not elsewhere:
            self._root.reporter.fatal(f"{name} died too often to be restarted")


def _process_of(member: Member[ProcessorConfig]) -> Process:
    return Process(name=member.name, run=member.run, pid=member.pid or 0, host="")
