"""The journal under a real system: kept, taken up again, looked into, decided on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.journal.file import JournalFile
from actors.testing.processes import wait_until

pytestmark = pytest.mark.system

Start = Callable[..., Any]


def test_what_was_left_is_taken_up_again_in_order(
    start_numbers: Start, start_system: Start, env: dict[str, str]
) -> None:
    numbers = start_numbers("--preload", "30", "--every", "0")
    first = start_system("--url", numbers.url, "--processors", "0")
    first.wait_for("fetcher.polled", outcome="none")

    os.kill(first.program.process.pid, signal.SIGKILL)
    first.program.process.wait()
    second = start_system("--url", numbers.url, "--processors", "1")

    done = second.wait_for("job.done", count=30)
    assert [each["job_id"] for each in done] == list(range(1, 31))
    if (path := Path(env["LOWTIDE_JOURNAL"])).exists():  # it may be a database
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.file
def test_after_a_clean_stop_a_copy_of_the_file_is_the_journal(
    start_system: Start, env: dict[str, str], tmp_path: Path
) -> None:
    path = Path(env["LOWTIDE_JOURNAL"])
    config = tmp_path / "many.toml"
    config.write_text(
        '[[fetcher]]\nname = "many"\nfetch = "jobs:many"\noptions = { count = 20 }\n'
        '[[processor]]\nname = "length"\nprocess = "jobs:length"\ncount = 1\n'
    )
    words = ("--config", str(config))
    first = start_system(*words, "--processors", "0")
    first.wait_for("fetcher.polled", outcome="none")
    first.command("stop")
    assert first.wait() == 4

    beside = [each.name for each in path.parent.glob(f"{path.name}*")]
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    second = start_system(*words, "--journal", str(copy))

    assert beside == [path.name]
    assert len(second.wait_for("job.done", count=20)) == 20


@pytest.mark.file
def test_a_journal_is_one_systems_by_whatever_name(
    start_numbers: Start, start_system: Start, env: dict[str, str], tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    path = Path(env["LOWTIDE_JOURNAL"])
    start_system("--url", numbers.url)
    (tmp_path / "hard.db").hardlink_to(path)
    for each in path.parent.glob(f"{path.name}-lock"):
        each.unlink()

    for name in (path, tmp_path / "hard.db"):
        words = ("--url", numbers.url, "--journal", str(name))
        other = start_system(*words, ready=False)
        assert other.wait() == 2


def test_a_journal_that_is_worked_off_tells_how_much_is_left(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "30", "--every", "0")
    first = start_system("--url", numbers.url, "--processors", "0")
    first.wait_for("fetcher.polled", outcome="none")
    first.command("stop")
    first.wait()

    words = ("--url", numbers.url, "--processors", "0", "--buffer", "5")
    second = start_system(*words)
    status = second.status()
    second.command("attach")

    assert status["fetchers"][0]["backlog"] == 25
    assert status["why"] == (
        "numbers works off its journal first, 25 jobs left: there is no processor; "
        "lowtide attach adds one"
    )
    second.wait_for("job.done", count=30)
    assert len(second.wait_for("journal.replayed")) == 1
    assert second.status()["fetchers"][0]["backlog"] == 0


def test_a_drain_leaves_what_is_not_begun_in_the_journal(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "60", "--every", "0")
    first = start_system("--url", numbers.url, "--process", "jobs:nap")
    first.wait_for("fetcher.polled", outcome="none")

    first.signal(signal.SIGTERM)

    assert first.wait() == 4
    [stopped] = first.all_of("system.stopped")
    account = stopped["accounting"]
    assert account["in_flight"] == 0
    assert account["buffered"] + account["done"] == account["fetched"] == 60

    second = start_system("--url", numbers.url, "--until-idle", "0.3")

    assert second.wait() == 0
    [stopped] = second.all_of("system.stopped")
    assert stopped["accounting"]["done"] == stopped["accounting"]["fetched"] == 60
    done = [
        each["job_id"] for run in (first, second) for each in run.all_of("job.done")
    ]
    assert sorted(done) == list(range(1, 61))


@pytest.mark.file
def test_a_journal_in_use_is_refused(start_system: Start, env: dict[str, str]) -> None:
    first = start_system("--processors", "0")

    second = start_system(ready=False)

    assert second.wait() == 2
    path, pid = env["LOWTIDE_JOURNAL"], first.program.process.pid
    [line] = second.program.lines
    says = (
        f"lowtide: the journal {path} is in use by another lowtide system (pid {pid}: "
    )
    assert line.startswith(says)


@pytest.mark.file
def test_a_damaged_journal_is_refused_and_left_as_it_is(
    start_numbers: Start, start_system: Start, env: dict[str, str]
) -> None:
    numbers = start_numbers("--preload", "200", "--every", "0")
    first = start_system("--url", numbers.url, "--processors", "0")
    first.wait_for("fetcher.polled", outcome="none")
    first.command("stop")
    first.wait()
    path = Path(env["LOWTIDE_JOURNAL"])
    damaged = bytearray(path.read_bytes())
    for offset in range(4096 * 2, len(damaged), 4096):
        damaged[offset : offset + 64] = b"\xff" * 64
    path.write_bytes(damaged)

    second = start_system("--url", numbers.url, ready=False)

    assert second.wait() == 2
    [line] = second.program.lines
    assert line.startswith(f"lowtide: the journal {path} cannot be used: ")
    assert "move it away" in line
    assert path.read_bytes() == damaged


@pytest.mark.file
def test_a_file_that_is_no_journal_is_refused(
    start_system: Start, env: dict[str, str]
) -> None:
    with sqlite3.connect(env["LOWTIDE_JOURNAL"]) as other:
        other.execute("CREATE TABLE precious (thing)")
    other.close()

    system = start_system(ready=False)

    assert system.wait() == 2
    assert "expected a lowtide journal, layout 6, found 0" in system.program.lines[0]


def test_quarantined_jobs_are_shown_retried_and_discarded(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "3", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:broken", "--retries", "1")
    )
    system.wait_for("job.quarantined", count=3)

    listed = json.loads(system.command("jobs", "list", "--json")[1])
    [shown] = json.loads(system.command("jobs", "show", "2", "--json")[1])

    assert [(each["id"], each["state"]) for each in listed] == [
        (1, "quarantined"),
        (2, "quarantined"),
        (3, "quarantined"),
    ]
    assert shown["payload"]["id"] == 2
    assert shown["error"] == "RuntimeError: cannot do 2"
    assert [each["event"] for each in shown["history"]] == ["quarantined"]
    assert "Traceback" in shown["history"][0]["trace"]

    retried = system.command("jobs", "retry", "1")
    system.wait_for("job.quarantined", count=4)
    discarded = system.command("jobs", "discard", "2")

    assert retried[:2] == (0, "1 job released for another attempt\n")
    assert discarded[:2] == (0, "1 job discarded\n")
    account = system.status()["accounting"]
    assert (account["quarantined"], account["dropped"]) == (2, 1)

    system.command("stop")
    assert system.wait() == 0
    assert system.command("jobs", "retry", "--all")[:2] == (
        0,
        "2 jobs released for another attempt\n",
    )
    again = start_system("--url", numbers.url, "--until-idle", "0.3")
    assert again.wait() == 0
    assert len(again.all_of("job.done")) == 2
    [stopped] = again.all_of("system.stopped")
    assert stopped["accounting"] == {
        "fetched": 3,
        "done": 2,
        "buffered": 0,
        "in_flight": 0,
        "retrying": 0,
        "quarantined": 0,
        "dropped": 1,
    }


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["retry"], "jobs retry needs one of job ids, --where and --all"),
        (["show"], "jobs show needs job ids, as list shows them"),
        (["show", "9"], "there is no job 9 in the journal"),
        (["discard", "1"], "job 1 is ready, not quarantined"),
    ],
)
def test_what_cannot_be_decided_is_said(
    words: list[str], complaint: str, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system("--url", numbers.url, "--processors", "0")
    system.wait_for("job.fetched")

    assert system.command("jobs", *words)[::2] == (2, f"lowtide: {complaint}\n")


def test_a_number_that_is_served_again_is_not_run_again_after_a_restart(
    start_numbers: Start, start_system: Start
) -> None:
    first_server = start_numbers("--preload", "5", "--seed", "3", "--every", "0")
    first = start_system("--url", first_server.url, "--until-idle", "0.3")
    assert first.wait() == 0
    replay = start_numbers("--preload", "6", "--seed", "3", "--every", "0")

    second = start_system("--url", replay.url, "--until-idle", "0.3")

    assert second.wait() == 0
    assert [each["job_id"] for each in second.all_of("job.done")] == [6]
    assert sum(each["count"] for each in second.all_of("job.duplicate")) == 5


@pytest.mark.file
def test_a_journal_that_has_come_to_its_size_loses_nothing_and_goes_on(
    start_system: Start, tmp_path: Path
) -> None:
    config = tmp_path / "many.toml"
    config.write_text(
        'journal_mib = 1\nbuffer = 5000\n[[fetcher]]\nname = "many"\n'
        'fetch = "jobs:long"\noptions = { count = 300 }\nevery_s = 0.1\n'
        '[[processor]]\nname = "length"\nprocess = "jobs:length"\ncount = 0\n'
    )
    system = start_system("--config", str(config))
    system.wait_for("journal.full")

    def is_full() -> Any:
        # Where SQLite has put its log away since, there was room for a few more.
        status = system.status()
        told = "the journal has reached --journal-mib" in status["why"]
        return told and status["accounting"]

    accounting = wait_until(is_full, "a full journal")
    code, _, _ = system.command("attach", "--count", "2")

    assert code == 0
    # 256 of them take a mebibyte.
    assert 20 < accounting["fetched"] < 300
    wait_until(lambda: system.status()["accounting"]["done"] == 300, "all done", 120)


def test_jobs_of_a_fetcher_that_is_no_more_are_told_and_kept(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "3", "--every", "0")
    first = start_system("--url", numbers.url, "--processors", "0")
    first.wait_for("job.fetched", count=3)
    first.command("stop")
    assert first.wait() == 4
    config = tmp_path / "renamed.toml"
    config.write_text(
        '[[fetcher]]\nname = "renamed"\nfetch = "domain.numbers:fetch"\n'
        f'options = {{ url = "{numbers.url}" }}\n'
    )

    second = start_system("--config", str(config), "--until-idle", "0.3")

    assert second.wait() == 0
    [unclaimed] = second.all_of("journal.unclaimed")
    assert (unclaimed["fetcher"], unclaimed["jobs"]) == ("numbers", 3)
    theirs = second.command("jobs", "list", "--json", "--fetcher", "numbers")[1]
    others = second.command("jobs", "list", "--json", "--fetcher", "renamed")[1]
    assert [each["id"] for each in json.loads(theirs)] == [1, 2, 3]
    assert json.loads(others) == []


@pytest.mark.file
def test_a_journal_that_another_program_locks_kills_nobody(
    start_numbers: Start, start_system: Start, env: dict[str, str]
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.2", "--lease", "1")
    before = system.status()["fetchers"][0]["pid"]

    with contextlib.closing(sqlite3.connect(env["LOWTIDE_JOURNAL"])) as other:
        other.execute("BEGIN IMMEDIATE")
        numbers.add(4)
        [failed] = system.wait_for("journal.failed")
        # Longer than a stage may be silent.
        began = time.monotonic()
        words = set()
        while time.monotonic() - began < 17:
            fetcher = system.status()["fetchers"][0]
            words.add((fetcher["state"], fetcher["pid"], fetcher.get("journal_error")))
            time.sleep(0.5)
        why = system.status()["why"]
        other.rollback()

    assert "locked by another program" in failed["error"]
    system.wait_for("job.done")
    system.wait_for("journal.healed")
    assert why.endswith("it is locked by another program")
    assert system.all_of("stage.silent") == []
    assert system.status()["fetchers"][0]["pid"] == before
    answered = {each for each in words if each[0] == "running"}
    assert answered == {("running", before, "it is locked by another program")}


@pytest.mark.file
@pytest.mark.parametrize("end", ["it is free", "it is stopped"])
def test_a_fetcher_that_starts_on_a_locked_journal_waits_and_says_so(
    start_system: Start, env: dict[str, str], end: str
) -> None:
    path = Path(env["LOWTIDE_JOURNAL"])
    JournalFile(path).prepare()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        system = start_system("--url", "http://127.0.0.1:9", ready=False)
        [failed] = system.wait_for("journal.failed")
        status = system.status()
        if end == "it is free":
            other.rollback()
            system.wait_for("journal.healed")
            system.wait_for("system.started")
        else:
            system.signal(signal.SIGTERM)
            assert system.wait() == 0

    assert "locked by another program" in failed["error"]
    assert "cannot write its journal" in status["why"]
    assert status["why"].endswith("it is locked by another program")
    assert system.all_of("stage.silent") == system.all_of("stage.restarted") == []
