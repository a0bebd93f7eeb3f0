"""Row 46: a user who may not start as many processes as a system needs."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from actors.host.ports import free_port
from actors.testing.processes import Program

pytestmark = pytest.mark.system

Run = Callable[..., subprocess.CompletedProcess[str]]


_users = itertools.count(50_000 + os.getpid() % 1000 * 10)


def another_user() -> list[str]:
    """What runs a command as a user who has nothing else here."""
    user = str(next(_users))
    become = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
    return [*become, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def limit_to(count: int) -> list[str]:
    """What runs a command that may have so many processes of its user beside it."""
    return ["prlimit", f"--nproc={count}:{count}"]


@pytest.fixture
def run_limited(env: dict[str, str]) -> Run:
    """Run Python under a limit of processes, to its end.

    The limit does not bind root, so another user it has to be; one who may read
    what root may, since this Python may lie where only root does.
    """
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("a limit of processes needs root and setpriv, to be another user")

    def run(limit: int, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*another_user(), *limit_to(limit), sys.executable, *words],
            env=env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    done = run(1, "-c", "import threading as t; t.Thread(target=print).start()")
    if "can't start new thread" not in done.stderr:
        pytest.skip(f"the limit of processes does not bind here: {done.stderr}")
    return run


@pytest.mark.parametrize("limit", [1, 6, 14])
def test_46_too_few_processes_are_said_and_nothing_is_half_started(
    limit: int, run_limited: Run
) -> None:
    done = run_limited(limit, "-m", "actors.main", "run", "--port", "0", "--for", "1")

    assert done.returncode == 2
    assert done.stderr == (
        f"lowtide: 3 stages need 14 processes and threads, {limit - 1} more are "
        "allowed to this user; raise that with ulimit -u\n"
    )


def test_46_what_is_said_to_be_enough_is_enough(
    run_limited: Run, env: dict[str, Any]
) -> None:
    # The one who starts, and the fourteen that it asks for.
    words = ["run", "--port", "0", "--until-idle", "0.2", "--journal", "none"]
    words += ["--concurrency", "1"]

    done = run_limited(15, "-m", "actors.main", *words)

    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("run_limited")
def test_46_processors_that_could_not_be_started_are_not_attached(
    env: dict[str, str],
) -> None:
    user = another_user()
    port = free_port()
    words = ["--port", str(port), "--log-format", "json", "--journal", "none"]
    words += ["--concurrency", "1"]
    program = Program(
        "-m", "actors.main", *words, env=env, prefix=[*user, *limit_to(20)]
    )
    with contextlib.closing(program):
        program.wait_for("system.started")
        command = [*user, sys.executable, "-m", "actors.main", "attach"]
        done = subprocess.run(
            [*command, "--count", "5", "--port", str(port)],
            env={key: value for key, value in env.items() if "MARK" not in key},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

        assert done.returncode == 2
        assert (
            "more processes and threads, and 5 more processors need 10" in done.stderr
        )
        assert len(program.all_of("processor.attached")) == 2


def test_46_too_few_threads_for_the_jobs_at_a_time_are_said(run_limited: Run) -> None:
    words = ["run", "--port", "0", "--until-idle", "0.2", "--journal", "none"]

    done = run_limited(25, "-m", "actors.main", *words, "--concurrency", "40")

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "lowtide: can't start new thread of 40; see ulimit -u"
    )


def test_46_a_thread_that_cannot_be_started_is_said_with_its_reason(
    run_limited: Run,
) -> None:
    program = "from actors.actor_system.worker import Worker; Worker('fetch')"

    done = run_limited(1, "-c", program)

    last = done.stderr.splitlines()[-1]
    assert last == (
        "actors.actor_system.worker.NoThreadError: "
        "can't start new thread; see ulimit -u"
    )
