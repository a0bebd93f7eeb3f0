"""A journal copied from one store to another: all of it, or nothing."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from actors.demand.job import Failure, Job, JobState, Process
from actors.demand.job_events import (
    JobDone,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobsSent,
    StateMoved,
)
from actors.journal import copying
from actors.journal.copying import CopyError, copy
from actors.journal.file import JournalDamagedError, JournalInUseError
from actors.journal.journal import Keep
from actors.journal.leadership import Leadership, leading
from actors.journal.sqlite import Clock, since_boot
from actors.journal.stores import claimed, look_into, open_journal
from actors.main import main
from tests.support.stores import Store, database, other, server

__all__ = ["database", "other", "server"]

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")
STORES = (
    "file to file",
    pytest.param("file to database", marks=pytest.mark.system),
    pytest.param("database to file", marks=pytest.mark.system),
    pytest.param("database to other", marks=pytest.mark.system),
)


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(copying, "PAGE", 3)


def new_job(key: int, *, own_id: bool = True) -> Job:
    payload = {"n": key, "text": "ä\0\ud800"}
    return Job(key=key, id=f"é{key}", payload=payload, fetched_at=0.0, own_id=own_id)


def fill(name: str) -> None:
    """Jobs in every state, of three fetchers, the third with many that are alike."""
    store = Store(name)
    with store.run("first") as journal:
        journal.commit([StateMoved('{"page": 7}'), JobsSent(3, 60.0)])
        for key in range(1, 12):
            job = new_job(key, own_id=key != 5)
            journal.commit([JobFetched(job)])
            if key > 8:
                continue
            job.state, job.attempt = JobState.LEASED, 1
            journal.commit([JobLeased(job, HERE)])
            if key < 4:
                job.state = JobState.DONE
                journal.commit([JobDone(job, 1, HERE, {"root": 2.0}, 0.1)])
            elif key < 6:
                job.state, job.not_before = JobState.RETRYING, 9.0
                journal.commit([JobFailed(job, HERE, Failure("bad \0 text"), 9.0)])
            elif key < 8:
                job.state = JobState.QUARANTINED
                journal.commit([JobQuarantined(job, HERE, Failure("bad"))])
    with store.run("second") as journal:
        journal.commit([JobFetched(new_job(1))])
    with store.run("third") as journal:
        fetched = [Job(n, f"#{n}", [n], 0.0, own_id=False) for n in range(1, 31)]
        for job in fetched[:20]:
            job.attempt = 1
        leased = [JobLeased(job, HERE) for job in fetched[:20]]
        journal.commit([*map(JobFetched, fetched), *leased])
        ended = [*fetched[:3], *fetched[8:11]]
        journal.commit([JobDone(job, 1, HERE, None, 0.1) for job in ended])
        journal.commit([JobFailed(fetched[14], HERE, Failure("bad"), 9.0)])
    store.close()


def held(name: str) -> dict[str, Any]:
    """What a run of each fetcher finds."""
    store = Store(name)
    found: dict[str, Any] = {}
    for fetcher in ("first", "second", "third"):
        with store.run(fetcher) as journal:
            known = journal.known([f"é{key}" for key in range(1, 20)])
            took = journal.take_up()
            jobs = [
                (state, each.key, each.id, each.payload, each.attempt, each.own_id)
                for state in (JobState.READY, JobState.RETRYING, JobState.QUARANTINED)
                for each in journal.load(state, 0, -1)
            ]
            counts = (took.accounting, took.next_key, took.quarantined_bytes)
            sent = [jobs for _, jobs in journal.sent()]
            found[fetcher] = (known, jobs, counts, journal.state().text, sent)
    store.close()
    with contextlib.closing(look_into(name)) as view:
        found["left"] = view.left()
    return found


@pytest.fixture
def names(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    places = [
        str(tmp_path / f"{number}.db")
        if each == "file"
        else request.getfixturevalue(each)
        for number, each in enumerate(request.param.split(" to "))
    ]
    return places[0], places[1]


@pytest.mark.parametrize("names", STORES, indirect=True)
def test_all_of_it_is_in_the_other(names: tuple[str, str]) -> None:
    source, target = names
    fill(source)

    copied = copy(source, target)

    assert (copied.jobs, copied.quarantined, copied.states) == (36, 2, 1)
    assert held(target) == held(source)
    # What comes next has numbers of its own, and nothing is written over.
    store = Store(target)
    with store.run("fourth") as journal:
        journal.commit([JobFetched(new_job(1))])
    store.close()
    assert held(target)["first"] == held(source)["first"]
    with pytest.raises(CopyError, match="is not empty"):
        copy(source, target)


@pytest.mark.parametrize("names", [STORES[1]], indirect=True)
def test_it_comes_back_as_it_was(names: tuple[str, str], tmp_path: Path) -> None:
    source, middle = names
    fill(source)
    back = str(tmp_path / "back.db")

    copy(source, middle)
    copy(middle, back)

    assert held(back) == held(source)
    # But for texts that PostgreSQL cannot hold.
    rows = "SELECT * FROM job WHERE error IS NULL ORDER BY fetcher, key"
    kept = [Store(name) for name in (source, back)]
    assert kept[0].ask(rows) == kept[1].ask(rows)
    for each in kept:
        each.close()


@pytest.mark.parametrize("names", STORES, indirect=True)
def test_results_of_jobs_that_ended_go_with_them(names: tuple[str, str]) -> None:
    source, target = names
    clock = Clock(time.time, time.monotonic, since_boot)
    with (
        claimed(source) as name,
        contextlib.closing(
            open_journal(name, "first", clock, 60.0, Keep(3600.0, 1 << 20))
        ) as journal,
    ):
        job, other = new_job(1), new_job(2)
        journal.commit([JobFetched(job), JobFetched(other), JobLeased(job, HERE)])
        job.state = JobState.DONE
        journal.commit([JobDone(job, 1, HERE, {"root": 2.0}, 0.1)])

    copy(source, target)

    with contextlib.closing(look_into(target)) as view:
        [kept] = view.ended(None, None)
        [found] = view.find("é1")
    assert found == kept
    assert (kept["result"], kept["payload"]) == ({"root": 2.0}, job.payload)
    assert (kept["processor"], kept["duration_s"]) == ("sqrt-1", 0.1)


@pytest.mark.parametrize("names", STORES, indirect=True)
def test_what_does_not_come_whole_does_not_come(
    names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = names
    fill(source)
    digest = copying._digest_small  # noqa: SLF001 - the last step of it
    monkeypatch.setattr(copying, "_digest_small", lambda *_: (0, "otherwise"))

    with pytest.raises(CopyError, match=r"expected 1 rows .* of sent, found 0 rows"):
        copy(source, target)

    monkeypatch.setattr(copying, "_digest_small", digest)
    assert copy(source, target).jobs == 36


@pytest.mark.parametrize("names", STORES, indirect=True)
@pytest.mark.parametrize("used", [0, 1])
def test_a_journal_in_use_is_left_alone(
    names: tuple[str, str], used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(names[0])
    # A database is in use when its leader says so again.
    monkeypatch.setattr("actors.journal.leadership.RENEW_S", 0.2)
    with claimed(names[used]), pytest.raises(JournalInUseError, match="in use"):
        copy(*names)
    assert copy(*names).jobs == 36


#: Says when all rows are written, and then waits for its end.
_STUCK = """
import sys, time
from actors.journal import copying
def stuck(*_):
    print("written", flush=True)
    time.sleep(600)
