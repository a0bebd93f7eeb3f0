"""The verb ``jobs``, on a journal that no system runs over: which job a word means."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from actors.demand.job import Failure, Job
from actors.demand.job_events import JobFetched, JobQuarantined
from actors.journal.file import JournalFile
from actors.journal.sqlite import SqliteJournal
from actors.main import main


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "lowtide.db"
    JournalFile(path).prepare()
    return path


def set_aside(path: Path, *jobs: Job) -> None:
    with contextlib.closing(SqliteJournal(path, "numbers")) as journal:
        journal.commit([JobFetched(job, job.own_id) for job in jobs])
        journal.commit([JobQuarantined(job, None, Failure("no")) for job in jobs])


def run(path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code = main(["jobs", *words, "--journal", str(path)])
    answer = capsys.readouterr()
    return code, answer.out or answer.err


def test_an_integer_and_its_text_are_named_apart(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(path, Job(1, 17, {"id": 17}, 0.0), Job(2, "17", {"id": "17"}, 0.0))

    shown = [
        [each["payload"] for each in json.loads(run(path, capsys, "show", word)[1])]
        for word in ("17", '"17"')
    ]
    listed = run(path, capsys, "list")[1]
    discarded = run(path, capsys, "discard", '"17"')
    left = json.loads(run(path, capsys, "list", "--json")[1])

    assert shown == [[{"id": 17}], [{"id": "17"}]]
    assert "17 " in listed
    assert '"17" ' in listed
    assert discarded == (0, "1 job discarded\n")
    assert [each["id"] for each in left] == [17]


def test_where_there_is_no_such_number_the_text_is_meant(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(path, Job(1, "17", {"id": "17"}, 0.0))

    retried = run(path, capsys, "retry", "17")

    assert retried == (0, "1 job released for another attempt\n")


def test_of_a_broadcast_all_that_are_set_aside_are_meant(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = Job(1, 17, {}, 0.0), Job(2, 17, {}, 0.0, own_id=False)
    set_aside(path, one, other)

    assert run(path, capsys, "retry", "17") == (
        0,
        "2 jobs released for another attempt\n",
    )
    assert run(path, capsys, "retry", "17") == (
        2,
        "lowtide: job 17 is ready, not quarantined\n",
    )


@pytest.mark.parametrize("action", ["list", "show", "export", "discard"])
def test_a_fetcher_that_the_journal_does_not_have_is_named(
    action: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(path, Job(1, 17, {"id": 17}, 0.0))
    words = ["17"] if action in {"show", "discard"} else []

    code, said = run(path, capsys, action, *words, "--fetcher", "number")

    told = "lowtide: the journal has no fetcher 'number', only: numbers\n"
    assert (code, said) == (2, told)
