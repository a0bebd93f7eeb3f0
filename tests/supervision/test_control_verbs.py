"""A person's questions, and what answers them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from actors.demand.job import Process
from actors.supervision.actor import Means
from actors.supervision.children import Fate
from actors.supervision.control_verbs import FetcherVerbs, ProcessorVerbs, run
from actors.supervision.effects import Effect, Log, Tell
from actors.supervision.messages import (
    BarrierPassed,
    DecideJobs,
    DemandGranted,
    Drain,
    Flush,
    GrantDemand,
    JobsDecided,
    SetBarrier,
    StateDecided,
)
from tests.support.supervised import NOW, Machine, processor, system

FAR = Process(name="far/last-1", run="far.1", pid=9, host="far", kind="last")


@dataclass
class Request:
    command: dict[str, Any]
    reply: dict[str, Any] | None = None

    def answer(self, answer: dict[str, Any]) -> None:
        assert self.reply is None
        self.reply = answer


@dataclass
class Quiet:
    """A log and a reporter that nobody reads."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@dataclass
class Elsewhere:
    there: list[Process] = field(default_factory=list)
    awaited: list[Process] = field(default_factory=list)

    @property
    def processes(self) -> Iterator[tuple[Any, Process]]:
        for process in self.there:
            yield None, process

    @property
    def processors(self) -> Iterator[Process]:
        yield from (*self.there, *self.awaited)

    def order(self, verb: str, process: Process, message: Any = None) -> list[Effect]:
        return [Log(verb, process.name, {"message": message})]

    def tell_processes(self, message: Any) -> list[Effect]:
        return [e for each in self.there for e in self.order("tell", each, message)]


class Desk:
    """Where a person's commands arrive."""

    def __init__(self) -> None:
        last = processor("last", "north", demand="manual")
        self.machine = Machine(system(last, fetchers=("north", "south")))
        self.machine.start()
        self.done: list[Effect] = []
        quiet: Any = Quiet()
        means = Means(
            self.machine.supervisor, self.carry_out, quiet, quiet, lambda: NOW
        )
        self.elsewhere = Elsewhere()
        self.fetchers = FetcherVerbs(means, self.elsewhere)
        self.processors = ProcessorVerbs(means, self.elsewhere, quiet)

    def carry_out(self, effects: Iterable[Effect]) -> None:
        self.done += effects

    def say(self, verb: str, **more: Any) -> Request:
        verbs: dict[str, Any] = {
            "jobs": self.fetchers.jobs,
            "state": self.fetchers.state,
            "wait": self.fetchers.wait,
            "ask": self.processors.ask,
            "detach": self.processors.detach,
            "attach": partial(self.fetchers.attach, draining=False),
        }
        if more.get("names") == ["north"]:
            verbs["detach"] = self.fetchers.detach
        request: Any = Request({"verb": verb, **more})
        run(verbs, request)
        return request  # type: ignore[no-any-return]

    def told(self) -> list[tuple[str, type]]:
        return [(e.name, type(e.message)) for e in self.done if isinstance(e, Tell)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


DIED = "north: died before it answered; what it had decided by then, its journal has"


def test_what_all_fetchers_decided_is_counted(desk: Desk) -> None:
    keys = {"north": [1, 2], "south": [3]}
    request = desk.say("jobs", action="retry", keys=keys)
    assert desk.told() == [("north", DecideJobs), ("south", DecideJobs)]

    desk.fetchers.answered(JobsDecided(number=1, name="north", count=2))
    assert request.reply is None
    desk.fetchers.answered(JobsDecided(number=1, name="south", count=1))

    assert request.reply == {"count": 3}


def test_a_journal_that_cannot_be_written_is_the_answer(desk: Desk) -> None:
    request = desk.say("jobs", action="retry", keys={"north": [1]})

    decided = JobsDecided(number=1, name="north", count=1, error="disk full")
    desk.fetchers.answered(decided)

    assert request.reply == {"error": "the journal cannot be written: disk full"}


def test_jobs_of_a_fetcher_that_dies_meanwhile_are_answered_for(desk: Desk) -> None:
    request = desk.say("jobs", action="discard", keys={"north": [1], "south": [3]})
    desk.fetchers.answered(JobsDecided(number=1, name="south", count=1))

    desk.fetchers.exited("north", Fate.RESTART)
    desk.fetchers.answered(JobsDecided(number=1, name="north", count=1))

    assert request.reply == {"error": DIED}


def test_the_state_of_a_fetcher_that_dies_meanwhile_is_answered_for(
    desk: Desk,
) -> None:
    request = desk.say("state", fetcher="north", action="show")

    desk.fetchers.exited("south", Fate.RESTART)
    assert request.reply is None
    desk.fetchers.exited("north", Fate.RESTART)

    assert request.reply == {"error": DIED}


def test_a_state_is_told_with_its_age(desk: Desk) -> None:
    request = desk.say("state", fetcher="north", action="show")

    decided = StateDecided(number=1, name="north", text='{"page": 3}', age_s=1.5)
    desk.fetchers.answered(decided)

    assert request.reply == {"state": {"page": 3}, "age_s": 1.5}


def test_a_wait_outlives_its_fetcher_which_is_given_the_mark_again(desk: Desk) -> None:
    request = desk.say("wait", names=["north"])
    desk.fetchers.exited("north", Fate.RESTART)
    desk.fetchers.started("south")
    before = desk.told()

    desk.fetchers.started("north")
    desk.fetchers.answered(BarrierPassed(number=1, name="north"))

    assert before == [("north", SetBarrier)]
    assert desk.told() == [("north", SetBarrier)] * 2
    assert request.reply == {"passed": ["north"]}


def test_processors_everywhere_share_what_is_asked_for_by_hand(desk: Desk) -> None:
    desk.elsewhere.there.append(FAR)

    request = desk.say("ask", name="last", count=5)
    here, there = desk.done
    for name in ("last-1", FAR.name):
        desk.processors.asked(DemandGranted(number=1, name=name))

    assert here == Tell("last-1", GrantDemand(number=1, total=3))
    asked = {"message": GrantDemand(number=1, total=2)}
    assert there == Log("tell", FAR.name, asked)
    assert request.reply == {"asked": {"last-1": 3, FAR.name: 2}}


def test_what_a_line_between_machines_has_lost_is_told(desk: Desk) -> None:
    desk.elsewhere.there.append(FAR)
    request = desk.say("ask", name=FAR.name, count=5)

    desk.processors.tick(NOW + 60.0)

    assert request.reply == {"error": "far/last-1: no answer"}


def test_a_fetcher_leaves_and_comes_back(desk: Desk) -> None:
    supervisor = desk.machine.supervisor
    leaving = desk.say("detach", names=["north"])
    assert desk.done == [Tell("north", Drain())]
    early = desk.say("attach", names=["north"])

    supervisor.exited("north", NOW)
    desk.fetchers.exited("north", Fate.REMOVED)
    back = desk.say("attach", names=["north"])
    supervisor.started("north", 7, NOW)
    desk.fetchers.started("north")

    assert leaving.reply is not None
    assert leaving.reply["detached"] == ["north"]
    assert early.reply == {"error": "fetcher 'north' is still leaving"}
    assert back.reply == {"attached": ["north"]}
    assert supervisor.fetchers.get("north") is not None


def test_batches_are_flushed_for_as_long_as_a_fetcher_is_leaving(desk: Desk) -> None:
    desk.elsewhere.there.append(FAR)
    desk.say("detach", names=["north"])
    desk.done.clear()

    desk.fetchers.tick(NOW)

    there = Log("tell", FAR.name, {"message": Flush()})
    assert desk.done == [Tell("last-1", Flush()), there]
    assert desk.fetchers.next_tick() == NOW + 1.0
    desk.machine.supervisor.exited("north", NOW)
    desk.fetchers.tick(NOW + 1.0)
    assert desk.fetchers.next_tick() is None


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("north", "fetcher 'north' is there"),
        ("east", "no fetcher 'east' was detached, only: none"),
    ],
)
def test_what_was_not_detached_cannot_be_attached(
    name: str, error: str, desk: Desk
) -> None:
    assert desk.say("attach", names=[name]).reply == {"error": error}


