"""A leader that only fetches, two machines that work, and a line that is bad."""

from __future__ import annotations

import functools
import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actors.config.build import build
from actors.config.values import resolve
from actors.fetcher.actor import FetcherActor
from actors.processor.actor import ProcessorActor
from actors.supervision.children import StageState
from actors.testing.chaos import Profile
from actors.testing.invariants import Violation
from actors.testing.simulation import Account, Simulation
from tests.support.virtual_machines import LEADER, JoinedMachine, LeaderWorld

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from actors.cluster.leader import Leader
    from actors.config.model import SystemConfig
    from actors.testing.base import Node
    from actors.testing.chaos import Chaos
    from actors.testing.invariants import Invariants

PROFILE = Profile(faults_s=60.0, jobs=8, troubles=6, shots=0, calm=0.1, call_s=2.0)
WINDOWS = (1, 5, 1000, 1)
#: 64 kbit/s, 200 kbit/s, 10 Mbit/s.
BYTES_S = (8e3, 25e3, 1.25e6)
DELAYS_S = (0.001, 0.15, 0.3, 0.6)
#: Of a job, and of its result, in bytes.
SIZES = (10, 1_000, 20_000, 60_000)
#: The processors on each machine.
MACHINES = {"m1": 2, "m2": 1}
#: Once all is well, what can move does so within so long, in seconds, beside the time
#: that the line takes: a lease, and a few of the longest waits.
REST_S = 180.0


