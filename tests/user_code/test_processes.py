"""What a user's functions start ends with them, and gets nothing of ours."""

from __future__ import annotations

import gzip
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.commands.main_process import DELIBERATE_S
from actors.testing.processes import WITHIN_S
from tests.support.processes import children, parent

pytestmark = pytest.mark.system

Start = Callable[..., Any]


def functions(process: str, fetch: str = "four") -> list[str]:
    here = "tests.user_code.processes"
    options = ["--every", "0.1", "--journal", "none"]
    return ["--fetch", f"{here}:{fetch}", "--process", f"{here}:{process}", *options]


def sleeping(system: Any) -> set[int]:
    """What was started by jobs and still runs."""
    found = set()
    for pid in system.pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(b"sleep\0"):
            found.add(pid)
    return found


def test_pools_of_forks_work_in_a_job(start_system: Start) -> None:
    system = start_system(*functions("pools", "one"), "--processors", "1")

    [done] = system.wait_for("job.done", within_s=100)
    assert done["result"] is True


#: Of what ``programs`` starts, beside a fork of Python.
SLEEPING = 2
#: Of what ``programs_and_a_session`` starts.
WITH_A_SESSION = SLEEPING + 1


def test_an_overdue_job_takes_what_it_started_with_it(
    start_system: Start, eventually: Start
) -> None:
    options = ["--job-timeout", "1", "--retries", "2", "--processors", "1"]
    system = start_system(*functions("programs_and_a_session", "one"), *options)

    # Those of one attempt at a time: the first had ended before the second began.
    counts = set()

    def given_up() -> bool:
        counts.add(len(sleeping(system)))
        return bool(system.all_of("job.quarantined"))

    eventually(given_up, "the job given up")
    assert max(counts) <= WITH_A_SESSION
    # main, admin, root, fetcher, processor
    eventually(lambda: len(system.pids()) == 5, "nothing left of it")
    assert not sleeping(system)


def test_a_killed_processor_takes_what_it_started_with_it(
    start_system: Start, eventually: Start
) -> None:
    words = functions("programs_and_a_session", "one")
    system = start_system(*words, "--processors", "1")
    eventually(lambda: len(sleeping(system)) == WITH_A_SESSION, "what the job starts")
    [attached] = system.wait_for("processor.attached")
    # The fork is no program of its own.
    first = sleeping(system) | set(children(attached["pid"]))
    assert len(first) > WITH_A_SESSION

    os.kill(attached["pid"], signal.SIGKILL)

    eventually(lambda: not first & system.pids(), "it ended with the processor")
    eventually(lambda: sleeping(system), "the job ran again")


@pytest.mark.parametrize(
    "victim", ["main", "main beside a stopped admin", "admin", "root", "all"]
)
def test_a_system_that_ends_in_any_way_takes_what_was_started_with_it(
    victim: str, start_system: Start, eventually: Start
) -> None:
    words = functions("programs_and_a_session", "one")
    system = start_system(*words, "--processors", "1")
    eventually(lambda: len(sleeping(system)) == WITH_A_SESSION, "what the job starts")
    [attached] = system.wait_for("processor.attached")
    root = parent(attached["pid"])
    pids = {"main": system.program.process.pid, "root": root, "admin": parent(root)}

    match victim:
        case "all":
            system.kill_all()
        case "main beside a stopped admin":
            os.kill(pids["admin"], signal.SIGSTOP)
            os.kill(pids["main"], signal.SIGKILL)
        case _:
            os.kill(pids[victim], signal.SIGKILL)
    if victim == "root":
        system.wait_for("stage.restarted", stage="root")
        system.signal(signal.SIGTERM)
        system.wait_for("drain.started")
        time.sleep(DELIBERATE_S)  # sooner it is taken for the same
        system.signal(signal.SIGTERM)

    system.wait()
    # The fixture says that nothing is left.


def test_a_stop_ends_what_jobs_have_left(start_system: Start) -> None:
    system = start_system(*functions("forks_and_forgets"))
    system.wait_for("job.done", count=4)

    assert system.command("stop")[0] == 0

    assert system.wait() == 0
    again = start_system(*functions("forks_and_forgets"), port=system.port)
    again.wait_for("job.done", count=4)


def test_a_service_that_was_detached_lives_on_and_holds_nothing(
    start_system: Start, eventually: Start
) -> None:
    system = start_system(*functions("service", "one"))
    system.wait_for("job.done")
    eventually(lambda: sleeping(system), "a service")

    assert system.command("stop")[0] == 0
    # The service has standard error still: nobody can wait for the end of that.
    assert system.program.process.wait(WITHIN_S) == 0

    [service] = sleeping(system)
    try:
        assert {int(each.name) for each in Path(f"/proc/{service}/fd").iterdir()} <= {
            0,
            1,
            2,
        }
        again = start_system(*functions("prints"), port=system.port)
        again.wait_for("job.done", count=4)
    finally:
        os.kill(service, signal.SIGKILL)


def test_a_start_that_is_refused_names_who_holds_the_lock(
    start_system: Start, eventually: Start, env: dict[str, str]
) -> None:
    system = start_system(*functions("service_in_c", "one"))
    system.wait_for("job.done")
    effects = Path(env["TEST_EFFECTS"])
    eventually(lambda: effects.exists() and effects.read_text(), "a service")
    service = int(effects.read_text())
    assert system.command("stop")[0] == 0
    system.program.process.wait(WITHIN_S)

    try:
        refused = start_system(*functions("prints"), port=system.port, ready=False)
        assert refused.wait() == 2
    finally:
        os.kill(service, signal.SIGKILL)
    text = "\n".join(refused.program.lines)
    assert f"pid {service}: " in text
    assert "left behind" in text


