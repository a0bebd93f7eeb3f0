"""Rows 43 and 44 of the fault matrix: hosts that fail, and lines between them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import wait_until_gone
from tests.support.hosts import Host, Network, NotPossibleError
from tests.support.listening import listening

pytestmark = pytest.mark.system

Start = Callable[..., Any]
Take = Callable[..., Any]

#: How long a machine may be silent in these tests, in seconds.
TIMEOUT_S = 4.0
#: Within so long a machine is given up, or back, in seconds: a lease, by which
#: its jobs would be free as well, takes twice that.
WITHIN_S = 30.0


@pytest.fixture(autouse=True)
def key(env: dict[str, str]) -> None:
    env["LOWTIDE_CLUSTER_KEY"] = "a key of all machines, 32 bytes or more"


@pytest.fixture
def lead(network: Network, start_numbers: Start, start_system: Start) -> Start:
    """Start a leader on the first host."""

    def start(numbers: Any, *words: str, port: int | None = None) -> Any:
        return start_system(
            *("--url", numbers.url, "--bind", network.address),
            *("--machine-timeout", str(TIMEOUT_S), "--every", "0.2", *words),
            port=port,
        )

    return start


@pytest.fixture
def member(network: Network, join_system: Start) -> Start:
    """Start a member on a new host; returns it and the host."""

    def start(leader: Any, name: str, *words: str) -> tuple[Any, Host]:
        host = network.host(name)
        return again(leader, host, *words), host

    def again(leader: Any, host: Host, *words: str) -> Any:
        return join_system(
            f"{network.address}:{leader.port}",
            *("--machine-timeout", str(TIMEOUT_S), *words),
            prefix=host.prefix,
        )

    start.again = again  # type: ignore[attr-defined]
    return start


def hosts_of(system: Any) -> dict[str, str]:
    """The state of each processor by its host, as ``status`` shows them."""
    return {each["host"]: each["state"] for each in system.status()["processors"]}


def test_43_jobs_spread_over_hosts_and_each_shows_its_own(
    start_numbers: Start,
    lead: Start,
    member: Start,
    network: Network,
    account: Take,
    asked: Take,
    window: Any,
) -> None:
    numbers = start_numbers("--every", "0")
    leader = lead(numbers, "--process", "jobs:slow_root", "--processors", "1")
    leader.wait_for("system.started")
    one, _ = member(leader, "alpha", "--processors", "1")
    member(leader, "beta", "--processors", "1")

    asked(leader, 3 * window.long)

    numbers.add(*range(1, 49))

    done = leader.wait_for("job.done", count=48)
    by = {each["processor"] for each in done}
    assert by == {"processor-1", "alpha/processor-1", "beta/processor-1"}
    shares = [each["processor"] for each in done]
    assert all(8 <= shares.count(each) <= 24 for each in by)
    assert {"alpha", "beta"} < set(hosts_of(leader))
    taken = account(numbers, leader)
    assert (taken.lost, taken.unexpected, taken.duplicated) == ((), (), 0)
    # One port on the leader is all there is.
    assert [host for host, _ in listening(leader.pids())] == [network.address]
    assert listening(one.pids()) == set()


def test_43_a_machine_that_is_gone_at_once_costs_no_job(  # noqa: PLR0913, PLR0917 - fixtures
    start_numbers: Start,
    lead: Start,
    member: Start,
    settle: Take,
    eventually: Take,
    runs: Take,
    switch: Path,
    asked: Take,
    window: Any,
) -> None:
    numbers = start_numbers("--every", "0")
    leader = lead(numbers, "--process", "jobs:held_root", "--processors", "1")
    gone, host = member(leader, "alpha", "--processors", "2")
    asked(leader, 3 * window.long)
    numbers.add(*range(8))
    leader.wait_for_in_flight(min(8, 3 * window.long))
    eventually(lambda: len(runs()) == min(8, 3 * window.at_once), "all at work")

    def shares() -> dict[str, int]:
        """The jobs in flight at each processor; the fetcher's count comes before."""
        processors = leader.status()["processors"]
        return {each["name"]: each["in_flight"] for each in processors}

    sent = min(8, 3 * window.long)
    eventually(lambda: sum(shares().values()) == sent, "the status shows every one")
    there = sum(held for name, held in shares().items() if name.startswith("alpha/"))

    gone.kill_all()

    leader.wait_for("machine.lost", machine="alpha", within_s=WITHIN_S)
    leader.wait_for("job.returned", count=there)
    switch.touch()
    back = member.again(leader, host, "--processors", "2")  # type: ignore[attr-defined]
    back.wait_for("machine.joined", within_s=WITHIN_S)
    taken = settle(numbers, leader)
    assert (taken.lost, taken.unexpected) == ((), ())
    assert 2 <= len(leader.all_of("job.returned")) == there <= 2 * window.long
    assert taken.duplicated == min(there, 2 * window.at_once)


