"""What follows for other machines, and from what they say: no line, no process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.cluster.leader import Leader
from actors.cluster.membership import RETURN_S
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
    SourceIs,
    TellStatus,
    ToMachine,
    Welcome,
)
from actors.demand.job import Process
from actors.supervision.children import Fate
from actors.supervision.effects import Effect, Gone, Heard, SourceEnded
from actors.supervision.messages import (
    DemandGranted,
    SourceGone,
    SourceUp,
    StatusAnswer,
)
from tests.support.supervised import NOW, Machine, logged, processor, system, told

STEP = Process(name="far/first-1", run="far.1", pid=7, host="far", kind="first")


@pytest.fixture
def here() -> Machine:
    """The leader's machine: a fetcher, a step and what takes from it."""
    config = system(processor("first", "numbers"), processor("last", "first"))
    machine = Machine(config)
    machine.supervisor.open_gate(GATE, "start", NOW)
    machine.start()
    return machine


@pytest.fixture
def leader(here: Machine) -> Leader:
    return Leader(
        here.supervisor, "boot", lambda: "1.0", lambda names: dict.fromkeys(names, "1")
    )


def says(leader: Leader, message: Any, run: str = "far") -> list[Effect]:
    return leader.receive(FromMachine(run=run, message=message), NOW)


def join(leader: Leader, run: str = "far", version: str = "1.0") -> list[Effect]:
    message = Join(name=run, run=run, host=run, version=version)
    return says(leader, message, run)


def sent(effects: list[Effect], run: str = "far") -> list[Any]:
    """What a machine is told."""
    messages = told(effects, GATE)
    return [
        each.message
        for each in messages
        if isinstance(each, ToMachine) and each.run == run
    ]


def test_one_that_joins_hears_of_every_source(leader: Leader) -> None:
    welcome, *sources = sent(join(leader))

    assert isinstance(welcome, Welcome)
    assert welcome.versions == {"jobs:root": "1"}
    assert [(each.kind, each.name, each.up) for each in sources] == [
        ("numbers", "numbers", True),
        ("first", "first-1", True),
    ]


def test_one_that_joins_hears_which_sources_have_died_meanwhile(
    leader: Leader, here: Machine
) -> None:
    here.supervisor.exited("numbers", NOW)

    sources = [each for each in sent(join(leader)) if isinstance(each, SourceIs)]

    assert [(each.name, each.up, each.fate) for each in sources] == [
        ("numbers", False, "restart"),
        ("first-1", True, ""),
    ]


def test_one_that_was_away_hears_which_sources_are_no_more(
    leader: Leader, here: Machine
) -> None:
    join(leader)
    leader.receive(LineEnded(run="far", silent=False, reason="cut"), NOW)
    leader.source_ended(SourceEnded("numbers", "numbers", Fate.REMOVED))
    here.supervisor.fetchers.remove("numbers")

    _, *sources = sent(join(leader))

    assert [(each.name, each.up, each.fate) for each in sources] == [
        ("numbers", False, "removed"),
        ("first-1", True, ""),
    ]


def test_one_that_is_attached_again_is_no_more_among_those_that_are_over(
    leader: Leader, here: Machine
) -> None:
    leader.source_ended(SourceEnded("numbers", "numbers", Fate.REMOVED))
    [numbers] = here.supervisor.fetchers
    leader.child_ready(numbers)

    _, *sources = sent(join(leader))

    assert [(each.name, each.up) for each in sources] == [
        ("numbers", True),
        ("first-1", True),
    ]


def test_another_lowtide_is_refused(leader: Leader) -> None:
    effects = join(leader, version="2.0")

    assert sent(effects) == [
        Refuse(reason="lowtide 2.0 on the machine, 1.0 at its leader", for_now=False)
    ]
    assert list(leader.machines) == []


def test_a_step_elsewhere_is_a_source_here_and_on_other_machines(
    leader: Leader,
) -> None:
    join(leader)
    join(leader, "other")

    effects = says(leader, ProcessIs(process=STEP, up=True))

    [up] = told(effects, "last-1")
    assert isinstance(up, SourceUp)
    assert (up.name, up.address, up.relayed) == ("far/first-1", "at gate", True)
    [there] = sent(effects, "other")
    assert (there.name, there.up) == ("far/first-1", True)
    assert sent(effects) == [AskStatus(number=0)]
    assert says(leader, ProcessIs(process=STEP, up=True)) == []


