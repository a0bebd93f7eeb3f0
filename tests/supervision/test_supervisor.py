"""What a supervisor decides, for the leader's own machine and for one that joined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.supervision.children import Fate, StageState
from actors.supervision.effects import (
    Effect,
    End,
    Failed,
    Fatal,
    Gone,
    Kill,
    Log,
    SourceEnded,
    Start,
    Tell,
    Unstartable,
)
from actors.supervision.messages import (
    AskSign,
    Drain,
    SourceGone,
    SourceUp,
    StartFetcher,
    StartProcessor,
    StartSystem,
    Tune,
)
from tests.support.supervised import NOW, Machine, logged, processor, system, told


@pytest.fixture
def machine() -> Machine:
    """A fetcher, a step, and a processor behind it."""
    return Machine(system(processor("first", "numbers"), processor("last", "first")))


def bound(cancel: str, *sources: str) -> Machine:
    last = processor("last", *sources, cancel=cancel)
    made = Machine(system(processor("first", "numbers"), last))
    made.start()
    return made


def only(effects: list[Effect], kind: type[Any]) -> list[Any]:
    return [each for each in effects if isinstance(each, kind)]


# How they start.


def test_each_is_started_with_what_it_is_to_do(machine: Machine) -> None:
    starts = only(machine.supervisor.tick(NOW), Start)

    kinds = [(each.child.name, type(each.message)) for each in starts]
    assert kinds == [
        ("numbers", StartFetcher),
        ("first-1", StartProcessor),
        ("last-1", StartProcessor),
    ]
    assert machine.supervisor.tick(NOW) == []
    assert not machine.supervisor.is_complete


def test_one_that_is_ready_and_what_it_takes_from_hear_of_one_another(
    machine: Machine,
) -> None:
    effects = machine.start()

    up = SourceUp(kind="numbers", name="numbers", address="at numbers")
    assert told(effects, "first-1") == [up]
    step = SourceUp(kind="first", name="first-1", address="at first-1")
    assert told(effects, "last-1") == [step]
    assert logged(effects) == [("info", "processor.attached")] * 2
    assert machine.supervisor.is_complete


def test_one_that_cannot_run_keeps_the_system_from_starting(machine: Machine) -> None:
    machine.supervisor.tick(NOW)

    assert machine.supervisor.cannot_start("first-1", "no such module") == [
        Unstartable("no such module")
    ]


def test_once_all_have_worked_one_that_cannot_run_is_told_and_forgotten(
    machine: Machine,
) -> None:
    machine.start()
    machine.supervisor.attach(processor("first", "numbers"), 1, NOW)
    for start in only(machine.supervisor.tick(NOW), Start):
        start.child.address = "at first-2"

    effects = machine.supervisor.cannot_start("first-2", "no such module")

    assert logged(effects) == [("error", "stage.failed")]
    assert only(effects, Failed) == [Failed("first-2", "no such module")]
    assert only(effects, End) == [End("at first-2")]
    [gone] = only(effects, Gone)
    assert (gone.message.process.name, gone.fate) == ("first-2", Fate.REMOVED)
    assert machine.supervisor.get("first-2") is None


def test_one_that_worked_and_cannot_run_any_more_has_ended_for_good(
    machine: Machine,
) -> None:
    machine.start()
    machine.supervisor.exited("first-1", NOW)
    [start] = only(machine.supervisor.tick(NOW), Start)
    start.child.address = "at first-1"

    effects = machine.supervisor.cannot_start("first-1", "no such module")

    [gone] = only(effects, Gone)
    assert (gone.message.process.name, gone.fate) == ("first-1", Fate.FATAL)
    assert gone.message.reason == "no such module"
    assert SourceEnded("first", "first-1", Fate.FATAL) in effects
    assert machine.supervisor.exited("first-1", NOW) == []


# How they end.


def test_one_that_dies_is_restarted_alone_and_what_it_took_from_is_told(
    machine: Machine,
) -> None:
    machine.start()

    effects = machine.supervisor.exited("last-1", NOW)

    assert logged(effects) == [("warning", "stage.exited")]
    [gone] = only(effects, Gone)
    assert (gone.fate, gone.message.crash) == (Fate.RESTART, True)
    assert (gone.message.process.name, gone.message.process.pid) == ("last-1", 3)
    assert [each.child.name for each in only(machine.start(), Start)] == ["last-1"]
    assert machine.supervisor.exited("nobody", NOW) == []


def test_the_end_of_a_process_is_told_to_all_that_may_have_given_it_jobs(
    machine: Machine,
) -> None:
    machine.start()
    [gone] = only(machine.supervisor.exited("last-1", NOW), Gone)

    effects = machine.supervisor.process_gone(gone.message)

    for name, times in (("numbers", 1), ("first-1", 1), ("last-1", 0)):
        assert told(effects, name) == [gone.message] * times


def test_one_that_leaves_is_told_as_detached(machine: Machine) -> None:
    machine.start()
    [last] = [e for e in machine.supervisor.processors if e.name == "last-1"]

    assert machine.supervisor.detach(last) == [Tell("last-1", Drain())]
    assert machine.supervisor.drained("last-1") == [End("at last-1")]
    effects = machine.supervisor.exited("last-1", NOW)

    assert logged(effects) == [("info", "stage.exited"), ("info", "processor.detached")]
    assert only(effects, Gone)[0].fate is Fate.REMOVED
    assert machine.supervisor.drained("last-1") == []


def test_one_that_dies_while_it_leaves_may_have_died_of_its_job(
    machine: Machine,
) -> None:
    machine.start()
    [last] = [e for e in machine.supervisor.processors if e.name == "last-1"]
    machine.supervisor.detach(last)

    [gone] = only(machine.supervisor.exited("last-1", NOW), Gone)

    assert (gone.fate, gone.message.crash) == (Fate.REMOVED, True)


@pytest.mark.parametrize("leaves", [False, True])
def test_one_that_is_overdue_is_ended_whether_it_leaves_or_not(
    machine: Machine, *, leaves: bool
) -> None:
    machine.start()
    [last] = [e for e in machine.supervisor.processors if e.name == "last-1"]
    if leaves:
        machine.supervisor.detach(last)

    effects = machine.supervisor.overdue("last-1", last.run)

    assert effects == [
        Log("warning", "stage.overdue", {"stage": "last-1", "pid": 3}),
        Kill(3),
    ]
    assert machine.supervisor.overdue("last-1", "another run") == []
    [gone] = only(machine.supervisor.exited("last-1", NOW), Gone)
    assert gone.message.crash is leaves


def test_one_that_dies_too_often_is_given_up_and_with_the_last_of_a_kind_all(
    machine: Machine,
) -> None:
    machine.start()
    for _ in range(3):
        machine.supervisor.exited("last-1", NOW)
        machine.start(NOW + 1.0)

    effects = machine.supervisor.exited("last-1", NOW)

    assert logged(effects) == [("error", "stage.fatal")]
    assert only(effects, Failed) == [Failed("last-1", "restart intensity exceeded")]
    assert only(effects, Fatal) == [Fatal("last-1 died too often to be restarted")]
    assert machine.supervisor.is_over


def test_where_another_machine_has_the_kind_work_goes_on() -> None:
    config = system(processor("last", "numbers"))
    machine = Machine(config, is_elsewhere=lambda kind: kind == "last")
    machine.start()
    for _ in range(4):
        effects = machine.supervisor.exited("last-1", NOW)
        machine.start(NOW + 1.0)

    assert only(effects, Fatal) == []
    assert machine.supervisor.processors.get("last-1").state is StageState.FATAL  # type: ignore[union-attr]


def test_the_gate_is_restarted_as_others_are() -> None:
    machine = Machine(system())
    machine.supervisor.open_gate("gate", "start", NOW)
    machine.start()
    fates = []
    for _ in range(4):
        fates.append(logged(machine.supervisor.exited("gate", NOW)))
        machine.start(NOW + 1.0)

    assert fates == [[("warning", "stage.exited")]] * 3 + [[("error", "stage.fatal")]]


# Who hangs.


def test_one_that_gives_no_sign_is_killed_and_that_is_an_error(
    machine: Machine,
) -> None:
    machine.start()
    killed: list[Effect] = []
    for beat in range(1, 5):
        now = NOW + 10.0 * beat
        effects = machine.supervisor.tick(now)
        for name in ("numbers", "first-1"):
            machine.supervisor.heard(name, now)
            assert told(effects, name) == [AskSign()]
        killed += [each for each in effects if isinstance(each, Log | Kill)]

    silent = {"stage": "last-1", "pid": 3}
    assert killed == [Log("error", "stage.silent", silent), Kill(3)]


def test_one_that_a_source_has_lost_is_killed_unless_it_is_another_by_now(
    machine: Machine,
) -> None:
    machine.start()
    [last] = [e for e in machine.supervisor.processors if e.name == "last-1"]
    process = machine.supervisor.process_of(last)

    assert only(machine.supervisor.lost(process), Kill) == [Kill(3)]
    assert machine.supervisor.lost(replace(process, run="another")) == []


# What becomes of one whose source ends.


@pytest.mark.parametrize(
    ("cancel", "died", "left"),
    [
        ("temporary", None, None),
        ("transient", "restart", None),
        ("permanent", "restart", "leave"),
    ],
)
def test_one_follows_its_source_as_its_cancel_says(
    cancel: str, died: str | None, left: str | None
) -> None:
    for fate, what in (
        (Fate.RESTART, died),
        (Fate.FATAL, died),
        (Fate.REMOVED, left),
        (Fate.UNKNOWN, None),
    ):
        machine = bound(cancel, "far")
        effects = machine.supervisor.source_ended(SourceEnded("far", "far/1", fate))

        follows = [e.fields["what"] for e in only(effects, Log)]
        assert follows == ([] if what is None else [what])
        assert only(effects, Kill) == ([Kill(3)] if what == "restart" else [])
        gone = [SourceGone(name="far/1")] if fate.is_final else []
        drain = [Drain()] if what == "leave" else []
        assert told(effects, "last-1") == [*gone, *drain]


def test_one_that_follows_is_not_blamed_for_it() -> None:
    machine = bound("transient", "first")

    [ended] = only(machine.supervisor.exited("first-1", NOW), SourceEnded)
    machine.supervisor.source_ended(ended)

    assert ended == SourceEnded("first", "first-1", Fate.RESTART)
    [gone] = only(machine.supervisor.exited("last-1", NOW), Gone)
    assert (gone.message.reason, gone.message.crash) == ("replaced", False)


def test_each_source_has_the_mode_of_its_own_subscription() -> None:
    machine = bound("transient", "first", "numbers")
    ended = SourceEnded("other", "other", Fate.RESTART)

    assert machine.supervisor.source_ended(ended) == []


# Another configuration.


def test_what_can_be_taken_up_is_told_and_what_cannot_makes_a_new_process(
    machine: Machine,
) -> None:
    machine.start()
    old = machine.supervisor.system
    config = processor("last", "first")
    last = machine.supervisor.processors.get("last-1")
    assert last is not None
    machine.supervisor.processors.remove("first-1")

    tuned = machine.supervisor.configure(replace(config, max_demand=9), old)
    slower = replace(old, job_timeout_s=5.0)
    replaced = machine.supervisor.configure(config, slower)

    assert tuned == [Tell("last-1", Tune(config=replace(config, max_demand=9)))]
    assert replaced == [Kill(3)]
    assert last.state is StageState.REPLACING


def test_one_that_starts_by_what_has_changed_meanwhile_is_started_again() -> None:
    machine = Machine(system(processor("last", "numbers")))
    for start in only(machine.supervisor.tick(NOW), Start):
        start.child.address = f"at {start.child.name}"

    slower = replace(machine.supervisor.system, job_timeout_s=5.0)
    now = machine.supervisor.configure(processor("last", "numbers"), slower)
    then = machine.supervisor.started("last-1", 7, NOW)

    assert (only(now, Kill), only(then, Kill)) == ([], [Kill(7)])


def test_a_process_is_named_as_it_names_itself(machine: Machine) -> None:
    machine.start()
    last = machine.supervisor.processors.get("last-1")
    assert last is not None

    process = machine.supervisor.process_of(last)

    assert (process.host, process.kind, process.run) == ("host", "last", last.run)


def test_a_leader_with_newer_code_has_every_processor_started_anew() -> None:
    made = Machine(system(processor("last", "numbers", count=2)))
    made.start()
    supervisor = made.supervisor
    for _ in range(4):
        supervisor.exited("last-1", NOW)
        for each in only(supervisor.tick(NOW + 60.0), Start):
            supervisor.started(each.child.name, 9, NOW)
    given_up = supervisor.get("last-1")
    assert given_up is not None
    given_up.state = StageState.FATAL

    effects = supervisor.renew(NOW + 100.0)

    assert only(effects, Kill)
    starts = only(supervisor.tick(NOW + 100.0), Start)
    assert "last-1" in [each.child.name for each in starts]


def test_a_processor_is_started_with_the_versions_it_is_to_have(
    machine: Machine,
) -> None:
    machine.supervisor.versions = {"x:y": "1.0 (3f)"}

    starts = only(machine.supervisor.tick(NOW), Start)

    told_versions = [
        each.message.versions
        for each in starts
        if isinstance(each.message, StartProcessor)
    ]
    assert told_versions == [{"x:y": "1.0 (3f)"}] * 2


@pytest.mark.parametrize("kind", [StartSystem, StartFetcher, StartProcessor])
def test_nobody_describes_what_begins_an_actor(kind: type) -> None:
    # Thespian would, with the whole configuration, until the actor's process is there.
    assert "__repr__" not in vars(kind)
