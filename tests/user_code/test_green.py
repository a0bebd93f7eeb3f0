"""Users' threads are green: gevent's and eventlet's, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import WITHIN_S
from tests.user_code.green_jobs import JOBS

pytestmark = pytest.mark.system

Start = Callable[..., Any]
#: What imports eventlet, where it is installed, is told that it is deprecated: it is no
#: dependency of the tests.
without_eventlet = pytest.mark.skipif(
    find_spec("eventlet") is None, reason="eventlet is not installed"
)
LIBRARIES = ("gevent", pytest.param("eventlet", marks=without_eventlet))
ROOT = Path(__file__).parents[2]
PROGRAM = str(Path(__file__).with_name("green_program.py"))


@pytest.mark.parametrize("process", ["process", "process_async"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_jobs_of_a_module_with_green_threads_are_done_and_the_end_is_orderly(
    library: str,
    process: str,
    start_system: Start,
    tmp_path: Path,
) -> None:
    jobs = f"tests.user_code.{library}_jobs"
    config = tmp_path / "green.toml"
    config.write_text(
        f'fetch = "{jobs}:fetch"\n'
        f'process = "{jobs}:{process}"\n'
        "every_s = 0.1\n"
        "concurrency = 3\n"
        "until_idle_s = 1\n"
        f'[hooks]\ndone = "{jobs}:note"\n'
    )
    system = start_system("--config", str(config))

    assert system.program.wait() == 0
    done = {
        each["job_id"]: each["result"] for each in system.program.all_of("job.done")
    }
    assert done == {number: [number] for number in range(1, JOBS + 1)}
    hooked = {line for line in system.program.lines if line.startswith("hook")}
    assert hooked == {f"hook done {number}" for number in range(1, JOBS + 1)}


@pytest.mark.parametrize("way", ["run", "start"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_program_with_green_threads_runs_a_pipeline(
    library: str, way: str, tmp_path: Path
) -> None:
    words = [library, way, str(tmp_path / "journal.db")]
    ended = subprocess.run(
        [sys.executable, PROGRAM, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    *told, last = ended.stdout.splitlines()
    assert (sorted(told), last) == ([f"told {number}" for number in (1, 2, 3)], "ended")
