"""The README's first command, as on a fresh machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from _pythons import OLDEST, found

from actors.testing.processes import WITHIN_S, wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
#: What Debian's own Python is called, which is first on a plain PATH.
SYSTEMS_PYTHON = Path("/usr/bin/python3")
#: It makes an environment and installs what is needed into it.
INSTALLED_WITHIN_S = 300.0


def copy_of_the_tree(to: Path) -> Path:
    """What a clone would have, with what is not committed yet."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, names.decode().split("\0")):
        source, target = ROOT / name, to / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return to


def test_the_first_command_works_with_the_python_of_the_system(tmp_path: Path) -> None:
    real = os.path.realpath(SYSTEMS_PYTHON)
    if real not in {each.path for each in found()}:
        pytest.skip(f"{SYSTEMS_PYTHON} is not there, or older than {OLDEST}")
    if not shutil.which("git"):
        pytest.skip("there is no git")
    tree = copy_of_the_tree(tmp_path / "lowtide")
    home = tmp_path / "home"
    home.mkdir()
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    # Its own number server, port and journal: only where they lie is ours.
    env |= {"LOWTIDE_STATE_DIR": str(tmp_path / "state"), "LOWTIDE_PORT": "0"}
    log = tmp_path / "log"

    with log.open("w") as file:
        process = subprocess.Popen(
            ["scripts/run"], cwd=tree, env=env, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        wait_for(process, log, "system.started", INSTALLED_WITHIN_S)
        wait_for(process, log, "job.done", WITHIN_S)
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) in (0, 4), log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()


def wait_for(process: Any, log: Path, event: str, within_s: float) -> None:
    wait_until(
        lambda: event in log.read_text() or process.poll() is not None, event, within_s
    )
    assert event in log.read_text(), log.read_text()
