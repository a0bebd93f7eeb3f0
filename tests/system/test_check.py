"""``check``: what is wrong with a configuration, and where each value is from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from actors.cluster.identity import own_version
from actors.host import redaction
from actors.main import main

Start = Callable[..., Any]
SUPPORT = Path(__file__).parents[1] / "support"
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


Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check_here(
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Check]:
    """``check`` in this process, for all that can be wrong: it starts nothing."""
    for name in filter(lambda name: "LOWTIDE" in name, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.syspath_prepend(str(SUPPORT))

    def run(*words: str, **variables: str) -> tuple[int, str, str]:
        ours = {key: each for key, each in env.items() if "LOWTIDE" in key}
        for name, value in (ours | variables).items():
            if "MARK" not in name:
                monkeypatch.setenv(name, value)
        code = main(["check", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    yield run
    redaction.install([])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(
            'every_s = 1.0\nnotify = ["json://h", "nonsense://token@h"]\n',
            "2: notify: apprise cannot use a URL like nonsense:...\n",
            # Its modules import what is on its way out of Python.
            marks=pytest.mark.filterwarnings("ignore::DeprecationWarning"),
        ),
        (
            '[[fetcher]]\nname = "a"\n\npartition_by = "customer"\n',
            "4: dispatcher = 'partition' and partition_by go together, ",
        ),
        (
            '[[processor]]\nname = "a"\n\nbatch_timeout_s = 2\n',
            "4: batch_timeout_s does nothing for processor 'a' without batch_size\n",
        ),
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
            (
                'max_demand = 8\n[[processor]]\nname = "a"\nbatch_size = 4\n'
                "max_demand = 2\n"
            ),
            (
                "5: max_demand must be at least batch_size (4) for processor 'a', "
                "got 2\n"
            ),
        ),
        (
            '[[processor]]\nname = "a"\ncancel = "never"\n',
            "3: cancel must be one of temporary, transient, permanent, got 'never'\n",
        ),
        (
            '[[processor]]\nname = "a"\nfrom = ["numbers",\n  { nam = "b" }]\n',
            (
                "4: unknown key 'nam' in from, expected one of name, max_demand, "
                "min_demand, cancel, selector; did you mean name?\n"
            ),
        ),
        (
            '[[processor]]\nname = "a"\n[[processor.from]]\nmax_demand = 2\n',
            "3: a name is missing in from\n",
        ),
        (
            '[[processor]]\nname = "a"\nfrom = [{ name = "numbers", cancel = 1 }]\n',
            "3: cancel must be one of temporary, transient, permanent, got 1\n",
        ),
        (
            '[[processor]]\nname = "a"\nfrom = ["numbers", { name = "numbers" }]\n',
            "3: 'numbers' is in from already\n",
        ),
        (
            '[[processor]]\nname = "a"\nfrom = [1]\n',
            (
                "3: from must be a list of names, or tables, of sources, at least "
                "one, got [1]\n"
            ),
        ),
        (
            (
                '[[processor]]\nname = "a"\n[[processor.from]]\nname = "numbers"\n'
                "max_demand = 2\nmin_demand = 2\n"
            ),
            (
                "5: max_demand must be above min_demand (2), got 2, for what processor "
                "'a' takes from 'numbers'\n"
            ),
        ),
        (
            (
                '[[fetcher]]\nname = "a"\ndispatcher = "broadcast"\n'
                '[[processor]]\nname = "b"\n'
                'from = [{ name = "a", selector = "jobs:nothing" }]\n'
            ),
            "6: from.a.selector: 'nothing' is not there in module 'jobs'",
        ),
        (
            '[[fetcher]]\nname = "a"\ndemand = "manual"\n',
            "3: demand must be one of accumulate, forward, got 'manual'\n",
        ),
        (
            '[[fetcher]]\nname = "a"\n[[fetcher]]\nname = "a"\n',
            "4: fetcher 'a' is there already\n",
        ),
        (
            '[[fetcher]]\nname = "a"\n[[processor]]\nname = "a"\n',
            "4: processor 'a' would have the name of fetcher 'a'\n",
        ),
        ('every_s = 1\n[fetcher]\nname = "a"\n', "2: expected [[fetcher]] tables\n"),
        ('text = """\n[[fetcher]]\n"""\n', "1: unknown key 'text', expected one of "),
        (
            'fetcher = [{ name = "a" },\n  { name = "b", evry_s = 1 }]\n',
            "2: unknown key 'evry_s' in [[fetcher]], expected one of name, fetch, ",
        ),
        (
            '[["processor"]]\n"name" = "a"\n"nam" = 1\n',
            "3: unknown key 'nam' in [[processor]], ",
        ),
        (
            '[[processor]]\nname = "a"\ncount = 257\n',
            "3: count must be a whole number from 0 to 256, got 257\n",
        ),
        ('every_s = 1\ntext = "\n', "2: no TOML: Illegal character"),
        ("every_s = [1,\n\n", "1: no TOML: Invalid value (at end of document)\n"),
        (f"every_s = {'[' * 3000}", "1: no TOML: maximum recursion depth exceeded\n"),
        ("every_s = 1" + "0" * 5000, "1: no TOML: Exceeds the limit (4300 digits)"),
        (
            '[[fetcher]]\nname = "a"\nsettle = "jobs:nothing"\n',
            "3: settle: 'nothing' is not there in module 'jobs'",
        ),
        (
            (
                '[[fetcher]]\nname = "a"\ndispatcher = "partition"\n'
                'partition_by = "jobs:nothing"\n'
            ),
            "4: partition_by: 'nothing' is not there in module 'jobs'",
        ),
        (
            (
                '[[fetcher]]\nname = "a"\ndispatcher = "broadcast"\n'
                '[[processor]]\nname = "b"\nselector = "jobs:nothing"\n'
            ),
            "6: selector: 'nothing' is not there in module 'jobs'",
        ),
        (
            '[[fetcher]]\nname = "a"\noptions = { urll = "http://h" }\n',
            (
                "2: fetch: 'domain.numbers:fetch' is called as "
                "fetch(urll=..., url=...): got an unexpected keyword argument 'urll'\n"
            ),
        ),
        (
            (
                '[[fetcher]]\nname = "a"\nfetch = "domain.api:fetch"\n'
                'settle = "settlers:any_option"\n'
                'options = { url = "http://h", job = "data.order" }\n'
            ),
            (
                "4: settle: 'settlers:any_option' is called as any_option(job, "
                "outcome, url=..., job=...): its parameter 'job' cannot be an option "
                "as well; "
            ),
        ),
        (
            '[[processor]]\nname = "a"\nprocess = "jobs:evil_once"\n',
            (
                "3: process: 'jobs:evil_once' is called as evil_once(job): too many "
                "positional arguments\n"
            ),
        ),
        (
            '[[fetcher]]\nname = "a"\nsettle = "jobs:later"\n',
            (
                "3: settle: 'jobs:later' is an async function: it must be an ordinary "
                "function that returns when its work is done\n"
            ),
        ),
        (
            '[[fetcher]]\nname = "a"\nfetch = "jobs:later"\n',
            (
                "3: fetch: 'jobs:later' is an async function: it must be an ordinary "
                "function that returns when its work is done\n"
            ),
        ),
        (
            '[[processor]]\nname = "a"\ndemand = "jobs:later"\n',
            (
                "3: demand: 'jobs:later' is an async function: it must be an ordinary "
                "function that returns when its work is done\n"
            ),
        ),
        (
            '[[processor]]\nname = "a"\nprocess = "jobs:in_turn"\n',
            "3: process: 'jobs:in_turn' is a generator: it must be an ordinary ",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    text: str, complaint: str, check_here: Check, tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text(text)

    code, out, errors = check_here("--config", str(file))

    assert (code, out) == (2, "")
    assert errors.startswith(f"lowtide: {file}:{complaint}")
    assert errors.count("\n") == 1


def test_what_check_refuses_run_refuses_with_the_same_word(
    env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text('[[fetcher]]\nname = "a"\nfetch = "jobs:later"\n')
    words = ["run", "--config", str(file), "--port", "0"]

    ran = subprocess.run(
        [sys.executable, "-m", "actors.main", *words],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (2, check(env, "--config", str(file))[2])


def test_the_options_of_any_json_api_are_sound(
    env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text(
        '[[fetcher]]\nname = "orders"\nfetch = "domain.api:fetch"\n'
        'options = { url = "http://h", job = "data.order", job_id = "number" }\n'
    )

    assert check(env, "--config", str(file))[::2] == (0, "")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("bufer = 5\n", "buffer"),
        ('[[fetchr]]\nname = "a"\n', "fetcher"),
        ('[[fetcher]]\nname = "a"\nevry_s = 5\n', "every_s"),
        (
            (
                '[[fetcher]]\nname = "a"\n[[processor]]\nname = "b"\n'
                'from = [{ name = "a", max_deman = 8 }]\n'
            ),
            "max_demand",
        ),
    ],
)
def test_a_key_that_is_unknown_is_told_with_one_that_looks_like_it(
    text: str, meant: str, check_here: Check, tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text(text)

    code, _, errors = check_here("--config", str(file))

    assert code == 2
    assert errors.endswith(f"; did you mean {meant}?\n")


def test_a_file_may_begin_with_a_byte_order_mark(
    env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_bytes(b"\xef\xbb\xbfevery_s = 1.0\nbuffer = 0\n")

    _, _, errors = check(env, "--config", str(file))

    assert errors == (
        f"lowtide: {file}:2: buffer must be a whole number from 1, got 0\n"
    )


WRONG = """\
every_s = "soon"
bufer = 3

