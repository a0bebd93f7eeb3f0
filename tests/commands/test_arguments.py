"""How words are read: in any order, and for the system that is meant."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.commands.options import find_system
from actors.config.errors import ConfigError
from actors.main import parse


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jobs show --port 4571 17", {"action": "show", "ids": ["17"]}),
        ("jobs --port 4571 show 17 18", {"action": "show", "ids": ["17", "18"]}),
        ("jobs show 17 --port 4571 18", {"ids": ["17", "18"]}),
        ("jobs --json list --limit -1", {"action": "list", "ids": [], "limit": -1}),
        ("jobs discard --journal F 17", {"journal": "F", "ids": ["17"]}),
        ("jobs show -- --17", {"ids": ["--17"]}),
        ("jobs show --port 4571 -- -h 17", {"port": "4571", "ids": ["-h", "17"]}),
        ("jobs show 17 --json -- -h --json --", {"ids": ["17", "-h", "--json", "--"]}),
        ("jobs -- show -h", {"action": "show", "ids": ["-h"]}),
        ("jobs show -5 -- -6", {"ids": ["-5", "-6"]}),
        ("detach --port 4571 -- -a", {"names": ["-a"]}),
        ("ask --from north -- -a 5", {"name": "-a", "count": 5}),
        ("state set --json north -- -5", {"fetcher": "north", "value": "-5"}),
        ("jobs list", {"action": "list", "ids": []}),
        ("detach --port 4571 a-1 a-2", {"names": ["a-1", "a-2"]}),
        ("detach a-1 --port 4571 a-2", {"names": ["a-1", "a-2"]}),
        ("ask --from north send 5", {"name": "send", "count": 5}),
        ("ask send --from north 5", {"name": "send", "count": 5, "source": "north"}),
        ("wait --within 5 north", {"names": ["north"], "within": 5.0}),
        ("pause --hold north", {"names": ["north"], "hold": True}),
        ("resume --port 4571 north", {"names": ["north"]}),
        ("set --every 5 north", {"names": ["north"], "every_s": "5"}),
        ("set north --every 5 south", {"names": ["north", "south"]}),
        ("state set --json north 5", {"fetcher": "north", "value": "5"}),
        ("join --processors 2 h:1 --name m", {"leader": "h:1", "name": "m"}),
    ],
)
def test_options_and_other_words_may_be_mixed(
    line: str, expected: dict[str, Any]
) -> None:
    parsed = vars(parse(line.split()))

    assert {key: parsed[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("run --bufer 5", "unrecognized arguments: --bufer 5; did you mean --buffer?"),
        ("--max-dmand=5", "unrecognized arguments: --max-dmand=5; did you mean --max-"),
        ("statsu", "invalid choice: 'statsu' .*; did you mean status?"),
        ("jobs lst", "invalid choice: 'lst' .*; did you mean list?"),
        ("status --portt 4", "unrecognized arguments: --portt 4; did you mean --port?"),
        ("stop now", "lowtide stop: error: unrecognized arguments: now\n"),
        ("jobs -- -lst", "invalid choice: '-lst' .*; did you mean list?"),
        ("stop --now -- -h", "unrecognized arguments: -h\n"),
        ("jobs show --port -- 17", "argument --port: expected one argument\n"),
        ("ask send", "the following arguments are required: N\n"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_was_meant(
    line: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(line.split())

    assert ended.value.code == 2
    assert re.search(
        re.escape(complaint).replace(r"\.\*", ".*"), capsys.readouterr().err
    )


LOOKING = (
    "status",
    "jobs list",
    "stop",
    "top",
    "wait",
    "attach",
    "detach",
    "pause",
    "resume",
    "set",
    "ask send 5",
    "state show north",
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LOWTIDE_PORT", "LOWTIDE_JOURNAL", "LOWTIDE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "lowtide.toml"
    file.write_text('port = 4999\njournal = "other.db"\nbufer = "wrong"\n')
    return file


@pytest.mark.parametrize("verb", LOOKING)
def test_every_verb_finds_its_system_by_the_configuration(
    verb: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*more: str) -> tuple[int, str | None]:
        arguments = parse([*verb.split(), *more])
        find_system(arguments)
        return arguments.port, getattr(arguments, "journal", None)

    has_journal = verb.startswith(("jobs", "state"))

    assert found() == (4570, "lowtide.db" if has_journal else None)
    there = found("--config", str(file))
    assert there == (4999, "other.db" if has_journal else None)
    assert found("--config", str(file), "--port", "4571")[0] == 4571
    monkeypatch.setenv("LOWTIDE_CONFIG", str(file))
    assert found() == there
    monkeypatch.setenv("LOWTIDE_PORT", "4998")
    assert found()[0] == 4998


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--port", "x"), "--port must be a whole number from 0 to 65535, got 'x'"),
        (("--port", "0"), "--port: port 0 lets a system pick one: --port must be the"),
        (("--config", "{}/none.toml"), "cannot read {}/none.toml"),
    ],
)
def test_a_system_that_cannot_be_found_so_is_told(
    words: tuple[str, ...], complaint: str, file: Path, tmp_path: Path
) -> None:
    words = tuple(each.format(tmp_path) for each in words)

    with pytest.raises(ConfigError) as refused:
        find_system(parse(["status", *words]))

    assert str(refused.value).startswith(complaint.format(tmp_path))


def test_a_port_that_is_given_needs_no_file(file: Path) -> None:
    file.write_text("= broken")
    arguments = parse(["status", "--port", "4571", "--config", str(file)])

    find_system(arguments)

    assert arguments.port == 4571


def test_what_starts_a_system_loads_no_other_verb(tmp_path: Path) -> None:
    program = (
        "import sys; from actors.main import parse; parse(['run', '--port', '4571']);"
        "print(*(each for each in sys.modules if each.startswith('actors.commands.')))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )

    loaded = {each.rpartition(".")[2] for each in done.stdout.split()}
    assert loaded == {"exit_codes", "options", "start_error", "terminal"}


@pytest.mark.parametrize("word", ["run", "join"])
def test_what_starts_a_system_is_among_all_verbs(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--help"], [word, "--help"]):
        with pytest.raises(SystemExit):
            parse(words)
        assert re.search(rf"\b{word}\b", capsys.readouterr().out)
