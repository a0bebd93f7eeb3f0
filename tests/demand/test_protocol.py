"""Both sides over a network that loses, repeats, reorders and delays.

The machine takes any steps in any order and holds both sides against the rules
after each; in the end the faults stop, and every job must come to its end.
"""

from __future__ import annotations

from collections import Counter
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

from actors.demand.job import Failure
from actors.demand.windows import Window
from tests.demand.world import Options, Wire, World
from tests.support.repetitions import times

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    T = TypeVar("T")

ONE_OF_MANY = st.integers(min_value=0, max_value=11)
FAILURES = st.sampled_from(
    [None, None, Failure("E: once"), Failure("E: for good", permanent=True)]
)
FAULTS = st.sampled_from(["lose", "lose all", "delay", "repeat"])
EVENTS = st.sampled_from(
    [
        "kill",
        "drain",
        "give up",
        "give up",
        "reopen",
        "restart",
        "restart without journal",
        "pause",
        "resume",
    ]
)
WINDOWS = st.sampled_from(
    [
        Window(),
        Window(max_demand=2),
        Window(max_demand=3, min_demand=0),
        Window(max_demand=4, min_demand=3),
    ]
)


def pick(things: Sequence[T], number: int) -> T:
    return things[number % len(things)]


class Protocol(RuleBasedStateMachine):
    """Any order of any steps, of the stages and of the network."""

    world: World

    @initialize(
        producers=st.integers(1, 2),
        consumers=st.integers(2, 3),
        window=WINDOWS,
        manual=st.sampled_from(["", "", "of fetchers", "of a step"]),
    )
    def begin(
        self,
        producers: int,
        consumers: int,
        window: Window,
        manual: str,
    ) -> None:
        self.world = World(
            Options(
                producers=producers,
                consumers=consumers,
                window=window,
                buffer=5,
                manual=bool(manual),
                is_step=manual == "of a step",
            )
        )

    @property
    def sources(self) -> list[str]:
        return list(self.world.producers)

    @property
    def runs(self) -> list[str]:
        return list(self.world.consumers)

    @property
    def wires(self) -> list[Wire]:
        return self.world.busy_wires

    @property
    def holding(self) -> list[str]:
        return [run for run, each in self.world.consumers.items() if each.held]

    @rule(which=ONE_OF_MANY, count=st.integers(1, 4))
    def fetch(self, which: int, count: int) -> None:
        self.world.fetch(pick(self.sources, which), count)

    @precondition(lambda self: self.runs and self.world.options.manual)
    @rule(which=ONE_OF_MANY, count=st.integers(0, 4), source=ONE_OF_MANY)
    def grant(self, which: int, count: int, source: int) -> None:
        name = pick([None, *self.world.options.kinds], source)
        self.world.grant(pick(self.runs, which), count, name)

    @rule(which=ONE_OF_MANY)
    def mark(self, which: int) -> None:
        self.world.mark(pick(self.sources, which))

    @precondition(lambda self: self.wires)
    @rule(which=ONE_OF_MANY)
    def deliver(self, which: int) -> None:
        self.world.deliver(pick(self.wires, which))

    @rule()
    def deliver_all(self) -> None:
        self.world.deliver_all()

    @precondition(lambda self: self.wires)
    @rule(fault=FAULTS, which=ONE_OF_MANY, at=ONE_OF_MANY)
    def spoil(self, fault: str, which: int, at: int) -> None:
        wire = self.world.wires[pick(self.wires, which)]
        message = wire.pop(at % len(wire))
        match fault:
            case "lose":
                pass
            case "lose all":
                wire.clear()
            case "delay":
                wire.append(message)
            case _:
                wire += [message, message]

    @precondition(lambda self: self.holding)
    @rule(which=ONE_OF_MANY)
    def start(self, which: int) -> None:
        self.world.start(pick(self.holding, which))

    @precondition(lambda self: self.holding)
    @rule(which=ONE_OF_MANY, failure=FAILURES)
    def finish(self, which: int, failure: Failure | None) -> None:
        run = pick(self.holding, which)
        self.world.start(run)
        self.world.finish(run, failure)

    @precondition(lambda self: self.holding)
    @rule(which=ONE_OF_MANY, keep=st.integers(0, 2))
    def hand_back(self, which: int, keep: int) -> None:
        self.world.hand_back(pick(self.holding, which), keep)

    @rule(seconds=st.sampled_from([0.05, 1.0, 2.0, 5.0, 61.0]), late=st.booleans())
    def wait(self, seconds: float, late: bool) -> None:  # noqa: FBT001
        self.world.now += seconds
        if not late:
            self.world.tick_due()

    @precondition(lambda self: self.runs)
    @rule(event=EVENTS, which=ONE_OF_MANY, source=ONE_OF_MANY)
    def disturb(self, event: str, which: int, source: int) -> None:
        run, name = pick(self.runs, which), pick(self.sources, source)
        match event:
            case "kill":
                self.world.kill(run)
                self.world.join(run.partition(".")[0])
            case "drain":
                self.world.drain(run)
            case "give up":
                self.world.give_up(name, run)
            case "reopen":
                self.world.reopen(run, name)
            case "restart":
                self.world.restart(name)
            case "restart without journal":
                self.world.restart(name, journal=False)
            case _:
                self.world.open_gate(name, is_open=event == "resume")

    @precondition(lambda self: self.world.obituaries or self.world.unnoticed)
    @rule(which=ONE_OF_MANY)
    def tell(self, which: int) -> None:
        if self.world.obituaries:
            self.world.tell_gone(*pick(self.world.obituaries, which))
        else:
            self.world.tell_restarted(*pick(self.world.unnoticed, which))

    @invariant()
    def both_sides_keep_the_rules(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.settle()
        assert not self.world.marked, "a mark that never passes"
        if not self.world.disturbed:
            self.each_job_ran_once_for_each_failure_and_once_more()
        self.world.retire()

    def each_job_ran_once_for_each_failure_and_once_more(self) -> None:
        ran = Counter(
            (task.source, task.assignment.key) for _, task in self.world.started
        )
        assert ran == {
            (source, job.key): job.tries
            for source, book in self.world.books.items()
            for job in book.jobs.values()
        }


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(
    deadline=None,
    max_examples=times(40, 150),
    stateful_step_count=50,
    suppress_health_check=[HealthCheck.too_slow],
)
