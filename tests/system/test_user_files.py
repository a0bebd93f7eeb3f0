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


#: Says that it was run, and by what name.
PLANTED = "open({file!r}, 'a').write(__name__ + chr(10))\n"
#: Extras of ours, and what a library of ours looks for and may not find.
OPTIONAL = ("brotli", "chardet", "simplejson", "better_exceptions", "typing")


@pytest.fixture
def strange(place: Path, tmp_path: Path) -> Path:
    """A stranger's directory: every file says that it was run, in ``tmp_path/ran``."""
    content = PLANTED.format(file=str(tmp_path / "ran"))
    for name in (*NAMES, *OPTIONAL, "setproctitle", "rich", "feedparser", "structlog"):
        if name not in ("actors", "domain"):
            (place / f"{name}.py").write_text(content)
    (place / "domain").mkdir()
    for name in ("__init__", "numbers", "http"):
        (place / "domain" / f"{name}.py").write_text(content)
    return place


@pytest.mark.parametrize("by", ["lowtide", "python -m"])
def test_nothing_is_run_that_lies_in_a_strangers_directory(
    by: str, strange: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    words = ("--every", "0.1", "--web", str(free_port()))

    if by == "lowtide":
        program = run(strange, env, COMMAND, *words)
    else:
        env["PYTHONPATH"] = str(ROOT)
        run_ = ("run", "--port", str(free_port()), "--log-format", "json", *words)
        program = Program(
            *("-m", "actors.main", *run_), env=env, prefix=("env", "-C", str(strange))
        )

    program.wait_for("job.done")
    program.process.terminate()
    # 4 where the next job had come already and is kept.
    assert program.wait() in {0, 4}
    assert not (tmp_path / "ran").exists()
    program.close()


def test_a_bundled_source_and_a_package_of_the_users_of_its_name_go_together(
    place: Path, env: dict[str, str]
) -> None:
    (place / "domain").mkdir()
    (place / "domain" / "__init__.py").write_text("FACTOR = 2\n")
    (place / "domain" / "billing.py").write_text(
        "from domain import FACTOR\n"
        "def process(job):\n    return job['number'] * FACTOR\n"
    )
    words = ("--fetch", "numbers", "--process", "domain.billing:process")

    program = run(place, env, COMMAND, *words, "--every", "0.1")

    [done] = program.wait_for("job.done")
    assert done["result"] == 2 * done["job"]["number"]
    program.process.terminate()
    assert program.wait() == 0
    program.close()


def test_a_file_that_a_bundled_function_is_taken_for_is_told(
    place: Path, env: dict[str, str]
) -> None:
    (place / "domain").mkdir()
    (place / "domain" / "numbers.py").write_text(JOBS)

    program = run(place, env, COMMAND, "--every", "0.1")

    [told, _] = program.wait_for("function.hidden", 2)
    assert told["function"] == "domain.numbers:fetch"
    assert told["not_used"] == str(place / "domain" / "numbers.py")
    program.process.terminate()
    assert program.wait() == 0
    program.close()


def test_others_give_their_sources_short_names(
    place: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    site = tmp_path / "site"
    (site / "acme-1.dist-info").mkdir(parents=True)
    (site / "acme-1.dist-info" / "METADATA").write_text("Name: acme\nVersion: 1\n")
    (site / "acme-1.dist-info" / "entry_points.txt").write_text(
        "[lowtide.sources]\nacme = acme_source:poll\n"
    )
    (site / "acme_source.py").write_text("def poll():\n    return {'id': 'acme-1'}\n")
    (place / "acme_source.py").write_text("raise RuntimeError('the wrong one')\n")
    env["PYTHONPATH"] = str(site)

    words = ("--fetch", "acme", "--process", "my_jobs:process", "--until-idle", "0.3")
    program = run(place, env, COMMAND, *words)

    [done] = program.wait_for("job.done")
    assert done["job_id"] == "acme-1"
    assert program.wait() == 0
    program.close()
