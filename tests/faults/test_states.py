"""A source with a state, whose fetcher is killed at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import wait_until, wait_until_gone

pytestmark = pytest.mark.system

KILLS = 10
#: Every so many kills it is the whole system: a fetcher may die three times in 5 s.
ALL = 3
#: Jobs that may be out at a death.
OUT = 2 * 8


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fetch", ["fetch", "fetch_all"])
def test_nothing_is_skipped_and_nothing_is_fetched_twice_however_often_it_is_killed(
    start_system: Callable[..., Any],
    env: dict[str, str],
    runs: Callable[[], dict[int, int]],
    tmp_path: Path,
    fetch: str,
) -> None:
    size = tmp_path / "size"
    size.write_text("0")
    env["PAGED_SIZE"] = str(size)
    Path(env["TEST_EFFECTS"]).touch()
    words = (
        *("--fetch", f"paged:{fetch}", "--process", "paged:note", "--every", "0.05"),
        *("--buffer", "20", "--max-demand", "8", "--retries", "50"),
    )
    chance = random.Random(fetch)
    system, count = start_system(*words), 0
    for kill in range(1, KILLS + 1):
        count += 150
        _write(size, count)
        wait_until(partial(_more_than, count - 150, runs), "it goes on")
        time.sleep(chance.uniform(0.0, 0.3))  # a moment that nothing has chosen
        if kill % ALL:
            os.kill(_fetcher_of(system), signal.SIGKILL)
        else:
            system.kill_all()
            assert wait_until_gone(system) == set()
            system = start_system(*words)

    wait_until(lambda: len(runs()) == count, "every job is run", within_s=120)
    wait_until(lambda: _left(system) == 0, "every job ends")
    accounting = system.status()["accounting"]
    assert accounting["fetched"] == accounting["done"] == count
    assert sorted(runs()) == list(range(count))
    assert sum(runs().values()) - count <= KILLS * OUT

    code, shown, _ = system.command("state", "show", "paged", "--json")
    assert code == 0
    assert json.loads(shown)["state"] == count
    _set_while_it_runs(system, count)
    assert system.status()["fetchers"][0]["state_age_s"] is not None


def _more_than(count: int, runs: Callable[[], dict[int, int]]) -> bool:
    return len(runs()) > count


def _set_while_it_runs(system: Any, count: int) -> None:
    code, out, _ = system.command("state", "set", "paged", str(count + 5))
    assert (code, out) == (0, "paged goes on at the state that was set\n")
    code, shown, _ = system.command("state", "show", "paged", "--json")
    assert json.loads(shown)["state"] == count + 5


def _left(system: Any) -> int:
    accounting = system.status()["accounting"]
    return int(accounting["fetched"] - accounting["done"])


def _fetcher_of(system: Any) -> int:
    def pid() -> int | None:
        [fetcher] = system.status()["fetchers"]
        return fetcher["pid"] if fetcher["state"] == "running" else None

    return int(wait_until(pid, "the fetcher runs"))


def _write(path: Path, number: int) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(str(number))
    beside.replace(path)
