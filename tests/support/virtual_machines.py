"""A leader and machines that have joined it, over a network on virtual time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.cluster.allowed_functions import named_by
from actors.cluster.member import MachineActor
from actors.cluster.messages import StartMachine
from actors.hooks import spans
from actors.host.reports import Failed, Stopped
from actors.processor.actor import ProcessorActor
from actors.supervision.children import Role
from actors.testing.base import Base
from actors.testing.virtual_environment import Surroundings, VirtualEnvironment
from actors.testing.world import World
from tests.support.virtual_network import Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.config.model import SystemConfig
    from actors.config.overrides import Changes
    from actors.host.reports import Report
    from actors.testing.base import Calm, Node, Observer

#: The leader's name on the network, and where it listens there.
LEADER, PORT = "leader", 4000
#: A machine whose system has ended is started again after so long, in seconds.
RESTART_S = 1.0


class _JoinedActor(MachineActor):
    stages = {Role.PROCESSOR: ProcessorActor}  # noqa: RUF012 - see the base


class LeaderWorld(World):
    """The leader's machine; with each start it is at another address."""

    def __init__(
        self,
        config: SystemConfig,
        functions: dict[str, Callable[..., Any]],
        faults: Calm,
        observer: Observer,
    ) -> None:
        super().__init__(config, functions, faults, observer)
        self.config = replace(config.with_port(PORT), bind=LEADER)
        self.network: Network = Network(self.agenda)
        self.machines: list[JoinedMachine] = []

    def start(self, changes: Changes | None = None) -> None:
        """Start the leader where its name leads to from now on."""
        self.address = f"10.0.{self.runs % 250}.1"
        self.network.addresses[LEADER] = self.address
        # The first one leads nowhere any more.
        self.network.names = {LEADER: ["10.9.9.9", self.address]}
        super().start(changes)

    def join(self, name: str, count: int, limit_s: float) -> JoinedMachine:
        """Let a machine join, and do so again whenever its system ends."""
        machine = JoinedMachine(self, name, count, limit_s)
        self.machines.append(machine)
        machine.start()
        return machine

    def working(self) -> bool:
        """Whether a processor of each kind takes jobs, on whichever machine."""
        return all(each.root is not None for each in self.machines)

    def close(self) -> None:
        """Let go of everything."""
        for each in self.machines:
            each.is_over = True
            each.base.kill_all()
        # What each machine's process has for itself is that of the test's process here.
        spans.trace_no_more()
        super().close()


class JoinedMachine(Surroundings):
    """One machine that has joined, or tries to."""

    def __init__(
        self, leader: LeaderWorld, name: str, count: int, limit_s: float
    ) -> None:
        super().__init__(leader.functions)
        self.name = name
        self.count = count
        self.is_over = False
        self.root: Node | None = None
        self.network = leader.network
        self.address = f"10.1.0.{len(leader.machines) + 1}"
        leader.network.addresses[name] = self.address
        environment = partial(VirtualEnvironment, around=self)
        self.base = Base(leader.agenda, leader.faults, leader.observer, environment)
        self._leader = leader
        self._limit_s = limit_s
        self._runs = 0

    def start(self) -> None:
        """Start what joins."""
        if self.is_over:
            return
        self._runs += 1
        self.root = self.base.start(_JoinedActor)
        self.root.name = self.name
        system = self._leader.config.for_machines()
        kinds = system.processors
        start = StartMachine(
            host=LEADER,
            port=PORT,
            name=self.name,
            kind=None,
            count=self.count,
            allow=tuple({n for kind in kinds for n in named_by(system, kind)}),
            system=replace(system, processors=(), machine_timeout_s=self._limit_s),
            incarnation=f"{self.name}-run{self._runs}",
            report_fd=-1,
            control_socket="",
            orders_fd=-1,
        )
        self.base.tell(self.root, start)

    def kill(self) -> None:
        """End it at once; whoever runs it starts it again."""
        self.base.kill_all()
        self.root = None
        self.base.agenda.after(RESTART_S, self._start_again)

    def reported(self, report: Report) -> None:
        """Start it again where it could not go on."""
        if isinstance(report, Failed | Stopped) and self.root is not None:
            self.root = None
            self.base.agenda.after(0.0, self.kill)

    def _start_again(self) -> None:
        if self.root is None:
            self.start()
