"""``lowtide`` with something of the world around it broken: started_with.py HOW WORD...

HOW is ``no-fork-at-N`` (a process N forks below the first makes no other one),
``nothing-admitted`` (whatever is sent is refused), ``no-beginning`` (the root fails
as it begins, once the file that ``SWITCH`` names is there), ``patience`` (modules that
are imported to be looked at are waited for, however busy the machine is).
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

from actors.commands import validated_config
from actors.host import unpickling
from actors.main import main
from actors.supervision.root import RootActor

_depth = 0


def no_fork_at(depth: int) -> None:
    """Have fork(2) fail as it does where no process more is allowed."""
    fork = os.fork

    def refuse() -> int:
        global _depth  # noqa: PLW0603 - each process has its own
        if _depth >= depth:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        pid = fork()
        if pid == 0:
            _depth += 1
        return pid

    os.fork = refuse


def nothing_admitted() -> None:
    """Have whatever one process sends another refused, for a name it needs."""
    unpickling.admit = lambda names: None


def no_beginning() -> None:
    """Have the root fail once the switch is there."""
    begin = RootActor.begin

    def fail(self: Any, start: Any) -> None:
        if Path(os.environ["SWITCH"]).exists():
            raise RuntimeError("out of order")
        begin(self, start)

    RootActor.begin = fail  # type: ignore[method-assign]


if __name__ == "__main__":
    how, *words = sys.argv[1:]
    if how == "nothing-admitted":
        nothing_admitted()
    elif how == "no-beginning":
        no_beginning()
    elif how == "patience":
        validated_config._IMPORTED_WITHIN_S = 600.0  # noqa: SLF001
    else:
        no_fork_at(int(how.rpartition("-")[2]))
    sys.exit(main(words))
