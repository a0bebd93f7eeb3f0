"""A process that ends whatever is left below it, once it or its starter is to end.

A keeper is a subreaper (prctl(2)): who loses a parent below it becomes its child,
whatever group or session it has made. It does its own work beside that, and runs none
of a user's code: what is left when the one who started it ends, or when it is told to
end by SIGTERM, it ends first, whatever it does at that moment.
"""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from actors.host import descendants
from actors.host.linux import descriptor, kill, libc

if TYPE_CHECKING:
    from collections.abc import Collection

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

#: The keeper that this process runs under, or is; 0 for none.
_keeper = 0
#: Who has started that one.
_starter = 0


def keep() -> None:
    """Make this process a keeper, for as long as it lives.

    To be called in a process that has no threads and has just been started.
    """
    global _keeper, _starter  # noqa: PLW0603 - of this process, and of its forks
    _starter = parent = os.getppid()
    _keeper = os.getpid()
    os.environ[descendants.KEEPER] = str(_keeper)
    signal.signal(signal.SIGTERM, _told_to_end)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # It is to end others when its parent has ended, not to be killed with it.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        end()


def end() -> NoReturn:
    """End what is left below this process, which is a keeper, and then itself."""
    with suppress(BaseException):
        descendants.end_all(os.getpid())
    os._exit(0)


def _told_to_end(*_: object) -> None:
    # A fork has the same handler until it sets its own.
    if os.getpid() != _keeper:
        os._exit(1)
    end()


def starter_end() -> int:
    """A descriptor that can be read once who started the keeper has ended.

    Below 0 where there is no keeper.
    """
    if not _starter:
        return -1
    try:
        return descriptor(_starter)
    except ProcessLookupError:
        end_in_its_place()


def end_in_its_place() -> NoReturn:
    """End the keeper, which may be stopped, and all that is below it.

    To be called in what the keeper has started, where the one who started the keeper
    has ended. Two who do the same do no harm.
    """
    with suppress(BaseException):
        descendants.end_all(os.getpid())
        if _keeper:
            # What has lost its parent by now is the keeper's.
            descendants.end_all(_keeper, {os.getpid()})
            kill(_keeper)
    os._exit(0)


def forget_orphans(own: Collection[int]) -> None:
    """Have the kernel forget what has come to this keeper, and has ended.

    Args:
        own: The processes that it has started, and waits for itself.
    """
    with suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            # One of its own comes first until it was waited for; what is behind it
            # waits for the next that ends.
            if ended is None or ended.si_pid in own:
                return
            os.waitpid(ended.si_pid, os.WNOHANG)


def end_orphans() -> None:
    """End what the stages below this process have left behind that have ended.

    To be called in what the keeper has started. An orphan of a stage that still runs
    may be its work in the background: it stays.
    """
    own = os.getpid()
    if not _keeper or _orphans() == [own]:
        return
    now = descendants.running()
    stages = {each.pid for each in descendants.below(own, now)}
    spared = {
        each.pid
        for each in now.values()
        if each.parent == _keeper and descendants.stage_of(each) & stages
    }
    descendants.end_all(_keeper, {own, *spared})


def _orphans() -> list[int]:
    # Asked for with each end of a stage: far less to read than all of /proc.
    try:
        text = Path(f"/proc/{_keeper}/task/{_keeper}/children").read_text()
    except OSError:
        return []
    return [int(each) for each in text.split()]


def _prctl(option: int, value: int) -> None:
    if libc().prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