class Lines(Simulation):
    """One schedule, and what its jobs did."""

    world: LeaderWorld

    def __init__(self, seed: int, profile: Profile = PROFILE) -> None:
        self.executions: Counter[int] = Counter()
        self.events: Counter[str] = Counter()
        self._is_over = False
        self.window = WINDOWS[seed % len(WINDOWS)]
        self.allowed = 0
        super().__init__(
            seed,
            configure(max_demand=self.window),
            {"tests:process": self.process},
            _job,
            profile,
        )
        self._calm_chaos()
        draw = self.chaos.random
        link = self.world.network.link
        link.bytes_s, link.delay_s = draw.choice(BYTES_S), draw.choice(DELAYS_S)

    def make_world(
        self,
        config: SystemConfig,
        functions: dict[str, Callable[..., Any]],
        faults: Chaos,
        observer: Invariants,
    ) -> LeaderWorld:
        world = LeaderWorld(config, functions, faults, observer)
        killed, told = observer.killed, observer.told

        def on_killed(node: Node) -> None:
            killed(node)
            self._killed(node)

        def on_told(node: Node, level: str, event: str, fields: dict[str, Any]) -> None:
            told(node, level, event, fields)
            self.events[event] += 1
            if event == "machine.lost":
                self.allowed += self.window * MACHINES[fields["machine"]]

        observer.killed = on_killed  # type: ignore[method-assign]
        observer.told = on_told  # type: ignore[method-assign]
        return world

    def process(self, job: Any) -> str:
        self.executions[job["id"]] += 1
        return "x" * int(job["result"])

    def _calm_chaos(self) -> None:
        # Between processes of one machine nothing gets lost; it is the line's turn.
        chaos = self.chaos
        chaos.losing = chaos.repeating = chaos.delaying = 0.0

    def _put_down_jobs(self, profile: Profile) -> None:
        super()._put_down_jobs(profile)
        draw = self.chaos.random
        for name, count in MACHINES.items():
            self.world.join(name, count, draw.choice((2.0, 5.0, 30.0)))
        if not self.chaos.active:
            return
        kinds: tuple[Callable[[], str], ...] = (
            self._cut,
            self._cut,
            self._slow,
            self._reset,
            self._kill_one,
            self._kill_machine,
            self._kill_here,
            self._restart,
            self._no_names,
        )
        for _ in range(draw.randint(1, profile.troubles)):
            at = draw.uniform(0.0, profile.faults_s)
            self.world.agenda.after(at, functools.partial(self._do, draw.choice(kinds)))

    def _do(self, trouble: Callable[[], str]) -> None:
        if self._is_healed:
            return
        at = self.world.agenda.elapsed
        self.chaos.done.append(f"{at:.1f} s: {trouble()}")

    @property
    def _is_healed(self) -> bool:
        return "healed" in self.chaos.done

    def _cut(self) -> str:
        seconds = self.chaos.random.choice((0.5, 3.0, 7.0, 20.0, 60.0))
        self.world.network.cut()
        self.world.agenda.after(seconds, self.world.network.heal)
        return f"the line was cut for {seconds} s"

    def _slow(self) -> str:
        link, draw = self.world.network.link, self.chaos.random
        link.bytes_s, link.delay_s = draw.choice(BYTES_S), draw.choice(DELAYS_S)
        return f"{link.bytes_s} bytes a second, {link.delay_s} s"

    def _reset(self) -> str:
        machine = self._machine()
        if (member := self._member(machine)) is not None:
            member.connection.hang_up("reset by peer")
            self._kill_one(machine)
        return f"the line of {machine.name} was reset as a processor there was killed"

    def _kill_one(self, machine: JoinedMachine | None = None) -> str:
        machine = machine or self._machine()
        nodes = machine.base.nodes.values()
        there = [each for each in nodes if isinstance(each.stage, ProcessorActor)]
        if there:
            machine.base.kill(self.chaos.random.choice(there))
        return f"a processor on {machine.name} was killed"

    def _kill_machine(self) -> str:
        machine = self._machine()
        machine.kill()
        return f"{machine.name} was killed"

    def _kill_here(self) -> str:
        nodes = list(self.world.base.nodes.values())
        if not nodes:
            return "nobody was there"
        node = self.chaos.random.choice(nodes)
        self.world.base.kill(node)
        return f"{node.name} was killed"

    def _restart(self) -> str:
        self.world.kill()
        return "the leader came back under another address"

    def _no_names(self) -> str:
        network = self.world.network
        network.names = None

        def back() -> None:
            # It knows where the leader is now, wherever that was before.
            network.names = {LEADER: [self.world.address]}

        self.world.agenda.after(10.0, back)
        return "there was no name service"

    def _machine(self) -> JoinedMachine:
        return self.chaos.random.choice(self.world.machines)

    def _heal(self) -> None:
        self.world.network.heal()
        super()._heal()
        link = self.world.network.link
        payloads = [row["payload"] or "{}" for row in self.world.left()]
        sizes = [len(each) + json.loads(each).get("result", 0) for each in payloads]
        way_s = sum(sizes) / link.bytes_s * 1.25 + 20 * link.delay_s
        self._rest_by = self.world.agenda.now + REST_S + way_s

    def _look(self) -> None:
        super()._look()
        if self._is_healed and self.world.agenda.now > self._rest_by:
            raise Violation("progress", f"stands still: {self.world.left()}")

    def _idle(self) -> bool:
        self._is_over = super()._idle() and self._leader_is_right()
        return self._is_over

    def _leader_is_right(self) -> bool:
        """Whether the leader knows the processors that work, and no others."""
        assert self.world.root is not None
        leader: Leader = self.world.root.stage.leader
        there = set()
        for machine in self.world.machines:
            member = self._member(machine)
            for child in member.supervisor.processors if member else ():
                if child.state is StageState.RUNNING:
                    there.add(child.run)
        return all(each.run in there for _, each in leader.processes)

    def _member(self, machine: JoinedMachine) -> Any:
        root = machine.root
        return root.stage if root is not None and root.stage.is_open else None

    def _killed(self, node: Node) -> None:
        if self._is_over:
            return  # by the stop
        if isinstance(node.stage, ProcessorActor):
            self.allowed += self.window
        elif isinstance(node.stage, FetcherActor):
            self.allowed += self.window * sum(MACHINES.values())

    def run(self) -> Account:
        account = super().run()
        second = sum(self.executions.values()) - len(self.executions)
        if second > self.allowed:
            raise Violation("contract", f"{second} second runs, of {self.allowed}")
        # One whose processor was killed three times over is set aside.
        ended = account.accounting["done"] + account.accounting["quarantined"]
        if ended != account.accounting["fetched"]:
            raise Violation("every job ends", f"{account}")
        return account


def _job(draw: Random, number: int) -> dict[str, Any]:
    pad = "x" * draw.choice(SIZES)
    return {"id": number, "pad": pad, "result": draw.choice(SIZES)}


@functools.cache
def configure(*, max_demand: int) -> SystemConfig:
    flags = {
        "process": "tests:process",
        "processors": "0",
        "every_s": "1",
        "max_demand": str(max_demand),
        "bind": "leader",
    }
    config = build(resolve(flags, {}, None), None)
    [fetcher] = config.fetchers
    [processor] = config.processors
    return replace(
        config,
        fetchers=(replace(fetcher, name="north"),),
        processors=(replace(processor, sources=("north",)),),
    )


def run_lines(seeds: range) -> list[tuple[int, str]]:
    """Run schedules; returns those that broke, each with what did not hold."""
    broken = []
    for seed in seeds:
        try:
            Lines(seed).run()
        except Violation as violation:
            broken.append((seed, str(violation)))
    return broken
