"""How a system starts, is refused, is stopped, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.commands.main_process import DELIBERATE_S
from actors.host.ports import free_port
from actors.testing.processes import wait_until_gone
from tests.support.processes import children, parent

pytestmark = pytest.mark.system

Start = Callable[..., Any]

#: A source that nobody serves, so that no job is left when a system ends.
NOBODY = "http://127.0.0.1:9"


def test_no_arguments_start_the_bundled_server_and_say_so(start_system: Start) -> None:
    system = start_system()

    [started] = system.all_of("system.started")
    assert started["fetchers"][0].startswith("numbers: http://127.0.0.1:")
    assert started["processors"] == ["processor x2"]
    system.wait_for("fetcher.polled", outcome="none")
    system.signal(signal.SIGINT)
    # 4: the server makes a number each second, and one that was on its way is kept.
    assert system.wait() in (0, 4)


def test_the_bundled_server_goes_on_where_the_run_before_ended(
    start_system: Start,
) -> None:
    first = start_system("--every", "0.1")
    last = first.wait_for("job.done")[-1]["job_id"]
    first.signal(signal.SIGINT)
    first.wait()
    highest = max(each["job_id"] for each in first.all_of("job.fetched"))

    second = start_system("--every", "0.1")

    [fetched, *_] = second.wait_for("job.fetched")
    assert fetched["job_id"] == highest + 1 > last
    assert second.all_of("job.duplicate") == []


def test_ctrl_c_finishes_what_is_buffered_and_fetches_no_more(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "600", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:short_nap", "--buffer", "40"),
        *("--journal", "none"),
    )
    system.wait_for("fetcher.polled", outcome="full")

    system.signal(signal.SIGINT)

    assert system.wait() == 0
    served = numbers.account()["served"]
    assert sorted(each["job_id"] for each in system.all_of("job.done")) == served
    assert len(served) < 600
    [stopped] = system.all_of("system.stopped")
    assert stopped["accounting"]["done"] == len(served)


def test_a_system_that_ends_when_it_is_idle_waits_for_a_slow_answer(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0", "--delay", "1")

    system = start_system("--url", numbers.url, "--until-idle", "0.3")

    assert system.wait() == 0
    assert {each["job_id"] for each in system.all_of("job.done")} == {1, 2}


def test_a_system_that_ends_while_its_source_fails_says_so(
    start_system: Start,
) -> None:
    """Whoever runs it from a timer is to hear that the API was down."""
    url = f"http://127.0.0.1:{free_port()}"

    system = start_system("--url", url, "--until-idle", "0.3")

    assert system.wait() == 1
    [told] = system.all_of("drain.unanswered")
    assert (told["level"], told["fetcher"]) == ("warning", "numbers")
    assert "refused" in told["error"]
    assert system.all_of("system.stopped")[0]["exit_code"] == 1


def test_a_source_that_failed_before_it_answered_is_no_failure(
    start_system: Start,
) -> None:
    system = start_system(
        *("--fetch", "jobs:fetch_after_an_error", "--process", "jobs:root"),
        *("--every", "0.1", "--until-idle", "2"),
    )

    assert system.wait() == 0
    assert [each["result"] for each in system.all_of("job.done")] == [2.0]
    assert not system.all_of("drain.unanswered")


def test_sigterm_drains_as_well_and_jobs_over_time_are_left(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:minute", "--drain-timeout", "0.3")
    )
    system.wait_for_in_flight()

    system.signal(signal.SIGTERM)

    assert system.wait() == 4
    [stopped] = system.all_of("system.stopped")
    assert stopped["accounting"]["in_flight"] == 1


def test_a_second_ctrl_c_stops_at_once(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system("--url", numbers.url, "--process", "jobs:minute")
    system.wait_for_in_flight()

    system.signal(signal.SIGINT)
    system.wait_for("drain.started")
    time.sleep(DELIBERATE_S)  # nobody means it sooner
    system.signal(signal.SIGINT)

    # A drain would take 25 seconds.
    assert system.wait(20) == 130


def test_a_ctrl_c_that_comes_twice_at_once_drains(
    start_numbers: Start, start_system: Start, switch: Path
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system("--url", numbers.url, "--process", "jobs:held_root")
    system.wait_for_in_flight()

    # The terminal sends one to each process, and what wraps the command another.
    system.signal(signal.SIGINT)
    system.signal(signal.SIGTERM)
    system.wait_for("drain.started")
    switch.touch()

    assert system.wait() == 0
    assert len(system.all_of("job.done")) == 1


@pytest.mark.parametrize("victim", ["main", "admin"])
def test_nothing_outlives_a_killed_process(
    victim: str, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system("--url", numbers.url, "--process", "jobs:minute")
    system.wait_for_in_flight()
    # main, admin, root, fetcher, two processors
    assert len(system.pids()) == 6
    fetcher = system.status()["fetchers"][0]["pid"]
    root = parent(fetcher)
    pids = {"main": system.program.process.pid, "root": root, "admin": parent(root)}

    os.kill(pids[victim], signal.SIGKILL)

    system.wait()
    assert wait_until_gone(system) == set()
    again = system.command("run", "--until-idle", "0.2", "--url", numbers.url)
    assert again[0] == 0, again[2]


def test_a_second_run_on_the_same_port_is_refused(start_system: Start) -> None:
    system = start_system()

    code, out, errors = system.command("run")

    assert (code, out) == (2, "")
    pid = system.program.process.pid
    assert errors == (
        f"lowtide: a lowtide system is running at port {system.port} already "
        f"(pid {pid}); choose another with --port\n"
    )
    assert system.status()["state"] == "running"


def test_a_port_that_another_program_has_is_no_matter(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        system = start_system("--url", numbers.url, port=port)

        system.wait_for("job.done")
        assert system.command("status")[0] == 0


def test_attached_processors_work_and_detached_ones_finish_first(
    start_numbers: Start, start_system: Start, all_ask: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:nap", "--processors", "1"),
        *("--every", "0.1"),
    )

    attached = system.command("attach", "--count", "3")
    all_ask(system, 4)
    numbers.add(*range(24))
    done = system.wait_for("job.done", count=24)

    assert attached[:2] == (0, "attached processor-2, processor-3, processor-4\n")
    assert {each["processor"] for each in done} == {
        f"processor-{i}" for i in (1, 2, 3, 4)
    }

    numbers.add(*range(12))
    system.wait_for("job.fetched", count=36)
    detached = system.command("detach", "processor-2", "processor-3")
    done = system.wait_for("job.done", count=36)

    assert detached[:2] == (0, "detached processor-2, processor-3\n")
    assert len({each["job_id"] for each in done}) == 36
    assert {each["attempt"] for each in done} == {1}
    names = [each["name"] for each in system.status()["processors"]]
    assert names == ["processor-1", "processor-4"]


def test_commands_say_what_was_wrong(start_system: Start) -> None:
    system = start_system()

    assert system.command("detach", "nobody")[::2] == (
        2,
        "lowtide: there is no processor 'nobody', only: processor-1, processor-2\n",
    )
    assert system.command("attach", "--count", "0")[::2] == (
        2,
        "lowtide: count must be from 1 to 256, got 0\n",
    )
    code, _, errors = system.command("jobs", "list", "--state", "bogus")
    assert (code, "invalid choice: 'bogus'" in errors) == (2, True)
    assert system.command("attach", "--processor", "cube")[::2] == (
        2,
        "lowtide: processor must be one of processor, got 'cube'\n",
    )


def test_a_system_that_is_not_there_has_its_own_exit_code(start_system: Start) -> None:
    system = start_system("--for", "0.2", "--url", NOBODY)
    assert system.wait() == 0

    for verb in ("status", "attach", "detach", "stop"):
        assert system.command(verb)[::2] == (
            3,
            f"lowtide: no lowtide system is running at port {system.port}\n",
        )


def test_where_another_one_runs_that_one_may_have_been_meant(
    start_system: Start,
) -> None:
    system = start_system("--url", NOBODY)
    port = free_port()

    asked = subprocess.run(
        [sys.executable, "-m", "actors.main", "status", "--port", str(port)],
        capture_output=True,
        text=True,
        env=system.env,
        timeout=60,
        check=False,
    )

    assert asked.returncode == 3
    assert asked.stderr == (
        f"lowtide: no lowtide system is running at port {port}; there is one at "
        f"{system.port} (--port)\n"
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--every", "0"], "--every must be a number of seconds above 0, got '0'"),
        (["--buffer", "x"], "--buffer must be a whole number from 1, got 'x'"),
        (["--fetch", "jobs"], "--fetch must be MODULE:FUNCTION"),
        (["--fetch", "nojobs:fetch"], "cannot import module 'nojobs'"),
        (["--process", "jobs:nothing"], "'nothing' is not there in module 'jobs'"),
        (["--process", "jobs:_lock"], "'_lock' is no function in module 'jobs'"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(
    words: list[str], complaint: str, start_system: Start
) -> None:
    system = start_system(*words, ready=False)

    assert system.wait() == 2
    [line] = system.program.lines
    assert line.startswith("lowtide: ")
    assert complaint in line


def test_an_unreachable_api_is_told_once_and_polled_again(
    start_numbers: Start, start_system: Start
) -> None:
    port = str(free_port())
    system = start_system("--url", f"http://127.0.0.1:{port}", "--every", "0.1")
    [told] = system.wait_for("fetcher.polled", outcome="error")
    assert told["level"] == "warning"
    assert "Unreachable" in told["error"]
    assert system.status()["fetchers"][0]["waiting_for"] == "backoff"

    again = start_numbers("--preload", "1", "--every", "0", "--port", port)

    [done] = system.wait_for("job.done")
    assert len(system.all_of("fetcher.polled", outcome="error")) == 1
    assert done["job_id"] in again.account()["served"]


def test_a_processor_that_keeps_dying_is_given_up(
    start_numbers: Start, start_system: Start, eventually: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--processors", "1")
    fetcher = system.status()["fetchers"][0]["pid"]
    root = parent(fetcher)
    killed: set[int] = set()

    # Four deaths in five seconds: killed before it has started, which may take long.
    def given_up() -> bool:
        for pid in set(children(root)) - {fetcher} - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        return bool(system.all_of("stage.fatal"))

    eventually(given_up, "the processor is given up")

    assert system.wait() == 5
    assert len(killed) >= 4
    [fatal] = system.all_of("stage.fatal")
    assert fatal["stage"] == "processor-1"
    assert fatal["reason"] == "restart intensity exceeded"


def test_a_failing_job_is_tried_again_and_then_quarantined(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:broken", "--retries", "2")
    )

    [failed] = system.wait_for("job.failed")
    [quarantined] = system.wait_for("job.quarantined")

    assert failed["error"] == "RuntimeError: cannot do 1"
    assert 0.7 < failed["retry_in_s"] < 1.3
    assert (failed["attempt"], quarantined["attempt"]) == (1, 2)
    assert system.status()["accounting"]["quarantined"] == 1


def test_a_reader_of_the_log_that_sleeps_blocks_nobody(
    start_system: Start, eventually: Start, tmp_path: Path
) -> None:
    options = tmp_path / "lowtide.toml"
    options.write_text(
        '[[fetcher]]\nname = "many"\nfetch = "jobs:many"\noptions = { count = 700 }\n'
    )
    system = start_system(
        *("--config", str(options), "--process", "jobs:length", "--buffer", "5000"),
        read_log=False,
    )

    def all_done() -> bool:
        code, out, _ = system.command("status", "--json")
        return code == 0 and '"done": 700' in out

    eventually(all_done, "all done while nobody reads the log", 90)

    system.program.read_log()
    system.wait_for("log.dropped")
    system.signal(signal.SIGINT)
    assert system.wait() == 0
