"""Real systems whose journal is in PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from actors import Fetcher, Pipeline, Processor
from actors.host.ports import free_port
from actors.testing.processes import wait_until, wait_until_gone
from tests.support.postgres import Server, server_or_skip
from tests.support.schema import mistakes
from tests.support.stores import database, pool, pooled, server

__all__ = ["database", "pool", "pooled", "server"]

pytestmark = pytest.mark.system

DOCS = Path(__file__).parents[2] / "docs"

Start = Callable[..., Any]


def test_after_everything_is_killed_nothing_that_was_fetched_is_lost(
    start_numbers: Start, start_system: Start, database: str
) -> None:
    numbers = start_numbers("--preload", "60", "--every", "0")
    words = ("--url", numbers.url, "--journal", database, "--process", "jobs:nap")
    first = start_system(*words)
    first.wait_for("job.done", count=3)
    first.kill_all()
    wait_until_gone(first)

    second = start_system(*words[:-2])

    second.wait_for("fetcher.polled", outcome="none")
    ask = ("jobs", "list", "--state", "done", "--limit", "-1", "--json")

    def done() -> set[int]:
        code, text, told = second.command(*ask, "--journal", database)
        assert code == 0, told
        return {each["id"] for each in json.loads(text)}

    fetched = {each["job_id"] for each in first.all_of("job.fetched")}
    wait_until(lambda: done() >= fetched, "all that was fetched is done")
    # What was served, and not kept when all was killed, is one at the most.
    wait_until(lambda: len(done()) >= 59, "all of it is done")


@pytest.mark.parametrize("end", ["fast", "immediate"])
def test_while_the_database_is_away_nothing_leaves_and_then_it_goes_on(
    start_numbers: Start, start_system: Start, database: str, server: Server, end: str
) -> None:
    numbers = start_numbers("--every", "0.05")
    system = start_system(
        "--url", numbers.url, "--journal", database, "--every", "0.05"
    )
    system.wait_for("job.done", count=5)

    server.stop(end)
    try:
        system.wait_for("journal.failed")
        wait_until(
            lambda: "cannot write its journal" in system.status()["why"], "it says why"
        )
        done = len(system.all_of("job.done"))
    finally:
        server.start()

    def goes_on() -> bool:
        healed = system.all_of("journal.healed")
        # A server that crashed may have forgotten a lease, and the fetcher begins anew.
        begun = end == "immediate" and system.all_of("stage.restarted")
        return bool(healed or begun)

    wait_until(goes_on, "it goes on")
    system.wait_for("job.done", count=done + 10)
    system.command("stop")
    assert system.wait() in (0, 4)
    ids = [each["job_id"] for each in system.all_of("job.done")]
    if system.all_of("journal.went_back"):
        # Whoever ended so had one in hand at the most, and what was leased ran again.
        assert len(set(range(1, max(ids) + 1)) - set(ids)) <= 1
        return
    assert len(ids) == len(set(ids))
    assert sorted(ids) == list(range(1, len(ids) + 1))


RESULTS = 60
_numbers = iter(range(1, RESULTS + 1))


def fetch_some() -> Any:
    number = next(_numbers, None)
    return None if number is None else {"id": number}


def nap(job: Any) -> Any:
    time.sleep(0.05)
    return job["id"] * 2


@pytest.mark.parametrize("end", ["fast", "immediate"])
def test_results_come_once_each_whatever_becomes_of_the_server(
    database: str,
    server: Server,
    end: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    pipeline = Pipeline(
        [Fetcher(fetch_some), Processor(nap, count=1)],
        port=0,
        every_s=0.1,
        until_idle_s=5.0,
        journal=database,
        log_format="json",
    )
    results: list[tuple[Any, Any]] = []

    with pipeline:
        for each in pipeline.results():
            results.append((each.id, each.result))
            if len(results) == 10:
                server.stop(end)
                server.start()

    ids = [each for each, _ in results]
    assert len(set(ids)) == len(ids)
    # One may have been in the fetcher's hands, if that began anew.
    assert len(ids) >= RESULTS - 1
    assert all(result == 2 * each for each, result in results)


@pytest.fixture
def small_server() -> Iterator[Server]:
    """A server on a file system of its own, which is soon full."""
    server_or_skip(free_port()).remove()
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=110m,mode=777", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        place.rmdir()
        pytest.skip("only root may mount a small disk here")
    try:
        made = Server(free_port(), place=str(place))
        yield made
        made.remove()
    finally:

        def is_unmounted() -> bool:
            words = ["umount", str(place)]
            return subprocess.run(words, check=False).returncode == 0

        wait_until(is_unmounted, "the disk is free")
        place.rmdir()


def test_while_the_databases_disk_is_full_nothing_leaves_and_nothing_is_lost(
    start_numbers: Start, start_system: Start, small_server: Server
) -> None:
    numbers = start_numbers("--every", "0")
    words = ("--url", numbers.url, "--journal", small_server.url(), "--every", "0.05")
    system = start_system(*words)
    numbers.add(*range(5))
    system.wait_for("job.done", count=5)

    filler = small_server.directory.parent / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 8192)
    numbers.add(*range(5000))
    [failed, *_] = system.wait_for("journal.failed")
    assert "No space left on device" in failed["error"]
    wait_until(
        lambda: "cannot write its journal" in system.status()["why"], "it says why"
    )
    filler.unlink()

    system.wait_for("journal.healed")
    done = len(system.all_of("job.done"))
    system.wait_for("job.done", count=done + 20)
    assert system.all_of("stage.exited") == []
    system.command("stop")
    assert system.wait() in (0, 4)
    ids = [each["job_id"] for each in system.all_of("job.done")]
    assert sorted(ids) == list(range(1, len(ids) + 1))


def test_a_fetcher_that_dies_while_the_database_is_away_waits_for_it(
    start_numbers: Start, start_system: Start, database: str, server: Server
) -> None:
    numbers = start_numbers("--every", "0.05")
    words = ("--url", numbers.url, "--journal", database, "--every", "0.05")
    system = start_system(*words)
    system.wait_for("job.done", count=5)
    [fetcher] = system.status()["fetchers"]

    server.stop("immediate")
    try:
        os.kill(fetcher["pid"], signal.SIGKILL)

        def waits() -> bool:
            told = system.all_of("journal.failed")
            return any(each["pid"] != fetcher["pid"] for each in told)

        wait_until(waits, "the next one says that it waits")
        done = len(system.all_of("job.done"))
    finally:
        server.start()

    system.wait_for("job.done", count=done + 10)
    system.command("stop")
    assert system.wait() in (0, 4)
    ids = {each["job_id"] for each in system.all_of("job.done")}
    # The one that was killed had a job in hand at the most.
    assert len(set(range(1, max(ids) + 1)) - ids) <= 1


def test_one_that_was_cut_off_and_followed_ends_and_has_written_nothing(
    start_numbers: Start, start_system: Start, database: str
) -> None:
    numbers = start_numbers("--preload", "200", "--every", "0")
    words = ("--url", numbers.url, "--journal", database)
    first = start_system(*words, "--process", "jobs:nap")
    first.wait_for("job.done", count=3)
    pids = first.pids()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        second = start_system(*words)
        second.wait_for("job.done", count=10)
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    assert first.wait() == 1
    first.program.read_log()
    assert first.all_of("journal.lost")
    status = second.status()
    assert status["fetchers"][0]["journal_error"] is None


def test_the_password_is_seen_nowhere(
    start_numbers: Start, start_system: Start, database: str
) -> None:
    numbers = start_numbers("--preload", "5", "--every", "0")
    url = database.replace("lowtide@", "lowtide:sesame-open-7@")
    system = start_system("--url", numbers.url, "--journal", url)
    system.wait_for("job.done")

    told = [json.dumps(system.status()), "\n".join(system.program.lines)]
    told += [system.command("jobs", "list", "--json", "--journal", url)[1]]
    for pid in system.pids():
        with contextlib.suppress(OSError):
            told.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode())
    assert not [each for each in told if "sesame" in each]


def words_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def readyz(port: int) -> tuple[int, str]:
    answer = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=10)
    return answer.status_code, answer.text


#: Of a leader's death and of its orderly end, in seconds.
DEATH_S, END_S = 15.0, 3.0


def taken_over_after(url: str, term: int, since: float) -> float:
    """How long it took until another one led, and did a job."""
    import psycopg  # noqa: PLC0415

    # Behind a pool, what was prepared is another session's.
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as db:

        def is_taken() -> bool:
            row = db.execute("SELECT term FROM lowtide.leader").fetchone()
            return row is not None and row[0] > term

        wait_until(is_taken, "another one leads")
    return time.monotonic() - since


def assert_says_that_it_waits(system: Any) -> None:
    code, text, _ = system.command("status", "--json")
    waiting = json.loads(text)
    schema = json.loads((DOCS / "schemas" / "status.schema.json").read_text())
    assert (code, waiting["state"], mistakes(waiting, schema)) == (0, "standby", [])
    assert " leads, term 1" in waiting["why"]


def bring_to_end(system: Any, pids: set[int], end: str) -> None:
    if end == "stopped":
        system.command("stop")
        system.wait()
        return
    for pid in pids:
        os.kill(pid, signal.SIGKILL if end == "killed" else signal.SIGSTOP)


@pytest.mark.parametrize(
    ("database", "end"),
    [
        ("direct", "killed"),
        ("direct", "stopped"),
        ("direct", "paused"),
        ("pooled", "killed"),
    ],
    indirect=["database"],
)
def test_who_waits_takes_over(
    start_numbers: Start, start_system: Start, database: str, end: str
) -> None:
    numbers = start_numbers("--every", "0.05")
    words = ("--url", numbers.url, "--journal", database, "--standby")
    first = start_system(*words, "--every", "0.05")
    first.wait_for("job.done", count=5)
    web = free_port()
    theirs = {each for each in first.pids() if b"number_server" not in words_of(each)}
    second = start_system(*words, "--every", "0.05", "--web", str(web), ready=False)

    def waits() -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return readyz(web)[0] == 503 and "leads, term 1" in readyz(web)[1]
        return False

    wait_until(waits, "it says that it waits")
    assert "standby: " in second.command("status")[1]
    assert_says_that_it_waits(second)
    healthz = f"http://127.0.0.1:{web}/healthz"
    assert requests.get(healthz, timeout=10).status_code == 200

    bring_to_end(first, theirs, end)
    since = time.monotonic()
    try:
        limit_s = END_S if end == "stopped" else DEATH_S
        assert taken_over_after(database, 1, since) <= limit_s
        second.wait_for("job.done")
        assert time.monotonic() - since <= DEATH_S
        second.wait_for("job.done", count=5)
        wait_until(lambda: readyz(web)[0] == 200, "it is ready")
    finally:
        if end == "paused":
            for pid in theirs:
                os.kill(pid, signal.SIGCONT)
    if end == "paused":
        first.wait_for("journal.lost")

        def waits_again() -> bool:
            return "leads, term 2" in first.command("status")[1]

        wait_until(waits_again, "the first one waits")
        first.command("stop")
        first.wait()
    second.command("stop")
    second.wait()
    # Not of the log: who is killed may have kept an end that it could not tell.
    code, text, told = second.command(
        *("jobs", "list", "--state", "done", "--limit", "-1", "--json"),
        *("--journal", database),
    )
    assert code == 0, told
    known = {each["id"] for each in json.loads(text)}
    assert known >= {each["job_id"] for each in second.all_of("job.done")}
    # At a crash one job at most was served and not kept.
    assert len(set(range(1, max(known) + 1)) - known) <= 1


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_who_takes_over_goes_on_with_what_people_changed_and_what_was_kept(
    start_numbers: Start, start_system: Start, database: str, end: str
) -> None:
    numbers = start_numbers("--preload", "5", "--every", "0")
    words = ("--url", numbers.url, "--journal", database, "--standby")
    first = start_system(*words)
    first.wait_for("job.done", count=5)
    theirs = {each for each in first.pids() if b"number_server" not in words_of(each)}
    second = start_system(*words, ready=False)
    wait_until(lambda: "standby: " in second.command("status")[1], "it waits")
    told = [("set", "--every", "7"), ("set", "--max-demand", "3"), ("attach",)]
    told += [("pause", "--hold")]
    for verb in told:
        assert first.command(*verb)[0] == 0
    wait_until(lambda: "paused" in changes_in(database), "it is kept")
    bring_to_end(first, theirs, end)
    second.wait_for("system.changed_before", within_s=60)

    wait_until(lambda: second.status()["state"] == "paused", "it is paused")
    [fetcher] = second.status()["fetchers"]
    assert fetcher["every_s"] == 7.0

    def demand() -> list[int]:
        return [each["demand"] for each in second.status()["processors"]]

    wait_until(lambda: demand() == [3] * 3, "three processors ask for three each")
    code, text, _ = second.command(
        "jobs", "list", "--state", "done", "--json", "--journal", database
    )
    assert code == 0
    results = {each["id"]: each["result"] for each in json.loads(text)}
    assert sorted(results) == [1, 2, 3, 4, 5]
    assert None not in results.values()

    # Its end is that of all that was changed: nobody waits any more.
    second.command("stop")
    second.wait()
    third = start_system(*words)
    assert third.status()["state"] == "running"


def changes_in(url: str) -> str:
    import psycopg  # noqa: PLC0415

    with psycopg.connect(url) as db:
        row = db.execute("SELECT value FROM lowtide.changes").fetchone()
    return row[0] if row else ""


def test_a_leader_hands_over_to_who_waits(
    start_numbers: Start, start_system: Start, database: str
) -> None:
    numbers = start_numbers("--every", "0.05")
    words = ("--url", numbers.url, "--journal", database, "--every", "0.05")
    first = start_system(*words, "--standby")
    first.wait_for("job.done", count=5)
    verb = ("hand-over", "--journal", database)
    code, _, told = first.command(*verb)
    assert code == 2
    assert "no system waits to take over" in told
    assert "Nothing was stopped" in told

    second = start_system(*words, "--standby", ready=False)
    wait_until(lambda: "standby: " in second.command("status")[1], "it waits")
    code, _, told = second.command(*verb)
    assert code == 2
    assert "leads, term 1" in told

    code, text, told = first.command(*verb)

    assert (code, told) == (0, "")
    assert "stopped: " in text
    assert " leads, term 2" in text
    first.wait()
    second.wait_for("job.done", count=5)
    second.command("stop")
    second.wait()
    done = [*first.all_of("job.done"), *second.all_of("job.done")]
    ids = sorted(each["job_id"] for each in done)
    assert ids == list(range(1, len(ids) + 1))


@pytest.fixture
def replicated() -> Iterator[tuple[Server, Server]]:
    """A server of its own, and a replica for which each commit waits."""
    primary = server_or_skip(free_port())
    replica = Server(free_port(), of=primary)
    primary.wait_for_replicas()
    yield primary, replica
    replica.remove()
    primary.remove()


@pytest.mark.slow
def test_after_a_replica_was_promoted_it_goes_on_and_nothing_is_lost(
    start_numbers: Start, start_system: Start, replicated: tuple[Server, Server]
) -> None:
    primary, replica = replicated
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in replicated)
    url = f"postgresql://lowtide@{hosts}/postgres?target_session_attrs=read-write"
    numbers = start_numbers("--every", "0.05")
    words = ("--url", numbers.url, "--journal", url, "--standby", "--every", "0.05")
    first = start_system(*words)
    first.wait_for("job.done", count=10)
    second = start_system(*words, ready=False)
    wait_until(lambda: "standby: " in second.command("status")[1], "it waits")
    both = (first, second)

    def done() -> list[int]:
        return [each["job_id"] for one in both for each in one.all_of("job.done")]

    primary.stop("immediate")
    count = len(done())
    replica.promote()

    wait_until(lambda: len(done()) >= count + 20, "it goes on", 60)
    for each in both:
        each.command("stop")
        each.wait()
    ids = set(done())
    # A leader that was followed had one job in hand at the most.
    assert len(set(range(1, max(ids) + 1)) - ids) <= 1


def test_with_a_file_nobody_can_take_over(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url)

    code, _, told = system.command("hand-over")

    assert code == 2
    assert "only a journal in PostgreSQL can be taken over" in told
    assert system.status()["state"] == "running"


def test_who_waits_ends_when_it_is_told_to(
    start_numbers: Start, start_system: Start, database: str
) -> None:
    numbers = start_numbers("--every", "0")
    words = ("--url", numbers.url, "--journal", database)
    start_system(*words)
    waiting = [start_system(*words, "--standby", ready=False) for _ in range(2)]

    def all_wait() -> bool:
        return all("standby: " in each.command("status")[1] for each in waiting)

    wait_until(all_wait, "they say that they wait")
    waiting[0].signal(signal.SIGTERM)
    assert waiting[0].wait() == 0
    assert waiting[1].command("stop")[0] == 0
    assert waiting[1].wait() == 0

    without = start_system("--url", numbers.url, "--standby", ready=False)
    assert without.wait() == 2
    assert "expected --journal postgresql://" in "\n".join(without.program.lines)
