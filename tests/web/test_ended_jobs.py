"""What the page's search for ended jobs answers, and what it refuses."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from actors.demand.job import Job, Process
from actors.demand.job_events import JobDone, JobDropped, JobFetched
from actors.journal.file import JournalFile
from actors.journal.journal import Keep
from actors.journal.selection import SelectionError
from actors.journal.sqlite import SqliteJournal
from actors.journal.view import JournalView
from actors.web import ended_jobs
from actors.web.answers import Answers
from actors.web.ended_jobs import LOOKED_S, find_ended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")


def payload(key: int) -> dict[str, Any]:
    return {"amount": key, "who": "Zoë", "password": f"secret-{key}"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lowtide.db"
    JournalFile(path).prepare()
    for fetcher in ("north", "south"):
        jobs = [Job(n, f"{fetcher[0]}{n}", payload(n), 0.0) for n in range(1, 4)]
        keep = Keep(3600.0, 1 << 20)
        with contextlib.closing(SqliteJournal(path, fetcher, keep=keep)) as journal:
            journal.commit([JobFetched(job) for job in jobs])
            journal.commit(
                [JobDone(job, 1, HERE, job.key * 2, 0.1) for job in jobs[:2]]
            )
            journal.commit([JobDropped(jobs[2], "no <b>room</b>")])
    return path


@pytest.fixture
def view(path: Path) -> Iterator[JournalView]:
    with contextlib.closing(JournalView(path)) as view:
        yield view


def ids(view: JournalView, **asked: str) -> list[Any]:
    return [each["id"] for each in find_ended(view, asked, lambda: 0.0)["jobs"]]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["s3", "s2", "s1", "n3", "n2", "n1"]),
        ({"state": "done", "fetcher": "north"}, ["n2", "n1"]),
        ({"state": "dropped", "since": "1h"}, ["s3", "n3"]),
        ({"since": " 0s"}, []),
        ({"text": "ROOM"}, ["s3", "n3"]),
        ({"text": "zoë", "fetcher": "south"}, ["s3", "s2", "s1"]),
        ({"text": "n1"}, ["n1"]),
        ({"where": "result == `4`"}, ["s2", "n2"]),
        # What is not shown is not found by its text.
        ({"text": "secret-1"}, []),
    ],
)
def test_jobs_are_found_by_what_is_seen_of_them(
    asked: dict[str, str], found: list[str], view: JournalView
) -> None:
    assert ids(view, **asked) == found


def test_a_row_is_short_and_shows_no_secret(path: Path, view: JournalView) -> None:
    big = Job(9, "big", {"text": "x" * 5000}, 0.0)
    keep = Keep(3600.0, 1 << 20)
    with contextlib.closing(SqliteJournal(path, "north", keep=keep)) as journal:
        journal.commit([JobFetched(big), JobDone(big, 1, HERE, ["y" * 5000], 0.1)])

    first, second, *_ = find_ended(view, {}, lambda: 0.0)["jobs"]

    assert first["id"] == "big"
    assert {len(first["payload"]), len(first["result"])} == {ended_jobs.SHOWN}
    assert "secret" not in second["payload"]
    assert second["error"] == "no <b>room</b>"


def test_an_answer_is_bounded_in_jobs_and_in_time(
    view: JournalView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended_jobs, "LISTED", 2)
    assert [
        find_ended(view, {"fetcher": name}, lambda: 0.0)["more"]
        for name in ("north", "nobody")
    ] == [True, False]

    moments = iter([0.0, 0.1, LOOKED_S])
    found = find_ended(view, {}, lambda: next(moments))

    assert (len(found["jobs"]), found["looked_at"], found["more"]) == (1, 1, True)


def test_a_search_goes_on_from_where_it_stopped(
    view: JournalView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended_jobs, "LISTED", 1)
    asked = {"fetcher": "north"}
    found: list[Any] = []
    while True:
        answer = find_ended(view, asked, lambda: 0.0)
        found += [each["id"] for each in answer["jobs"]]
        if not answer["more"]:
            break
        asked |= {"before": str(answer["before"])}

    assert (found, answer["before"]) == (["n3", "n2", "n1"], None)


def test_a_search_that_finds_nothing_is_bounded_too(
    view: JournalView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.journal.view._AT_ONCE", 2)
    asked = {"fetcher": "nobody"}
    requests = 0
    while True:
        # Its time is over each time that it looks at the clock.
        clock = itertools.count(0.0, LOOKED_S).__next__
        answer = find_ended(view, asked, clock)
        requests += 1
        if not answer["more"]:
            break
        asked |= {"before": str(answer["before"])}

    assert requests == 4  # six ends, two at a time, and once more
    assert answer["jobs"] == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"state": "ready"}, "state must be one of done, dropped"),
        ({"since": "yesterday"}, "since must be a number of seconds, or 90s, 30m, 1h"),
        ({"since": "9" * 400}, "since must be a number of seconds, or 90s, 30m, 1h"),
        ({"before": "-1"}, "before must be what an answer says of itself"),
        ({"before": "9" * 30}, "before must be what an answer says of itself"),
        ({"text": "x" * 1001}, "text must be text of 1000 characters"),
        ({"text": ["x"]}, "text must be text of 1000 characters"),
        ({"where": "payload."}, "--where must be a JMESPath expression, as in "),
        ({"where": "(" * 1000}, "--where must be a JMESPath expression, as in "),
        ({"where": "length(attempt)"}, "--where cannot be said of job "),
    ],
)
def test_what_cannot_be_meant_is_said(
    asked: dict[str, Any], said: str, view: JournalView
) -> None:
    with pytest.raises(SelectionError) as raised:
        find_ended(view, asked, lambda: 0.0)

    assert str(raised.value).startswith(said)


class Sampler:
    """Stands for the root behind the page."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def journal(self) -> dict[str, Any]:
        return {"journal": None if self._path is None else str(self._path)}


def answers(path: Path | None) -> Answers:
    sampler: Any = Sampler(path)
    return Answers(sampler, "a token of the tests", structlog.get_logger())


def test_an_expression_is_for_those_who_have_the_token(path: Path) -> None:
    page = answers(path)
    where = {"where": "result == `4`"}

    refused = page.get("/ended.json", where)
    found = page.act({"verb": "ended", "state": "done"} | where)
    wrong = page.act({"verb": "ended", "where": "payload."})

    assert (refused.status, json.loads(refused.body)) == (
        403,
        {"error": "where is for those who have the token"},
    )
    assert [each["id"] for each in json.loads(found.body)["jobs"]] == ["s2", "n2"]
    assert wrong.status == 400
    assert json.loads(wrong.body)["error"].startswith("where must be a JMESPath")


def test_where_nothing_is_kept_there_is_nothing_to_find() -> None:
    found = answers(None).get("/ended.json", {"text": "x"})

    assert json.loads(found.body) == ended_jobs.NOTHING
