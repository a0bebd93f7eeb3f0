"""A process that stays behind what may start others, and ends whatever is left.

A keeper is a subreaper (prctl(2)): who loses a parent below it becomes its child,
whatever group or session it has made. It runs nothing but the lines below, and goes
when what it keeps has ended, when the one who started it has, or when it is told to
by SIGTERM; before that it ends all that is still below it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from actors.host import descendants, native
from actors.host.linux import libc

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


#: The keeper that this process runs under, and the one that it keeps; 0 for none.
_keeper = 0
_kept = 0


def stay_behind() -> None:
    """Fork; the child goes on from here, and its parent keeps it and never returns.

    To be called in a process that has no threads and has just been started.
    """
    global _keeper, _kept
    parent = os.getppid()
    keeper = os.getpid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # It is to end others when its parent has ended, not to be ended with it.
    _prctl(_PR_SET_PDEATHSIG, 0)
    kept = os.fork()
    if kept:
        _keep(kept, parent)
    _keeper, _kept = keeper, os.getpid()
    os.environ[descendants.KEEPER] = str(keeper)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        os._exit(1)


def end_orphans() -> None:
    """End what the stages have left behind that have ended.

    An orphan of a stage that still runs may be its work in the background: it stays.
    """
    if not _keeper or _orphans() == [_kept]:
        return
    now = descendants.running()
    stages = {each.pid for each in descendants.below(_kept, now)}
    spared = {
        each.pid
        for each in now.values()
        if each.parent == _keeper and descendants.stage_of(each) & stages
    }
    descendants.end_all(_keeper, {_kept, *spared})


def _orphans() -> list[int]:
    # Asked for with each end of a stage: far less to read than all of /proc.
    try:
        text = Path(f"/proc/{_keeper}/task/{_keeper}/children").read_text()
    except OSError:
        return []
    return [int(each) for each in text.split()]


def _keep(kept: int, parent: int) -> NoReturn:
    try:
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        # The kernel takes care of those that end.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        _wait(woken, kept, parent)
    finally:
        with suppress(BaseException):
            descendants.end_all(os.getpid())
        os._exit(0)


def _wait(woken: int, kept: int, parent: int) -> None:
    with suppress(ProcessLookupError):  # it has ended already
        ends = [os.pidfd_open(kept), os.pidfd_open(parent)]
        if os.getppid() != parent:
            return
        poll = native.poll()
        for each in (woken, *ends):
            poll.register(each, select.POLLIN)
        poll.poll()


def _prctl(option: int, value: int) -> None:
    if libc().prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
