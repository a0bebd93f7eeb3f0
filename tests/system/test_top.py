"""``top`` in a real terminal: tmux draws it, and types its keys."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import WITHIN_S, wait_until
from tests.support.processes import parent

TMUX = shutil.which("tmux") or ""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not TMUX, reason="tmux is not installed (apt: tmux)"),
]

Start = Callable[..., Any]


class Terminal:
    """A terminal of 120 by 30 with one command in it."""

    def __init__(self, socket: Path, env: dict[str, str]) -> None:
        self._socket = socket
        # readline, which a worker of pytest's has loaded, exports a size of its own.
        not_of_it = {"COLUMNS", "LINES", *(key for key in env if "MARK" in key)}
        self._env = {key: env[key] for key in env.keys() - not_of_it}

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            [TMUX, "-S", str(self._socket), "-f", "/dev/null", *words],
            capture_output=True,
            text=True,
            env=self._env | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
            check=False,
        )
        return done.stdout

    def start(self, *words: str) -> None:
        command = f"{shlex.join(words)}; echo ended with $?; read"
        self.tmux("new-session", "-d", "-x", "120", "-y", "30", command)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def wait_for(self, *texts: str) -> str:
        def all_there() -> str:
            screen = self.screen()
            return screen if all(text in screen for text in texts) else ""

        try:
            return str(wait_until(all_there, f"{texts} on the screen"))
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.screen()}") from None

    def type(self, keys: str) -> None:
        self.tmux("send-keys", keys)


@pytest.fixture
def terminal(
    tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]
) -> Iterator[Terminal]:
    # A socket's path is short, and a test's name is not.
    terminal = Terminal(tmp_path_factory.mktemp("tmux") / "socket", env)
    yield terminal
    terminal.tmux("kill-server")


def start_top(terminal: Terminal, system: Any) -> None:
    terminal.start(
        *(sys.executable, "-m", "actors.main", "top", "--port", str(system.port))
    )


def test_top_shows_what_goes_on_and_its_keys_act(
    terminal: Terminal, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.1")
    start_top(terminal, system)

    terminal.wait_for("lowtide running", "numbers has no jobs", "processor-2", "[q]uit")
    numbers.add(1764)
    terminal.wait_for("1 fetched, 1 done", "job.done", "result=42.0")
    terminal.type("p")
    terminal.wait_for("lowtide paused", "numbers is paused", "paused numbers")
    terminal.type("r")
    terminal.wait_for("lowtide running", "resumed numbers")
    terminal.type("a")
    terminal.wait_for("processor-3", "attached processor-3")
    terminal.type("d")
    terminal.wait_for("detached processor-3")

    terminal.type("q")

    terminal.wait_for("ended with 0")
    assert len(system.status()["processors"]) == 2


def test_a_quarantined_job_is_chosen_and_tried_again_or_discarded(
    terminal: Terminal, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.1")
    numbers.add(-1, -4)
    system.wait_for("job.quarantined", count=2)
    start_top(terminal, system)

    terminal.wait_for("> ", "quarantined", "BadNumberError: job 2")
    terminal.type("jt")
    system.wait_for("job.released", job_id=2)
    system.wait_for("job.quarantined", count=3)
    terminal.wait_for("count 1")
    terminal.type("kX")

    system.wait_for("job.dropped", job_id=1)
    terminal.wait_for("1 quarantined, 1 dropped")


def test_a_job_is_cancelled_by_its_id_once_that_is_confirmed(
    terminal: Terminal, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "3", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "many:asks", "--concurrency", "8"),
    )
    system.wait_for("job.done", count=2)
    start_top(terminal, system)
    terminal.wait_for("lowtide running", "[c]ancel")

    terminal.type("c")
    terminal.wait_for("cancel the job with the id: _")
    terminal.type("33")
    terminal.tmux("send-keys", "BSpace", "Enter")
    terminal.wait_for("cancel job 3 of numbers, leased? [y]es")
    terminal.type("n")
    terminal.wait_for("nothing cancelled")
    assert system.all_of("job.quarantined") == []
    terminal.type("c3")
    terminal.tmux("send-keys", "Enter")
    terminal.wait_for("cancel job 3 of numbers")
    terminal.type("y")

    [quarantined] = system.wait_for("job.quarantined")
    assert quarantined["job_id"] == 3
    terminal.wait_for("JobCancelledError: cancelled by hand", "count 1")
    terminal.type("c3")
    terminal.tmux("send-keys", "Enter")
    terminal.wait_for("job 3 is quarantined, neither waiting nor running")


def test_top_ends_with_its_system(terminal: Terminal, start_system: Start) -> None:
    system = start_system()
    start_top(terminal, system)
    terminal.wait_for("lowtide running")

    system.command("stop", "--now")

    terminal.wait_for("lowtide: the system has ended", "ended with 3")


def test_top_says_that_its_system_was_killed(
    terminal: Terminal, start_system: Start
) -> None:
    system = start_system()
    start_top(terminal, system)
    terminal.wait_for("lowtide running")

    system.program.process.kill()

    terminal.wait_for(
        "lowtide: the system was killed: start it again, and it goes on with the jobs",
        "ended with 3",
    )


def test_without_a_terminal_or_a_system_top_says_so(start_system: Start) -> None:
    system = start_system()

    no_terminal = system.command("top")

    assert no_terminal == (2, "", "lowtide: top needs a terminal; see status --watch\n")


def test_without_rich_top_says_what_to_install(
    env: dict[str, str], tmp_path: Path, start_system: Start
) -> None:
    (tmp_path / "rich.py").write_text("raise ImportError('as if it were missing')")
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    system = start_system()

    assert system.command("top") == (
        2,
        "",
        (
            "lowtide: top needs rich, which is not installed: pip install "
            "'lowtide[tui]'; lowtide status --watch works without\n"
        ),
    )


def test_ctrl_c_ends_a_stop_that_waits_and_the_system_drains_on(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system("--url", numbers.url, "--process", "jobs:minute")
    system.wait_for_in_flight()
    stop = subprocess.Popen(
        [sys.executable, "-m", "actors.main", "stop", "--port", str(system.port)],
        stderr=subprocess.PIPE,
        env={key: each for key, each in system.env.items() if "MARK" not in key},
        text=True,
    )
    assert stop.stderr is not None
    assert stop.stderr.readline().startswith("draining: 1 in flight, ")

    stop.send_signal(signal.SIGINT)

    assert stop.wait(WITHIN_S) == 130
    stop.stderr.close()
    assert system.status()["state"] == "draining"


def test_a_stop_tells_what_it_waits_for(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:minute", "--drain-timeout", "6")
    )
    system.wait_for_in_flight()

    code, _, errors = system.command("stop")

    assert code == 4
    assert errors.splitlines()[0].startswith("draining: 1 in flight, 0 kept, ")


def test_a_key_that_is_still_at_work_does_not_hold_up_the_end(
    terminal: Terminal, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:minute", "--processors", "1")
    )
    system.wait_for_in_flight()
    start_top(terminal, system)
    terminal.wait_for("lowtide running")

    terminal.type("d")
    terminal.wait_for("detach ...", "draining")
    terminal.type("q")

    terminal.wait_for("ended with 0")


def test_a_root_that_dies_does_not_end_the_view(
    terminal: Terminal, start_system: Start
) -> None:
    system = start_system()
    start_top(terminal, system)
    terminal.wait_for("lowtide running")
    root = parent(system.status()["fetchers"][0]["pid"])

    os.kill(root, signal.SIGKILL)
    system.wait_for("stage.restarted", stage="root")
    numbers = system.status()["fetchers"][0]

    terminal.wait_for("lowtide running", str(system.status()["processors"][0]["pid"]))
    assert numbers["restarts"] == 0
