"""Real systems whose journal is in PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from actors.host.ports import free_port
from actors.testing.processes import wait_until, wait_until_gone
from tests.support.stores import database, server

if TYPE_CHECKING:
    from tests.support.postgres import Server

__all__ = ["database", "server"]

pytestmark = pytest.mark.system

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


def test_while_the_database_is_away_nothing_leaves_and_then_it_goes_on(
    start_numbers: Start, start_system: Start, database: str, server: Server
) -> None:
    numbers = start_numbers("--every", "0.05")
    system = start_system(
        "--url", numbers.url, "--journal", database, "--every", "0.05"
    )
    system.wait_for("job.done", count=5)

    server.stop("immediate")
    try:
        system.wait_for("journal.failed")
        wait_until(
            lambda: "cannot write its journal" in system.status()["why"], "it says why"
        )
        done = len(system.all_of("job.done"))
    finally:
        server.start()

    system.wait_for("journal.healed")
    system.wait_for("job.done", count=done + 10)
    system.command("stop")
    assert system.wait() in (0, 4)
    ids = [each["job_id"] for each in system.all_of("job.done")]
    assert len(ids) == len(set(ids))
    assert sorted(ids) == list(range(1, len(ids) + 1))


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


@pytest.mark.parametrize("end", ["killed", "stopped", "paused"])
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
    assert "standby: " in second.command("status")[2]
    healthz = f"http://127.0.0.1:{web}/healthz"
    assert requests.get(healthz, timeout=10).status_code == 200

    if end == "stopped":
        first.command("stop")
    else:
        number = signal.SIGKILL if end == "killed" else signal.SIGSTOP
        for pid in theirs:
            os.kill(pid, number)
    try:
        second.wait_for("system.started")
        second.wait_for("job.done", count=5)
        wait_until(lambda: readyz(web)[0] == 200, "it is ready")
    finally:
        if end == "paused":
            for pid in theirs:
                os.kill(pid, signal.SIGCONT)
    if end == "paused":
        first.wait_for("journal.lost")

        def waits_again() -> bool:
            return "leads, term 2" in first.command("status")[2]

        wait_until(waits_again, "the first one waits")
        first.command("stop")
        first.wait()
    second.command("stop")
    second.wait()
    done = [*first.all_of("job.done"), *second.all_of("job.done")]
    known = {each["job_id"] for each in done}
    # At a crash one job at most was served and not kept.
    assert len(set(range(1, max(known) + 1)) - known) <= 1


def test_who_waits_ends_when_it_is_told_to(
    start_numbers: Start, start_system: Start, database: str
) -> None:
    numbers = start_numbers("--every", "0")
    words = ("--url", numbers.url, "--journal", database)
    start_system(*words)
    waiting = [start_system(*words, "--standby", ready=False) for _ in range(2)]

    def all_wait() -> bool:
        return all("standby: " in each.command("status")[2] for each in waiting)

    wait_until(all_wait, "they say that they wait")
    waiting[0].signal(signal.SIGTERM)
    assert waiting[0].wait() == 0
    assert waiting[1].command("stop")[0] == 0
    assert waiting[1].wait() == 0

    without = start_system("--url", numbers.url, "--standby", ready=False)
    assert without.wait() == 2
    assert "expected --journal postgresql://" in "\n".join(without.program.lines)
