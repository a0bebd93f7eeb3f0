"""The rules about machines that join, without a line."""

from __future__ import annotations

import pytest

from actors.cluster.membership import RETURN_S, Machines, NameTakenError
from actors.demand.job import Process


@pytest.fixture
def machines() -> Machines:
    return Machines("inc")


def process(name: str = "one/sqrt-1", run: str = "r1.one/sqrt-1.1") -> Process:
    return Process(name=name, run=run, pid=7, host="one", kind="sqrt")


def test_a_machine_that_joins_gets_a_line(machines: Machines) -> None:
    machine, former = machines.joins("one", "r1", "host")

    assert (machine.name, machine.line, former) == ("one", "inc.1", None)
    assert list(machines) == [machine]


def test_one_that_comes_back_in_time_has_the_line_it_had(machines: Machines) -> None:
    machine, _ = machines.joins("one", "r1", "host")
    machines.process_up("r1", process())

    assert machines.line_ended("r1", 10.0, silent=False) is None
    assert machines.next_due() == 10.0 + RETURN_S
    again, former = machines.joins("one", "r1", "host")

    assert again is machine
    assert (again.line, former, machines.next_due()) == ("inc.1", None, None)
    assert machines.due(100.0) == []
    assert not machines.process_up("r1", process())


def test_nobody_takes_the_line_of_another_machine_by_naming_its_run(
    machines: Machines,
) -> None:
    machine, _ = machines.joins("one", "r1", "host")
    machines.line_ended("r1", 10.0, silent=False)

    with pytest.raises(NameTakenError, match="as the run of machine 'one'"):
        machines.joins("two", "r1", "host")

    assert machine.away_since == 10.0


def test_one_that_stays_away_is_lost_and_new_when_it_comes(machines: Machines) -> None:
    machine, _ = machines.joins("one", "r1", "host")
    machines.process_up("r1", process())
    machines.line_ended("r1", 10.0, silent=False)

    assert machines.due(10.0 + RETURN_S - 0.001) == []
    assert machines.due(10.0 + RETURN_S) == [machine]
    again, _ = machines.joins("one", "r1", "host")

    assert again.line == "inc.2"
    assert machines.process_up("r1", process())


def test_one_that_was_silent_is_lost_at_once(machines: Machines) -> None:
    machine, _ = machines.joins("one", "r1", "host")

    assert machines.line_ended("r1", 10.0, silent=True) is machine
    assert list(machines) == []
    assert machines.line_ended("r1", 11.0, silent=True) is None


def test_two_machines_of_one_name_are_not_there_at_a_time(machines: Machines) -> None:
    machines.joins("one", "r1", "host")

    with pytest.raises(NameTakenError, match="'one' has joined already"):
        machines.joins("one", "r2", "host")


def test_one_that_is_started_again_takes_the_place_of_what_is_away(
    machines: Machines,
) -> None:
    first, _ = machines.joins("one", "r1", "host")
    machines.line_ended("r1", 10.0, silent=False)

    second, former = machines.joins("one", "r2", "host")

    assert former is first
    assert list(machines) == [second]


def test_a_process_is_found_by_name_and_told_once(machines: Machines) -> None:
    machine, _ = machines.joins("one", "r1", "host")
    assert machines.process_up("r1", process())

    assert machines.where("one/sqrt-1") == (machine, process())
    assert machines.process_gone("r1", process(), for_good=False)
    assert not machines.process_gone("r1", process(), for_good=False)
    # It waits for its restart there.
    assert machines.where("one/sqrt-1") == (machine, process())
    assert machines.process_gone("r1", process(), for_good=True)
    assert machines.where("one/sqrt-1") is None


def test_nothing_is_known_of_a_machine_that_has_not_joined(machines: Machines) -> None:
    assert not machines.process_up("r9", process())
    assert not machines.process_gone("r9", process(), for_good=False)
    assert machines.leaves("r9") is None
    assert machines.get("r9") is None
