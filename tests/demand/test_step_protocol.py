"""Steps and routed dispatchers over a network that loses, repeats and reorders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from actors.demand.dispatchers import (
    BroadcastDispatcher,
    DemandDispatcher,
    PartitionDispatcher,
)
from actors.demand.job import Failure
from actors.demand.messages import Demand
from actors.demand.windows import Window
from tests.demand.chain import LAST, STEPS, Chain
from tests.support.repetitions import times

if TYPE_CHECKING:
    from tests.demand.chain import Make

NUMBER = st.integers(0, 30)
FIRST: list[tuple[Make, tuple[str, ...]]] = [
    (DemandDispatcher, ("",)),
    (PartitionDispatcher, ("red", "green", "blue")),
    (BroadcastDispatcher, STEPS),
]
OUTCOMES = st.sampled_from(
    ["result", "result", None, Failure("E: once"), Failure("E: ever", permanent=True)]
)


class ChainProtocol(RuleBasedStateMachine):
    """Any order of any steps, of the stages and of the network."""

    chain: Chain

    @initialize(
        first=st.sampled_from(FIRST),
        second=st.sampled_from([DemandDispatcher, PartitionDispatcher]),
        most=st.integers(1, 3),
        manual=st.booleans(),
    )
    def begin(
        self,
        first: tuple[Make, tuple[str, ...]],
        second: Make,
        most: int,
        manual: bool,  # noqa: FBT001
    ) -> None:
        dispatcher, routes = first
        window = Window(max_demand=most)
        self.chain = Chain(window, dispatcher, second, routes, manual)

    @rule(count=st.integers(1, 4))
    def fetch(self, count: int) -> None:
        self.chain.fetch(count)

    @precondition(lambda self: self.chain.manual)
    @rule(name=st.sampled_from(STEPS), count=st.integers(1, 3))
    def grant(self, name: str, count: int) -> None:
        self.chain.grant(name, count)

    @rule()
    def deliver_all(self) -> None:
        for ends in self.chain.busy:
            for _ in range(len(self.chain.wires[ends])):
                if self.chain.wires[ends]:
                    self.chain.deliver(ends)

    @precondition(lambda self: self.chain.busy)
    @rule(which=NUMBER)
    def deliver(self, which: int) -> None:
        self.chain.deliver(self.chain.busy[which % len(self.chain.busy)])

    @precondition(lambda self: self.chain.busy)
    @rule(which=NUMBER, at=NUMBER, fate=st.sampled_from(["lose", "repeat", "delay"]))
    def spoil(self, which: int, at: int, fate: str) -> None:
        wire = self.chain.wires[self.chain.busy[which % len(self.chain.busy)]]
        message = wire[at % len(wire)]
        if fate != "repeat":
            wire.remove(message)
        if fate != "lose":
            wire.append(message)

    @rule(name=st.sampled_from([*STEPS, *LAST]), outcome=OUTCOMES)
    def work(self, name: str, outcome: Failure | str | None) -> None:
        self.chain.work(name, outcome)

    @rule(seconds=st.sampled_from([0.05, 1.0, 5.0, 61.0]))
    def tick(self, seconds: float) -> None:
        self.chain.tick(seconds)

    @rule(name=st.sampled_from([*STEPS, *LAST]))
    def kill(self, name: str) -> None:
        self.chain.kill(name)

    @invariant()
    def the_rules_hold(self) -> None:
        self.chain.check()

    def teardown(self) -> None:
        if not hasattr(self, "chain"):
            return
        self.chain.settle()
        assert [self.chain.middle(step).passed_on for step in STEPS] == [0, 0]
        copies = 2 if self.chain.routes == STEPS else 1
        assert self.chain.source.store.accounting().fetched == self.chain.count * copies


def test_a_demand_lost_between_two_steps_does_not_hold_the_chain_up_for_long() -> None:
    chain = Chain(Window(max_demand=2), DemandDispatcher, DemandDispatcher, ("",))
    for ends, wire in chain.wires.items():
        chain.wires[ends] = [each for each in wire if not isinstance(each, Demand)]
    chain.fetch(4)
    lost_at = chain.now

    chain.settle()

    assert chain.now - lost_at < 50


TestChain = ChainProtocol.TestCase
TestChain.settings = settings(
    deadline=None,
    max_examples=times(25, 80),
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)
