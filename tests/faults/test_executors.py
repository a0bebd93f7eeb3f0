"""Jobs in an executor: pools of this machine, and a Dask cluster that loses parts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import wait_until
from tests.support.relay import Relay

pytestmark = [pytest.mark.system, pytest.mark.slow]

Start = Callable[..., Any]
Take = Callable[..., Any]
ROOT = Path(__file__).parents[2]
START_WITHIN_S = 120.0


def config(tmp_path: Path, executor: str, process: str = "work") -> str:
    file = tmp_path / "executor.toml"
    file.write_text(
        f'[[processor]]\nname = "p"\nprocess = "executors:{process}"\ncount = 1\n'
        f'executor = "executors:{executor}"\nconcurrency = 4\n'
    )
    return str(file)


@pytest.mark.parametrize("executor", ["threads", "processes", "reusable"])
def test_jobs_run_in_a_pool(
    executor: str,
    tmp_path: Path,
    start_numbers: Start,
    start_system: Start,
    runs: Take,
) -> None:
    if executor == "reusable":
        pytest.importorskip("loky")
    numbers = start_numbers("--preload", "20", "--every", "0")
    system = start_system("--url", numbers.url, "--config", config(tmp_path, executor))

    done = system.wait_for("job.done", count=20)

    assert sorted(each["result"] for each in done) == list(range(1, 21))
    assert set(runs().values()) == {1}


def test_the_job_that_breaks_a_pool_is_found(
    tmp_path: Path, start_numbers: Start, start_system: Start, runs: Take
) -> None:
    numbers = start_numbers("--preload", "8", "--every", "0")
    system = start_system(
        *("--url", numbers.url),
        *("--config", config(tmp_path, "processes", "kills_pool")),
    )

    [quarantined] = system.wait_for("job.quarantined")
    done = system.wait_for("job.done", count=7)

    assert quarantined["job_id"] == 3
    assert sorted(each["job_id"] for each in done) == [1, 2, 4, 5, 6, 7, 8]
    assert system.all_of("executor.broken")


class Cluster:
    """A scheduler and two workers, each a process."""

    def __init__(self, env: dict[str, str], directory: Path) -> None:
        self._env = env | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"}
        self._directory = directory
        self._file = directory / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        self.scheduler = self.start_scheduler("0")
        self.address = json.loads(self._file.read_text())["address"]
        self.workers = [self.worker() for _ in range(2)]

    def start_scheduler(self, port: str) -> subprocess.Popen[bytes]:
        self._file.unlink(missing_ok=True)
        words = ("--port", port, "--no-dashboard", "--scheduler-file", str(self._file))
        scheduler = self.start("scheduler", *words)
        # To import Dask takes half a minute where all cores are busy.
        wait_until(self._file.exists, "the scheduler listens", START_WITHIN_S)
        return scheduler

    def worker(self) -> subprocess.Popen[bytes]:
        words = ("--nthreads", "2", "--no-nanny", "--no-dashboard")
        return self.start("worker", self.address, *words)

    def start(self, kind: str, *words: str) -> subprocess.Popen[bytes]:
        host = ("--host", "127.0.0.1")
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words, *host],
            env=self._env,
            cwd=self._directory,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(env: dict[str, str], tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    made = Cluster({**os.environ, **env}, tmp_path)
    try:
        made.begin()
        env["SCHEDULER"] = made.address
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("victim", ["none", "worker", "fetcher"])
def test_nothing_is_lost_on_a_cluster_that_loses_a_part(
    victim: str,
    cluster: Cluster,
    tmp_path: Path,
    start_numbers: Start,
    start_system: Start,
    runs: Take,
    eventually: Take,
) -> None:
    numbers = start_numbers("--preload", "40", "--every", "0")
    system = start_system("--url", numbers.url, "--config", config(tmp_path, "cluster"))
    eventually(lambda: len(runs()) >= 4, "four jobs begun")

    # What is on its way from this source when its fetcher dies, is lost to anybody.
    system.wait_for("fetcher.polled", outcome="none")

    if victim == "worker":
        cluster.workers[0].send_signal(signal.SIGKILL)
    elif victim == "fetcher":
        os.kill(system.status()["fetchers"][0]["pid"], signal.SIGKILL)

    def settled() -> bool:
        return bool(system.status()["accounting"]["done"] == 40)

    eventually(settled, "all are done")
    assert set(runs()) == set(range(1, 41))
    assert max(runs().values()) <= 5
    assert system.all_of("job.quarantined") == []


def test_a_scheduler_that_dies_and_is_back_costs_no_job(
    cluster: Cluster,
    tmp_path: Path,
    env: dict[str, str],
    start_numbers: Start,
    start_system: Start,
    runs: Take,
    eventually: Take,
) -> None:
    numbers = start_numbers("--preload", "30", "--every", "0")
    system = start_system("--url", numbers.url, "--config", config(tmp_path, "cluster"))
    eventually(lambda: len(runs()) >= 4, "four jobs begun")

    cluster.scheduler.kill()
    cluster.scheduler.wait()
    cluster.start_scheduler(cluster.address.rpartition(":")[2])
    for worker in cluster.workers:
        worker.kill()
    cluster.workers = [cluster.worker() for _ in range(2)]

    def settled() -> bool:
        return bool(system.status()["accounting"]["done"] == 30)

    eventually(settled, "all are done")
    assert max(runs().values()) <= 5


@pytest.fixture
def line(cluster: Cluster, env: dict[str, str]) -> Iterator[Relay]:
    """What the processors' client says to the scheduler goes by this."""
    host, _, port = cluster.address.rpartition("/")[2].rpartition(":")
    relay = Relay(lambda: (host, int(port)), 0.0)
    env["SCHEDULER"] = f"tcp://127.0.0.1:{relay.port}"
    yield relay
    relay.close()


@pytest.mark.parametrize(
    ("how", "noticed"), [("cut", "executor.broken"), ("hold", "job.failed")]
)
def test_a_line_to_the_scheduler_that_heals_costs_no_job(  # noqa: PLR0913, PLR0917
    how: str,
    noticed: str,
    line: Relay,
    tmp_path: Path,
    start_numbers: Start,
    start_system: Start,
    runs: Take,
    eventually: Take,
) -> None:
    numbers = start_numbers("--preload", "40", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--config", config(tmp_path, "cluster")),
        *("--job-timeout", "4", "--retries", "6"),
        ready=False,
    )
    eventually(lambda: len(runs()) >= 4, "four jobs begun", within_s=START_WITHIN_S)

    getattr(line, how)()
    # What waits for a result is given up meanwhile, by its executor or its deadline.
    system.wait_for(noticed)
    line.heal()

    def settled() -> bool:
        return bool(system.status()["accounting"]["done"] == 40)

    eventually(settled, "all are done", within_s=90)
    told = [each["job_id"] for each in system.wait_for("job.done", count=40)]
    assert sorted(told) == list(range(1, 41))
    assert set(runs()) == set(range(1, 41))
    assert max(runs().values()) <= 6
    assert system.all_of("job.quarantined") == []
