"""Machines over bad lines: nothing is lost, run too often, or stuck."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from typing import Any

import pytest

from actors.host import logs
from actors.testing.chaos import Profile
from tests.simulation.lines import MACHINES, Lines, run_lines
from tests.support.repetitions import times

#: TEST_LINES=10000 for all of them; they take a second each.
SCHEDULES = int(os.environ.get("TEST_LINES", "300"))
FEW = times(4, 20)
BATCH = times(4, 10)
KEY = "a key of all machines, 32 bytes or more"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWTIDE_CLUSTER_KEY", KEY)


@pytest.mark.parametrize("at", range(0, FEW, BATCH))
def test_some_schedules_over_bad_lines_hold_every_invariant(at: int) -> None:
    assert run_lines(range(at, at + BATCH)) == []


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(20_000)
def test_many_schedules_over_bad_lines_hold_every_invariant() -> None:
    batches = [range(at, at + BATCH) for at in range(FEW, SCHEDULES, BATCH)]
    context = multiprocessing.get_context("forkserver")

    with context.Pool(os.cpu_count()) as pool:
        broken = [each for found in pool.imap(run_lines, batches) for each in found]

    assert broken == []


class _Slow(Lines):
    """A line that is slow, and nothing else: so many equal jobs at once."""

    def __init__(self, seed: int, *, bytes_s: float, jobs: int, **sizes: int) -> None:
        self.count, self.sizes = jobs, sizes
        super().__init__(seed, Profile(faults_s=1.0, jobs=1, calm=1.0))
        link = self.world.network.link
        link.bytes_s, link.delay_s = bytes_s, 0.05

    def _put_down_jobs(self, profile: Profile) -> None:
        [source] = self.sources.values()
        pad = "x" * self.sizes["job"]
        for number in range(self.count):
            job: Any = {"id": number, "pad": pad, "result": self.sizes["result"]}
            self._made += 1
            source.push([job])
        for name, count in MACHINES.items():
            self.world.join(name, count, 5.0)

    @property
    def carried(self) -> int:
        return self.count * max(self.sizes.values())


# The windows of 1, 5 and 1,000 jobs. Each of the two machines has this line for
# itself, and one of them two of the three processors.
@pytest.mark.parametrize(
    ("seed", "bytes_s", "jobs", "job", "result"),
    [
        (0, 8e3, 12, 10, 100 << 10),
        (1, 8e3, 12, 10, 100 << 10),
        (2, 8e3, 12, 10, 100 << 10),
        (0, 8e3, 24, 60 << 10, 10),
        (1, 8e3, 24, 60 << 10, 10),
        (1, 25e3, 4, 10, 1 << 20),
    ],
)
def test_a_slow_line_carries_most_of_what_it_can(
    seed: int, bytes_s: float, jobs: int, job: int, result: int
) -> None:
    slow = _Slow(seed, bytes_s=bytes_s, jobs=jobs, job=job, result=result)

    account = slow.run()

    assert account.accounting["done"] == jobs
    assert max(slow.executions.values()) == 1
    by_machine = slow.world.network.carried
    busiest = max(by_machine.values())
    assert sum(by_machine.values()) <= 1.1 * slow.carried
    # From the first job to the last the busier line is busy.
    assert account.virtual_s <= busiest / bytes_s / 0.8 + 20.0


def test_what_the_tests_process_has_logged_changes_no_schedule() -> None:
    sizes = {"jobs": 12, "job": 10, "result": 100 << 10}
    first = _Slow(0, bytes_s=8e3, **sizes)
    first.run()
    lines = [{"event": "another test", "text": "x" * 1_000}] * logs.RECENT
    logs._recent.extend(lines)  # noqa: SLF001 - what another test may have logged

    second = _Slow(0, bytes_s=8e3, **sizes)
    second.run()

    # The time that a call took is the test's own, and has a few digits more or less.
    assert second.world.network.carried == pytest.approx(
        first.world.network.carried, abs=100
    )


def test_a_job_that_takes_longer_than_its_lease_to_cross_is_run_once() -> None:
    slow = _Slow(0, bytes_s=2e3, jobs=3, job=400_000, result=10)

    account = slow.run()

    assert account.accounting["done"] == 3
    assert max(slow.executions.values()) == 1
    events = slow.events
    assert (events["stage.silent"], events["job.returned"], slow.allowed) == (0, 0, 0)


def _begun(cancel: str = "temporary") -> tuple[_Slow, str]:
    slow = _Slow(0, bytes_s=1e6, jobs=0, job=10, result=10)
    world = slow.world
    [processor] = world.config.processors
    world.config = replace(
        world.config, processors=(replace(processor, cancel=cancel),)
    )
    world.network.link.delay_s = 0.15
    world.start()
    slow._put_down_jobs(slow.chaos.profile)  # noqa: SLF001 - of its own class
    world.agenda.run(world.agenda.now + 10.0)
    return slow, f"m1/{world.config.processors[0].name}-1"


def _kill(slow: _Slow, name: str) -> None:
    base = slow.world.machines[0].base
    node = base.named(name)
    assert node is not None
    base.kill(node)


# Before the leader knows that it is gone, and after.
@pytest.mark.parametrize("after_s", [0.0, 0.3])
def test_a_detach_of_one_that_waits_for_its_restart_elsewhere_is_answered(
    after_s: float,
) -> None:
    slow, name = _begun()
    world, agenda = slow.world, slow.world.agenda
    for _ in range(3):
        # With each it waits longer: in the end for more than the order takes.
        agenda.run(agenda.now + 1.0)
        _kill(slow, name)
    agenda.run(agenda.now + after_s)

    request = world.command({"verb": "detach", "names": [name]})
    agenda.run(agenda.now + 60.0)
    world.close()

    assert request.reply == {"detached": [name]}


def test_one_that_dies_while_a_line_is_dialled_anew_is_not_there_for_ever() -> None:
    slow, name = _begun()
    world, agenda = slow.world, slow.world.agenda
    _member(slow).connection.hang_up("reset by peer")
    _kill(slow, name)
    agenda.run(agenda.now + 60.0)

    request = world.command({"verb": "status"})
    agenda.run(agenda.now + 5.0)
    world.close()

    assert request.reply is not None
    names = [each["name"] for each in request.reply["processors"]]
    assert names.count(name) == 1


def test_one_that_left_while_a_line_was_dialled_anew_is_detached_when_asked() -> None:
    slow, name = _begun()
    world, agenda, member = slow.world, slow.world.agenda, _member(slow)
    member.supervisor.detach(member.supervisor.get(name))
    member.connection.hang_up("reset by peer")
    _kill(slow, name)
    agenda.run(agenda.now + 60.0)

    request = world.command({"verb": "detach", "names": [name]})
    agenda.run(agenda.now + 5.0)
    world.close()

    assert request.reply == {"detached": [name]}


def test_a_fetcher_that_leaves_while_a_line_is_dialled_anew_is_followed() -> None:
    slow, name = _begun(cancel="permanent")
    world, agenda = slow.world, slow.world.agenda
    _member(slow).connection.hang_up("reset by peer")
    agenda.run(agenda.now + 0.01)

    request = world.command({"verb": "detach", "names": ["north"]})
    agenda.run(agenda.now + 60.0)
    left = _member(slow).supervisor.get(name)
    world.close()

    assert request.reply is not None
    assert request.reply["detached"] == ["north"]
    assert left is None


def _member(slow: _Slow) -> Any:
    root = slow.world.machines[0].root
    assert root is not None
    return root.stage