copying._digest_small = stuck
copying.copy(*sys.argv[1:])
"""


@pytest.mark.system
@pytest.mark.parametrize("names", STORES, indirect=True)
def test_one_that_is_killed_in_the_middle_leaves_nothing(
    names: tuple[str, str],
) -> None:
    source, target = names
    fill(source)
    words = [sys.executable, "-c", _STUCK, source, target]
    copier = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert copier.stdout is not None
    assert copier.stdout.readline() == "written\n"

    copier.kill()
    copier.wait()
    copier.stdout.close()

    with contextlib.closing(look_into(target)) as view:
        assert list(view.states()) == []
    # It waits for the end of the term of whoever was killed.
    assert copy(source, target).jobs == 36


@pytest.mark.system
@pytest.mark.parametrize("names", [STORES[1], STORES[3]], indirect=True)
def test_a_long_one_is_not_cut_by_whoever_wants_to_take_over(
    names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = names
    fill(source)
    took = []
    digest = copying._digest_small  # noqa: SLF001 - the last step of it

    def long(store: Any, *of: str) -> Any:
        # Older than what is ended where it hangs.
        store.ask("SELECT pg_sleep(6)")
        waits = Leadership(target)
        took.append(waits.take(waits.leader()))
        waits.close()
        return digest(store, *of)

    monkeypatch.setattr(copying, "_digest_small", long)

    assert copy(source, target).jobs == 36
    assert took
    assert not any(took)


@pytest.mark.parametrize("names", [STORES[3]], indirect=True)
def test_what_people_changed_goes_with_it_for_who_takes_over(
    names: tuple[str, str],
) -> None:
    source, target = names
    fill(source)
    with leading(source) as leads:
        leads.keep_changes('{"paused": true}')

    copy(source, target)

    for name in names:
        with leading(name) as leads:
            assert leads.changes == '{"paused": true}'


def test_what_is_no_journal_is_refused_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    target = tmp_path / "new.db"
    with pytest.raises(JournalDamagedError, match="there is no journal"):
        copy(str(tmp_path / "none.db"), str(target))
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE mine (a)")
        db.commit()
    with pytest.raises(JournalDamagedError):
        copy(str(other), str(target))
    assert not target.exists()
    with pytest.raises(CopyError, match="are one journal"):
        copy(str(other), str(tmp_path / "." / "other.db"))


def test_the_verb_says_what_it_copied_or_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    fill(source)
    assert main(["journal", "copy", source]) == 2
    assert "expected journal copy FROM TO, got 1 names" in capsys.readouterr().err
    assert main(["journal", "copy", source, target]) == 0
    assert capsys.readouterr().out == (
        f"{target}: 36 jobs and remembered ids, 2 of them quarantined, 1 states; "
        f"counts and digests are those of {source}\n"
    )
    assert main(["journal", "copy", source, target]) == 2
    assert "is not empty" in capsys.readouterr().err
