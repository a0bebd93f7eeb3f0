"""Pipelines from a TOML file: several sources, several steps, on demand."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Start = Callable[..., Any]

STEPS = """
[[processor]]
name = "sqrt"
process = "steps:{sqrt}"
from = [{sources}]
count = 2

[[processor]]
name = "report"
process = "steps:{report}"
from = ["sqrt"]
count = 1
"""


def pipeline(
    path: Path,
    urls: list[str],
    sqrt: str = "sqrt",
    report: str = "report",
) -> str:
    names = [f"source{number}" for number in range(len(urls))]
    fetchers = [
        f'[[fetcher]]\nname = "{name}"\nfetch = "domain.numbers:fetch"\n'
        f'options = {{ url = "{url}" }}\nevery_s = 0.1\n'
        for name, url in zip(names, urls, strict=True)
    ]
    sources = ", ".join(f'"{name}"' for name in names)
    file = path / "pipeline.toml"
    steps = STEPS.format(sqrt=sqrt, report=report, sources=sources)
    file.write_text("\n".join(fetchers) + steps)
    return str(file)


def test_jobs_of_two_fetchers_go_through_two_steps(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    one, two = start_numbers("--every", "0"), start_numbers("--every", "0")
    one.add(*(n * n for n in range(20)))
    two.add(*(n * n for n in range(100, 120)))

    file = pipeline(tmp_path, [one.url, two.url])
    system = start_system("--config", file, "--until-idle", "0.5")

    assert system.wait(30) == 0
    done = system.all_of("job.done")
    results = Counter(each["result"] for each in done)
    roots = (*range(20), *range(100, 120))
    assert results == Counter(f"{n * n:g} is {n} squared" for n in roots)
    assert Counter(each["fetcher"] for each in done) == {"source0": 20, "source1": 20}
    [stopped] = system.all_of("system.stopped")
    assert stopped["accounting"]["done"] == stopped["accounting"]["fetched"] == 40


def test_a_step_that_returns_none_ends_the_job_there(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    numbers.add(*range(10))

    file = pipeline(tmp_path, [numbers.url], sqrt="even_only")
    system = start_system("--config", file, "--until-idle", "0.5")

    assert system.wait(30) == 0
    results = {
        each["job"]["number"]: each["result"] for each in system.all_of("job.done")
    }
    assert len(results) == 10
    ended = {number for number, result in results.items() if result is None}
    assert ended == set(range(1, 10, 2))


def test_a_slow_last_step_stops_the_poller_at_the_first(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "50", "--every", "0")
    file = pipeline(tmp_path, [numbers.url], report="slow_report")

    system = start_system("--config", file, "--buffer", "3", "--drain-timeout", "1")
    system.wait_for("job.done", count=5)
    status = system.status()

    # One job in the last step, one beyond it on its way, and the buffer.
    accounting = status["accounting"]
    assert accounting["in_flight"] <= 2
    assert accounting["fetched"] <= accounting["done"] + 2 + 3
    assert status["fetchers"][0]["waiting_for"] in ("room", "demand")
    system.signal(signal.SIGTERM)
    system.wait()


def test_what_a_later_step_cannot_do_is_set_aside_with_its_error(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    numbers.add(4, 9, 16)
    file = pipeline(tmp_path, [numbers.url], report="refuse_nine")

    system = start_system(
        *("--config", file, "--retries", "2", "--until-idle", "0.5"),
    )

    assert system.wait(30) == 0
    [failed] = system.all_of("job.failed")
    [quarantined] = system.all_of("job.quarantined")
    assert (failed["processor"], failed["job"]["root"]) == ("report-1", 3.0)
    assert quarantined["job"]["number"] == 9
    assert quarantined["error"] == "ValueError: no 3 here (at report-1)"
    done = {each["job"]["number"] for each in system.all_of("job.done")}
    assert done == {4, 16}


@pytest.mark.parametrize(
    "deaths", [{"sqrt": "sqrt_die_once"}, {"report": "die_once"}], ids=["first", "last"]
)
def test_a_step_that_dies_costs_no_job(
    start_numbers: Start,
    start_system: Start,
    tmp_path: Path,
    deaths: dict[str, str],
) -> None:
    numbers = start_numbers("--every", "0")
    numbers.add(*(n * n for n in range(12)))
    file = pipeline(tmp_path, [numbers.url], **deaths)

    system = start_system("--config", file, "--until-idle", "0.5")

    assert system.wait(30) == 0
    done = Counter(each["result"] for each in system.all_of("job.done"))
    assert done == Counter(f"{n * n:g} is {n} squared" for n in range(12))
    # Whether it is back before the others have done all, only its start decides.
    exits = [e for e in system.all_of("stage.exited") if "restart_in_s" in e]
    assert len(exits) == 1


def test_a_killed_fetcher_is_subscribed_to_again_by_itself(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    one, two = start_numbers("--every", "0"), start_numbers("--every", "0")
    file = pipeline(tmp_path, [one.url, two.url])
    system = start_system("--config", file)
    one.add(1, 4)
    system.wait_for("job.done", count=2)

    [pid] = [
        each["pid"] for each in system.status()["fetchers"] if each["name"] == "source0"
    ]
    os.kill(pid, signal.SIGKILL)
    system.wait_for("stage.restarted", stage="source0")
    one.add(9)
    two.add(16)

    system.wait_for("job.done", result="9 is 3 squared")
    system.wait_for("job.done", result="16 is 4 squared")
    system.signal(signal.SIGTERM)
    assert system.wait() == 0


def test_steps_come_and_go_while_jobs_flow(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    numbers.add(*(n * n for n in range(30)))
    file = pipeline(tmp_path, [numbers.url], report="slow_report")
    system = start_system("--config", file)

    attached = system.command("attach", "--processor", "report", "--count", "3")
    detached = system.command("detach", "sqrt-1", "report-1")

    assert (attached[0], detached[0]) == (0, 0), (attached, detached)
    system.wait_for("job.done", count=30)
    results = Counter(each["result"] for each in system.all_of("job.done"))
    assert results == Counter(f"{n * n:g} is {n} squared" for n in range(30))
    system.signal(signal.SIGTERM)
    assert system.wait() == 0


def test_a_drain_lets_jobs_through_every_step(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "8", "--every", "0")
    file = pipeline(tmp_path, [numbers.url], report="slow_report")
    system = start_system("--config", file, "--journal", "none")
    system.wait_for("job.fetched", count=8)

    system.signal(signal.SIGTERM)

    assert system.wait() == 0
    assert len(system.all_of("job.done")) == 8


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ('["report"]', "processor 'sqrt' takes from itself"),
        ('["nobody"]', "processor 'sqrt' takes from 'nobody', expected one of"),
    ],
)
def test_routes_that_lead_nowhere_are_refused_with_file_and_line(
    start_system: Start, tmp_path: Path, sources: str, problem: str
) -> None:
    file = Path(pipeline(tmp_path, ["http://127.0.0.1:1"]))
    file.write_text(file.read_text().replace('["source0"]', sources))

    system = start_system("--config", str(file), ready=False)

    assert system.wait() == 2
    line = system.program.lines[0]
    assert line.startswith(f"lowtide: {file}:10: ")
    assert problem in line


def test_the_last_processor_of_a_step_can_be_detached_and_attached_again(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--config", pipeline(tmp_path, [numbers.url]))

    detached = system.command("detach", "report-1")
    numbers.add(25)
    system.wait_for("job.fetched")
    waiting = system.status()["accounting"]
    attached = system.command("attach", "--processor", "report")

    assert (detached[0], attached[0]) == (0, 0)
    assert (waiting["fetched"], waiting["done"]) == (1, 0)
    system.wait_for("job.done", result="25 is 5 squared")
    system.signal(signal.SIGTERM)
    assert system.wait() == 0
