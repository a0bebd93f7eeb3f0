"""``check``: what is wrong with a configuration, and where each value is from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]
EXAMPLE = Path(__file__).parents[2] / "lowtide.example.toml"


def check(env: dict[str, str], *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "actors.main", "check", *words],
        capture_output=True,
        text=True,
        env={key: value for key, value in env.items() if "MARK" not in key},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("every_s = 1.0\nbufer = 5\n", "2: unknown key 'bufer', expected one of url,"),
        ("buffer = 0\n", "1: buffer must be a whole number from 1, got 0\n"),
        ("every_s = 1.0\nbuffer = = 3\n", "2: no TOML: "),
        (
            '[[fetcher]]\nname = "a"\n\n[[fetcher]]\nname = "b"\nevery_s = "x"\n',
            "6: every_s must be a number of seconds above 0, got 'x'\n",
        ),
        ('[[fetcher]]\nfetch = "jobs:many"\n', "1: a name is missing\n"),
        (
            '[[processor]]\nname = "a"\nfrom = ["b"]\n',
            "3: processor 'a' takes from 'b', expected one of numbers\n",
        ),
        (
            '[[fetcher]]\nname = "a"\nfetch = "jobs:nothing"\n',
            "3: fetch: 'nothing' is not there in module 'jobs' (of 'jobs:nothing')\n",
        ),
        (
            '[[processor]]\nname = "a"\ndemand = "jobs:nothing"\n',
            "3: demand: 'nothing' is not there in module 'jobs' (of 'jobs:nothing')\n",
        ),
        (
            '[[processor]]\nname = "a"\ndemand = "now"\n',
            (
                "3: demand must be automatic, manual, or MODULE:FUNCTION, as in "
                "domain.numbers:fetch, got 'now'\n"
            ),
        ),
        (
            '[[processor]]\nname = "a"\ndemand = "manual"\nmax_demand = 2\n',
            "4: max_demand does nothing for processor 'a', whose demand is 'manual'\n",
        ),
        (
            '[[processor]]\nname = "a"\ncancel = "never"\n',
            "3: cancel must be one of temporary, transient, permanent, got 'never'\n",
        ),
        (
            '[[fetcher]]\nname = "a"\ndemand = "manual"\n',
            "3: demand must be one of accumulate, forward, got 'manual'\n",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    text: str, complaint: str, env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text(text)

    code, out, errors = check(env, "--config", str(file))

    assert (code, out) == (2, "")
    assert errors.startswith(f"lowtide: {file}:{complaint}")
    assert errors.count("\n") == 1


def test_every_value_is_shown_with_its_origin_and_secrets_masked(
    env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text(
        'every_s = 1.5\n[[fetcher]]\nname = "numbers"\nbuffer = 7\n'
        'options = { url = "http://bob:canary-1@h", token = "canary-2" }\n'
    )
    env |= {"LOWTIDE_RETRIES": "3", "LOWTIDE_WEB_TOKEN": "canary-3"}

    code, out, errors = check(env, "--config", str(file), "--show", "--max-demand", "4")

    shown = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert (code, errors) == (0, "")
    assert "canary" not in out
    assert shown["every_s"] == ["1.5", f"{file}:1"]
    assert shown["retries"] == ["3", "LOWTIDE_RETRIES"]
    assert shown["max_demand"] == ["4", "--max-demand"]
    assert shown["drain_timeout_s"] == ["25.0", "default"]
    assert shown["web_token"] == ["***", "LOWTIDE_WEB_TOKEN"]
    assert shown["fetcher.numbers.every_s"] == ["1.5", f"{file}:1"]
    assert shown["fetcher.numbers.buffer"] == ["7", f"{file}:4"]
    assert shown["fetcher.numbers.options.url"] == ["http://***@h", f"{file}:5"]
    assert shown["fetcher.numbers.options.token"] == ["***", f"{file}:5"]
    assert shown["processor.processor.max_demand"] == ["4", "--max-demand"]


def test_a_variable_that_is_no_setting_is_told(env: dict[str, str]) -> None:
    code, out, errors = check(env | {"LOWTIDE_EVRY": "1"})

    assert code == 0
    assert out == "sound: fetchers numbers; processors processor x2\n"
    assert errors == (
        "lowtide: warning: LOWTIDE_EVRY is set, and is no setting of ours\n"
    )


@pytest.mark.system
def test_the_example_runs_as_it_stands(
    env: dict[str, str], start_system: Start
) -> None:
    checked = check(env, "--config", str(EXAMPLE))
    system = start_system("--config", str(EXAMPLE))

    [started] = system.all_of("system.started")
    assert checked == (0, "sound: fetchers numbers; processors sqrt x2\n", "")
    assert started["processors"] == ["sqrt x2"]
    system.wait_for("job.done")
