"""The processors of a machine that joined, under its root's supervision."""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING, Any

from actors.demand.cancel_modes import Fate
from actors.demand.job import Process
from actors.processor.actor import ProcessorActor
from actors.supervision.children import Member, Roster, StageState
from actors.supervision.heartbeat import Pulse
from actors.supervision.messages import (
    AskSign,
    Drain,
    Overdue,
    Started,
    StartProcessor,
    Tune,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.actor_system.stage import Address, Stage
    from actors.config.model import ProcessorConfig, SystemConfig


class Crew:
    """Starts, restarts and ends processors of one kind; one for one.

    Args:
        stage: Whose children they are.
        base: What their names begin with.
        incarnation: Unique for this run of the machine.
        up: Called with a process that is ready, and its address.
        gone: Called with a process that is no more, why, and whether it crashed.
    """

    def __init__(
        self,
        stage: Stage,
        base: str,
        incarnation: str,
        up: Callable[[Process, Address], None],
        gone: Callable[[Process, str, bool], None],
    ) -> None:
        self.fatal = False
        self._stage = stage
        self._base = base
        self._up = up
        self._gone = gone
        self._roster: Roster[ProcessorConfig] = Roster(incarnation)
        self._addresses: dict[str, Address] = {}
        self._system: SystemConfig | None = None
        self._pulse = Pulse(0.0)

    def __len__(self) -> int:
        return len(self._roster)

    @property
    def processes(self) -> list[tuple[Process, Address]]:
        """Those that are ready, with their addresses."""
        ready = (StageState.RUNNING, StageState.DRAINING)
        return [
            (self._process_of(each), self._addresses[each.name])
            for each in self._roster
            if each.state in ready and each.name in self._addresses
        ]

    @property
    def is_complete(self) -> bool:
        """Whether none of them is still to be started."""
        return all(each.state is not StageState.STARTING for each in self._roster)

    def restarts(self) -> dict[str, int]:
        """How often each was restarted."""
        return {each.name: max(0, each.starts - 1) for each in self._roster}

    def hire(self, config: ProcessorConfig, system: SystemConfig, count: int) -> None:
        """Start so many processors."""
        self._system = system
        self._pulse = Pulse(system.lease_s)
        for _ in range(count):
            base = f"{self._base}/{config.name}"
            self._roster.add_numbered(base, config, self._stage.now())
        self.tick(self._stage.now())

    def configure(self, config: ProcessorConfig, system: SystemConfig) -> None:
        """Let them work as configured now; what they cannot change makes them new."""
        was, self._system = self._system, system
        for member in self._roster:
            old, member.config = member.config, config
            if was != system and not _is_tuned(old, config, was, system):
                self._replace(member)
            elif old != config:
                self._tell(member.name, Tune(config=config))

    def tick(self, now: float) -> None:
        """Start those that are due, and find those that hang."""
        assert self._system is not None or not len(self)  # noqa: S101 - hired with it
        for name in self._pulse.silent(now):
            self._pulse.end(name)
            if (hung := self._roster.get(name)) is not None:
                self.kill(self._process_of(hung))
        for name in self._pulse.due(now):
            self._tell(name, AskSign())
        for member in self._roster.due(now):
            self._addresses[member.name] = self._stage.create(ProcessorActor)
            start = StartProcessor(
                config=member.config,
                system=self._system,  # type: ignore[arg-type]
                name=member.name,
                run=member.run,
            )
            self._tell(member.name, start)

    def next_tick(self) -> float | None:
        """When the next one is to be started, or asked whether it is there."""
        times = (self._roster.next_start(), self._pulse.next_tick())
        return min((each for each in times if each is not None), default=None)

    def heard(self, name: str) -> None:
        """One has given a sign."""
        self._pulse.heard(name, self._stage.now())

    def started(self, message: Started, sender: Address) -> None:
        """One is ready."""
        address = self._addresses.get(message.name)
        member = self._roster.get(message.name)
        if address is None or member is None:
            return
        if self._stage.is_same(address, sender):
            self._addresses[message.name] = sender
            self._roster.started(message.name, message.pid)
            self._pulse.begin(message.name, self._stage.now())
            self._up(self._process_of(member), sender)

    def exited(self, child: Address) -> None:
        """One has ended; its end may be told twice."""
        if (name := self.name_of(child)) is not None:
            del self._addresses[name]
            self._pulse.end(name)
            self._judge(name)

    def name_of(self, child: Address) -> str | None:
        """The name of one by its address."""
        for name, address in self._addresses.items():
            if self._stage.is_same(address, child):
                return name
        return None

    def kill(self, process: Process) -> None:
        """End one that hangs."""
        member = self._roster.get(process.name)
        if member is not None and member.run == process.run and member.pid:
            self._stage.log.warning("stage.silent", stage=member.name, pid=member.pid)
            self._stage.edges.kill(member.pid)

    def overdue(self, message: Overdue) -> None:
        """Put another in the place of one whose job will not end."""
        member = self._roster.get(message.name)
        if member is not None and member.run == message.run:
            self._stage.log.warning("stage.overdue", stage=member.name, pid=member.pid)
            self._replace(member)

    def detach(self, names: Iterable[str] | None = None) -> None:
        """Let these finish what they have and end; all if none is named."""
        chosen = None if names is None else set(names)
        for member in self._roster:
            if chosen is not None and member.name not in chosen:
                continue
            if member.name in self._addresses:
                member.state = StageState.DRAINING
                self._tell(member.name, Drain())
            else:
                self._roster.remove(member.name)

    def end(self, name: str) -> None:
        """One has nothing left to do."""
        if (address := self._addresses.get(name)) is not None:
            self._stage.end(address)

    def tell_all(self, message: Any) -> None:
        """Send to each that is there."""
        for name in self._addresses:
            self._tell(name, message)

    def _judge(self, name: str) -> None:
        member = self._roster.get(name)
        if member is None:
            return
        process = self._process_of(member)
        replaced = member.state is StageState.REPLACING
        fate = self._roster.exited(name, self._stage.now())
        log = self._stage.log
        match fate:
            case Fate.REMOVED:
                log.info("stage.exited", stage=name, pid=process.pid, reason="drained")
            case Fate.RESTART:
                wait = max(0.0, (member.start_at or 0.0) - self._stage.now())
                about = {"pid": process.pid, "restart_in_s": round(wait, 3)}
                log.warning("stage.exited", stage=name, **about)
            case Fate.FATAL:
                log.error("stage.fatal", stage=name, pid=process.pid)
                self.fatal = all(
                    each.state is StageState.FATAL for each in self._roster
                )
            case Fate.UNKNOWN:
                return
        member.pid = None
        reason = "replaced" if replaced else "exited"
        self._gone(process, reason, fate is not Fate.REMOVED and not replaced)

    def _replace(self, member: Member[ProcessorConfig]) -> None:
        if member.state is StageState.RUNNING and member.pid is not None:
            member.state = StageState.REPLACING
            self._stage.edges.kill(member.pid)

    def _process_of(self, member: Member[ProcessorConfig]) -> Process:
        return Process(
            name=member.name,
            run=member.run,
            pid=member.pid or 0,
            host=socket.gethostname(),
            kind=member.config.name,
        )

    def _tell(self, name: str, message: Any) -> None:
        if (address := self._addresses.get(name)) is not None:
            self._stage.send(address, message)


def _is_tuned(
    old: ProcessorConfig,
    new: ProcessorConfig,
    was: SystemConfig | None,
    system: SystemConfig,
) -> bool:
    """Whether a processor can take up the new configuration while it runs."""
    tuned = dataclasses.replace(
        old, max_demand=new.max_demand, min_demand=new.min_demand, count=new.count
    )
    return (
        was is not None
        and tuned == new
        and was.job_timeout_s == system.job_timeout_s
        and was.retries == system.retries
        and was.lease_s == system.lease_s
        and was.steps == system.steps
    )
