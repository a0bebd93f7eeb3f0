"""Jobs of a megabyte, through real sockets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Start = Callable[..., Any]


def test_heavy_jobs_travel_in_parts_and_one_too_heavy_is_set_aside(
    start_system: Start, tmp_path: Path
) -> None:
    config = tmp_path / "heavy.toml"
    config.write_text(
        """
[[fetcher]]
name = "heavy"
fetch = "jobs:heavy"
options = { count = 9 }

[[processor]]
name = "length"
process = "jobs:length"
count = 1
max_demand = 9
"""
    )

    system = start_system("--config", str(config), "--journal", "none")

    done = system.wait_for("job.done", count=8)
    assert {each["result"] for each in done} == {1_000_000}
    [aside] = system.wait_for("job.quarantined")
    assert aside["job_id"] == 2
    assert aside["error"].startswith("MessageTooLongError: the job takes 5000")
    assert system.all_of("frame.refused") == []


def test_a_hundred_mebibytes_of_jobs_go_through_a_buffer_that_holds_a_part(
    start_system: Start, env: dict[str, str], tmp_path: Path
) -> None:
    env["PYTHONPATH"] += f":{tmp_path}"
    (tmp_path / "heavy_pages.py").write_text(
        """
left = [1000]


def fetch():
    for _ in range(min(100, left[0])):
        left[0] -= 1
        yield {"id": left[0], "text": "x" * 102_400}


def process(job):
    return len(job["text"])
"""
    )
    functions = ("--fetch", "heavy_pages:fetch", "--process", "heavy_pages:process")
    bounds = ("--every", "0.2", "--max-demand", "auto", "--buffer-mib", "16")

    system = start_system(*functions, *bounds, "--until-idle", "1")

    system.wait_for("job.done", count=1000, within_s=120)
    assert system.wait() == 0
    stopped = system.wait_for("system.stopped")[0]["accounting"]
    assert stopped["done"] == stopped["fetched"] == 1000
    # Polling stopped where so much was there, and went on.
    assert system.all_of("fetcher.polled", outcome="full")
