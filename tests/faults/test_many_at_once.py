"""What becomes of several jobs in one process when it, or one of them, goes wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Start = Callable[..., Any]
Take = Callable[..., Any]
EIGHT = ("--processors", "1", "--concurrency", "8")


@pytest.mark.parametrize("process", ["held", "held_later"])
def test_a_processor_that_is_killed_costs_second_runs_of_what_it_had_in_hand(
    process: str,
    start_numbers: Start,
    start_system: Start,
    runs: Take,
    eventually: Take,
) -> None:
    numbers = start_numbers("--preload", "24", "--every", "0")
    system = start_system(*EIGHT, "--url", numbers.url, "--process", f"many:{process}")
    [first] = system.wait_for("processor.attached", processor="processor-1")
    eventually(lambda: len(runs()) >= 8, "eight jobs begun")

    os.kill(first["pid"], signal.SIGKILL)

    done = system.wait_for("job.done", count=24)
    assert sorted(each["job_id"] for each in done) == list(range(1, 25))
    assert sum(runs().values()) - 24 <= 8
    assert system.all_of("job.quarantined") == []


@pytest.mark.parametrize("process", ["kills", "kills_later"])
def test_the_one_that_kills_is_found_among_eight(
    process: str, start_numbers: Start, start_system: Start, runs: Take
) -> None:
    numbers = start_numbers("--preload", "12", "--every", "0")
    system = start_system(*EIGHT, "--url", numbers.url, "--process", f"many:{process}")

    [quarantined] = system.wait_for("job.quarantined")
    done = system.wait_for("job.done", count=11)

    assert quarantined["job_id"] == 3
    assert sorted(each["job_id"] for each in done) == [1, 2, *range(4, 13)]
    assert runs()[3] <= 3


def test_a_thread_that_never_ends_costs_its_process_and_no_other_job(
    start_numbers: Start, start_system: Start, runs: Take
) -> None:
    numbers = start_numbers("--preload", "20", "--every", "0")
    system = start_system(
        *(*EIGHT, "--url", numbers.url, "--process", "many:never"),
        *("--job-timeout", "3", "--retries", "1"),
    )

    [quarantined] = system.wait_for("job.quarantined")
    [overdue] = system.wait_for("stage.overdue")
    done = system.wait_for("job.done", count=19)

    assert quarantined["error"] == "JobTimeoutError: took longer than 3 s"
    assert quarantined["job_id"] == 3
    assert quarantined["pid"] == overdue["pid"]
    assert sorted(each["job_id"] for each in done) == [1, 2, *range(4, 21)]
    assert set(runs().values()) == {1}


@pytest.mark.parametrize("process", ["goes_on", "blocks"])
def test_a_coroutine_that_does_not_let_go_costs_its_process(
    process: str, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "20", "--every", "0")
    system = start_system(
        *(*EIGHT, "--url", numbers.url, "--process", f"many:{process}"),
        *("--job-timeout", "3", "--retries", "2"),
    )

    [quarantined] = system.wait_for("job.quarantined", within_s=90)
    done = system.wait_for("job.done", count=19)

    assert quarantined["error"] == "JobTimeoutError: took longer than 3 s"
    assert quarantined["job_id"] == 3
    assert sorted(each["job_id"] for each in done) == [1, 2, *range(4, 21)]
    late = system.wait_for("stage.overdue", count=2)
    assert {each["job_id"] for each in system.all_of("job.failed")} <= {3}
    assert len(late) == 2


def test_a_task_that_takes_too_long_is_cancelled_in_its_process(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "10", "--every", "0")
    system = start_system(
        *(*EIGHT, "--url", numbers.url, "--process", "many:is_cancelled"),
        *("--job-timeout", "2", "--retries", "1"),
    )

    [quarantined] = system.wait_for("job.quarantined")
    system.wait_for("job.done", count=9)

    assert quarantined["job_id"] == 3
    assert quarantined["error"] == "JobTimeoutError: took longer than 2 s"
    assert system.all_of("stage.overdue") == []


def test_all_tasks_of_a_process_are_on_one_loop(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "30", "--every", "0")
    system = start_system(*EIGHT, "--url", numbers.url, "--process", "many:one_loop")

    done = system.wait_for("job.done", count=30)

    assert len({tuple(each["result"]) for each in done}) == 1


def test_what_is_set_up_is_made_once_a_process_and_given_back(
    start_numbers: Start, start_system: Start, runs: Take, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "10", "--every", "0")
    config = tmp_path / "kept.toml"
    config.write_text(
        '[[processor]]\nname = "p"\nprocess = "many:held_later"\nsetup = "many:kept"\n'
        "concurrency = 4\n"
    )
    system = start_system("--url", numbers.url, "--config", str(config))

    system.wait_for("job.done", count=10)
    system.signal(signal.SIGTERM)
    system.wait()

    assert (runs()[1000], runs()[2000]) == (2, 2)


@pytest.mark.parametrize(("process", "replaced"), [("asks", 0), ("never", 1)])
def test_a_job_is_cancelled_from_another_terminal(
    process: str,
    replaced: int,
    start_numbers: Start,
    start_system: Start,
    runs: Take,
    eventually: Take,
) -> None:
    numbers = start_numbers("--preload", "9", "--every", "0")
    system = start_system(*EIGHT, "--url", numbers.url, "--process", f"many:{process}")
    system.wait_for("job.done", count=8)

    code, out, _ = system.command("jobs", "cancel", "3")

    assert (code, out) == (0, "1 job cancelled\n")
    [quarantined] = system.wait_for("job.quarantined")
    assert quarantined["job_id"] == 3
    assert quarantined["error"] == "JobCancelledError: cancelled by hand"
    if replaced:
        system.wait_for("stage.overdue")

    def at_rest() -> bool:
        return bool(system.status()["processors"][0]["in_flight"] == 0)

    eventually(at_rest, "nothing runs")
    assert len(system.all_of("stage.overdue")) == replaced
    assert runs()[3] == 1
    code, _, error = system.command("jobs", "cancel", "3")
    assert code == 2
    assert "job 3 is quarantined, neither waiting nor running" in error