@pytest.mark.parametrize(
    ("fate", "line"),
    [
        (Fate.RESTART, ("warning", "stage.exited")),
        (Fate.REMOVED, ("info", "processor.detached")),
        (Fate.FATAL, ("info", "processor.detached")),
    ],
)
def test_the_end_of_a_step_elsewhere_is_that_of_any_source(
    fate: Fate, line: tuple[str, str], leader: Leader
) -> None:
    join(leader)
    says(leader, ProcessIs(process=STEP, up=True))

    gone = ProcessIs(process=STEP, up=False, reason="exited", fate=fate.value)
    effects = says(leader, gone)

    assert logged(effects) == [line]
    assert [each for each in effects if isinstance(each, SourceEnded)] == [
        SourceEnded("first", "far/first-1", fate)
    ]
    assert says(leader, gone) == []


def test_the_end_for_good_of_one_that_was_to_be_restarted_is_news_once(
    leader: Leader,
) -> None:
    join(leader)
    for run in ("far.1", "far.2"):
        one = replace(STEP, run=run)
        says(leader, ProcessIs(process=one, up=True))
        news = []
        for fate in (Fate.RESTART, Fate.RESTART, Fate.REMOVED, Fate.REMOVED):
            gone = ProcessIs(process=one, up=False, fate=fate.value)
            effects = says(leader, gone)
            news += [each.fate for each in effects if isinstance(each, Gone)]
        assert news == [Fate.RESTART, Fate.REMOVED]


def test_a_machine_that_is_lost_takes_along_one_that_was_to_be_restarted(
    leader: Leader,
) -> None:
    join(leader)
    says(leader, ProcessIs(process=STEP, up=True))
    says(leader, ProcessIs(process=STEP, up=False, fate=Fate.RESTART.value))

    effects = leader.receive(LineEnded(run="far", silent=True, reason="silent"), NOW)

    gone = [each for each in effects if isinstance(each, Gone)]
    assert [(each.message.process, each.fate) for each in gone] == [(STEP, Fate.FATAL)]


@pytest.mark.parametrize("fate", [Fate.RESTART, Fate.REMOVED, Fate.FATAL])
def test_machines_hear_how_a_source_has_ended(fate: Fate, leader: Leader) -> None:
    join(leader)

    effects = leader.source_ended(SourceEnded("numbers", "numbers", fate))

    assert sent(effects) == [
        SourceIs(kind="numbers", name="numbers", up=False, fate=fate.value)
    ]
    forgotten = [each for each in told(effects, GATE) if isinstance(each, SourceGone)]
    assert len(forgotten) == fate.is_final


def test_the_processes_of_a_machine_that_is_lost_are_gone_at_once(
    leader: Leader,
) -> None:
    join(leader)
    says(leader, ProcessIs(process=STEP, up=True))

    away = leader.receive(LineEnded(run="far", silent=False, reason="cut"), NOW)
    lost = leader.tick(NOW + RETURN_S)

    assert logged(away) == [("warning", "machine.away")]
    assert ("error", "machine.lost") in logged(lost)
    [gone] = [each for each in lost if isinstance(each, Gone)]
    assert (gone.message.process, gone.message.crash) == (STEP, False)
    assert SourceEnded("first", "far/first-1", Fate.FATAL) in lost


def test_one_that_was_lost_and_is_back_is_another_source(leader: Leader) -> None:
    join(leader)
    [first] = told(says(leader, ProcessIs(process=STEP, up=True)), "last-1")
    says(leader, Leave(reason="it was stopped"))
    join(leader)

    [again] = told(says(leader, ProcessIs(process=STEP, up=True)), "last-1")

    assert first.line != again.line