def test_43_a_line_that_is_cut_heals_by_itself_and_late_outcomes_count_once(  # noqa: PLR0913, PLR0917 - fixtures
    start_numbers: Start,
    lead: Start,
    member: Start,
    runs: Take,
    settle: Take,
    eventually: Take,
    asked: Take,
    window: Any,
) -> None:
    numbers = start_numbers("--preload", "3", "--every", "0")
    leader = lead(numbers, "--process", "jobs:slow_root", "--processors", "1")
    cut, host = member(leader, "alpha", "--processors", "1")
    leader.wait_for("job.done", count=3)
    [pid] = [e["pid"] for e in cut.all_of("processor.attached")]
    os.kill(pid, signal.SIGSTOP)
    numbers.add(16.0, 25.0)
    eventually(
        lambda: any(
            e["host"] == "alpha" and e["state"] == "silent"
            for e in leader.status(patient=False)["processors"]
        ),
        "the stopped one silent",
    )
    host.cut()
    os.kill(pid, signal.SIGCONT)

    leader.wait_for("machine.lost", machine="alpha", within_s=WITHIN_S)
    leader.wait_for("job.done", count=5)
    eventually(lambda: sum(runs().values()) >= 5, "both have run")
    host.heal()

    leader.wait_for(
        "processor.attached", processor="alpha/processor-1", count=2, within_s=WITHIN_S
    )
    asked(leader, window.long + 1)
    numbers.add(*(float(each * each) for each in range(30)))
    done = leader.wait_for("job.done", count=35)
    assert any(e["processor"] == "alpha/processor-1" for e in done[5:])
    taken = settle(numbers, leader)
    assert (taken.lost, taken.unexpected) == ((), ())
    assert taken.duplicated <= len(leader.all_of("job.returned")) <= window.long
    assert len({e["job_id"] for e in leader.all_of("job.done")}) == 35
    assert leader.status()["accounting"]["done"] == 35


def test_43_a_machine_that_hangs_is_given_up_and_comes_back(
    start_numbers: Start,
    lead: Start,
    member: Start,
    settle: Take,
    asked: Take,
    window: Any,
) -> None:
    numbers = start_numbers("--every", "0")
    leader = lead(numbers, "--process", "jobs:slow_root", "--processors", "1")
    hung, _ = member(leader, "alpha", "--processors", "1")
    asked(leader, 2 * window.long)
    numbers.add(*range(40))
    leader.wait_for("job.done", processor="alpha/processor-1")
    pids = hung.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)

    leader.wait_for("machine.lost", machine="alpha", within_s=WITHIN_S)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)

    leader.wait_for("machine.joined", machine="alpha", count=2, within_s=WITHIN_S)
    taken = settle(numbers, leader)
    assert (taken.lost, taken.unexpected) == ((), ())
    assert taken.duplicated <= len(leader.all_of("job.returned")) <= window.long


def test_43_twenty_percent_of_packets_lost_cost_no_job(
    start_numbers: Start,
    lead: Start,
    member: Start,
    settle: Take,
    eventually: Take,
    window: Any,
) -> None:
    numbers = start_numbers("--preload", "5", "--every", "0")
    leader = lead(numbers, "--process", "jobs:slow_root", "--processors", "0")
    _, host = member(leader, "alpha", "--processors", "2")
    leader.wait_for("job.done", count=5)
    try:
        host.lose(20)
    except NotPossibleError as error:
        pytest.skip(f"no packet loss here: {error}")

    numbers.add(*(float(each) for each in range(20)))

    leader.wait_for("job.done", count=25, within_s=40)
    taken = settle(numbers, leader)
    assert (taken.lost, taken.unexpected) == ((), ())
    eventually(lambda: host.lost() > 10, "packets lost")
    # Only where a silence was taken for the end; each costs what was out, at most.
    returned = len(leader.all_of("job.returned"))
    most = 2 * window.long * len(leader.all_of("machine.lost"))
    assert taken.duplicated <= returned <= most


def test_44_a_leader_that_is_killed_and_started_again_finds_its_members(  # noqa: PLR0913, PLR0917 - fixtures
    start_numbers: Start,
    lead: Start,
    member: Start,
    settle: Take,
    runs: Take,
    out: Take,
    asked: Take,
    window: Any,
) -> None:
    numbers = start_numbers("--preload", "3", "--every", "0")
    leader = lead(numbers, "--process", "jobs:slow_root", "--processors", "1")
    alpha, _ = member(leader, "alpha", "--processors", "1")
    beta, _ = member(leader, "beta", "--processors", "1")
    numbers.add(*range(60))
    leader.wait_for("job.done", count=9)
    assert sum(runs().values()) < 60

    leader.program.process.kill()
    leader.wait()
    assert not wait_until_gone(leader)
    were_out = out()
    again = lead(
        numbers,
        *("--process", "jobs:slow_root", "--processors", "1"),
        port=leader.port,
    )

    again.wait_for("machine.joined", count=2, within_s=WITHIN_S)
    again.wait_for("processor.attached", count=3)
    asked(again, 2 * window.long + 1)
    numbers.add(*range(30))
    # The fetcher may have had one in hand, which no journal knew yet.
    taken = settle(numbers, again, lost=1)
    assert taken.unexpected == ()
    assert taken.duplicated <= were_out <= 3 * window.long
    done_by = {each["processor"] for each in again.all_of("job.done")}
    assert {"alpha/processor-1", "beta/processor-1"} <= done_by
    assert len(alpha.all_of("stage.exited")) == len(beta.all_of("stage.exited")) == 0
