"""How many jobs travel together: by measure, and by choice as one list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import wait_until

pytestmark = pytest.mark.system

Start = Callable[..., Any]


def write(path: Path, fetch: str, count: int, processor: str) -> str:
    file = path / "windows.toml"
    file.write_text(
        f'[[fetcher]]\nname = "source"\nfetch = "jobs:{fetch}"\n'
        f"options = {{ count = {count} }}\nbuffer = 5000\n"
        f'[[processor]]\nname = "worker"\n{processor}\n'
    )
    return str(file)


def test_trivial_jobs_travel_by_the_hundred_when_the_window_is_auto(
    start_system: Start, tmp_path: Path
) -> None:
    processor = 'process = "jobs:same"\ncount = 0\nmax_demand = "auto"'
    file = write(tmp_path, "numbered", 1_000_000, processor)
    quiet = ("--journal", "none", "--log-level", "warning")
    system = start_system("--config", file, *quiet, ready=False)
    wait_until(lambda: system.command("attach")[0] == 0, "a processor")

    # At some moment: one job that is held up takes the window back for a while.
    def demand() -> int:
        [worker] = system.status()["processors"]
        return int(worker["demand"])

    wait_until(lambda: demand() >= 128, "a large window", within_s=60)
    system.command("stop", "--now")


def test_long_jobs_travel_alone_when_the_window_is_auto(
    start_numbers: Start, start_system: Start, all_ask: Start
) -> None:
    numbers = start_numbers("--every", "0")
    words = ("--process", "jobs:short_nap", "--processors", "3")
    system = start_system(
        *("--url", numbers.url, *words, "--max-demand", "auto", "--every", "0.1")
    )
    all_ask(system, 3)

    numbers.add(*range(60))

    done = system.wait_for("job.done", count=60)
    spread = Counter(each["processor"] for each in done)
    assert min(spread.values()) >= 10
    assert len(spread) == 3


def test_long_jobs_behind_short_ones_go_to_whoever_has_time(
    start_system: Start, all_ask: Start, switch: Path, tmp_path: Path
) -> None:
    processor = 'process = "jobs:short_then_long"\ncount = 2\nmax_demand = "auto"'
    file = write(tmp_path, "page", 840, processor)
    system = start_system("--config", file, "--every", "0.1")
    all_ask(system, 2)

    switch.touch()

    done = system.wait_for("job.done", count=840, within_s=60)
    spread = Counter(each["processor"] for each in done if each["job"]["number"] > 800)
    assert len(done) == 840
    assert min(spread.values()) >= 10
    assert system.all_of("job.returned") == []


def test_a_batch_has_an_outcome_for_each_job(
    start_system: Start, tmp_path: Path
) -> None:
    processor = (
        'process = "jobs:lengths"\ncount = 1\nmax_demand = 8\n'
        "batch_size = 4\nbatch_timeout_s = 2.0"
    )
    file = write(tmp_path, "twenty", 10, processor)

    system = start_system("--config", file, "--retries", "1", "--until-idle", "0.5")

    assert system.wait(30) == 0
    done = {each["job_id"]: each["result"][0] for each in system.all_of("job.done")}
    [refused] = system.all_of("job.quarantined")
    assert (refused["job_id"], refused["error"]) == (3, "ValueError: too long")
    assert sorted(done) == [1, 2, *range(4, 11)]
    assert max(done.values()) == 4


def test_a_batch_with_a_wrong_count_of_results_fails_as_a_whole(
    start_system: Start, tmp_path: Path
) -> None:
    processor = (
        'process = "jobs:too_few"\ncount = 1\nmax_demand = 2\n'
        "batch_size = 2\nbatch_timeout_s = 60"
    )
    file = write(tmp_path, "many", 2, processor)

    system = start_system("--config", file, "--until-idle", "0.5")

    assert system.wait(30) == 0
    errors = {each["error"] for each in system.all_of("job.quarantined")}
    assert errors == {"BatchError: process must return a list of 2 results, got 1"}
    assert len(system.all_of("job.quarantined")) == 2


@pytest.mark.parametrize(
    ("processor", "problem"),
    [
        ('max_demand = "auto"\nbatch_size = 4', "neither min_demand nor batch_size"),
        ("max_demand = 2\nbatch_size = 4", "must be at least batch_size (4)"),
        ("max_demand = 2\nmin_demand = 2", "must be above min_demand (2)"),
        ('max_demand = "lots"', "must be a whole number from 1, or auto"),
    ],
)
def test_windows_that_could_never_open_are_refused(
    start_system: Start, tmp_path: Path, processor: str, problem: str
) -> None:
    file = write(tmp_path, "many", 1, f'process = "jobs:length"\n{processor}')

    system = start_system("--config", file, ready=False)

    assert system.wait() == 2
    [line] = system.program.lines
    assert f"{file}:" in line
    assert problem in line
