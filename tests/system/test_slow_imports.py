"""Modules that take long to be imported: not twice one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.host.ports import free_port
from actors.testing.processes import Program

pytestmark = pytest.mark.system

#: With it the look at the functions, which lasts 20 s, lasts for as long as they take.
STARTED_WITH = str(Path(__file__).parents[1] / "support" / "started_with.py")

Start = Callable[..., Any]

JOBS = """
import os, time
from pathlib import Path

def note(what):
    with open(os.environ["TEST_EFFECTS"], "a") as file:
        file.write(f"{what} {os.getpid()}\\n")

note("begun")
while not Path(os.environ["SWITCH"]).exists():
    time.sleep(0.01)

def fetch():
    note("fetched")
    return {"id": 1}

def process(job):
    return "done"

def takes_none():
    pass
"""


@pytest.fixture
def noted(env: dict[str, str], tmp_path: Path) -> Callable[[str], set[str]]:
    """The processes that noted something."""
    (tmp_path / "slow_jobs.py").write_text(JOBS)
    env["PYTHONPATH"] += f":{tmp_path}"
    effects = Path(env["TEST_EFFECTS"])

    def read(what: str) -> set[str]:
        lines = effects.read_text().splitlines() if effects.exists() else []
        return {line.split()[1] for line in lines if line.startswith(what)}

    return read


def test_the_look_at_functions_and_the_stages_import_them_side_by_side(
    noted: Start, switch: Path, start_system: Start, eventually: Start
) -> None:
    words = ("--fetch", "slow_jobs:fetch", "--process", "slow_jobs:process")
    system = start_system(*words, "--processors", "1", ready=False)

    # The look, the fetcher and the processor.
    eventually(lambda: len(noted("begun")) == 3, "all import it")
    switch.touch()

    system.wait_for("system.started")
    system.wait_for("job.done", result="done")


def test_what_is_wrong_is_told_before_anything_is_fetched(
    noted: Start, switch: Path, env: dict[str, str], eventually: Start
) -> None:
    words = [
        *("--fetch", "slow_jobs:fetch", "--process", "slow_jobs:takes_none"),
        *("--processors", "1", "--port", str(free_port()), "--log-format", "json"),
    ]
    program = Program(STARTED_WITH, "patience", "run", *words, env=env)
    eventually(lambda: len(noted("begun")) == 3, "all import it")

    switch.touch()

    assert program.wait() == 2
    [line] = [each for each in program.lines if each.startswith("lowtide: ")]
    assert "--process: process: 'slow_jobs:takes_none' is called as" in line
    assert noted("fetched") == set()
    assert program.all_of("system.started") == []
    program.close()
