"""A journal's file: its layouts, locks and logs, and what it survives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from actors.demand.job import Accounting, Failure, Job, JobState
from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
)
from actors.host import file_lock
from actors.journal.edit import decide
from actors.journal.file import (
    SCHEMA_VERSION,
    JournalDamagedError,
    JournalFile,
    JournalInUseError,
    connect,
)
from actors.journal.journal import Keep
from actors.journal.sqlite import SqliteJournal
from actors.journal.view import JournalView
from tests.support.earlier_journals import EARLIER, earlier
from tests.support.sqlite_journals import (
    HERE,
    keep,
    keys,
    killed,
    new_job,
    reopened,
    states_in,
)


def test_a_file_that_another_system_holds_is_refused(path: Path) -> None:
    file = JournalFile(path)
    with file.claim(), pytest.raises(JournalInUseError, match="in use"):
        file.claim()


@pytest.mark.parametrize("content", [b"no database at all" * 300, b"SQLite format 3\0"])
def test_a_file_that_is_no_journal_is_refused_and_left(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "lowtide.db"
    path.write_bytes(content)

    with pytest.raises(JournalDamagedError, match="Nothing was changed in it"):
        JournalFile(path).prepare()

    assert path.read_bytes() == content


def test_a_file_whose_making_was_cut_short_is_made(path: Path) -> None:
    path.unlink()
    for each in path.parent.glob(f"{path.name}-*"):
        each.unlink()
    path.touch()
    connect(path).close()  # as far as one comes who is killed then

    JournalFile(path).prepare()

    journal = SqliteJournal(path, "numbers")
    assert journal.take_up().accounting == Accounting()
    journal.close()


def test_an_empty_file_with_a_log_beside_it_is_refused(path: Path) -> None:
    journal = SqliteJournal(path, "numbers")
    journal.commit([JobFetched(new_job(1))])
    wal = path.with_name(path.name + "-wal").read_bytes()
    journal.close()
    path.write_bytes(b"")
    path.with_name(path.name + "-wal").write_bytes(wal)

    with pytest.raises(JournalDamagedError, match="its log is not"):
        JournalFile(path).prepare()

    assert path.read_bytes() == b""


def way_of(job: Job) -> list[list[JobEvent]]:
    """The commits of one job's life: done, quarantined or dropped by its key."""
    job.attempt = 1
    retried: list[JobEvent] = [JobFailed(job, HERE, Failure("once"), 1.0)]
    ends: list[JobEvent] = [
        JobDone(job, 1, HERE, 1, 0.1),
        JobQuarantined(job, HERE, Failure("never")),
        JobDropped(job, "by hand"),
    ]
    return [[JobFetched(job)], [JobLeased(job, HERE)], retried, [ends[job.key % 3]]]


def test_after_power_loss_everything_committed_is_there(
    path: Path, tmp_path: Path
) -> None:
    # What was synced stays; what was not may be there in part. So the file is
    # opened with its log cut at the end of each commit, and at random: each commit
    # that ends before the cut must be whole, and nothing else may be there.
    wal = path.with_name(path.name + "-wal")
    journal = SqliteJournal(path, "numbers")
    ends, states = [], []
    for key in range(1, 13):
        for events in way_of(new_job(key)):
            journal.commit(events)
            ends.append(wal.stat().st_size)
            states.append(states_in(path))
    log = wal.read_bytes()
    chance = random.Random(7)
    cuts = [*ends, *(chance.randrange(ends[0], ends[-1] + 1) for _ in range(60))]
    for number, cut in enumerate(cuts):
        copy = tmp_path / f"{number}.db"
        shutil.copy(path, copy)
        copy.with_name(copy.name + "-wal").write_bytes(log[:cut])

        found = states_in(copy)

        [*_, expected] = [s for s, end in zip(states, ends, strict=True) if end <= cut]
        assert found == expected
        after = reopened(copy)
        assert after.take_up().accounting.fetched == len(expected)
        after.close()
    journal.close()


def test_after_power_loss_at_any_commit_the_copied_files_are_sound(
    path: Path, tmp_path: Path
) -> None:
    # Over the moments at which the log is moved into the file as well.
    wal = path.with_name(path.name + "-wal")
    journal = SqliteJournal(path, "numbers")
    with contextlib.closing(connect(path)) as other:
        for key in range(1, 40):
            for events in way_of(new_job(key)):
                journal.commit(events)
            if key % 5 == 0:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            copy = tmp_path / f"{key}.db"
            shutil.copy(path, copy)
            shutil.copy(wal, copy.with_name(copy.name + "-wal"))

            JournalFile(copy).prepare()
            assert states_in(copy) == states_in(path)
    journal.close()


def shown_of(path: Path) -> list[dict[str, Any]]:
    with contextlib.closing(JournalView(path)) as view:
        return view.jobs(None, -1)


