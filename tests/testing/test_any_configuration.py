"""Every kind of pipeline that can be configured holds the invariants in simulation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from actors.config.build import build
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve
from actors.testing.chaos import Profile
from actors.testing.simulation import Simulation
from tests.support.repetitions import times

PARTITIONED_STEPS = """
[[fetcher]]
name = "a"
fetch = "x:fetch"
dispatcher = "partition"
partition_by = "key"
[[fetcher]]
name = "b"
fetch = "x:fetch"
[[processor]]
name = "one"
process = "x:process"
from = ["a", "b"]
count = 3
max_demand = 2
[[processor]]
name = "two"
process = "x:process"
from = ["one"]
count = 2
[[processor]]
name = "three"
process = "x:process"
from = ["two"]
"""
BROADCAST = """
[[fetcher]]
name = "a"
fetch = "x:fetch"
dispatcher = "broadcast"
[[processor]]
name = "one"
process = "x:process"
from = ["a"]
count = 2
selector = "domain.numbers:process"
[[processor]]
name = "two"
process = "x:process"
from = ["a"]
count = 2
max_demand = "auto"
"""
LIMITED_BATCHES = """
journal = "none"
[[fetcher]]
name = "a"
fetch = "x:fetch"
buffer = 3
buffer_keep = "last"
rate_limit = 2
rate_interval_s = 30.0
[[processor]]
name = "one"
process = "x:batch"
from = ["a"]
count = 2
batch_size = 3
batch_timeout_s = 5.0
max_demand = 3
"""
BROADCASTING_STEP = """
job_timeout_s = 1.0
retries = 2
lease_s = 5.0
quarantine = 3
[[fetcher]]
name = "a"
fetch = "x:fetch"
buffer = 2
[[processor]]
name = "one"
process = "x:process"
from = ["a"]
count = 2
dispatcher = "broadcast"
[[processor]]
name = "two"
process = "x:process"
from = ["one"]
[[processor]]
name = "three"
process = "x:process"
from = ["one"]
"""
MANUAL_AND_BOUND = """
[[fetcher]]
name = "a"
fetch = "x:fetch"
[[fetcher]]
name = "b"
fetch = "x:fetch"
[[processor]]
name = "one"
process = "x:process"
from = ["a", "b"]
count = 2
demand = "x:ask"
cancel = "transient"
[[processor]]
name = "two"
process = "x:process"
from = ["one"]
count = 2
cancel = "transient"
"""


class RefusedError(Exception):
    permanent = True


def process(job: Any) -> Any:
    last = job["number"] % 10
    if last == 0:
        raise RefusedError
    if last == 1:
        raise ValueError(job)
    if last == 2:
        return None
    return job | {"number": job["number"] // 2}


def batch(jobs: list[Any]) -> list[Any]:
    return [RefusedError() if job["number"] % 7 == 0 else job for job in jobs]


def ask_for_plenty(ask: Callable[[int], None]) -> None:
    ask(1000)


def make_job(draw: Random, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "key": draw.choice("xyz"),
        "number": draw.randint(0, 10**6),
    }


@pytest.mark.parametrize("seed", range(times(3, 6)))
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PARTITIONED_STEPS, id="partitioned steps"),
        pytest.param(BROADCAST, id="broadcast"),
        pytest.param(LIMITED_BATCHES, id="limited batches"),
        pytest.param(BROADCASTING_STEP, id="broadcasting step"),
        pytest.param(MANUAL_AND_BOUND, id="manual and bound"),
    ],
)
def test_a_configuration_holds_every_invariant(
    content: str, seed: int, tmp_path: Path
) -> None:
    path = tmp_path / "lowtide.toml"
    path.write_text(content)
    file = ConfigFile.read(path)
    config = build(resolve({}, {}, file), file)
    profile = Profile(faults_s=600.0, jobs=30, troubles=8, shots=3)
    functions: dict[str, Callable[..., Any]] = {
        "x:process": process,
        "x:batch": batch,
        "x:ask": ask_for_plenty,
    }

    account = Simulation(seed, config, functions, make_job, profile).run()

    left = ("buffered", "in_flight", "retrying")
    assert not any(account.accounting[each] for each in left)
