"""The plugin's fixtures, as a project that uses lowtide has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BILLING = """
def process(job):
    return {"invoice": job["id"], "total": sum(job["amounts"])}
"""

#: As in the README.
TEST = """
from billing import process

def test_a_bill_is_added_up(pipeline):
    bills = pipeline(process=process)
    bills.push([{"id": 7, "amounts": [2, 3]}])
    bills.run_until_idle()
    assert bills.results == [{"invoice": 7, "total": 5}]
"""

FAILING = """
def test_that_fails(pipeline):
    pipeline().push([{"id": 7}])
    assert False
"""

REAL = """
import pathlib

def test_a_running_system(running_system, tmp_path):
    system = running_system("--processors", "1", "--process", "real_jobs:same")
    [done, *_] = system.wait_for("job.done")
    assert done["result"] == done["job"]
    assert (tmp_path / "lowtide.db").exists()
"""


def run_pytest(directory: Path, **files: str) -> subprocess.CompletedProcess[str]:
    for name, text in files.items():
        (directory / f"{name}.py").write_text(text)
    # As where no plugin but ours is installed, and none of this project's settings.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_user_tests_functions_without_knowing_of_actors(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, billing=BILLING, test_billing=TEST)

    assert done.returncode == 0, done.stdout
    [test] = TEST.split("\n\n")[1:]
    assert len(test.strip().splitlines()) <= 5


def test_a_failing_test_shows_what_the_pipeline_logged(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, test_failing=FAILING)

    assert done.returncode == 1
    assert "pipeline log" in done.stdout
    assert "processor.attached" in done.stdout


@pytest.mark.system
def test_a_running_system_finds_functions_beside_the_test(tmp_path: Path) -> None:
    jobs = "def same(job):\n    return job\n"

    done = run_pytest(tmp_path, real_jobs=jobs, test_real=REAL)

    assert done.returncode == 0, done.stdout
