"""Rows 1 to 11 of the fault matrix: what happens to a processor and its jobs."""

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
JOURNALS = ("kept", "none")


def journal(kind: str) -> tuple[str, ...]:
    return ("--journal", "none") if kind == "none" else ()


@pytest.mark.parametrize("kind", JOURNALS)
def test_02_a_job_whose_processor_is_killed_is_done_by_another(
    kind: str,
    start_numbers: Start,
    start_system: Start,
    runs: Take,
    eventually: Take,
    switch: Path,
    window: Any,
) -> None:
    begun = min(6, 2 * window.at_once)
    numbers = start_numbers("--preload", "6", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:held_root", *journal(kind))
    )
    [first] = system.wait_for("processor.attached", processor="processor-1")
    eventually(lambda: len(runs()) == begun, f"{begun} jobs begun")

    os.kill(first["pid"], signal.SIGKILL)

    # At once: its lease would stand for a minute.
    system.wait_for("job.returned")
    switch.touch()
    done = system.wait_for("job.done", count=6)
    assert sorted(each["job_id"] for each in done) == [1, 2, 3, 4, 5, 6]
    twice = [job for job, count in runs().items() if count == 2]
    assert 1 <= len(twice) <= window.at_once
    assert sum(runs().values()) == 6 + len(twice)
    returned = [each["job_id"] for each in system.all_of("job.returned")]
    assert set(twice) <= set(returned)
    assert len(returned) <= window.long


def test_03_a_processor_that_is_stopped_is_killed_and_its_job_done_elsewhere(
    start_numbers: Start, start_system: Start, settle: Take, window: Any
) -> None:
    numbers = start_numbers("--preload", "60", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:slow_root", "--processors", "3"),
        *("--lease", "1.5"),
    )
    [first] = system.wait_for("processor.attached", processor="processor-1")
    system.wait_for("job.done", count=3)

    os.kill(first["pid"], signal.SIGSTOP)

    [silent] = system.wait_for("stage.silent")
    assert silent["pid"] == first["pid"]
    taken = settle(numbers, system)
    assert (taken.lost, taken.unexpected, taken.left) == ((), (), 0)
    assert taken.duplicated <= len(system.all_of("job.returned")) <= window.long
    system.wait_for("stage.restarted", stage="processor-1")


def test_03_the_others_keep_flowing_while_one_is_stopped(
    start_numbers: Start, start_system: Start, eventually: Take, window: Any
) -> None:
    numbers = start_numbers("--preload", "60", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:slow_root", "--processors", "3")
    )
    [first] = system.wait_for("processor.attached", processor="processor-1")
    system.wait_for("job.done", count=3)

    os.kill(first["pid"], signal.SIGSTOP)

    def rest() -> Any:
        # All that is not done is in the hands of the one that is stopped.
        status = system.status(patient=False)
        well = [e for e in status["processors"] if e["name"] != "processor-1"]
        idle = all(e["state"] == "running" and not e["in_flight"] for e in well)
        account = status["accounting"]
        return idle and account["done"] + account["in_flight"] == 60 and status

    status = eventually(rest, "all done but for what the stopped one holds")
    assert status["accounting"]["in_flight"] <= window.long
    done = system.wait_for("job.done", count=status["accounting"]["done"])
    assert {each["processor"] for each in done[-10:]} == {"processor-2", "processor-3"}
    states = {each["name"]: each["state"] for each in status["processors"]}
    assert states["processor-1"] == "silent"


