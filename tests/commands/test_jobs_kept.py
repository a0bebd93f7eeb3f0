"""``jobs list|show|export`` of what has ended, and ``retry|discard --where``."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from actors.commands import jobs
from actors.commands.terminal import short_time
from actors.demand.job import Failure, Job, Process
from actors.demand.job_events import JobDone, JobDropped, JobFetched, JobQuarantined
from actors.journal.file import JournalFile
from actors.journal.journal import Keep
from actors.journal.sqlite import SqliteJournal
from actors.main import main

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "lowtide.db"
    JournalFile(path).prepare()
    keep = Keep(3600.0, 1 << 20)
    for fetcher in ("north", "south"):
        made = [
            Job(key, f"{fetcher[0]}{key}", {"amount": key, "who": "Zoë"}, 0.0)
            for key in range(1, 7)
        ]
        with contextlib.closing(SqliteJournal(path, fetcher, keep=keep)) as journal:
            journal.commit([JobFetched(job) for job in made])
            journal.commit(
                [
                    JobDone(job, 1, HERE, job.key * 2, took)
                    for job, took in zip(made[:2], (0.1, 0.000044), strict=True)
                ]
            )
            journal.commit([JobDropped(made[2], "no room")])
            failure = Failure("=no\n=more")
            journal.commit([JobQuarantined(job, HERE, failure) for job in made[3:5]])
    return path


@pytest.fixture
def run(path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: str) -> tuple[int, str]:
        try:
            code = main(["jobs", *words, "--journal", str(path)])
        except SystemExit as error:
            code = int(error.code or 0)
        answer = capsys.readouterr()
        return code, answer.out or answer.err

    return call


def ids(answer: tuple[int, str]) -> list[str]:
    return [each["id"] for each in json.loads(answer[1])]


def test_what_was_done_is_listed_with_its_result(run: Any) -> None:
    code, text = run("list", "--state", "done", "--fetcher", "south")

    heading, *lines = text.splitlines()
    assert code == 0
    assert " ".join(heading.split()) == (
        "fetcher id state attempt processor ended at duration s result payload"
    )
    assert [line.split()[:5] for line in lines] == [
        ["south", "s1", "done", "1", "sqrt-1"],
        ["south", "s2", "done", "1", "sqrt-1"],
    ]
    assert lines[0].endswith('0.1         2       {"amount": 1, "who": "Zoë"}')
    assert lines[1].split()[6:8] == ["0.000044", "4"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, None), (0.0, "0.0"), (0.02, "0.02"), (0.9999999, "1.0"), (75.04, "75.0")],
)
def test_a_short_time_is_told_to_the_microsecond(
    seconds: float | None, told: str | None
) -> None:
    assert short_time(seconds) == told


def test_a_list_of_ends_has_the_latest(run: Any) -> None:
    listed = run("list", "--state", "done", "--limit", "3", "--json")

    assert ids(listed) == ["n2", "s1", "s2"]


def test_without_a_state_what_is_to_be_done_or_decided_is_listed(run: Any) -> None:
    assert ids(run("list", "--json")) == ["n4", "n5", "n6", "s4", "s5", "s6"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--where", "payload.amount > `5`"], ["n6", "s6"]),
        (["--where", "error && fetcher == 'north'"], ["n4", "n5"]),
        (["--state", "done", "--where", "result == `4`"], ["n2", "s2"]),
        (["--state", "done", "--where", "payload.nothing"], []),
        (["--since", "1h", "--fetcher", "north"], ["n4", "n5", "n6"]),
        (["--state", "dropped", "--since", "0.5m"], ["n3", "s3"]),
    ],
)
def test_jobs_are_chosen_by_what_is_in_them(
    words: list[str], found: list[str], run: Any
) -> None:
    assert ids(run("list", "--json", *words)) == found


def test_an_export_has_a_line_for_each_job(run: Any) -> None:
    code, text = run("export", "--fetcher", "north")

    exported = [json.loads(line) for line in text.splitlines()]
    assert code == 0
    assert [(each["id"], each["state"]) for each in exported] == [
        ("n4", "quarantined"),
        ("n5", "quarantined"),
        ("n6", "ready"),
        ("n1", "done"),
        ("n2", "done"),
        ("n3", "dropped"),
    ]
    assert exported[3]["payload"] == {"amount": 1, "who": "Zoë"}
    assert "key" not in exported[0]
    assert "seq" not in exported[3]


def test_an_export_is_csv_for_a_spreadsheet(run: Any) -> None:
    text = run("export", "--csv", "--fetcher", "north")[1]

    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ["n4", "n5", "n6", "n1", "n2", "n3"]
    # No line's end in a cell, and no formula.
    assert rows[0]["error"] == "'=no =more"
    assert json.loads(rows[3]["payload"]) == {"amount": 1, "who": "Zoë"}
    assert (rows[3]["result"], rows[5]["error"]) == ("2", "no room")


def test_no_text_of_a_job_is_a_formula_of_a_spreadsheet(path: Path, run: Any) -> None:
    texts = [
        *("=1+1", "+1", "-1", "@SUM(A1)", " =1+1", "\t=1+1", "\r=1+1", "\n\n=1+1"),
        *("\uff1d1+1", "\u00a0=1+1", "\ufeff@x", "=cmd|'/c calc'!A0", '="a"'),
        *("\u2003=1+1", "\u2060=1+1", "\u205f-1"),
    ]
    made = [Job(key, f"={key}", text, 0.0) for key, text in enumerate(texts, 1)]
    with contextlib.closing(SqliteJournal(path, "odd")) as journal:
        journal.commit([JobFetched(job) for job in made])
        for job, text in zip(made, texts, strict=True):
            journal.commit([JobQuarantined(job, HERE, Failure(text))])

    text = run("export", "--csv", "--fetcher", "odd")[1]

    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(texts)
    for row in rows:
        assert row["id"][0] == row["error"][0] == row["payload"][0] == "'"


def test_no_text_is_a_formula_where_cells_are_parted_by_semicolons(
    path: Path, run: Any
) -> None:
    payloads: list[Any] = ["a;=1+1", "x\t=1+1", {"a": "b; +1", "n": -1}, -1]
    made = [Job(key, key, each, 0.0) for key, each in enumerate(payloads, 1)]
    with contextlib.closing(SqliteJournal(path, "odd")) as journal:
        journal.commit([JobFetched(job) for job in made])
        for job in made:
            journal.commit([JobQuarantined(job, HERE, Failure("no"))])

    text = run("export", "--csv", "--fetcher", "odd")[1]

    cells = [each["payload"] for each in csv.DictReader(io.StringIO(text))]
    assert cells[:2] == ["a;'=1+1", "x\\t'=1+1"]
    assert json.loads(cells[2]) == payloads[2]
    assert "; +" not in cells[2]
    assert cells[3] == "-1"


def test_one_that_is_kept_is_shown_with_result_and_payload(run: Any) -> None:
    [shown] = json.loads(run("show", "n2")[1])

    assert (shown["state"], shown["result"], shown["payload"]["amount"]) == (
        "done",
        4,
        2,
    )


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_many_are_decided_about_after_a_count(action: str, run: Any) -> None:
    words = {"retry": "released for another attempt", "discard": "discarded"}
    where = (action, "--where", "payload.amount > `4`")

    assert run(*where) == (0, f"2 jobs would be {words[action]}; say --yes\n")
    assert len(ids(run("list", "--state", "quarantined", "--json"))) == 4
    assert run(*where, "--yes") == (0, f"2 jobs {words[action]}\n")
    left = run("list", "--state", "quarantined", "--json")
    assert ids(left) == ["n4", "s4"]


def test_more_jobs_than_one_command_holds_are_decided_about_in_parts(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "AT_ONCE", 3)

    assert run("discard", "--where", "payload", "--yes") == (0, "4 jobs discarded\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["list", "--where", "payload."],
            "lowtide: --where must be a JMESPath expression, as in ",
        ),
        (
            ["retry", "--where", "id", "--state", "done"],
            "lowtide: only jobs that are quarantined can be chosen here\n",
        ),
        (
            ["retry", "--where", "id", "--all"],
            "lowtide: jobs retry needs one of job ids, --where and --all\n",
        ),
        (["retry"], "lowtide: jobs retry needs one of job ids, --where and --all\n"),
        (
            ["cancel", "--where", "id"],
            "lowtide: jobs cancel needs a running system: nothing runs at this port\n",
        ),
        (
            ["cancel", "--where", "id", "--state", "quarantined"],
            "lowtide: only jobs that are ready or leased or retrying can be chosen",
        ),
    ],
)
def test_what_cannot_be_meant_is_said(words: list[str], said: str, run: Any) -> None:
    code, text = run(*words)

    assert (code, text[: len(said)]) == (2, said)


def test_an_age_says_what_it_may_be(run: Any) -> None:
    code, text = run("list", "--since", "yesterday")

    assert code == 2
    assert text.endswith(
        "argument --since: must be a number of seconds, or 90s, 30m, 1h, 7d, got "
        "'yesterday'\n"
    )
