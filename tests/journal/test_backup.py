"""A journal backed up while it is written to, and when nothing runs."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from actors.demand.job import Job, JobState
from actors.demand.job_events import JobFetched, StateMoved
from actors.journal.backup import BackupError, backup
from actors.journal.file import JournalDamagedError, JournalFile, connect
from actors.journal.sqlite import SqliteJournal
from actors.main import main


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    file = tmp_path / "lowtide.db"
    JournalFile(file).prepare()
    return file


def fetch(journal: SqliteJournal, key: int) -> None:
    job = Job(key=key, id=key, payload={"n": key}, fetched_at=0.0, own_id=True)
    journal.commit([JobFetched(job), StateMoved(str(key))], sync=False)


def test_a_backup_of_a_journal_that_is_open_stands_alone(path: Path) -> None:
    target = path.with_name("backup.db")
    with contextlib.closing(SqliteJournal(path, "numbers")) as journal:
        for key in range(1, 51):
            fetch(journal, key)

        size = backup(path, target)

    assert size == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "backup.db",
        "lowtide.db",
    ]
    JournalFile(target).prepare()
    with contextlib.closing(SqliteJournal(target, "numbers")) as journal:
        jobs = journal.load(JobState.READY, 0, 99)
        assert [job.payload for job in jobs] == [{"n": key} for key in range(1, 51)]
        assert journal.state().text == "50"


def test_a_backup_is_of_one_moment_while_jobs_come(path: Path) -> None:
    ready, stop = threading.Event(), threading.Event()

    def write() -> None:
        with contextlib.closing(SqliteJournal(path, "numbers")) as journal:
            key = 0
            while not stop.is_set():
                key += 1
                fetch(journal, key)
                if key == 20:
                    ready.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert ready.wait(30)
        for number in range(5):
            backup(path, path.with_name(f"backup-{number}.db"))
    finally:
        stop.set()
        writer.join()

    for number in range(5):
        with contextlib.closing(connect(path.with_name(f"backup-{number}.db"))) as db:
            [count, highest] = db.execute(
                "SELECT count(*), max(key) FROM job"
            ).fetchone()
            [state] = db.execute("SELECT value FROM state").fetchone()
            [fetched] = db.execute("SELECT fetched FROM fetcher").fetchone()
        assert count == highest == int(state) == fetched >= 20


@pytest.mark.parametrize("there", ["the journal", "a file", "a link to nothing"])
def test_nothing_that_is_there_is_written_over(path: Path, there: str) -> None:
    target = path.with_name("other")
    if there == "the journal":
        target = path
    elif there == "a file":
        target.write_text("mine")
    else:
        target.symlink_to("nowhere")
    before = target.read_bytes() if target.exists() else None

    with pytest.raises(BackupError, match="is there already"):
        backup(path, target)

    assert (target.read_bytes() if target.exists() else None) == before


def test_what_is_no_journal_is_refused_and_leaves_nothing(path: Path) -> None:
    other = path.with_name("other.db")
    with contextlib.closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE mine (a)")
        db.commit()

    with pytest.raises(JournalDamagedError, match="expected a layout up to"):
        backup(other, path.with_name("backup.db"))
    with pytest.raises(JournalDamagedError, match="there is no journal"):
        backup(path.with_name("none.db"), path.with_name("backup.db"))

    names = sorted(each.name for each in path.parent.iterdir())
    assert names == ["lowtide.db", "other.db"]


def test_the_verb_says_what_it_wrote_or_why_not(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = path.with_name("backup.db")
    words = ["journal", "backup", str(target), "--journal", str(path), "--port", "1"]

    assert main(words) == 0
    assert capsys.readouterr().out == (
        f"{target}: {target.stat().st_size} bytes, a journal that stands alone\n"
    )
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err
    words[2] = str(path.parent / "none" / "backup.db")
    assert main(words) == 2
    assert "cannot write" in capsys.readouterr().err
