"""What is no process works where there is no Linux: tests, simulations, checks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Each is a program that runs where the rest of the platform is missing.
HARNESS = """
from actors.testing import Harness

def twice(job):
    return 2 * job["id"]

def never(job):
    raise ValueError("no")

with Harness(process=twice, processors=2) as pipeline:
    pipeline.push([{"id": n} for n in range(30)])
    pipeline.advance(seconds=1)
    pipeline.crash("processor-1")
    pipeline.restart()
    pipeline.crash("root")
    pipeline.run_until_idle()
    assert sorted(pipeline.results) == list(range(0, 60, 2)), pipeline.results
with Harness(process=never, retries=2) as pipeline:
    pipeline.push([{"id": 1}])
    pipeline.run_until_idle()
    assert pipeline.accounting["quarantined"] == 1
"""
PLUGIN = """
import pytest, sys
sys.exit(pytest.main(["-q", "--capture=sys", "-p", "no:cacheprovider", sys.argv[1]]))
"""
VERBS = """
from actors.main import main
assert main(["check"]) == 0
assert main(["simulate", "--seed", "4", "--hours", "0.05"]) == 0
assert main(["status", "--port", "1"]) in (2, 3)
"""
SOURCES = """
import domain.api, domain.leases, domain.numbers, number_server
from domain.api.budgets import boot_time, shared_budget_of
boot_time()
shared_budget_of(("http", "api.example", 80))
"""
RUN = """
from actors.main import main
code = main(["run", "--port", "0"])
assert code == main(["join", "10.0.0.1:4570"]) == 2
"""
PIPELINE = """
from actors import Fetcher, Pipeline, Processor, StartError
from domain import numbers
pipeline = Pipeline([Fetcher(numbers.fetch), Processor(numbers.process)])
try:
    pipeline.run()
except StartError as error:
    print(error)
else:
    raise SystemExit("it ran")
"""

PLATFORMS = pytest.mark.parametrize("platform", ["win32", "darwin"])


def elsewhere(
    platform: str, program: str, *words: str, at: Path
) -> subprocess.CompletedProcess[str]:
    begin = f"from tests.support import elsewhere; elsewhere.pretend({platform!r})\n"
    return subprocess.run(
        [sys.executable, "-c", begin + program, *words],
        cwd=at,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "LOWTIDE_STATE_DIR": str(at / "s")}
        | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@PLATFORMS
def test_what_is_no_process_works(platform: str, tmp_path: Path) -> None:
    # One after the other in one process: most of a start is the imports.
    done = elsewhere(platform, HARNESS + VERBS + SOURCES, at=tmp_path)

    assert done.returncode == 0, done.stderr


@PLATFORMS
def test_the_plugin_tests_a_users_functions(platform: str, tmp_path: Path) -> None:
    test = tmp_path / "test_mine.py"
    test.write_text(
        "pytest_plugins = 'actors.testing.plugin'\n"
        "def test_mine(pipeline):\n"
        "    mine = pipeline(process=str)\n"
        "    mine.push([1])\n"
        "    mine.run_until_idle()\n"
        "    assert mine.results == ['1']\n"
    )

    done = elsewhere(platform, PLUGIN, "-pno:lowtide", str(test), at=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@PLATFORMS
def test_a_system_says_in_a_sentence_what_it_needs(
    platform: str, tmp_path: Path
) -> None:
    done = elsewhere(platform, RUN + PIPELINE, at=tmp_path)

    assert done.returncode == 0, done.stderr
    for what in ("lowtide run", "lowtide join", "Pipeline.run"):
        assert f"{what} needs Linux: " in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
