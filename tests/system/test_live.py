"""Changing a system while it runs, and being told why nothing moves."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from actors.host.control_socket import NoAnswerError, ask
from actors.host.ports import free_port
from actors.host.state_dir import SystemFiles
from actors.testing.processes import WITHIN_S, Program, wait_until
from tests.support.processes import parent

pytestmark = pytest.mark.system

Start = Callable[..., Any]


def only_fetcher(system: Any) -> dict[str, Any]:
    [fetcher] = system.status()["fetchers"]
    return dict(fetcher)


def test_a_pause_stops_the_polling_and_lets_the_rest_go_on(
    start_numbers: Start, start_system: Start, eventually: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.05")
    system.wait_for("system.started")

    def is_at_rest() -> bool:
        fetcher = only_fetcher(system)
        return fetcher["state"] == "paused" and not fetcher["fetching"]

    paused = system.command("pause")
    # A request that is under way ends, and what it brings is kept.
    eventually(is_at_rest, "no request under way")
    numbers.add(*range(5))
    status = system.status()

    assert paused[:2] == (0, "paused numbers\n")
    assert (status["state"], status["accounting"]["fetched"]) == ("paused", 0)
    assert status["fetchers"][0]["waiting_for"] == "paused"
    assert {each["waiting_for"] for each in status["processors"]} == {"paused"}
    assert status["why"] == "numbers is paused; lowtide resume goes on"

    resumed = system.command("resume", "numbers")

    assert resumed[:2] == (0, "resumed numbers\n")
    system.wait_for("job.done", count=5)
    assert system.status()["state"] == "running"


def test_a_pause_outlives_the_fetcher_that_was_told(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.05")
    system.command("pause")
    [fetcher] = system.status()["fetchers"]

    os.kill(fetcher["pid"], signal.SIGKILL)
    system.wait_for("stage.restarted", stage="numbers")
    numbers.add(49)

    assert only_fetcher(system)["waiting_for"] == "paused"
    assert system.all_of("job.fetched") == []
    system.command("resume")
    system.wait_for("job.done", result=7.0)


def kill_root(system: Any) -> None:
    os.kill(parent(only_fetcher(system)["pid"]), signal.SIGKILL)
    system.wait_for("stage.restarted", stage="root")


def test_a_pause_outlives_the_root_that_was_told(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.05")
    system.command("pause", "--hold")

    kill_root(system)
    numbers.add(49)
    status = system.status()

    assert (status["state"], status["accounting"]["fetched"]) == ("paused", 0)
    assert status["fetchers"][0]["waiting_for"] == "paused"
    assert system.command("resume")[:2] == (0, "resumed numbers\n")
    system.wait_for("job.done", result=7.0)
    assert system.status()["state"] == "running"


def test_a_resume_outlives_the_root_that_was_told(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system("--url", numbers.url, "--every", "3600")
    system.command("pause")
    system.command("resume")

    kill_root(system)

    assert system.status()["state"] == "running"


def test_what_was_set_attached_and_detached_outlives_the_root(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "3600")
    system.command("set", "--every", "0.05", "--max-demand", "3")
    system.command("attach", "--count", "3")
    system.command("detach", "processor-2")

    kill_root(system)
    wait_until(
        lambda: [each["demand"] for each in system.status()["processors"]] == [3] * 4,
        "four processors with a demand of 3",
    )
    numbers.add(49)

    assert only_fetcher(system)["every_s"] == 0.05
    system.wait_for("job.done", result=7.0)


def test_a_stop_outlives_the_root_that_was_told(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:minute", "--processors", "1"),
        *("--drain-timeout", "3"),
    )
    system.wait_for_in_flight()
    # Asked for now: on a busy machine that may take as long as the drain.
    root = parent(only_fetcher(system)["pid"])
    socket = SystemFiles(Path(system.env["LOWTIDE_STATE_DIR"]), system.port).socket
    with pytest.raises(NoAnswerError):
        ask(socket, {"verb": "stop"}, 0.1)
    system.wait_for("drain.started")

    os.kill(root, signal.SIGKILL)
    system.wait_for("stage.restarted", stage="root")

    assert system.wait(20) == 4
    [stopped] = system.all_of("system.stopped")
    assert stopped["exit_code"] == 4


def test_a_whole_system_that_is_started_again_begins_as_it_is_configured(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    first = start_system("--url", numbers.url, "--every", "0.05")
    first.command("pause")
    first.command("set", "--every", "3600")
    first.command("stop")
    assert first.wait() == 0
    numbers.add(49)

    second = start_system("--url", numbers.url, "--every", "0.05")

    second.wait_for("job.done", result=7.0)
    assert only_fetcher(second)["every_s"] == 0.05


def test_what_is_held_back_while_processors_ask_is_told_as_a_stall(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "3", "--every", "0")
    system = start_system("--url", numbers.url, "--processors", "0")
    system.wait_for("job.fetched", count=3)

    system.command("pause", "--hold")
    system.command("attach")
    [stalled] = system.wait_for("stage.stalled")

    assert (stalled["stage"], stalled["reason"]) == ("numbers", "paused")
    assert (stalled["buffered"], stalled["demand"]) == (3, 1)
    assert system.all_of("job.done") == []
    system.command("resume")
    system.wait_for("job.done", count=3)


def test_set_changes_the_interval_and_the_demand_of_those_that_run_and_come(
    start_numbers: Start, start_system: Start, eventually: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "3600")
    system.wait_for("fetcher.polled", outcome="none")

    slow = only_fetcher(system)
    out = system.command("set", "--every", "0.05", "--max-demand", "3")
    system.command("attach")
    # Before there are jobs: after some, a window may stand anywhere above its floor.
    eventually(
        lambda: [e["demand"] for e in system.status()["processors"]] == [3, 3, 3],
        "each asks for three",
    )
    fast = only_fetcher(system)
    numbers.add(*range(4))

    assert (slow["every_s"], fast["every_s"]) == (3600.0, 0.05)
    assert out[:2] == (0, "set numbers, processor-1, processor-2\n")
    system.wait_for("job.done", count=4)


def test_set_limits_the_rate_and_lifts_the_limit_again(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--every", "0")
    options = tmp_path / "lowtide.toml"
    options.write_text(
        '[[fetcher]]\nname = "numbers"\nrate_limit = 100\nrate_interval_s = 3600.0\n'
        f'options = {{ url = "{numbers.url}" }}\n'
    )
    system = start_system("--config", str(options), "--every", "0.05")

    limited = system.command("set", "--rate-limit", "2")
    numbers.add(*range(6))
    system.wait_for("job.fetched", count=6)
    system.wait_for("job.done", count=2)
    waiting = system.status()["accounting"]
    lifted = system.command("set", "--rate-limit", "none")

    assert limited[:2] == lifted[:2] == (0, "set numbers\n")
    assert (waiting["done"], waiting["buffered"]) == (2, 4)
    system.wait_for("job.done", count=6)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ["set"],
            (
                "nothing to set, expected one of every_s, max_demand, rate_limit, "
                "rate_interval_s, demand\n"
            ),
        ),
        (["set", "--every", "0"], "--every must be a number of seconds above 0, "),
        (["set", "nobody", "--every", "1"], "there is no nobody, only: numbers, "),
        (["pause", "processor-1"], "there is no fetcher processor-1, only: numbers"),
        (["resume", "x"], "there is no fetcher x, only: numbers\n"),
    ],
)
def test_what_cannot_be_changed_is_refused(
    words: list[str], complaint: str, start_system: Start
) -> None:
    system = start_system()

    code, out, errors = system.command(*words)

    assert (code, out) == (2, "")
    assert errors.startswith(f"lowtide: {complaint}")
    assert system.status()["state"] == "running"


def nonsense() -> list[dict[str, Any]]:
    """Commands that cannot be carried out."""
    wrong: dict[tuple[str, str], list[Any]] = {
        ("attach", "count"): ["x", 1e9, True, 0, 257],
        ("attach", "processor"): [[], 5, "nope"],
        ("detach", "names"): [5, [5], "x", [[]]],
        ("detach", "count"): ["x", 0, 3, True],
        ("pause", "names"): [{"a": 1}],
        ("resume", "names"): [["nope"]],
        ("set", "values"): [None, 5, {"every_s": "x"}, {"x": 1}],
    }
    keys: list[Any] = [{}, [], {"numbers": "x"}, {"numbers": [2**63]}, {"x": [1]}]
    verbs: list[Any] = [None, 1, [], "nope", "jobs"]
    return [
        *({"verb": verb} for verb in verbs),
        *({"verb": v, key: each} for (v, key), many in wrong.items() for each in many),
        *({"verb": "jobs", "action": "retry", "keys": each} for each in keys),
    ]


def test_whatever_comes_over_the_socket_is_answered(
    start_system: Start, env: dict[str, str]
) -> None:
    system = start_system()
    socket = SystemFiles(Path(env["LOWTIDE_STATE_DIR"]), system.port).socket
    pids = [each["pid"] for each in system.status()["processors"]]

    answers = [ask(socket, command, 5.0) for command in nonsense()]

    assert [each for each in answers if each.keys() != {"error"}] == []
    assert [each["pid"] for each in system.status()["processors"]] == pids
    assert not any("Traceback" in line for line in system.program.lines)


def test_commands_at_once_each_get_their_own_answer(start_system: Start) -> None:
    system = start_system("--processors", "1")
    words = [
        *([["attach", "--processor", "processor"]] * 4),
        *([["status", "--json"]] * 3),
        *([["set", "--every", "5"], ["detach", "nobody"], ["pause"], ["resume"]]),
    ]

    with ThreadPoolExecutor(len(words)) as pool:
        answers = list(pool.map(lambda each: system.command(*each), words))

    attached = sorted(out for _, out, _ in answers[:4])
    assert attached == [f"attached processor-{i}\n" for i in (2, 3, 4, 5)]
    assert all(json.loads(out)["fetchers"] for _, out, _ in answers[4:7])
    assert [answer[:2] for answer in answers[7:]] == [
        (0, "set numbers\n"),
        (2, ""),
        (0, "paused numbers\n"),
        (0, "resumed numbers\n"),
    ]


def test_status_is_shown_again_and_again(start_system: Start) -> None:
    system = start_system()
    words = ["status", "--json", "--watch", "0.05", "--port", str(system.port)]
    watch = subprocess.Popen(
        [sys.executable, "-m", "actors.main", *words],
        stdout=subprocess.PIPE,
        env={key: each for key, each in system.env.items() if "MARK" not in key},
        text=True,
    )
    assert watch.stdout is not None

    states = [json.loads(watch.stdout.readline())["state"] for _ in range(3)]
    system.command("pause")
    for line in watch.stdout:
        if json.loads(line)["state"] == "paused":
            break

    assert states == ["running"] * 3
    watch.send_signal(signal.SIGINT)
    assert watch.wait(WITHIN_S) == 0
    watch.stdout.close()


def test_a_reader_that_has_seen_enough_ends_the_watch_without_a_word(
    start_system: Start,
) -> None:
    system = start_system()
    command = [sys.executable, "-m", "actors.main", "status", "--watch", "0.05"]
    watch = subprocess.Popen(
        [*command, "--port", str(system.port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={key: each for key, each in system.env.items() if "MARK" not in key},
        text=True,
    )
    assert watch.stdout is not None
    assert watch.stderr is not None

    first = watch.stdout.readline()
    watch.stdout.close()

    assert watch.wait(WITHIN_S) == 0
    assert first.startswith("running: ")
    assert watch.stderr.read() == ""
    watch.stderr.close()


def test_status_for_people_says_why_nothing_moves(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    system = start_system("--url", numbers.url, "--processors", "0")
    system.wait_for("fetcher.polled", outcome="none")

    code, out, _ = system.command("status")

    assert code == 0
    assert out.splitlines()[1] == (
        "numbers has 2 jobs: there is no processor; lowtide attach adds one"
    )
    assert only_fetcher(system)["waiting_for"] == "demand"


def test_an_idle_system_waits_for_jobs(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--processors", "1")
    system.wait_for("fetcher.polled", outcome="none")

    status = system.status()

    assert status["fetchers"][0]["waiting_for"] == "jobs"
    assert status["processors"][0]["waiting_for"] == "jobs"
    assert status["why"].startswith("numbers has no jobs: its source had none ")


def test_a_failing_source_makes_all_wait_for_the_end_of_the_back_off(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers()
    numbers.program.close()
    system = start_system("--url", numbers.url, "--processors", "1")
    system.wait_for("fetcher.polled", outcome="error")

    status = system.status()

    assert status["fetchers"][0]["waiting_for"] == "backoff"
    assert status["processors"][0]["waiting_for"] == "backoff"
    assert "UnreachableError" in status["why"]


def test_resume_asks_a_source_that_failed_at_once(
    start_numbers: Start, start_system: Start
) -> None:
    port = str(free_port())
    system = start_system("--url", f"http://127.0.0.1:{port}", "--every", "3600")
    system.wait_for("fetcher.polled", outcome="error")
    again = start_numbers("--preload", "1", "--every", "0", "--port", port)

    system.command("resume")

    [done] = system.wait_for("job.done")
    assert done["job_id"] in again.account()["served"]


def test_a_drain_is_told_with_what_is_left(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:minute", "--processors", "1")
    )
    system.wait_for_in_flight()

    system.signal(signal.SIGTERM)
    system.wait_for("drain.started")
    status = system.status()

    assert (status["state"], status["fetchers"][0]["waiting_for"]) == (
        "draining",
        "drain",
    )
    assert status["why"].startswith("draining: 1 in flight, 0 kept, ")


@pytest.mark.file
def test_a_journal_that_cannot_be_written_is_why_nothing_moves(
    start_numbers: Start, start_system: Start, env: dict[str, str]
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.05")
    journal = Path(env["LOWTIDE_JOURNAL"])
    blocker = sqlite3.connect(journal, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    try:
        numbers.add(4)
        [failed, *_] = system.wait_for("journal.failed", within_s=40)
        [stalled, *_] = system.wait_for("stage.stalled", within_s=40)
    finally:
        blocker.close()

    assert "locked" in failed["error"]
    assert (stalled["reason"], stalled["stage"]) == ("room", "numbers")
    system.wait_for("job.done", result=2.0)


def test_what_waits_for_jobs_says_each_second_what_it_waits_for(
    start_numbers: Start, start_system: Start, switch: Path
) -> None:
    numbers = start_numbers("--every", "0")
    words = ("--process", "jobs:held_root", "--processors", "1", "--every", "0.1")
    system = start_system("--url", numbers.url, *words)
    numbers.add(4)
    system.wait_for_in_flight()

    waiting = {
        verb: Program(
            *("-m", "actors.main", *verb.split(), "--port", str(system.port)),
            env=system.env,
        )
        for verb in ("wait", "detach processor-1")
    }
    try:
        wait_until(
            lambda: (
                waiting["wait"].lines[1:] and waiting["detach processor-1"].lines[1:]
            ),
            "two lines of each",
        )
        # Told while it waits: as the job ends, a line may come that says so.
        told = {verb: set(each.lines) for verb, each in waiting.items()}
        switch.touch()
        assert [each.wait() for each in waiting.values()] == [0, 0]
    finally:
        for each in waiting.values():
            each.close()

    assert told == {
        "wait": {"waiting for numbers (0 buffered, 1 in flight, 0 retrying)"},
        "detach processor-1": {"waiting for processor-1 (1 in flight)"},
    }
