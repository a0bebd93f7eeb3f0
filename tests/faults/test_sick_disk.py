"""Row 25 once more: a disk that has room, and ends writes and syncs in EIO."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.file]

Start = Callable[..., Any]
Take = Callable[..., Any]

SOURCE = Path(__file__).parents[1] / "support" / "sick_disk.c"


@pytest.fixture
def sick(tmp_path: Path, env: dict[str, str]) -> Path:
    """While this file is there, the journal's disk fails for what is started then."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("a disk that fails needs a C compiler")
    library, sick = tmp_path / "sick_disk.so", tmp_path / "sick"
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)]
    made = subprocess.run([*words, "-ldl"], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"a disk that fails cannot be compiled here: {made.stderr}")
    env |= {"LD_PRELOAD": str(library), "SICK_WHILE": str(sick)}
    return sick


def test_25_a_disk_that_fails_stops_polling_and_loses_nothing(
    sick: Path,
    start_numbers: Start,
    start_system: Start,
    eventually: Take,
    settle: Take,
) -> None:
    numbers = start_numbers("--preload", "5", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--every", "0.1", "--process", "jobs:root")
    )
    system.wait_for("job.done", count=5)

    sick.touch()
    numbers.add(*range(200))
    [failed, *_] = system.wait_for("journal.failed")
    [fetcher] = eventually(
        lambda: [f for f in system.status()["fetchers"] if f["journal_error"]],
        "the error in the status",
    )
    served = len(numbers.account()["served"])
    sick.unlink()

    assert "disk I/O error" in failed["error"]
    assert fetcher["waiting_for"] == "room"
    assert served < 205
    system.wait_for("journal.healed")
    taken = settle(numbers, system)
    assert (taken.lost, taken.unexpected) == ((), ())
    assert system.all_of("stage.exited") == []


def test_25_a_fetcher_that_cannot_even_read_its_journal_ends_the_system(
    sick: Path, start_numbers: Start, start_system: Start, settle: Take
) -> None:
    numbers = start_numbers("--preload", "5", "--every", "0")
    words = ("--url", numbers.url, "--every", "0.1", "--process", "jobs:slow_root")
    system = start_system(*words)
    system.wait_for("job.fetched", count=5)

    sick.touch()
    os.kill(system.status()["fetchers"][0]["pid"], signal.SIGKILL)
    code = system.wait()
    sick.unlink()
    again = start_system(*words)

    assert code == 5
    [failed] = system.all_of("stage.failed", stage="numbers")
    assert "disk I/O error" in failed["error"]
    # One number may have been in hand as the fetcher was killed.
    taken = settle(numbers, again, lost=1)
    assert len(taken.lost) <= 1
    assert taken.unexpected == ()
