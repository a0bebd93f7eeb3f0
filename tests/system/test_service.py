"""Under a service manager: signs of life, and a look inside on SIGUSR1."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import WITHIN_S
from tests.support.processes import parent

pytestmark = pytest.mark.system

Start = Callable[..., Any]


class Manager:
    """The listening side of sd_notify."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def wait_for(self, state: str, within_s: float = WITHIN_S) -> list[str]:
        self._socket.settimeout(within_s)
        while True:
            states = self._socket.recv(4096).decode().split("\n")
            if state in states:
                return states

    def falls_silent(self, for_s: float, within_s: float = WITHIN_S) -> bool:
        """Whether nothing is heard for so long, what is on its way apart."""
        self._socket.settimeout(for_s)
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            try:
                self._socket.recv(4096)
            except TimeoutError:
                return True
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(
    env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Manager]:
    manager = Manager(tmp_path_factory.mktemp("sd") / "notify")
    env["NOTIFY_SOCKET"] = str(manager.path)
    yield manager
    manager.close()


def test_the_manager_hears_ready_signs_of_life_and_stopping(
    manager: Manager, env: dict[str, str], start_system: Start
) -> None:
    env["WATCHDOG_USEC"] = "600000"

    system = start_system("--url", "http://127.0.0.1:9")

    pid = system.program.process.pid
    assert manager.wait_for("READY=1") == ["READY=1", f"MAINPID={pid}"]
    for _ in range(3):
        manager.wait_for("WATCHDOG=1")
    system.signal(signal.SIGTERM)
    manager.wait_for("STOPPING=1")
    assert system.wait() == 0


def test_a_root_that_does_not_answer_gives_no_sign_of_life(
    manager: Manager, env: dict[str, str], start_system: Start
) -> None:
    env["WATCHDOG_USEC"] = "600000"
    system = start_system()
    manager.wait_for("WATCHDOG=1")
    root = parent(system.status()["fetchers"][0]["pid"])

    os.kill(root, signal.SIGSTOP)

    assert manager.falls_silent(2.0)
    os.kill(root, signal.SIGCONT)
    manager.wait_for("WATCHDOG=1")


def test_a_watchdog_that_is_meant_for_another_process_is_left_alone(
    manager: Manager, env: dict[str, str], start_system: Start
) -> None:
    env |= {"WATCHDOG_USEC": "300000", "WATCHDOG_PID": "1"}

    start_system()

    manager.wait_for("READY=1")
    with pytest.raises(TimeoutError):
        manager.wait_for("WATCHDOG=1", within_s=1.0)


def test_sigtstp_pauses_sigcont_resumes_and_sighup_is_nothing(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.1")

    system.signal(signal.SIGTSTP)
    system.wait_for("fetcher.paused")
    system.signal(signal.SIGHUP)
    paused = system.status()
    numbers.add(49)
    system.signal(signal.SIGCONT)
    system.wait_for("job.done", result=7.0)

    assert (paused["state"], paused["accounting"]["fetched"]) == ("paused", 0)
    assert system.status()["state"] == "running"


def test_sigcont_alone_leaves_a_pause_that_a_person_ordered(
    start_system: Start,
) -> None:
    system = start_system()
    system.command("pause")

    system.signal(signal.SIGCONT)
    system.signal(signal.SIGUSR1)
    system.wait_for("system.dumped")

    assert system.status()["state"] == "paused"


def test_sigusr1_writes_the_state_and_every_stack_and_disturbs_nothing(
    start_numbers: Start, start_system: Start, eventually: Start, runs: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:minute", "--processors", "1"),
        *("--every", "0.1"),
    )
    eventually(runs, "the job is begun")
    before = system.status()

    system.signal(signal.SIGUSR1)
    [dumped] = system.wait_for("system.dumped")

    text = Path(dumped["file"]).read_text()
    processor = before["processors"][0]
    assert Path(dumped["file"]).stat().st_mode & 0o777 == 0o600
    assert (dumped["silent"], dumped["why"]) == ([], "1 job in flight")
    assert '"state": "running"' in text
    assert text.count("\n== ") == 4
    mine = text.partition(f"== processor-1, pid {processor['pid']}\n")[2]
    assert "jobs.py" in mine
    assert "in minute" in mine
    after = system.status()
    assert [each["pid"] for each in after["processors"]] == [processor["pid"]]
    numbers.add(9)
    system.wait_for("job.fetched", count=2)


def test_a_dump_is_made_although_the_root_hangs(start_system: Start) -> None:
    system = start_system()
    root = parent(system.status()["fetchers"][0]["pid"])
    os.kill(root, signal.SIGSTOP)

    system.signal(signal.SIGUSR1)
    [dumped] = system.wait_for("system.dumped")

    assert dumped["why"].startswith("the root does not answer: ")
    assert dumped["silent"] == [root]
    os.kill(root, signal.SIGCONT)