def test_04_a_processor_that_was_only_slow_is_not_doubled(
    start_numbers: Start, start_system: Start, account: Take
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")

    system = start_system(
        *("--url", numbers.url, "--process", "jobs:long_root", "--lease", "1.5")
    )

    system.wait_for("job.done", count=2)
    assert account(numbers, system).duplicated == 0
    assert system.all_of("stage.silent") == []


def test_05_all_processors_killed_together_come_back_and_work(
    start_numbers: Start, start_system: Start, settle: Take, window: Any
) -> None:
    numbers = start_numbers("--preload", "30", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:slow_root", "--processors", "3")
    )
    attached = system.wait_for("processor.attached", count=3)
    system.wait_for("job.done", count=3)

    for each in attached:
        os.kill(each["pid"], signal.SIGKILL)

    taken = settle(numbers, system)
    assert (taken.lost, taken.unexpected, taken.left) == ((), (), 0)
    assert taken.duplicated <= len(system.all_of("job.returned")) <= 3 * window.long


def test_06_a_job_that_raises_once_is_run_twice_and_no_more(
    start_numbers: Start, start_system: Start, runs: Take
) -> None:
    numbers = start_numbers("--preload", "3", "--every", "0")

    system = start_system("--url", numbers.url, "--process", "jobs:fails_once")

    system.wait_for("job.done", count=3)
    assert runs() == {1: 1, 2: 2, 3: 1}
    [failed] = system.all_of("job.failed")
    assert failed["error"] == "RuntimeError: once"


def test_06_a_fetch_that_raises_is_not_run_again_by_thespian(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "4", "--every", "0")

    system = start_system(
        *("--url", numbers.url, "--fetch", "jobs:raising_fetch", "--every", "0.1")
    )

    system.wait_for("job.done", count=3)
    [failed] = system.all_of("fetcher.polled", outcome="error")
    assert failed["error"] == "RuntimeError: dropped 1"
    assert numbers.account()["served"] == [1, 2, 3, 4]
    assert system.all_of("stage.error") == []


def test_07_what_always_raises_is_quarantined_and_stays_so_after_a_restart(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    first = start_system(
        *("--url", numbers.url, "--process", "jobs:broken", "--retries", "1")
    )
    first.wait_for("job.quarantined")
    os.kill(first.program.process.pid, signal.SIGKILL)
    first.program.process.wait()

    second = start_system("--url", numbers.url, "--until-idle", "0.3")

    assert second.wait() == 0
    [stopped] = second.all_of("system.stopped")
    assert stopped["accounting"]["quarantined"] == 1
    assert second.all_of("job.done") == []


@pytest.mark.parametrize("max_demand", ["1", "4", "1000", "auto"])
def test_08_a_job_that_kills_its_processor_is_quarantined_and_no_other(
    max_demand: str, start_numbers: Start, start_system: Start, runs: Take
) -> None:
    numbers = start_numbers("--preload", "8", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:deadly"),
        *("--max-demand", max_demand),
    )

    [quarantined] = system.wait_for("job.quarantined")
    done = system.wait_for("job.done", count=7)

    assert quarantined["job_id"] == 3
    assert "the processor was gone" in quarantined["error"]
    assert runs()[3] == 3
    assert sorted(each["job_id"] for each in done) == [1, 2, 4, 5, 6, 7, 8]
    assert system.all_of("stage.fatal") == []


def test_09_a_job_over_its_time_fails_and_its_process_is_replaced(
    start_numbers: Start, start_system: Start, runs: Take, window: Any
) -> None:
    numbers = start_numbers("--preload", "3", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:spins_once", "--processors", "1"),
        *("--job-timeout", "1"),
    )

    [failed] = system.wait_for("job.failed")
    [overdue] = system.wait_for("stage.overdue")
    done = system.wait_for("job.done", count=3)

    assert failed["error"] == "JobTimeoutError: took longer than 1 s"
    assert failed["pid"] == overdue["pid"]
    assert sorted(each["job_id"] for each in done) == [1, 2, 3]
    assert runs() == {1: 1, 2: 2, 3: 1}
    # In a larger window, one may have waited behind the one that never ends.
    waited = {3} if window.short > 1 else set()
    assert {each["job_id"] for each in system.all_of("job.returned")} <= waited


def test_10_a_job_without_enough_memory_fails_and_is_tried_again(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "3", "--every", "0")

    system = start_system("--url", numbers.url, "--process", "jobs:hungry")

    system.wait_for("job.done", count=3)
    [failed] = system.all_of("job.failed")
    assert failed["error"].startswith("MemoryError")


def test_11_a_crash_between_the_effect_and_its_word_doubles_no_other_processors_job(
    start_numbers: Start, start_system: Start, account: Take, runs: Take, window: Any
) -> None:
    numbers = start_numbers("--preload", "4", "--every", "0")

    system = start_system("--url", numbers.url, "--process", "jobs:effect_then_gone")

    system.wait_for("job.done", count=4)
    twice = {job for job, count in runs().items() if count == 2}
    returned = {each["job_id"] for each in system.all_of("job.returned")}
    assert {2} <= twice <= returned
    assert len(returned) <= window.short
    assert sum(runs().values()) == 4 + len(twice)
    taken = account(numbers, system)
    assert (taken.lost, taken.unexpected, taken.left) == ((), (), 0)
