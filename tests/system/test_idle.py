"""A source that stays empty is asked less and less, until something happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import wait_until

pytestmark = pytest.mark.system

Start = Callable[..., Any]


def write(path: Path, url: str, idle_cap_s: str) -> str:
    path.write_text(
        '[[fetcher]]\nname = "numbers"\nfetch = "domain.numbers:fetch"\n'
        f'every_s = 0.05\nidle_cap_s = {idle_cap_s}\noptions = {{ url = "{url}" }}\n'
    )
    return str(path)


@pytest.mark.alone
def test_fresh_demand_ends_the_idle_back_off(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    config = write(tmp_path / "lowtide.toml", numbers.url, "600")
    system = start_system("--config", config, "--processors", "0")

    def next_poll_s() -> float:
        wait: float | None = system.status()["fetchers"][0]["next_poll_s"]
        return wait or 0.0

    # From 0.05 s on, doubling.
    wait_until(lambda: next_poll_s() > 10, "a long wait", within_s=60)
    due = time.monotonic() + next_poll_s()
    numbers.add(49)
    system.command("attach")

    [done] = system.wait_for("job.done")
    assert done["result"] == 7.0
    assert time.monotonic() < due


def test_a_cap_that_is_none_is_refused_with_its_line(
    start_system: Start, tmp_path: Path
) -> None:
    config = write(tmp_path / "lowtide.toml", "http://127.0.0.1:9", "-1")

    system = start_system("--config", config, ready=False)

    assert system.wait() == 2
    assert system.program.lines == [
        f"lowtide: {config}:5: idle_cap_s must be a number of seconds above 0, got -1"
    ]
