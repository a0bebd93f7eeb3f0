"""Jobs that say how far they are, over real processes and machines."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.host.ports import free_port

pytestmark = pytest.mark.system

Start = Callable[..., Any]
Take = Callable[..., Any]
TWO = ("--processors", "1", "--concurrency", "2", "--job-timeout", "3")


def told(system: Any) -> list[Any]:
    rows = system.status()["processors"]
    return [each for row in rows for each in row.get("progress", ())]


def is_between(line: Any) -> bool:
    return bool(0.0 < line["fraction"] < 1.0 and line["text"].startswith("moment "))


@pytest.mark.parametrize("process", ["tells", "tells_later"])
def test_jobs_are_seen_to_go_on_and_may_take_longer_than_their_time(
    process: str,
    start_numbers: Start,
    start_system: Start,
    env: dict[str, str],
    eventually: Take,
    switch: Path,
) -> None:
    env["LOWTIDE_WEB"] = str(free_port())
    numbers = start_numbers("--preload", "2", "--every", "0")
    system = start_system(*TWO, "--url", numbers.url, "--process", f"many:{process}")

    eventually(lambda: len(told(system)) == 2, "both jobs tell")
    code, shown, _ = system.command("status")
    with urllib.request.urlopen(
        f"http://127.0.0.1:{env['LOWTIDE_WEB']}/status.json", timeout=30
    ) as answer:
        page = json.load(answer)
    lines = told(system)
    switch.touch()

    assert code == 0
    assert "progress" in shown
    assert "% moment " in shown
    assert all(map(is_between, page["processors"][0]["progress"]))
    assert {each["id"] for each in lines} == {1, 2}
    assert all(map(is_between, lines))
    done = system.wait_for("job.done", count=2)
    assert [each["attempt"] for each in done] == [1, 1]
    assert told(system) == []


def test_jobs_on_another_machine_are_seen_here_and_there(
    start_numbers: Start,
    start_system: Start,
    join_system: Start,
    env: dict[str, str],
    eventually: Take,
    switch: Path,
) -> None:
    env["LOWTIDE_CLUSTER_KEY"] = "a key of all machines, 32 bytes or more"
    gate = f"127.0.0.1:{free_port()}"
    numbers = start_numbers("--preload", "1", "--every", "0")
    leader = start_system(
        *("--url", numbers.url, "--bind", gate, "--processors", "0"),
        *("--process", "many:tells"),
    )
    member = join_system(gate, "--name", "far", "--processors", "1")

    # One after the other: the first to be asked may be told the last of it.
    eventually(lambda: bool(told(member)), "the machine shows it")
    eventually(lambda: bool(told(leader)), "the leader shows it")
    switch.touch()

    leader.wait_for("job.done")


def test_jobs_are_cancelled_by_what_is_in_them_after_a_count(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "5", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "many:stays", "--retries", "1"),
        *("--processors", "1", "--concurrency", "3", "--max-demand", "3"),
    )
    system.wait_for("job.fetched", count=5)
    where = ("jobs", "cancel", "--where", "id > `2`")

    counted = system.command(*where)
    unharmed = system.all_of("job.quarantined")
    done = system.command(*where, "--yes")

    assert counted[:2] == (0, "3 jobs would be cancelled; say --yes\n")
    assert unharmed == []
    assert done[:2] == (0, "3 jobs cancelled\n")
    # Those that waited and the one that ran; the other two go on.
    cancelled = system.wait_for("job.quarantined", count=3)
    assert {each["job_id"] for each in cancelled} == {3, 4, 5}
    assert system.command(*where)[1] == "0 jobs would be cancelled; say --yes\n"
    assert system.status()["accounting"]["quarantined"] == 3
