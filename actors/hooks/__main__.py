"""The process of hooks: ``python -m actors.hooks``, started by the main process."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

from actors.hooks import event_queue, notify, program
from actors.hooks.callers import Callers
from actors.host import logs, native, redaction
from actors.user_code.functions import find_last, load

#: Longest message.
_LONGEST = 4 << 20
#: How long calls may take that are due at the end, in seconds.
_LAST_S = 2.0
#: How much less of a core it gets than jobs, where both want it, as of nice(1).
_NICE = 10


def main() -> int:
    """Call the hooks until the last who sends events is gone."""
    parser = argparse.ArgumentParser(prog="lowtide-hooks")
    parser.add_argument("--events-fd", type=int, required=True)
    parser.add_argument("--log-fd", type=int, required=True)
    parser.add_argument("--asked-fd", type=int, required=True)
    arguments = parser.parse_args()
    with os.fdopen(arguments.asked_fd, encoding="utf-8") as file:
        asked = json.load(file)
    redaction.install(asked["secrets"])
    logs.join_pipe(arguments.log_fd)
    log = logs.configure(asked["log_level"], stage="hooks")
    find_last()
    notify.configure(asked["notify"])
    if asked["program"] is not None:
        program.configure(asked["program"])
    if asked["trace"] is not None:
        from actors.hooks import otel  # noqa: PLC0415 - an extra

        otel.configure(asked["trace"])
    _give_way()
    callers = Callers(asked["hooks"], load, log)
    # What a hook prints is for the user; nobody reads this pipe any more.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with native.Socket(fileno=arguments.events_fd) as way:
        while message := way.recv(_LONGEST):
            callers.put(event_queue.Message(message))
    callers.close(_LAST_S)
    notify.flush()
    return 0


def _give_way() -> None:
    """Leave the cores to jobs, where both want them."""
    os.nice(_NICE)
    # In a session of its own that is what counts, where the kernel groups by sessions.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICE))


if __name__ == "__main__":
    sys.exit(main())
