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
