"""The same scenarios over the harness and over real processes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from actors.testing.processes import System, wait_until
from tests.support import spooled

if TYPE_CHECKING:
    from actors.demand.job import AccountingCounts
    from actors.testing import Harness

pytestmark = pytest.mark.system


class Pipeline(Protocol):
    """What both can be told and asked."""

    def push(self, jobs: list[dict[str, Any]]) -> None: ...
    def attach(self, count: int) -> None: ...
    def crash(self, name: str) -> None: ...
    def account(self, **expected: int) -> AccountingCounts: ...
    def done(self) -> list[tuple[int, int, Any]]: ...


class OnHarness:
    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self.push = harness.push
        self.crash = harness.crash

    def attach(self, count: int) -> None:
        self._harness.attach(count)

    def account(self, **expected: int) -> AccountingCounts:
        for _ in range(600):
            account = self._harness.accounting
            if expected.items() <= account.items():
                return account
            self._harness.advance(0.5)
        return account

    def done(self) -> list[tuple[int, int, Any]]:
        done = self._harness.done
        return sorted((e.job["id"], e.attempt, e.result) for e in done)


class OnProcesses:
    def __init__(self, system: System, spool: Path) -> None:
        self._system = system
        self._spool = spool

    def push(self, jobs: list[dict[str, Any]]) -> None:
        for job in jobs:
            path = self._spool / f"{job['id']:06}.json"
            path.with_suffix(".new").write_text(json.dumps(job))
            path.with_suffix(".new").rename(path)

    def attach(self, count: int) -> None:
        code, _, errors = self._system.command("attach", "--count", str(count))
        assert code == 0, errors

    def crash(self, name: str) -> None:
        processors = self._system.status()["processors"]
        [pid] = [each["pid"] for each in processors if each["name"] == name]
        before = len(self._system.all_of("stage.restarted"))
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        # On virtual time all is noticed at once; here a job that comes in that
        # moment would be sent to the dead one first.
        self._system.wait_for("stage.restarted", count=before + 1)

    def account(self, **expected: int) -> AccountingCounts:
        def accounted() -> AccountingCounts | None:
            account = self._system.status()["accounting"]
            return account if expected.items() <= account.items() else None

        account: AccountingCounts = wait_until(accounted, f"{expected}", 60)
        self._system.wait_for("job.done", count=account["done"])
        return account

    def done(self) -> list[tuple[int, int, Any]]:
        done = self._system.all_of("job.done")
        return sorted((e["job_id"], e["attempt"], e["result"]) for e in done)


Start = Callable[..., Pipeline]


@pytest.fixture(params=["harness", "processes"])
def start(
    request: pytest.FixtureRequest,
    pipeline: Callable[..., Harness],
    start_system: Callable[..., System],
    tmp_path: Path,
) -> Start:
    def on_harness(process: str, **settings: Any) -> Pipeline:
        function = getattr(spooled, process)
        return OnHarness(pipeline(process=function, **settings))

    def on_processes(process: str, **settings: Any) -> Pipeline:
        spool = tmp_path / "spool"
        spool.mkdir()
        config = tmp_path / "lowtide.toml"
        config.write_text(
            '[[fetcher]]\nname = "spool"\nfetch = "spooled:fetch"\n'
            f"options = {{ directory = {json.dumps(str(spool))} }}\n"
        )
        words = ["--config", str(config), "--process", f"spooled:{process}"]
        for name, value in settings.items():
            words += [f"--{name.removesuffix('_s').replace('_', '-')}", str(value)]
        return OnProcesses(start_system(*words), spool)

    return on_harness if request.param == "harness" else on_processes


def test_every_job_is_done_once(start: Start) -> None:
    pipeline = start("double", every_s=0.1)

    pipeline.push([{"id": number} for number in range(1, 6)])

    account = pipeline.account(done=5)
    assert account["fetched"] == 5
    assert pipeline.done() == [(number, 1, 2 * number) for number in range(1, 6)]


def test_a_full_buffer_waits_for_processors(start: Start) -> None:
    pipeline = start("double", processors=0, buffer=2, every_s=0.1)
    pipeline.push([{"id": number} for number in range(1, 6)])
    assert pipeline.account(buffered=2)["fetched"] == 2

    pipeline.attach(1)

    assert pipeline.account(done=5)["fetched"] == 5


def test_what_cannot_be_done_is_set_aside(start: Start) -> None:
    pipeline = start("refuse", every_s=0.1, retries=2)

    pipeline.push([{"id": 1}, {"id": 2, "good": True}])

    account = pipeline.account(quarantined=1, done=1)
    assert account["fetched"] == 2
    assert pipeline.done() == [(2, 1, 4)]


def test_an_id_that_came_before_is_not_run_again(start: Start) -> None:
    pipeline = start("double", every_s=0.1)
    pipeline.push([{"id": 1}])
    pipeline.account(done=1)

    pipeline.push([{"id": 1}])
    pipeline.push([{"id": 2}])

    pipeline.account(done=2)
    assert pipeline.done() == [(1, 1, 2), (2, 1, 4)]


def test_an_idle_processor_that_dies_is_replaced(start: Start) -> None:
    pipeline = start("double", processors=1, every_s=0.1)

    pipeline.crash("processor-1")
    pipeline.push([{"id": 1}])

    pipeline.account(done=1)
    assert pipeline.done() == [(1, 1, 2)]
