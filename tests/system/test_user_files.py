"""Files of the user's that are called as modules of Python's, or as ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.host.ports import free_port
from actors.testing.processes import Program

pytestmark = pytest.mark.system

Start = Callable[..., Any]

ROOT = Path(__file__).parents[2]
#: What some module of ours, or of what we import, imports.
NAMES = ("queue", "secrets", "actors", "number_server", "requests", "domain")
JOBS = """
import os

def fetch():
    return {"id": 1}

def process(job):
    return os.getcwd()
"""
#: ``python -m`` itself cannot start where a file here is called ``actors``.
COMMAND = "import sys; from actors.main import main; sys.exit(main())"


@pytest.fixture
def place(tmp_path: Path, env: dict[str, str]) -> Path:
    """A directory of jobs, where lowtide is found as if it were installed."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "my_jobs.py").write_text(JOBS)
    env["PYTHONPATH"] = ""
    return place


def run(place: Path, env: dict[str, str], code: str, *words: str) -> Program:
    run = ("run", "--port", str(free_port()), "--log-format", "json", *words)
    begin = f"import sys; sys.path.append({str(ROOT)!r}); {code}"
    return Program(
        *("-P", "-c", begin, *run), env=env, prefix=("env", "-C", str(place))
    )


MINE = ("--fetch", "my_jobs:fetch", "--process", "my_jobs:process")


@pytest.mark.parametrize("name", NAMES)
def test_no_file_of_the_users_hides_a_module_of_ours(
    name: str, place: Path, env: dict[str, str]
) -> None:
    (place / f"{name}.py").write_text("raise RuntimeError('this is the wrong one')\n")

    words = (*MINE, "--until-idle", "0.3", "--web", str(free_port()))
    program = run(place, env, COMMAND, *words)

    [done] = program.wait_for("job.done")
    assert done["result"] == str(place)
    assert program.wait() == 0
    program.close()


@pytest.mark.parametrize("name", ["queue", "secrets", "requests"])
def test_nor_where_it_is_started_by_python_m(
    name: str, place: Path, env: dict[str, str]
) -> None:
    (place / f"{name}.py").write_text("raise RuntimeError('this is the wrong one')\n")
    env["PYTHONPATH"] = str(ROOT)
    words = ("run", "--port", str(free_port()), "--log-format", "json", *MINE)

    program = Program(
        *("-m", "actors.main", *words, "--until-idle", "0.3"),
        env=env,
        prefix=("env", "-C", str(place)),
    )

    program.wait_for("job.done")
    assert program.wait() == 0
    program.close()


def test_the_bundled_number_server_is_the_one_that_is_bundled(
    place: Path, env: dict[str, str]
) -> None:
    (place / "number_server.py").write_text("raise RuntimeError('the wrong one')\n")

    program = run(place, env, COMMAND, "--every", "0.1")

    program.wait_for("job.done")
    program.process.terminate()
    assert program.wait() == 0
    program.close()


@pytest.mark.parametrize("name", ["code", "test"])
def test_job_functions_may_be_in_a_file_that_is_called_as_one_of_pythons(
    name: str, place: Path, env: dict[str, str]
) -> None:
    (place / f"{name}.py").write_text(JOBS)
    words = ("--fetch", f"{name}:fetch", "--process", f"{name}:process")

    program = run(place, env, COMMAND, *words, "--until-idle", "0.3")

    program.wait_for("job.done")
    assert program.wait() == 0
    program.close()


def test_one_that_is_hidden_is_told_by_name(place: Path, env: dict[str, str]) -> None:
    (place / "json.py").write_text(JOBS)

    program = run(place, env, COMMAND, "--fetch", "json:fetch")

    assert program.wait() == 2
    [line] = program.lines
    assert f"that is not {place / 'json.py'}: give it another name" in line
    program.close()