def shape_of(path: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(connect(path, read_only=True)) as db:
        query = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY name"
        tables = [row[1] for row in db.execute(query) if row[0] == "table"]
        columns = [db.execute(f"PRAGMA table_info({t})").fetchall() for t in tables]
        return [*db.execute(query).fetchall(), *columns]


@pytest.mark.parametrize("layout", EARLIER)
def test_a_journal_of_an_earlier_layout_is_brought_to_this_one(
    path: Path, tmp_path: Path, layout: str
) -> None:
    new = shape_of(path)
    earlier(path, layout)
    before = JournalView(path)
    shown = before.jobs(None, -1), before.history("numbers", 5)
    before.close()

    JournalFile(path).prepare()
    JournalFile(path).prepare()

    assert shape_of(path) == new
    view = JournalView(path)
    assert (view.jobs(None, -1), view.history("numbers", 5)) == shown
    assert [each["payload"] for each in shown[0]] == [
        *({"n": 1}, {"n": 2}, None, "bad", {"n": 1})
    ]
    view.close()
    journal = SqliteJournal(path, "numbers")
    taken = journal.take_up()
    assert {job.key: (job.payload, job.attempt) for job in taken.jobs} == {
        2: ({"n": 2}, 2),
        4: (None, 1),
    }
    assert (taken.next_key, taken.quarantined_bytes) == (6, 5)
    assert journal.known(["id1", "id3", "id9"]) == {"id1", "id3"}
    journal.commit([JobDone(taken.jobs[0], 3, HERE, 1, 0.1)])
    journal.close()
    assert sorted(states_in(path).items()) == [
        *((1, ("ready", True)), (2, ("done", False)), (3, ("done", False))),
        *((4, ("retrying", True)), (5, ("quarantined", True))),
    ]


def test_ends_of_an_earlier_layout_keep_their_numbers_and_none_comes_twice(
    path: Path,
) -> None:
    earlier(path, "5")
    with contextlib.closing(JournalView(path)) as view:
        [before] = view.ended(None, None)
        assert (before["seq"], before["id"], view.last_end()) == (7, "id3", 9)

    JournalFile(path).prepare()

    keep = Keep(1e10, 1 << 20)
    job = Job(6, "#6", None, 0.0, own_id=False)
    with contextlib.closing(SqliteJournal(path, "numbers", keep=keep)) as journal:
        journal.commit([JobFetched(job), JobDone(job, 1, HERE, None, 0.1)])
    with contextlib.closing(JournalView(path)) as view:
        found = [*view.ended(None, None)]
        assert view.last_end() == 10
    assert found[0] == before
    assert [each["seq"] for each in found] == [7, 10]


def test_an_upgrade_that_dies_anywhere_is_begun_again(
    path: Path, tmp_path: Path
) -> None:
    # The log is cut at each of its pages, and within some: what is there then is the
    # layout before as a whole, or this one.
    earlier(path)
    file = path.read_bytes()
    shown = shown_of(path)
    with contextlib.closing(connect(path)) as other:  # keeps the log
        other.execute("SELECT count(*) FROM job").fetchall()
        JournalFile(path).prepare()
        log = path.with_name(path.name + "-wal").read_bytes()
    assert len(log) > 5 * 4096
    for cut in {*range(32, len(log) + 1, 4120), *range(0, len(log), 9973), len(log)}:
        copy = tmp_path / f"{cut}.db"
        copy.write_bytes(file)
        copy.with_name(copy.name + "-wal").write_bytes(log[:cut])
        with contextlib.closing(connect(copy, read_only=True)) as db:
            assert db.execute("PRAGMA user_version").fetchone()[0] in {
                3,
                SCHEMA_VERSION,
            }
        assert shown_of(copy) == shown

        JournalFile(copy).prepare()

        assert shown_of(copy) == shown
        with contextlib.closing(SqliteJournal(copy, "numbers")) as journal:
            assert keys(journal.take_up().jobs) == [2, 4]


def test_an_upgrade_that_the_disk_has_no_room_for_leaves_the_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(path)
    with contextlib.closing(connect(path)) as db:
        db.execute("UPDATE job SET payload = ? WHERE key = 1", (f'"{"x" * 200_000}"',))

    def small(path: Path, **options: Any) -> Any:
        db = connect(path, **options)
        [pages] = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 3}")
        return db

    monkeypatch.setattr("actors.journal.file.connect", small)
    with pytest.raises(JournalDamagedError, match="full"):
        JournalFile(path).prepare()
    monkeypatch.undo()

    with contextlib.closing(connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
    JournalFile(path).prepare()
    assert len(shown_of(path)) == 5


def test_a_journal_is_held_by_whatever_name_it_is_reached(path: Path) -> None:
    other = path.with_name("other.db")
    other.hardlink_to(path)

    with JournalFile(path).claim():
        for each in path.parent.glob("*-*"):
            each.unlink()
        with pytest.raises(JournalInUseError, match=r"other\.db is in use"):
            JournalFile(other).claim()
    JournalFile(other).claim().close()


@pytest.mark.parametrize("what", ["link", "fifo", "directory", "another's"])
@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
def test_a_journal_that_is_not_a_file_of_ours_is_refused(
    path: Path, ending: str, what: str
) -> None:
    planted = path.with_name("planted.db")
    shutil.copy(path, planted)
    place = path.with_name(f"lowtide.db{ending}")
    place.unlink(missing_ok=True)
    if what == "link":
        place.symlink_to(planted)
    elif what == "fifo":
        os.mkfifo(place)
    elif what == "directory":
        place.mkdir()
    elif os.geteuid():
        pytest.skip("takes root")
    else:
        place.touch()
        os.chown(place, 65534, -1)

    with pytest.raises(JournalDamagedError, match="cannot be trusted") as refused:
        JournalFile(path).claim()

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o666, 0o644, 0o620])
def test_a_journal_that_others_may_open_is_closed_to_them(
    path: Path, mode: int
) -> None:
    path.chmod(mode)

    JournalFile(path).claim().close()

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_beside_it_that_somebody_else_made_is_none(path: Path) -> None:
    if os.geteuid():
        pytest.skip("takes root")
    with path.with_name("lowtide.db-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Whoever may read it may hold it.
        other = subprocess.Popen(
            ["setpriv", "--reuid", "65534", "--clear-groups", "sleep", "60"],
            pass_fds=[lock.fileno()],
        )
    with contextlib.closing(JournalFile(path).claim()):
        other.kill()
        other.wait()


def test_a_journal_that_an_earlier_version_holds_is_refused(path: Path) -> None:
    with path.with_name("lowtide.db-lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(JournalInUseError, match="in use"):
            JournalFile(path).claim()
    JournalFile(path).claim().close()


def test_a_lock_does_not_disturb_those_of_sqlite(path: Path) -> None:
    with JournalFile(path).claim():
        journal = SqliteJournal(path, "numbers")
        with contextlib.closing(connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("PRAGMA user_version").fetchone()
            other.execute("COMMIT")
        journal.commit([JobFetched(new_job(1))])
        journal.close()
    assert keys(reopened(path).load(JobState.READY, 0, 9)) == [1]


def test_a_new_journal_and_a_lock_are_their_owners_alone(tmp_path: Path) -> None:
    path, lock = tmp_path / "new.db", tmp_path / "1.lock"
    lock.touch(mode=0o644)

    with JournalFile(path).claim():
        JournalFile(path).prepare()
    file_lock.opened(lock).close()

    assert [each.stat().st_mode & 0o777 for each in (path, lock)] == [0o600, 0o600]


def test_a_lock_is_not_made_where_a_symbolic_link_points(tmp_path: Path) -> None:
    (tmp_path / "1.lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic link"):
        file_lock.opened(tmp_path / "1.lock")

    assert not (tmp_path / "elsewhere").exists()


def test_after_a_clean_end_there_is_one_file_and_it_is_the_journal(path: Path) -> None:
    file = JournalFile(path)
    with file.claimed():
        file.prepare()
        killed(path, 20)
        assert path.with_name("lowtide.db-wal").stat().st_size > 0

    assert [each.name for each in path.parent.iterdir()] == ["lowtide.db"]
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    assert len(reopened(copy).load(JobState.READY, 0, 99)) == 20


def test_who_looks_into_a_journal_leaves_nothing_beside_it(path: Path) -> None:
    with JournalFile(path).claimed():
        killed(path, 3)

    with contextlib.closing(JournalView(path)) as view:
        seen = len(view.jobs(None, -1))

    assert seen == 3
    assert [each.name for each in path.parent.iterdir()] == ["lowtide.db"]


def test_who_looks_into_a_journal_that_was_killed_leaves_its_log(path: Path) -> None:
    killed(path, 3)
    before = path.read_bytes()

    with contextlib.closing(JournalView(path)) as view:
        seen = len(view.jobs(None, -1))

    assert seen == 3
    assert path.read_bytes() == before
    assert path.with_name("lowtide.db-wal").stat().st_size > 0


def test_a_decision_while_nothing_runs_leaves_one_file(path: Path) -> None:
    job = new_job(1, attempt=5)
    keep(path, [JobFetched(job), JobQuarantined(job, HERE, Failure("bad"))])

    decide(path, "retry", {"numbers": [1]})

    assert [each.name for each in path.parent.iterdir()] == ["lowtide.db"]