def test_who_waits_for_a_fetcher_that_is_detached_is_told(desk: Desk) -> None:
    waiting = desk.say("wait", names=["north"])

    desk.fetchers.exited("north", Fate.REMOVED)

    assert waiting.reply == {"error": "north: it was detached"}


def test_an_order_that_a_line_has_lost_is_given_again(desk: Desk) -> None:
    desk.elsewhere.there.append(FAR)
    desk.say("detach", names=[FAR.name])
    assert desk.processors.next_tick() == NOW + 1.0

    desk.processors.tick(NOW + 1.0)

    order = Log("detach", FAR.name, {"message": None})
    assert desk.done == [order, order]
    desk.processors.exited(FAR.name, Fate.REMOVED)
    desk.processors.tick(NOW + 2.0)
    assert desk.done == [order, order]
    assert desk.processors.next_tick() is None


def test_the_last_of_a_kind_says_what_follows(desk: Desk) -> None:
    supervisor = desk.machine.supervisor
    request = desk.say("detach", names=["last-1"])
    supervisor.exited("last-1", NOW)

    desk.processors.exited("last-1", Fate.REMOVED)

    assert request.reply == {
        "detached": ["last-1"],
        "follows": ["no processor takes from north any more: its jobs wait"],
    }


def test_one_elsewhere_that_waits_for_its_restart_is_detached(desk: Desk) -> None:
    desk.elsewhere.awaited.append(FAR)

    request = desk.say("detach", names=[FAR.name])

    assert desk.done == [Log("detach", FAR.name, {"message": None})]
    desk.processors.exited(FAR.name, Fate.REMOVED)
    assert request.reply == {"detached": [FAR.name]}


def test_one_elsewhere_that_waits_for_its_restart_is_no_kinds_end(desk: Desk) -> None:
    supervisor = desk.machine.supervisor
    desk.elsewhere.awaited.append(FAR)
    request = desk.say("detach", names=["last-1"])
    supervisor.exited("last-1", NOW)

    desk.processors.exited("last-1", Fate.REMOVED)

    assert request.reply == {"detached": ["last-1"]}


def test_one_elsewhere_that_is_gone_for_good_is_detached(desk: Desk) -> None:
    desk.elsewhere.there.append(FAR)
    request = desk.say("detach", names=[FAR.name])
    assert desk.done == [Log("detach", FAR.name, {"message": None})]

    desk.processors.exited(FAR.name, Fate.RESTART)
    assert request.reply is None
    desk.processors.exited(FAR.name, Fate.REMOVED)

    assert request.reply == {"detached": [FAR.name]}
