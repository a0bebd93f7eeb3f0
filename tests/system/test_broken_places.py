"""Where the state directory goes away, cannot be written, or processes cannot start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.host.ports import free_port
from actors.testing.processes import WITHIN_S, Program, System
from tests.support.processes import parent

pytestmark = pytest.mark.system

Start = Callable[..., Any]

SUPPORT = Path(__file__).parents[1] / "support"
#: What is told within 5 s, by the program's own account; starting it takes as long as
#: the machine has others to start.
TOLD_WITHIN_S = 60.0
#: A source that nobody serves, so that no job is left when a system ends.
NOBODY = "http://127.0.0.1:9"


def state_of(system: System) -> Path:
    return Path(system.env["LOWTIDE_STATE_DIR"])


def remove_socket(system: System) -> None:
    (state_of(system) / f"{system.port}.sock").unlink()


def remove_state(system: System) -> None:
    shutil.rmtree(state_of(system))


def replace_state(system: System) -> None:
    remove_state(system)
    state_of(system).write_text("not a directory")


REMOVALS = pytest.mark.parametrize("remove", [remove_socket, remove_state])


@pytest.mark.parametrize("remove", [remove_socket, remove_state, replace_state])
def test_sigterm_drains_although_nobody_can_reach_the_root(
    remove: Start, start_numbers: Start, start_system: Start, switch: Path
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system("--url", numbers.url, "--process", "jobs:held_root")
    system.wait_for_in_flight()
    remove(system)

    system.signal(signal.SIGTERM)

    system.wait_for("drain.started")
    switch.touch()
    assert system.wait() == 0
    assert len(system.all_of("job.done")) == 1


@REMOVALS
def test_a_socket_that_is_gone_is_made_again(
    remove: Start, start_system: Start, eventually: Start
) -> None:
    system = start_system("--url", NOBODY)
    remove(system)

    eventually(lambda: system.command("status")[0] == 0, "the system answers again")

    assert state_of(system).stat().st_mode & 0o777 == 0o700
    [socket] = state_of(system).glob("*.sock")
    assert socket.stat().st_mode & 0o777 == 0o600
    # Another one at this port is refused by name, as before.
    eventually((state_of(system) / f"{system.port}.lock").exists, "the lock is back")
    code, _, errors = system.command("run")
    assert (code, f"already (pid {system.program.process.pid})" in errors) == (2, True)


def test_a_root_that_follows_finds_no_state_directory_and_works(
    start_system: Start, eventually: Start
) -> None:
    system = start_system("--url", NOBODY)
    root = parent(system.status()["fetchers"][0]["pid"])
    remove_state(system)

    os.kill(root, signal.SIGKILL)

    system.wait_for("stage.restarted", stage="root")
    eventually(lambda: system.command("status")[0] == 0, "the system answers again")
    system.signal(signal.SIGTERM)
    assert system.wait() == 0


def broken(how: str, env: dict[str, str], *words: str) -> Program:
    words = ("run", "--url", NOBODY, "--port", str(free_port()), *words)
    script = str(SUPPORT / "started_with.py")
    return Program(script, how, *words, "--log-format", "json", env=env)


def test_a_root_that_cannot_begin_ends_the_start_with_a_word(
    env: dict[str, str], switch: Path, start_system: Start
) -> None:
    switch.touch()
    program = broken("no-beginning", env)

    assert program.wait(TOLD_WITHIN_S) == 2
    told = "lowtide: the root cannot begin: RuntimeError: out of order"
    assert program.lines[-1] == told
    program.close()


def test_a_root_that_cannot_begin_again_ends_the_system_with_a_word(
    env: dict[str, str], switch: Path, start_system: Start
) -> None:
    program = broken("no-beginning", env)
    [attached, *_] = program.wait_for("processor.attached")
    program.wait_for("system.started")
    switch.touch()

    os.kill(parent(attached["pid"]), signal.SIGKILL)

    assert program.wait(TOLD_WITHIN_S) == 1
    [failed] = program.all_of("system.failed")
    assert failed["error"] == "the root cannot begin: RuntimeError: out of order"
    program.close()


@pytest.mark.parametrize("how", ["no-fork-at-0", "no-fork-at-1", "no-fork-at-2"])
def test_a_process_that_cannot_be_made_is_told(
    how: str, env: dict[str, str], start_system: Start
) -> None:
    began = time.monotonic()
    program = broken(how, env)

    assert program.wait(TOLD_WITHIN_S) == 2
    assert time.monotonic() - began < TOLD_WITHIN_S
    assert program.lines[-1].startswith("lowtide: cannot start")
    assert "Traceback" not in program.lines[-1]
    program.close()


def test_a_handshake_that_is_refused_is_told_with_what_refused_it(
    env: dict[str, str], start_system: Start
) -> None:
    program = broken("nothing-admitted", env)

    assert program.wait(TOLD_WITHIN_S) == 2
    told = program.lines[-1]
    assert told.startswith("lowtide: cannot start: ")
    assert "within 5 s" in told
    assert "frame.refused" in told
    program.close()


def in_space(script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run lowtide where a shell script has changed what is mounted."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a space of its own for mounts needs root, and unshare")
    state = env["LOWTIDE_STATE_DIR"]
    Path(state).mkdir(parents=True, exist_ok=True)
    shell = ("unshare", "-m", "sh", "-ec", f'{script}\nexec "$@"', "sh")
    words = ("run", "--url", NOBODY, "--journal", "none", "--for", "1")
    place = ("--port", str(free_port()))
    done = subprocess.run(
        [*shell, sys.executable, "-m", "actors.main", *words, *place],
        env=env | {"STATE": state},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    if "unshare failed" in done.stderr or "permission denied" in done.stderr:
        pytest.skip(f"no space of its own: {done.stderr}")
    return done


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (
            'mount -t tmpfs none "$STATE"; mount -o remount,ro "$STATE"',
            "Read-only file system",
        ),
        (
            'mount -t tmpfs -o mode=700,size=4k none "$STATE"; echo all > "$STATE/a"',
            "No space left on device",
        ),
        (
            'mount -t tmpfs -o mode=700,nr_inodes=2 none "$STATE"; echo > "$STATE/a"',
            "No space left on device",
        ),
        ("mount -t tmpfs none /proc", "/proc is not mounted, and lowtide needs it"),
    ],
)
def test_a_place_that_cannot_be_used_is_told_in_one_line(
    script: str, complaint: str, env: dict[str, str]
) -> None:
    done = in_space(script, env)

    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("lowtide: ")
    assert complaint in line
