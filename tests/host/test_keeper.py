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

from tests.support.processes import parent

Wait = Callable[..., Any]

HIDING = {
    "child": "subprocess.Popen(['sleep', '6001'])",
    "session": "subprocess.Popen(['sleep', '6001'], start_new_session=True)",
    "background": "subprocess.run('sleep 6001 &', shell=True)",
    "setsid": "subprocess.run('setsid sleep 6001 &', shell=True)",
    "grandchild": "subprocess.Popen('sleep 6001; true', shell=True)",
}


def program(what: str, then: str) -> subprocess.Popen[str]:
    """Start a program with a keeper, below which one starts something.

    Args:
        what: It starts.
        then: It does then.
    """
    text = f"""
        import os, signal, subprocess, time
        from actors.host import keeper
        if os.fork() == 0:
            os.setsid()
            keeper.keep()
            if (kept := os.fork()) == 0:
                {what}
                print(os.getppid(), os.getpid(), flush=True)
                {then}
                os._exit(0)
            def ended(*_):
                keeper.forget_orphans([kept])
            signal.signal(signal.SIGCHLD, ended)
            while True:
                signal.pause()
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


#: Has what is kept watch for the end of who has started its keeper.
IN_ITS_PLACE = """
                import select
                poll = select.poll()
                poll.register(keeper.starter_end(), select.POLLIN)
                poll.poll()
                keeper.end_in_its_place()
"""


@pytest.mark.parametrize("end", ["starter", "told", "stopped"])
@pytest.mark.parametrize("what", HIDING)
def test_what_was_started_ends(what: str, end: str, eventually: Wait) -> None:
    before = sleeping()
    then = IN_ITS_PLACE.strip() if end == "stopped" else "time.sleep(600)"
    started = program(HIDING[what], then)
    try:
        assert started.stdout is not None
        keeper, kept = map(int, started.stdout.readline().split())
        eventually(lambda: sleeping() - before, "it was started")

        match end:
            case "starter":
                started.kill()
            case "told":
                os.kill(keeper, signal.SIGTERM)
            case _:
                os.kill(keeper, signal.SIGSTOP)
                started.kill()

        eventually(lambda: not sleeping() - before, "it has ended")
        eventually(lambda: _is_gone(kept), "what was kept has ended")
        eventually(lambda: _is_gone(keeper), "and its keeper")
    finally:
        started.kill()
        started.communicate()


def test_what_has_lost_its_parent_is_forgotten_at_its_end(eventually: Wait) -> None:
    before = sleeping()
    started = program(HIDING["setsid"], "time.sleep(600)")
    try:
        assert started.stdout is not None
        keeper, _ = map(int, started.stdout.readline().split())
        [orphan] = eventually(lambda: sleeping() - before, "it was started")
        eventually(lambda: parent(orphan) == keeper, "it is the keeper's")

        os.kill(orphan, signal.SIGKILL)

        eventually(lambda: not Path(f"/proc/{orphan}").exists(), "no zombie is left")
        assert not _is_gone(keeper)
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
        keeper, _ = map(int, started.stdout.readline().split())
        eventually(lambda: sleeping() - before, "it was started")

        started.kill()

        eventually(lambda: _is_gone(keeper), "the keeper has ended")
        assert len(sleeping() - before) == 1
    finally:
        started.kill()
        for each in sleeping() - before:
            os.kill(each, signal.SIGKILL)
        started.communicate()