@pytest.mark.parametrize("what", ["fork_falls_through", "fork_exits"])
def test_a_fork_that_comes_back_into_our_code_ends_there(
    what: str, start_system: Start, eventually: Start
) -> None:
    system = start_system(*functions(what), "--processors", "1")

    done = system.wait_for("job.done", count=4)

    expected = [7] * 4 if what == "fork_exits" else [1, 2, 3, 4]
    assert [each["result"] for each in done] == expected
    eventually(lambda: len(system.pids()) == 5, "no fork left")
    assert len(system.all_of("job.done")) == 4


def test_a_fork_in_a_fetch_ends_where_it_comes_back(
    start_system: Start, eventually: Start
) -> None:
    system = start_system(*functions("prints", "forked_by_fetch"), "--processors", "1")

    done = system.wait_for("job.done", count=4)

    assert [each["result"] for each in done] == [1, 2, 3, 4]
    eventually(lambda: len(system.pids()) == 5, "no fork left")
    assert system.status()["accounting"]["fetched"] == 4


def test_a_fork_has_no_handler_and_no_file_of_ours(start_system: Start) -> None:
    system = start_system(*functions("inherited", "one"))

    [done] = system.wait_for("job.done")

    # The log's pipe, and the test's own; what is taken away is the null device.
    left = [each for each in done["result"]["fork"] if each != "/dev/null"]
    files = [each for each in left if not each.startswith("pipe:")]
    assert [each for each in files if not re.fullmatch(r"/proc/\d+/fd", each)] == []
    assert len(left) - len(files) <= 4
    # Its own look into the directory is the fourth.
    assert len(done["result"]["program"]) <= 4


def test_a_crash_ends_its_process_and_its_stack_is_in_the_log(
    start_system: Start,
) -> None:
    system = start_system(*functions("crashes"), "--retries", "1")

    system.wait_for("job.quarantined", count=3)
    system.wait_for("job.done", job_id=4)
    crashed = {
        each["signal"]: each["trace"] for each in system.wait_for("stage.crashed", 3)
    }
    assert set(crashed) == {"SIGSEGV", "SIGFPE", "SIGALRM"}
    assert "in crashes" in crashed["SIGSEGV"]
    assert all(each["stage"] for each in system.all_of("stage.crashed"))


def test_a_fetch_that_crashes_is_told_and_started_again(start_system: Start) -> None:
    system = start_system(*functions("prints", "crashing_fetch"))

    [crashed] = system.wait_for("stage.crashed")
    assert (crashed["stage"], crashed["signal"]) == ("processes", "SIGSEGV")
    assert "in crashing_fetch" in crashed["trace"]
    system.wait_for("job.done", count=4)


def test_a_job_that_ends_its_group_ends_itself_only(start_system: Start) -> None:
    system = start_system(*functions("ends_its_group"), "--retries", "1")

    done = system.wait_for("job.done", count=3)

    assert {each["result"] for each in done} == {2, 3, 4}
    assert system.wait_for("job.quarantined", job_id=1)
    assert not system.all_of("stage.exited", stage="processes")


def test_what_is_printed_is_there_after_a_stop(
    start_system: Start, env: dict[str, str]
) -> None:
    # As it is for users: kept back until the end, and not written piece by piece, which
    # would mix with what others print.
    del env["PYTHONUNBUFFERED"]
    system = start_system(*functions("prints", "printing_fetch"))
    system.wait_for("job.done", count=4)

    system.signal(signal.SIGTERM)

    assert system.wait() == 0
    out = system.program.process.stdout.read()
    for number in range(1, 5):
        assert out.count(f"job {number}\n") == 1
        assert out.count(f"end {number}\n") == 1
    assert out.count("no newline|") == 4
    assert out.count("fetching\n") == 2  # "fetching", "end of fetching"


def test_what_is_printed_is_there_after_a_detach(
    start_system: Start, env: dict[str, str]
) -> None:
    del env["PYTHONUNBUFFERED"]
    system = start_system(*functions("prints"), "--processors", "1")
    system.wait_for("job.done", count=4)

    assert system.command("detach", "processor-1")[0] == 0
    system.wait_for("processor.detached")
    system.program.process.kill()

    system.program.process.wait()
    out = system.program.process.stdout.read()
    assert [out.count(f"end {number}\n") for number in range(1, 5)] == [1] * 4


def test_what_is_written_to_open_files_is_there_after_a_stop(
    start_system: Start, env: dict[str, str], tmp_path: Path
) -> None:
    env["WRITTEN"] = str(tmp_path)
    system = start_system(*functions("writes"))
    system.wait_for("job.done", count=4)

    system.signal(signal.SIGTERM)

    assert system.wait() == 0
    lines = sorted(f"job {number}" for number in range(1, 5))
    for ending in ("txt", "gz", "log"):
        written = [path.read_bytes() for path in tmp_path.glob(f"*.{ending}")]
        if ending == "gz":
            written = [gzip.decompress(each) for each in written]
        assert sorted(b"".join(written).decode().splitlines()) == lines


def test_a_user_who_ends_slowly_holds_up_no_stop(start_system: Start) -> None:
    system = start_system(*functions("ends_slowly"))
    system.wait_for("job.done", count=4)

    system.signal(signal.SIGTERM)

    # Two seconds for each stage, side by side.
    assert system.wait(20) == 0
    assert "the end" in system.program.process.stdout.read()
