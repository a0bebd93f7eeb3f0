"""Dispatchers from a TOML file: to every kind, or by key; limits on the way."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Start = Callable[..., Any]


def write(path: Path, url: str, fetcher: str, *processors: str) -> str:
    file = path / "dispatching.toml"
    file.write_text(
        '[[fetcher]]\nname = "numbers"\nfetch = "domain.numbers:fetch"\n'
        f'options = {{ url = "{url}" }}\nevery_s = 0.1\n{fetcher}\n'
        + "".join(f"[[processor]]\n{each}\n" for each in processors)
    )
    return str(file)


def test_a_broadcast_reaches_every_kind_that_selects_it(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    numbers.add(1, 4, 100, 900)
    file = write(
        tmp_path,
        numbers.url,
        'dispatcher = "broadcast"',
        'name = "sqrt"\nprocess = "domain.numbers:process"',
        'name = "audit"\nprocess = "routes:who"\nselector = "routes:is_large"',
    )

    system = start_system("--config", file, "--until-idle", "0.5")

    assert system.wait(30) == 0
    by_kind = defaultdict(list)
    for each in system.all_of("job.done"):
        by_kind[each["processor"][:-2]].append(each["job"]["number"])
    assert {kind: sorted(each) for kind, each in by_kind.items()} == {
        "sqrt": [1, 4, 100, 900],
        "audit": [100, 900],
    }
    [stopped] = system.all_of("system.stopped")
    assert stopped["accounting"]["done"] == 6


def test_a_job_that_a_selector_fails_over_is_set_aside(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    numbers.add(1, 4, 9)
    file = write(
        tmp_path,
        numbers.url,
        'dispatcher = "broadcast"',
        'name = "one"\nprocess = "routes:who"\nselector = "routes:no_four"',
    )

    system = start_system("--config", file, "--until-idle", "0.5")

    assert system.wait(30) == 0
    [quarantined] = system.all_of("job.quarantined")
    assert quarantined["error"] == "ValueError: 4 has no place (where it goes)"
    assert len(system.all_of("job.done")) == 2


def test_the_same_key_goes_to_the_same_processor_in_order(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    numbers.add(*range(40))
    file = write(
        tmp_path,
        numbers.url,
        'dispatcher = "partition"\npartition_by = "routes:parity"',
        'name = "worker"\nprocess = "routes:who"\ncount = 3',
    )

    system = start_system("--config", file, "--until-idle", "0.5")

    assert system.wait(30) == 0
    homes, order = defaultdict(set), defaultdict(list)
    for each in system.all_of("job.done"):
        number, pid = each["result"]
        homes[number % 2].add(pid)
        order[number % 2].append(number)
    assert [len(homes[0]), len(homes[1])] == [1, 1]
    assert order == {0: [*range(0, 40, 2)], 1: [*range(1, 40, 2)]}


def test_a_route_outlives_the_system_in_the_journal(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    numbers.add(4, 9)
    kinds = [
        f'name = "{kind}"\nprocess = "routes:who"\ncount = {{count}}'
        for kind in ("one", "two")
    ]
    broadcast = numbers.url, 'dispatcher = "broadcast"'
    file = write(tmp_path, *broadcast, *(kind.format(count=0) for kind in kinds))
    first = start_system("--config", file)
    first.wait_for("job.fetched", count=4)
    assert first.command("stop")[0] == 4

    file = write(tmp_path, *broadcast, *(kind.format(count=1) for kind in kinds))
    second = start_system("--config", file, "--until-idle", "0.5")

    assert second.wait(30) == 0
    done = [(e["processor"], e["job"]["number"]) for e in second.all_of("job.done")]
    assert sorted(done) == [("one-1", 4), ("one-1", 9), ("two-1", 4), ("two-1", 9)]


def test_a_step_broadcasts_its_results_and_the_job_ends_with_the_last(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    numbers.add(4)
    file = write(
        tmp_path,
        numbers.url,
        "",
        'name = "sqrt"\nprocess = "steps:sqrt"\ndispatcher = "broadcast"',
        'name = "report"\nprocess = "steps:report"\nfrom = ["sqrt"]',
        'name = "slow"\nprocess = "steps:slow_report"\nfrom = ["sqrt"]',
    )

    system = start_system("--config", file, "--until-idle", "0.5")

    assert system.wait(30) == 0
    [done] = system.all_of("job.done")
    line = "4 is 2 squared"
    assert done["result"] == {"report": line, "slow": line}


def test_no_more_jobs_than_the_limit_start_in_any_interval(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "9", "--every", "0")
    file = write(
        tmp_path,
        numbers.url,
        "rate_limit = 3\nrate_interval_s = 0.6",
        'name = "worker"\nprocess = "domain.numbers:process"\nmax_demand = 50',
    )

    began = time.monotonic()
    system = start_system("--config", file, "--until-idle", "0.3")

    assert system.wait(30) == 0
    assert len(system.all_of("job.done")) == 9
    assert time.monotonic() - began > 2 * 0.6


def test_a_full_buffer_drops_by_choice_and_names_each_job(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "8", "--every", "0")
    file = write(
        tmp_path,
        numbers.url,
        'buffer = 5\nbuffer_keep = "last"',
        'name = "worker"\nprocess = "domain.numbers:process"\ncount = 0',
    )

    system = start_system("--config", file)
    dropped = system.wait_for("job.dropped", count=3)

    assert [each["job_id"] for each in dropped] == [1, 2, 3]
    assert dropped[0]["reason"] == "the buffer is full and keeps the last"
    accounting = system.status()["accounting"]
    assert (accounting["dropped"], accounting["buffered"]) == (3, 5)


@pytest.mark.parametrize(
    ("fetcher", "processor", "problem"),
    [
        ('dispatcher = "partition"', "", "partition_by go together"),
        ("", 'selector = "routes:is_large"', "has dispatcher = 'broadcast'"),
        ('dispatcher = "random"', "", "must be one of demand, broadcast, partition"),
    ],
)
def test_dispatching_that_could_do_nothing_is_refused(
    start_system: Start, tmp_path: Path, fetcher: str, processor: str, problem: str
) -> None:
    kind = f'name = "one"\nprocess = "routes:who"\n{processor}'
    file = write(tmp_path, "http://127.0.0.1:1", fetcher, kind)

    system = start_system("--config", file, ready=False)

    assert system.wait() == 2
    [line] = system.program.lines
    assert problem in line


def test_a_job_that_ends_the_process_that_asks_where_it_goes_is_set_aside(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    # Lent, so that an answer that is under way as the process ends comes again.
    numbers = start_numbers("--every", "0", "--mode", "lease", "--lease", "1")
    numbers.add(*range(10))
    file = tmp_path / "lent.toml"
    file.write_text(
        '[[fetcher]]\nname = "lent"\nfetch = "domain.leases:fetch"\n'
        'settle = "domain.leases:settle"\nevery_s = 0.1\n'
        f'options = {{ url = "{numbers.url}" }}\n'
        'dispatcher = "partition"\npartition_by = "routes:ends_at_seven"\n'
        '[[processor]]\nname = "p"\nprocess = "routes:who"\ncount = 2\n'
    )

    system = start_system("--config", str(file), "--until-idle", "2.5")

    assert system.wait(60) == 0
    [quarantined] = system.all_of("job.quarantined")
    assert quarantined["job"]["number"] == 7
    assert "partition_by ended the process" in quarantined["error"]
    done = sorted(each["job"]["number"] for each in system.all_of("job.done"))
    assert done == [each for each in range(10) if each != 7]
    assert len(system.all_of("stage.restarted")) == 1


def test_the_others_of_its_page_are_done(start_system: Start, tmp_path: Path) -> None:
    file = tmp_path / "page.toml"
    file.write_text(
        '[[fetcher]]\nname = "f"\nfetch = "routes:ten"\nevery_s = 0.5\n'
        'dispatcher = "partition"\npartition_by = "routes:ends_at_seven"\n'
        '[[processor]]\nname = "p"\nprocess = "routes:who"\ncount = 2\n'
    )

    system = start_system("--config", str(file))

    [quarantined] = system.wait_for("job.quarantined")
    assert quarantined["job"]["number"] == 7
    done = system.wait_for("job.done", 9)
    assert sorted(each["job"]["number"] for each in done) == [
        1,
        2,
        3,
        4,
        5,
        6,
        8,
        9,
        10,
    ]