[[fetcher]]
name = "a"
every_s = 0
fetch = "jobs:nothing"

[[fetcher]]
name = "b"
fetch = "jobs:nothing"

[[processor]]
name = "c"
from = ["nobody"]
max_demand = 2
min_demand = 5

[[processor]]
name = "d"
process = "jobs:nothing"
dispatcher = "partition"
"""
ALL_OF_IT = """\
2: unknown key 'bufer', expected one of
1: every_s must be a number of seconds above 0, got 'soon'
6: every_s must be a number of seconds above 0, got 0
15: processor 'c' takes from 'nobody', expected one of a, b, d
16: max_demand must be above min_demand (5) for processor 'c', got 2
22: dispatcher = 'partition' and partition_by go together
11: fetch: 'nothing' is not there in module 'jobs'
21: process: 'nothing' is not there in module 'jobs'
"""


def told(errors: str, file: Path) -> list[str]:
    """What is said of the file, of each problem as much as is expected."""
    lines = [each.removeprefix(f"lowtide: {file}:") for each in errors.splitlines()]
    expected = ALL_OF_IT.splitlines()
    return [
        start if line.startswith(start) else line
        for line, start in zip_longest(lines, expected, fillvalue="nothing")
    ]


def test_all_that_is_wrong_is_said_at_once_and_nothing_that_follows_from_it(
    env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text(WRONG)

    code, out, errors = check(env, "--config", str(file), "--retries", "0")

    lines = errors.splitlines(keepends=True)
    flag = lines.pop(2)
    assert (code, out) == (2, "")
    assert flag == "lowtide: --retries must be a whole number from 1, got '0'\n"
    assert told("".join(lines), file) == ALL_OF_IT.splitlines()


@pytest.mark.system
def test_run_says_all_that_is_wrong_and_starts_nothing(
    start_system: Start, tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text(WRONG)

    system = start_system("--config", str(file), ready=False)

    assert system.wait() == 2
    assert told("\n".join(system.program.lines), file) == ALL_OF_IT.splitlines()
    assert not Path(system.env["LOWTIDE_JOURNAL"]).exists()


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        (
            '[fetcher]\nname = "a"\n[processor]\nname = "b"\n',
            ["1: expected [[fetcher]] tables", "3: expected [[processor]] tables"],
        ),
        (
            'fetcher = [1, "x"]\nprocessor = []\n',
            ["1: expected [[fetcher]]", "1: expected [[fetcher]]"],
        ),
        (
            '[[fetcher]]\nevery_s = 1\n[[processor]]\nname = "p"\nfrom = ["a"]\n',
            ["1: a name is missing"],
        ),
    ],
)
def test_of_tables_without_a_name_nothing_more_is_said(
    text: str, complaints: list[str], check_here: Check, tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text(text)

    code, out, errors = check_here("--config", str(file), "--show")

    assert (code, out) == (2, "")
    assert errors.splitlines() == [f"lowtide: {file}:{each}" for each in complaints]


def test_how_machines_are_to_join_is_checked_as_well(env: dict[str, str]) -> None:
    code, out, errors = check(env, "--bind", "nowhere:x")

    assert (code, out) == (2, "")
    assert [line.partition(" with ")[0] for line in errors.splitlines()] == [
        "lowtide: other machines are let in",
        "lowtide: --bind must be HOST:PORT, got 'nowhere:x'",
    ]


def test_bytes_that_are_no_text_are_told_with_their_line(
    env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_bytes(b"every_s = 1\nurl = '\xff'\n")

    code, out, errors = check(env, "--config", str(file))

    assert (code, out) == (2, "")
    assert errors.startswith(f"lowtide: {file}:2: no UTF-8: ")


@pytest.mark.parametrize(
    ("variables", "words", "complaint"),
    [
        ({"LOWTIDE_EVERY": "soon"}, (), "LOWTIDE_EVERY must be a number of seconds "),
        ({}, ("--retries", "0"), "--retries must be a whole number from 1, got '0'"),
        ({}, ("--config", "/nowhere"), "cannot read /nowhere: "),
        (
            {"LOWTIDE_FETCH": "jobs:nothing"},
            (),
            "LOWTIDE_FETCH: fetch: 'nothing' is not there in module 'jobs'",
        ),
        ({}, ("--process", "x"), "--process must be MODULE:FUNCTION, as in "),
    ],
)
def test_what_is_wrong_beside_the_file_is_said_with_its_name(
    variables: dict[str, str],
    words: tuple[str, ...],
    complaint: str,
    check_here: Check,
) -> None:
    code, out, errors = check_here(*words, **variables)

    assert (code, out) == (2, "")
    assert errors.startswith(f"lowtide: {complaint}")
    assert errors.count("\n") == 1


def test_every_value_is_shown_with_its_origin_and_secrets_masked(
    env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text(
        'every_s = 1.5\n[[fetcher]]\nname = "numbers"\nbuffer = 7\n'
        'options = { url = "http://bob:canary-1@h", token = "canary-2" }\n'
        'fetch = "jobs:leaky_fetch"\n'
        '[[processor]]\nname = "p"\n'
        'from = [\n  { name = "numbers", max_demand = 8 }\n]\n'
    )
    env |= {"LOWTIDE_RETRIES": "3", "LOWTIDE_WEB_TOKEN": "canary-3-of-sixteen"}

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
    assert shown["processor.p.max_demand"] == ["4", "--max-demand"]
    assert shown["processor.p.from.numbers.max_demand"] == ["8", f"{file}:10"]


def test_the_version_is_that_of_the_very_sources(env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "actors.main", "--version"],
        capture_output=True,
        text=True,
        env={key: value for key, value in env.items() if "MARK" not in key},
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"lowtide {own_version()}\n"


def test_a_variable_that_is_no_setting_is_told(env: dict[str, str]) -> None:
    code, out, errors = check(env | {"LOWTIDE_EVRY": "1"})

    assert code == 0
    assert out == "sound: fetchers numbers; processors processor x2\n"
    assert errors == (
        "lowtide: warning: LOWTIDE_EVRY is set, and is no setting of ours\n"
    )


@pytest.mark.system
def test_a_system_tells_of_a_variable_that_is_no_setting(
    env: dict[str, str], start_system: Start
) -> None:
    env["LOWTIDE_EVRY"] = "1"

    system = start_system()

    [told] = system.all_of("config.unknown_variable")
    assert (told["level"], told["variable"]) == ("warning", "LOWTIDE_EVRY")
    assert system.command("check")[2].startswith("lowtide: warning: LOWTIDE_EVRY is ")


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
