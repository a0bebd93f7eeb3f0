"""One machine in a test: its processes, its disk, and who stands for ``main``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.config.overrides import Changes
from actors.host.reports import Beat, Failed, Fatal, Started, Stopped, Unbegun
from actors.journal.file import LIVE, PAYLOAD
from actors.supervision.children import StageState
from actors.supervision.heartbeat import Heartbeat
from actors.supervision.messages import StartSystem
from actors.supervision.root import RootActor
from actors.testing.agenda import Agenda
from actors.testing.base import Base
from actors.testing.virtual_environment import (
    Surroundings,
    VirtualEnvironment,
    VirtualRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.config.model import SystemConfig
    from actors.host.reports import Report
    from actors.testing.base import Calm, Node, Observer


class SystemEndedError(RuntimeError):
    """The system has ended, or never started; the text says why."""


class World(Surroundings):
    """Runs one system after another over the same disk.

    The journal is the real one, over SQLite's database in memory: every
    statement runs as in production, only the sync to a disk is spared, which
    takes a thousand times as long as all the rest.
    """

    def __init__(
        self,
        config: SystemConfig,
        functions: dict[str, Callable[..., Any]],
        faults: Calm,
        observer: Observer,
    ) -> None:
        super().__init__(functions)
        # Other machines are not of this world.
        self.config = replace(config, bind=None)
        self.faults = faults
        self.observer = observer
        self.agenda = Agenda()
        environment = partial(VirtualEnvironment, around=self)
        self.base = Base(self.agenda, faults, observer, environment)
        self.base.on_death = self._undo
        self.changes = Changes()
        self.root: Node | None = None
        self.runs = 0
        self.started = False
        self.ended: Report | None = None
        self._heartbeat: Heartbeat[str] = Heartbeat(config.lease_s)

    def start(self, changes: Changes | None = None) -> None:
        """Start the system, or with the changes so far a new root, as main does."""
        again = changes is not None
        self.changes = changes or Changes()
        self.runs += 1
        self.started, self.ended = False, None
        self.root = self.base.start(RootActor)
        self.root.name = "root"
        start = StartSystem(
            config=self.changes.over(self.config),
            incarnation=f"run{self.runs}",
            report_fd=-1,
            control_socket="",
            orders_fd=-1,
            paused=self.changes.paused,
            draining=self.changes.draining,
            detached=tuple(sorted(self.changes.detached)),
            again=again,
        )
        self.base.tell(self.root, start)
        self._heartbeat.begin("root", self.agenda.now)
        self._watch(self.root)

    def _watch(self, root: Node) -> None:
        # As the main process does: a root that hangs is killed, and started anew.
        at = self._heartbeat.next_tick()
        assert at is not None  # noqa: S101 - it has begun

        def look() -> None:
            if self.root is not root or not self.running:
                return
            if self._heartbeat.silent(self.agenda.now):
                self.kill()
                self.start(self.changes)
                return
            self._heartbeat.due(self.agenda.now)
            self._watch(root)

        self.agenda.at(at, look)

    def _undo(self) -> None:
        # As SQLite does with the file when a process is gone within a transaction.
        for database in self.databases.values():
            if database.in_transaction:
                database.rollback()

    def kill(self) -> None:
        """End all processes at once; the disk keeps what is on it."""
        self.base.kill_all()
        self.control = None

    def close(self) -> None:
        """Let go of everything."""
        self.kill()
        for loop in self.loops:
            loop.end()
        for database in self.databases.values():
            database.shut()

    def command(self, command: dict[str, Any]) -> VirtualRequest:
        """Send the root a command.

        Raises:
            SystemEndedError: There is no root.
        """
        self.check()
        assert self.control is not None  # noqa: S101 - it started
        request = VirtualRequest(command)
        self.control.put(request)
        return request

    @property
    def running(self) -> bool:
        """Whether there is a system that has not come to its end."""
        return self.root is not None and self.root.alive and self.ended is None

    def at_rest(self) -> bool:
        """Whether every fetcher is there, has seen its jobs end, and told so."""
        fetchers = [
            each.stage
            for each in self.base.nodes.values()
            if hasattr(each.stage, "producer")
        ]
        busy = [
            each.producer.store.accounting().left
            or bool(each.commit_queue)
            or not (each.acknowledger is None or each.acknowledger.drained)
            for each in fetchers
        ]
        return len(busy) >= len(self.config.fetchers) and not any(busy)

    def working(self) -> bool:
        """Whether there is a processor of each kind that takes jobs."""
        stages = [each.stage for each in self.base.nodes.values()]
        # The root knows of one that leaves before that one has heard of it.
        supervisors = [e.supervisor for e in stages if hasattr(e, "supervisor")]
        leaving = {
            child.name
            for supervisor in supervisors
            for child in supervisor.processors
            if child.state is StageState.DRAINING
        }
        consumers = [each.consumer for each in stages if hasattr(each, "consumer")]
        taking = {
            each.process.kind
            for each in consumers
            if not each.draining and each.process.name not in leaving
        }
        return all(each.name in taking for each in self.config.processors)

    def left(self) -> list[dict[str, Any]]:
        """What the journal knows of jobs that have not ended."""
        return [row for row in self.journal_rows() if row["state"] in LIVE]

    def journal_rows(self) -> list[dict[str, Any]]:
        """Every job in the journal."""
        if self.config.journal is None:
            return []
        rows = self.database(self.config.journal).execute(
            f"SELECT name, key, id, state, attempt, crashes, {PAYLOAD} "  # noqa: S608
            "FROM job "
            "JOIN fetcher ON number = fetcher"
        )
        names = ("fetcher", "key", "id", "state", "attempt", "crashes", "payload")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def check(self) -> None:
        """Make sure that a system runs.

        Raises:
            SystemEndedError: None does.
        """
        if self.ended is not None:
            raise SystemEndedError(f"the system has ended: {self.ended}")
        if self.root is None or not self.root.alive:
            raise SystemEndedError("the root's process ended")

    def kill_running(self) -> None:
        """End the process whose job function calls this."""
        if self.calling is not None:
            self.base.kill(self.calling)

    def reported(self, report: Report) -> None:
        """Act on the root's report, as the main process does."""
        self.changes.heard(report)
        match report:
            case Beat():
                self._heartbeat.heard("root", self.agenda.now)
            case Started():
                self.started = True
            case Failed() | Unbegun() | Fatal() | Stopped():
                if isinstance(report, Stopped):
                    self.observer.stopped()
                self.ended = report
                self.agenda.after(0.0, self.kill)
            case _:
                return
