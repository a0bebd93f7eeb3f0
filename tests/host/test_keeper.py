"""The keeper: whatever is started below it ends with what it keeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Wait = Callable[..., Any]

HIDING = {
    "child": "subprocess.Popen(['sleep', '6001'])",
    "session": "subprocess.Popen(['sleep', '6001'], start_new_session=True)",
    "background": "subprocess.run('sleep 6001 &', shell=True)",
    "setsid": "subprocess.run('setsid sleep 6001 &', shell=True)",
    "grandchild": "subprocess.Popen('sleep 6001; true', shell=True)",
}


def program(what: str, then: str) -> subprocess.Popen[str]:
    """Start a program that is kept, starts something, and does ``then``."""
    text = f"""
        import os, signal, subprocess, time
        from actors.host import keeper
        if os.fork() == 0:
            os.setsid()
            keeper.stay_behind()
            {what}
            print(os.getppid(), os.getpid(), flush=True)
            {then}
            os._exit(0)
        time.sleep(600)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"KEEPER_TEST": str(os.getpid())},
    )


def sleeping() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            environment = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if (
            words[0] == b"sleep"
            and f"KEEPER_TEST={os.getpid()}".encode() in environment
        ):
            found.add(int(path.name))
    return found


@pytest.mark.parametrize("end", ["kept", "starter", "told"])
@pytest.mark.parametrize("what", HIDING)
def test_what_was_started_ends(what: str, end: str, eventually: Wait) -> None:
    before = sleeping()
    started = program(HIDING[what], "time.sleep(600)")
    try:
        assert started.stdout is not None
        keeper, kept = map(int, started.stdout.readline().split())
        eventually(lambda: sleeping() - before, "it was started")

        match end:
            case "kept":
                os.kill(kept, signal.SIGKILL)
            case "starter":
                started.kill()
            case _:
                os.kill(keeper, signal.SIGTERM)

        eventually(lambda: not sleeping() - before, "it has ended")
        eventually(lambda: _is_gone(kept), "what was kept has ended")
        eventually(lambda: _is_gone(keeper), "and its keeper")
    finally:
        started.kill()
        started.communicate()


def _is_gone(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_a_service_that_was_detached_is_let_go(eventually: Wait) -> None:
    before = sleeping()
    what = "subprocess.run(['setsid', 'sh', '-c', 'sleep 6001 &'])"
    started = program(what, "time.sleep(600)")
    try:
        assert started.stdout is not None
        keeper, kept = map(int, started.stdout.readline().split())
        eventually(lambda: sleeping() - before, "it was started")

        os.kill(kept, signal.SIGKILL)

        eventually(lambda: _is_gone(keeper), "the keeper has ended")
        assert len(sleeping() - before) == 1
    finally:
        started.kill()
        for each in sleeping() - before:
            os.kill(each, signal.SIGKILL)
        started.communicate()
