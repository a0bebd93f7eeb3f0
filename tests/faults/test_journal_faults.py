"""Rows 25 and 26 to 27: a full disk; twenty kills in a row. See also test_file."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import wait_until, wait_until_gone

pytestmark = pytest.mark.system

Start = Callable[..., Any]
Take = Callable[..., Any]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight megabytes: SQLite's log alone takes up to four."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk here")
    yield place

    def is_unmounted() -> bool:
        return subprocess.run(["umount", str(place)], check=False).returncode == 0

    # A process that ends lets go of its memory first, by which it seems to be gone,
    # and of its files a little later.
    wait_until(is_unmounted, "the disk is free")


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 64):
            while True:
                try:
                    file.write(b"x" * size)
                except OSError:
                    break
    return filler


def test_25_a_full_disk_stops_polling_and_heals_when_there_is_room(
    small_disk: Path,
    env: dict[str, str],
    start_numbers: Start,
    start_system: Start,
    eventually: Take,
) -> None:
    env["LOWTIDE_JOURNAL"] = str(small_disk / "lowtide.db")
    numbers = start_numbers("--preload", "5", "--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.1")
    system.wait_for("job.done", count=5)

    filler = fill(small_disk)
    numbers.add(*range(3000))
    failed = system.wait_for("journal.failed")[0]
    # There may be room for a few more: in the log, once that is in the file.
    [fetcher] = eventually(
        lambda: [f for f in system.status()["fetchers"] if f["journal_error"]],
        "the error in the status",
    )
    served = len(numbers.account()["served"])

    assert "full" in failed["error"]
    assert fetcher["waiting_for"] == "room"
    assert "full" in fetcher["journal_error"]
    assert served < 3005

    filler.unlink()
    system.wait_for("journal.healed")
    eventually(
        lambda: system.status()["accounting"]["done"] > served, "polling resumed"
    )
    assert system.all_of("stage.exited") == []


def test_25_a_fetcher_that_starts_again_on_a_full_disk_heals_as_well(
    small_disk: Path, env: dict[str, str], start_numbers: Start, start_system: Start
) -> None:
    env["LOWTIDE_JOURNAL"] = str(small_disk / "lowtide.db")
    numbers = start_numbers("--preload", "5", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--every", "0.1", "--process", "jobs:slow_root")
    )
    system.wait_for("job.fetched", count=5)
    filler = fill(small_disk)
    os.kill(system.status()["fetchers"][0]["pid"], signal.SIGKILL)

    [again] = system.wait_for("stage.restarted", stage="numbers")
    numbers.add(*range(3000))
    system.wait_for("journal.failed", pid=again["pid"])
    filler.unlink()

    system.wait_for("journal.healed", pid=again["pid"])
    system.wait_for("job.done", count=6)
    assert len(system.all_of("stage.exited")) == 1


def test_25_a_system_starts_on_a_full_disk_and_works_once_there_is_room(
    small_disk: Path, env: dict[str, str], start_numbers: Start, start_system: Start
) -> None:
    env["LOWTIDE_JOURNAL"] = str(small_disk / "lowtide.db")
    numbers = start_numbers("--preload", "5", "--every", "0")
    first = start_system("--url", numbers.url, "--processors", "0")
    first.wait_for("job.fetched", count=5)
    os.kill(first.program.process.pid, signal.SIGKILL)
    first.program.process.wait()
    filler = fill(small_disk)

    system = start_system("--url", numbers.url)

    system.wait_for("journal.failed")
    filler.unlink()
    system.wait_for("job.done", count=5)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_20_kills_of_everything_lose_nothing_that_was_kept(
    start_numbers: Start,
    start_system: Start,
    settle: Take,
    eventually: Take,
    out: Take,
    window: Any,
) -> None:
    numbers = start_numbers("--preload", "2000", "--every", "0")
    chance = random.Random(4)
    were_out = 0
    for _ in range(20):
        system = start_system("--url", numbers.url, "--process", "jobs:root")
        before = len(numbers.account()["served"])
        more = min(before + chance.randrange(1, 80), 2000)
        eventually(lambda more=more: len(numbers.account()["served"]) >= more, "load")
        os.kill(system.program.process.pid, signal.SIGKILL)
        system.program.process.wait()
        assert not wait_until_gone(system)
        assert out() <= 2 * window.short
        were_out += out()
    system = start_system("--url", numbers.url, "--process", "jobs:root")

    taken = settle(numbers, system, lost=20)

    # At most the one number in hand at each kill was not kept yet.
    assert len(taken.lost) <= 20
    assert taken.unexpected == ()
    assert taken.duplicated <= were_out


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(600)  # half a minute where nothing else runs
def test_chaos_ends_with_nothing_lost(pytestconfig: pytest.Config) -> None:
    root = Path(__file__).parents[2]

    words = ["--strikes", "12", "--seed", "5", "--pace", "0.3"]
    words += ["--max-demand", pytestconfig.getoption("--max-demand") or "1"]

    done = subprocess.run(
        [sys.executable, str(root / "scripts" / "chaos.py"), *words],
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    assert (account["lost"], account["unexpected"]) == ([], [])
    assert account["done"] > 0
