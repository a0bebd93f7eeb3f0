"""What reaches processors on a machine that joined: each line of the docs' table."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.bases import OnMachines, account, stage
from tests.conformance.conftest import KEY

if TYPE_CHECKING:
    from actors.status.model import SystemStatus
    from actors.testing.processes import System, Systems

SLOW = [pytest.mark.system, pytest.mark.slow]
PLAIN = """
[[processor]]
name = "last"
process = "spooled:{process}"
count = {count}
"""
MANUAL = PLAIN.format(process="double", count=2) + 'demand = "manual"\n'
BATCH = PLAIN.format(process="sizes", count=1) + (
    "max_demand = 5\nbatch_size = 5\nbatch_timeout_s = 600\n"
)
STEP_THERE = """
[[processor]]
name = "last"
process = "spooled:double"
from = ["first"]
cancel = "transient"
count = 1

[[processor]]
name = "first"
process = "spooled:passed"
count = 1
"""
#: The test of each line, by what stands in it first.
TESTS: dict[str, str] = {
    "status": "test_status_shows_them",
    "ask": "test_they_are_asked_by_name_and_by_kind",
    "detach NAME": "test_one_is_detached_by_its_name",
    "detach": "test_without_a_name_those_here_are_detached",
    "attach": "test_more_are_attached_here",
    "set --max-demand": "test_their_window_is_set_and_they_are_named",
    "set": "test_a_fetcher_that_is_paused_or_limited_sends_them_no_more",
    "wait": "test_jobs_there_are_waited_for_and_decided_on",
    "stop": "test_a_stop_finishes_what_is_there",
    "cancel": "test_one_follows_a_source_that_is_elsewhere",
    "a processor that is silent": "test_one_over_its_time_is_replaced",
}

Start = Callable[..., OnMachines]


@pytest.fixture
def start(
    start_system: Callable[..., System], systems: Systems, tmp_path: Path
) -> Iterator[Start]:
    started: list[OnMachines] = []
    systems.env["LOWTIDE_CLUSTER_KEY"] = KEY

    def begin(config: str, **settings: str) -> OnMachines:
        starts = start_system, systems.join
        started.append(OnMachines(config, settings, *starts, tmp_path))
        return started[-1]

    yield begin
    for each in started:
        each.close()


def say(machines: OnMachines, *words: str) -> str:
    code, out, errors = machines.system.command(*words)
    return out.strip() if code == 0 else errors.strip()


def test_each_line_of_the_table_has_a_test() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = text.partition("### What reaches joined machines")[2]
    lines = re.findall(
        r"^\| (`[^`]+`|a [^,|]+)", table.partition("\n## ")[0], re.MULTILINE
    )

    assert [each.strip("` ") for each in lines] == list(TESTS)
    assert set(TESTS.values()) < set(globals())


@pytest.mark.system
@pytest.mark.slow
def test_status_shows_them(start: Start) -> None:
    machines = start(PLAIN.format(process="double", count=2))

    there = machines.system.status()["processors"]

    names = sorted(each["name"] for each in there)
    assert names == ["far/last-1", "far/last-2"]
    assert {each["host"] for each in there} == {socket.gethostname()}
    assert "far/last-1" in say(machines, "status")


@pytest.mark.system
@pytest.mark.slow
def test_they_are_asked_by_name_and_by_kind(start: Start) -> None:
    machines = start(MANUAL)
    machines.push(*range(1, 8))
    machines.reach(account(buffered=7), "all wait")

    said = [say(machines, "ask", "far/last-1", "2"), say(machines, "ask", "last", "4")]

    assert said[0] == "asked far/last-1 2"
    # In the order in which they came to be there.
    shares = sorted(said[1].removeprefix("asked ").split(", "))
    assert shares == ["far/last-1 2", "far/last-2 2"]
    machines.reach(account(done=6, buffered=1), "six are done")


@pytest.mark.system
@pytest.mark.slow
def test_one_is_detached_by_its_name(start: Start) -> None:
    machines = start(PLAIN.format(process="double", count=2))

    assert say(machines, "detach", "far/last-2") == "detached far/last-2"

    machines.reach(lambda status: len(status["processors"]) == 1, "one is left")


@pytest.mark.system
@pytest.mark.slow
def test_without_a_name_those_here_are_detached(start: Start) -> None:
    machines = start(PLAIN.format(process="double", count=1))

    refused = say(machines, "detach")

    assert refused.endswith(
        "no processor is on this machine: name those that are to leave, of far/last-1"
    )


@pytest.mark.system
@pytest.mark.slow
def test_more_are_attached_here(start: Start) -> None:
    machines = start(PLAIN.format(process="double", count=1))

    assert say(machines, "attach", "--processor", "last") == "attached last-1"

    names = [each["name"] for each in machines.system.status()["processors"]]
    assert sorted(names) == ["far/last-1", "last-1"]
    assert say(machines, "detach") == "detached last-1"


@pytest.mark.system
@pytest.mark.slow
def test_their_window_is_set_and_they_are_named(start: Start) -> None:
    machines = start(PLAIN.format(process="double", count=2))

    said = say(machines, "set", "--max-demand", "7")

    assert said == "set far/last-1, far/last-2"

    def asks(status: SystemStatus) -> bool:
        return [each["demand"] for each in status["processors"]] == [7, 7]

    machines.reach(asks, "both ask for seven")


@pytest.mark.system
@pytest.mark.slow
def test_a_fetcher_that_is_paused_or_limited_sends_them_no_more(start: Start) -> None:
    machines = start(PLAIN.format(process="double", count=1))

    say(machines, "pause", "--hold", "spool")
    machines.push(1, 2, 3)
    held = machines.status()["accounting"]["done"]
    machines.set_value("rate_interval_s", 600)
    machines.set_value("rate_limit", 2)
    say(machines, "resume")

    machines.reach(account(fetched=3, done=2), "two of three are sent")
    assert held == 0


@pytest.mark.system
@pytest.mark.slow
def test_jobs_there_are_waited_for_and_decided_on(start: Start) -> None:
    machines = start(PLAIN.format(process="refuse_odd", count=1), retries="1")
    machines.push(1, 2)
    machines.reach(account(quarantined=1, done=1), "both have ended")

    assert say(machines, "wait") == "All jobs that spool had fetched are finished."
    assert "1" in say(machines, "jobs", "discard", "1")

    machines.reach(account(dropped=1), "it is discarded")


@pytest.mark.system
@pytest.mark.slow
def test_a_stop_finishes_what_is_there(start: Start) -> None:
    machines = start(BATCH)
    machines.push(1, 2, 3)
    machines.reach(account(in_flight=3), "three wait for two more")

    accounting = machines.stop()

    assert accounting["done"] == 3
    machines.member.wait_for("machine.away")
    state: str = machines.member.status()["state"]
    assert state == "away"


@pytest.mark.system
@pytest.mark.slow
def test_one_follows_a_source_that_is_elsewhere(start: Start) -> None:
    # The source is there and its taker here; the other way is among the scenarios.
    machines = start(STEP_THERE)

    machines.kill("first-1")

    machines.system.wait_for("stage.followed", stage="last-1", what="restart")
    machines.push(1)
    machines.reach(account(done=1), "work goes on")


@pytest.mark.system
@pytest.mark.slow
def test_one_over_its_time_is_replaced(start: Start) -> None:
    machines = start(
        PLAIN.format(process="double", count=1),
        lease_s="1.5",
    )
    before = stage(machines.status(), "last-1")["pid"]
    os.kill(before, signal.SIGSTOP)
    machines.push(1)

    machines.member.wait_for("stage.silent", stage="far/last-1")

    machines.reach(account(done=1), "another does the job")
    assert stage(machines.status(), "last-1")["pid"] != before