def test_an_order_is_for_the_run_that_it_names(leader: Leader) -> None:
    join(leader)
    says(leader, ProcessIs(process=STEP, up=True))
    former = Process(name=STEP.name, run="far.0", pid=6, host="far", kind="first")

    assert sent(leader.lost_process(STEP)) == [Order(verb="kill", process=STEP)]
    assert logged(leader.lost_process(STEP)) == [("error", "stage.silent")]
    assert leader.lost_process(former) == []


def test_what_a_processor_elsewhere_says_to_the_root_is_passed_on(
    leader: Leader,
) -> None:
    join(leader)
    asked = DemandGranted(number=1, name=STEP.name)

    assert says(leader, asked) == [Heard(asked)]
    assert says(leader, asked, run="stranger") == []


def test_when_the_gate_is_gone_all_machines_are(leader: Leader) -> None:
    join(leader)
    says(leader, ProcessIs(process=STEP, up=True))

    effects = leader.gate_gone()

    assert logged(effects)[0] == ("error", "machine.lost")
    assert list(leader.machines) == []


def test_over_a_slow_line_a_processor_is_shown_as_it_was_told_last(
    leader: Leader,
) -> None:
    join(leader)
    says(leader, ProcessIs(process=STEP, up=True))
    works: Any = {"pid": STEP.pid, "state": "processing", "in_flight": 3}
    says(leader, TellStatus(number=0, answers=(_answer(STEP.name, works),)))

    # Nobody has answered in time this time, and it is not known to be silent.
    [(name, answer, _)] = leader.describe({})
    assert (name, answer) == (STEP.name, works)

    # It does not answer its own machine, which does answer.
    says(leader, TellStatus(number=1, answers=()))
    [(_, answer, _)] = leader.describe({})
    assert answer["state"] == "silent"

    says(leader, TellStatus(number=2, answers=(_answer(STEP.name, works),)))
    leader.receive(LineEnded(run="far", silent=False, reason="cut"), NOW)
    [(_, answer, _)] = leader.describe({})
    assert answer["state"] == "away"


def test_one_that_waits_for_its_restart_is_still_one_of_the_machine(
    leader: Leader,
) -> None:
    join(leader)
    says(leader, ProcessIs(process=STEP, up=True))
    works: Any = {"pid": STEP.pid, "state": "processing", "in_flight": 3}
    says(leader, TellStatus(number=0, answers=(_answer(STEP.name, works),)))
    says(leader, ProcessIs(process=STEP, up=False, fate=Fate.RESTART.value))

    assert list(leader.processors) == [STEP]
    assert leader.has("first")
    assert sent(leader.order("detach", STEP)) == [Order(verb="detach", process=STEP)]
    assert (list(leader.processes), leader.names()) == ([], [])
    [(name, answer, kind)] = leader.describe({})
    assert (name, answer["state"], kind) == (STEP.name, "backoff", "first")

    says(leader, ProcessIs(process=STEP, up=False, fate=Fate.REMOVED.value))
    assert list(leader.processors) == []
    assert not leader.has("first")


def test_one_that_cannot_be_started_again_is_waited_for_no_more(
    leader: Leader,
) -> None:
    join(leader)
    says(leader, ProcessIs(process=STEP, up=True))
    says(leader, ProcessIs(process=STEP, up=False, fate=Fate.RESTART.value))
    # It was never ready, so the leader has not heard of this run.
    again = replace(STEP, run="far.2", pid=0)

    effects = says(leader, ProcessIs(process=again, up=False, fate=Fate.FATAL.value))

    assert SourceEnded("first", "far/first-1", Fate.FATAL) in effects
    assert not leader.has("first")


def test_the_end_of_a_process_that_a_line_has_lost_is_known_by_its_successor(
    leader: Leader,
) -> None:
    join(leader)
    says(leader, ProcessIs(process=STEP, up=True))
    successor = replace(STEP, run="far.2", pid=8)

    effects = says(leader, ProcessIs(process=successor, up=True))

    [gone] = [each for each in effects if isinstance(each, Gone)]
    assert (gone.message.process, gone.fate) == (STEP, Fate.RESTART)
    assert list(leader.processors) == [successor]


def _answer(name: str, processor: Any) -> StatusAnswer:
    return StatusAnswer(number=0, name=name, processor=processor)
