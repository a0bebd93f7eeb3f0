"""Rows 17 to 23, 37 to 41 and 46, 47: fetcher, root, admin, main, the machine."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import wait_until_gone
from tests.support.processes import children, parent, watched_by

pytestmark = pytest.mark.system

Start = Callable[..., Any]
Take = Callable[..., Any]


def fetcher_of(system: Any) -> int:
    return int(system.status()["fetchers"][0]["pid"])


def test_17_a_killed_fetcher_finds_its_buffer_again(
    start_numbers: Start, start_system: Start, account: Take
) -> None:
    numbers = start_numbers("--preload", "20", "--every", "0")
    system = start_system("--url", numbers.url, "--processors", "0")
    system.wait_for("fetcher.polled", outcome="none")

    os.kill(fetcher_of(system), signal.SIGKILL)
    system.wait_for("stage.restarted", stage="numbers")
    system.command("attach", "--count", "2")

    done = system.wait_for("job.done", count=20)
    assert sorted(each["job_id"] for each in done) == list(range(1, 21))
    taken = account(numbers, system)
    assert (taken.lost, taken.unexpected, taken.duplicated) == ((), (), 0)


def test_17_without_a_journal_at_most_the_buffer_is_lost(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "20", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--processors", "0", "--buffer", "5"),
        *("--journal", "none"),
    )
    system.wait_for("fetcher.polled", outcome="full")

    os.kill(fetcher_of(system), signal.SIGKILL)
    system.wait_for("stage.restarted", stage="numbers")
    system.command("attach")

    done = system.wait_for("job.done", count=15)
    assert sorted(each["job_id"] for each in done) == list(range(6, 21))


@pytest.mark.parametrize("kind", ["kept", "none"])
def test_18_a_fetcher_killed_with_leases_out_loses_at_most_what_it_had(
    kind: str,
    start_numbers: Start,
    start_system: Start,
    runs: Take,
    settle: Take,
    eventually: Take,
    window: Any,
) -> None:
    numbers = start_numbers("--preload", "12", "--every", "0")
    journal = ("--journal", "none") if kind == "none" else ()
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:slow_root", "--every", "0.1"),
        *("--buffer", "2", *journal),
    )
    system.wait_for("job.done", count=2)

    os.kill(fetcher_of(system), signal.SIGKILL)

    # It may just have one in hand, which the server forgot and no journal knows yet.
    if kind == "kept":
        taken = settle(numbers, system, lost=1)
        assert (taken.unexpected, taken.left) == ((), 0)
    else:
        least = max(2, 12 - 1 - 2 - 2 * window.long)
        eventually(
            lambda: not numbers.account()["waiting"] and len(runs()) >= least,
            f"{least} of 12 done",
        )
    assert sum(runs().values()) <= 12 + 2 * window.long


def test_19_a_fetcher_killed_with_a_number_in_hand_loses_that_one(
    start_numbers: Start, start_system: Start, settle: Take
) -> None:
    numbers = start_numbers("--preload", "12", "--every", "0")

    system = start_system("--url", numbers.url, "--fetch", "jobs:fetch_then_gone")

    taken = settle(numbers, system, lost=1)
    assert (taken.lost, taken.unexpected) == ((5,), ())


@pytest.mark.parametrize("victim", ["root", "fetcher"])
def test_21_a_killed_root_or_fetcher_under_load_loses_nothing(
    victim: str, start_numbers: Start, start_system: Start, settle: Take, window: Any
) -> None:
    numbers = start_numbers("--preload", "60", "--every", "0")
    system = start_system("--url", numbers.url, "--process", "jobs:slow_root")
    system.wait_for("job.done", count=5)
    fetcher = fetcher_of(system)

    os.kill(parent(fetcher) if victim == "root" else fetcher, signal.SIGKILL)

    name = "root" if victim == "root" else "numbers"
    system.wait_for("stage.restarted", stage=name)
    taken = settle(numbers, system, lost=1)
    assert taken.unexpected == ()
    assert taken.duplicated <= 2 * window.long
    assert system.status()["state"] == "running"


@pytest.mark.parametrize("victim", ["root", "fetcher"])
def test_21_a_root_or_fetcher_that_hangs_is_killed_and_nothing_is_lost(
    victim: str, start_numbers: Start, start_system: Start, settle: Take, window: Any
) -> None:
    numbers = start_numbers("--preload", "60", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:slow_root", "--lease", "1")
    )
    system.wait_for("job.done", count=5)
    fetcher = fetcher_of(system)
    pid, name = (parent(fetcher), "root") if victim == "root" else (fetcher, "numbers")

    os.kill(pid, signal.SIGSTOP)

    [silent] = system.wait_for("stage.silent", within_s=40, stage=name)
    assert silent["pid"] == pid
    system.wait_for("stage.restarted", stage=name)
    taken = settle(numbers, system, lost=1)
    assert (taken.unexpected, taken.left) == ((), 0)
    assert taken.duplicated <= 2 * window.long


def test_21_a_root_that_keeps_dying_ends_the_system(
    start_system: Start, eventually: Take
) -> None:
    system = start_system("--processors", "0")
    admin = parent(parent(fetcher_of(system)))
    main = system.program.process.pid
    killed: set[int] = set()

    # Four deaths in five seconds: killed before it has started, which may take long,
    # and after main has begun to watch it.
    def failed_at_last() -> bool:
        for pid in set(children(admin)) & watched_by(main) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        return bool(system.all_of("system.failed"))

    eventually(failed_at_last, "the root is given up")

    assert system.wait() == 5
    assert len(killed) >= 4
    [failed] = system.all_of("system.failed")
    assert failed["error"] == "the root died too often"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_22_without_its_admin_the_system_ends_and_leaves_no_orphan(
    number: signal.Signals, start_numbers: Start, start_system: Start, account: Take
) -> None:
    numbers = start_numbers("--preload", "30", "--every", "0")
    system = start_system("--url", numbers.url, "--process", "jobs:slow_root")
    system.wait_for("job.done", count=3)

    os.kill(parent(parent(fetcher_of(system))), number)

    assert system.wait() == 1
    assert wait_until_gone(system) == set()
    assert len(account(numbers, system).lost) <= 1


def test_23_after_a_killed_main_the_next_start_goes_on(
    start_numbers: Start, start_system: Start, account: Take, window: Any
) -> None:
    numbers = start_numbers("--preload", "40", "--every", "0")
    first = start_system("--url", numbers.url, "--process", "jobs:slow_root")
    first.wait_for("job.done", count=5)

    os.kill(first.program.process.pid, signal.SIGKILL)
    first.program.process.wait()
    second = start_system(
        *("--url", numbers.url, "--process", "jobs:root", "--until-idle", "0.3")
    )

    assert second.wait() == 0
    taken = account(numbers, second)
    assert (taken.unexpected, taken.left) == ((), 0)
    assert len(taken.lost) <= 1
    assert taken.duplicated <= 2 * window.long


def test_36_bad_payloads_are_quarantined_at_the_first_attempt(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    numbers.add(-1, 4)

    system = start_system("--url", numbers.url)

    [quarantined] = system.wait_for("job.quarantined")
    [done] = system.wait_for("job.done")
    assert (quarantined["job_id"], quarantined["attempt"]) == (1, 1)
    assert done["result"] == 2.0


def test_37_a_burst_never_fills_more_than_the_buffer(
    start_numbers: Start, start_system: Start, window: Any
) -> None:
    numbers = start_numbers("--preload", "10000", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:slow_root", "--buffer", "50")
    )
    system.wait_for("job.done", count=20)

    served = len(numbers.account()["served"])
    account = system.status()["accounting"]
    fetcher = fetcher_of(system)

    assert account["buffered"] <= 50
    assert account["in_flight"] <= 2 * window.long
    # The buffer, a window at each processor, and one that is just being fetched.
    assert served <= account["done"] + 50 + 2 * window.long + 1
    assert rss_mb(fetcher) < 100


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def test_39_a_module_that_kills_its_importer_is_given_up_at_the_start(
    start_system: Start,
) -> None:
    system = start_system("--process", "deadly_module:process", ready=False)

    assert system.wait() == 5
    assert len(system.all_of("stage.fatal")) >= 1
    assert system.all_of("system.started") == []
    assert system.all_of("job.fetched") == []
    [stopped] = system.all_of("system.stopped")
    assert stopped["accounting"]["fetched"] == 0


@pytest.mark.parametrize("victim", ["fetcher", "processor"])
def test_39_a_stage_that_can_be_started_no_more_ends_the_system(
    victim: str, start_system: Start, env: dict[str, str], tmp_path: Path
) -> None:
    env["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    module = tmp_path / "changing.py"
    module.write_text("def fetch(url):\n    pass\n\ndef process(job):\n    pass\n")
    system = start_system(
        *("--fetch", "changing:fetch", "--process", "changing:process"),
        *("--url", "http://127.0.0.1:9", "--processors", "1"),
    )
    [attached] = system.wait_for("processor.attached")
    pid = fetcher_of(system) if victim == "fetcher" else attached["pid"]

    module.write_text("there is no such thing")
    os.kill(pid, signal.SIGKILL)

    assert system.wait() == 5
    [failed] = system.all_of("stage.failed")
    assert "SyntaxError" in failed["error"]


def test_41_a_get_in_flight_at_a_stop_is_kept(
    start_numbers: Start, start_system: Start, account: Take, eventually: Take
) -> None:
    numbers = start_numbers("--preload", "30", "--every", "0", "--fault", "hang:1")
    system = start_system("--url", numbers.url, "--processors", "0")
    eventually(lambda: numbers.account()["served"], "an answer on its way")

    system.signal(signal.SIGTERM)

    assert system.wait() == 4
    served = numbers.account()["served"]
    assert 1 <= len(served) < 30
    taken = account(numbers, system)
    assert (taken.lost, taken.left) == ((), len(served))


def test_41_what_a_hanging_fetcher_has_is_left_in_the_journal_and_said(
    start_numbers: Start, start_system: Start, account: Take
) -> None:
    numbers = start_numbers("--preload", "5", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--processors", "0", "--drain-timeout", "1")
    )
    system.wait_for("job.fetched", count=5)
    fetcher = fetcher_of(system)

    os.kill(fetcher, signal.SIGSTOP)
    system.signal(signal.SIGTERM)

    assert system.wait() == 4
    [stopped] = system.all_of("system.stopped")
    assert stopped["accounting"]["buffered"] == 5
    taken = account(numbers, system)
    assert (taken.lost, taken.left) == ((), 5)


def test_41_a_signal_during_the_start_leaves_nothing(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, ready=False)
    system.wait_for("processor.attached")

    system.signal(signal.SIGTERM)

    assert system.wait() == 0
    assert wait_until_gone(system) == set()


def test_42_processors_come_and_go_under_load(
    start_numbers: Start, start_system: Start, account: Take, asked: Take, window: Any
) -> None:
    numbers = start_numbers("--preload", "80", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:slow_root", "--processors", "2")
    )
    system.wait_for("job.done", count=5)

    system.command("attach", "--count", "4")
    is_roomy = 2 * window.long > 80
    if is_roomy:
        asked(system, 5 * window.long)
    numbers.add(*range(80))
    before = len(system.all_of("job.done"))
    system.wait_for("job.done", count=before + 40)
    system.command("detach", "--count", "2")

    done = system.wait_for("job.done", count=160)
    assert sorted(each["job_id"] for each in done) == list(range(1, 161))
    assert account(numbers, system).duplicated == 0
    # Where two windows hold all there is, who comes later shares what comes later.
    names = [f"processor-{number}" for number in range(3 if is_roomy else 1, 5)]
    shares = [
        sum(each["processor"] == name for each in done[before:]) for name in names
    ]
    assert max(shares) <= 2 * min(shares)


def run_with_files(
    soft: int, hard: int, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    limited = "import resource, runpy, sys; sys.argv[0] = 'lowtide'; "
    limited += f"resource.setrlimit({resource.RLIMIT_NOFILE}, ({soft}, {hard})); "
    limited += "runpy.run_module('actors.main', run_name='__main__')"
    return subprocess.run(
        [
            *(sys.executable, "-c", limited, "run", "--port", "0", "--for", "0.5"),
            *("--url", "http://127.0.0.1:9"),
        ],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("limit", [14, 26, 54])
def test_46_too_few_descriptors_are_said_and_nothing_is_half_started(
    limit: int, env: dict[str, str]
) -> None:
    done = run_with_files(limit, limit, env)

    assert done.returncode == 2
    assert done.stderr == (
        "lowtide: 3 stages need 55 open files in a process, "
        f"{limit} are allowed; raise that with ulimit -n\n"
    )


def test_46_a_limit_that_may_be_raised_is_raised(env: dict[str, str]) -> None:
    done = run_with_files(20, 400, env)

    assert done.returncode == 0, done.stderr


def test_46_processors_that_could_not_be_started_are_not_attached(
    start_system: Start,
) -> None:
    system = start_system("--processors", "2")
    root = parent(fetcher_of(system))
    resource.prlimit(root, resource.RLIMIT_NOFILE, (60, 60))

    code, _, errors = system.command("attach", "--count", "20")

    assert code == 2
    assert "20 more processors need 100" in errors
    assert len(system.status()["processors"]) == 2


def test_47_a_log_that_nobody_reads_any_more_stops_nothing(
    start_numbers: Start, start_system: Start, eventually: Take
) -> None:
    numbers = start_numbers("--preload", "50", "--every", "0")
    system = start_system("--url", numbers.url, read_log=False)
    assert system.program.process.stderr is not None
    system.program.process.stderr.readline()
    system.program.process.stderr.close()

    eventually(lambda: system.status()["accounting"]["done"] == 50, "50 done")
    assert system.command("stop")[0] == 0
    assert system.wait() == 0
