"""``lowtide state`` while no system runs."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from actors.demand.job_events import StateMoved
from actors.journal.file import JournalFile
from actors.journal.sqlite import SqliteJournal
from actors.main import main
from tests.support.earlier_journals import earlier


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    file = tmp_path / "lowtide.db"
    JournalFile(file).prepare()
    for name in ("north", "south"):
        with contextlib.closing(SqliteJournal(file, name)) as journal:
            if name == "north":
                journal.commit([StateMoved('{"at":7,"token":"hidden"}')])
    return file


def state(path: Path, *words: str) -> int:
    return main(["state", *words, "--journal", str(path), "--port", "1"])


def kept(path: Path, name: str = "north") -> Any:
    with contextlib.closing(SqliteJournal(path, name)) as journal:
        return json.loads(journal.state().text)


def test_it_is_shown_without_its_secrets(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert state(path, "show", "north", "--json") == 0

    shown = json.loads(capsys.readouterr().out)
    assert shown.pop("age_s") >= 0
    assert shown == {"fetcher": "north", "state": {"at": 7, "token": "***"}}

    assert state(path, "show", "north") == 0
    told = capsys.readouterr()
    assert '"at": 7' in told.out
    assert re.fullmatch(r"north: told \d+ s ago\n", told.err)
    assert state(path, "show", "south") == 0
    assert capsys.readouterr().out == "south has no state\n"


def test_it_is_set_and_reset(path: Path) -> None:
    assert state(path, "set", "south", '{"at": [1, "ü"]}') == 0
    assert kept(path, "south") == {"at": [1, "ü"]}

    assert state(path, "reset", "north") == 0
    assert kept(path) is None


def test_it_is_read_from_the_standard_input(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('"from there"\n'))

    assert state(path, "set", "north", "-") == 0

    assert kept(path) == "from there"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("set", "north"), "state set needs a state as JSON"),
        (("show", "north", "1"), "state show takes no state"),
        (("set", "north", "{at: 1}"), "the state must be JSON: "),
        (("set", "north", "NaN"), "the state must be a JSON value: "),
        (("set", "north", json.dumps("x" * 70_000)), "at most 65536 bytes"),
        (("set", "north", '{"token": "***"}'), "the state holds ***, which stands"),
        (("set", "east", "1"), "has no fetcher 'east', only: north, south"),
        (("reset", "east"), "has no fetcher 'east', only: north, south"),
        (("show", "east"), "has no fetcher 'east', only: north, south"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    path: Path, words: tuple[str, ...], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert state(path, *words) == 2

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("lowtide: ")
    assert what in line
    assert kept(path) == {"at": 7, "token": "hidden"}


def test_a_journal_that_somebody_holds_is_left_alone(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with JournalFile(path).claim():
        assert state(path, "reset", "north") == 2

    assert "is in use by another lowtide system" in capsys.readouterr().err
    assert kept(path)["at"] == 7


def test_one_of_the_layout_before_has_no_state_until_one_is_set(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier(path, "2")

    assert state(path, "show", "numbers") == 0
    assert capsys.readouterr().out == "numbers has no state\n"
    assert state(path, "set", "numbers", "8") == 0
    assert state(path, "show", "numbers") == 0
    assert capsys.readouterr().out.endswith("8\n")
