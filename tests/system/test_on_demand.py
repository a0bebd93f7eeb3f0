"""Two systems at one source: on demand, each takes only what it can work on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Start = Callable[..., Any]


def test_a_busy_system_leaves_the_jobs_to_another(
    env: dict[str, str], start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0", "--preload", "5")
    config = tmp_path / "lowtide.toml"
    config.write_text(
        'every_s = 0.05\n[[fetcher]]\nname = "numbers"\non_demand = true\n'
        f'options = {{ url = "{numbers.url}" }}\n'
    )
    words = ("--config", str(config), "--processors", "2")
    busy = start_system(*words, "--process", "jobs:minute")
    busy.wait_for("job.fetched", count=2)

    env["LOWTIDE_JOURNAL"] = str(tmp_path / "other.db")
    other = start_system(*words)
    other.wait_for("job.done", count=3)

    status = busy.status()
    [fetcher] = status["fetchers"]
    assert status["accounting"] == {
        **dict.fromkeys(status["accounting"], 0),
        "fetched": 2,
        "in_flight": 2,
    }
    assert (fetcher["waiting_for"], fetcher["demand"]) == ("demand", 0)
    [idle] = other.status()["fetchers"]
    assert idle["waiting_for"] == "jobs"


def test_on_demand_is_true_or_false(start_system: Start, tmp_path: Path) -> None:
    config = tmp_path / "lowtide.toml"
    config.write_text('[[fetcher]]\nname = "numbers"\non_demand = 1\n')

    system = start_system("--config", str(config), ready=False)

    assert system.wait() == 2
    assert system.program.lines == [
        f"lowtide: {config}:3: on_demand must be true or false, got 1"
    ]
