"""Callbacks of the program that runs a system: hooks that are called in the program.

The process of hooks hands their events on over a socket. One thread of the program
takes them from there, and another one calls the functions, so that a function that
hangs holds up neither the process of hooks nor the system.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

from actors.hooks.callers import Caller
from actors.hooks.events import LOST
from actors.host import forks, native

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: The hook that hands events on.
RELAY = "actors.hooks.program:tell"
#: Bytes that the kernel is asked to hold.
_BUFFER = 1 << 20
#: Longest message.
_LONGEST = 1 << 20
#: How long the end of a system may take for calls that are due, in seconds.
LAST_S = 2.0

_log = logging.getLogger("actors.pipeline")


def hooks_with(
    hooks: Mapping[str, tuple[str, ...]], callbacks: Mapping[str, object]
) -> dict[str, tuple[str, ...]]:
    """The hooks of a system, with the one that serves these callbacks."""
    wanted = [*callbacks, LOST] if callbacks else []
    return dict(hooks) | {each: (*hooks.get(each, ()), RELAY) for each in wanted}


class Callbacks:
    """Those of one run, from its start to its end."""

    def __init__(self, functions: Mapping[str, Callable[[Any], object]]) -> None:
        """Nothing is called yet.

        Args:
            functions: By the name of the event that each is for.
        """
        self._functions = functions
        self._reader, self.writer = native.message_pair()
        self.writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        for end in (self._reader, self.writer):
            forks.keep_open(end)
        self._caller: Caller | None = None
        self._ended: native.Signal | None = None

    def begin(self) -> None:
        """Call them from now on, until all copies of the writer are closed."""
        self._caller = Caller("callback", self._call, _Told())
        self._ended = native.start(self._run, "callbacks")

    def close(self) -> None:
        """Close this process's writer, and wait a while for calls that are due."""
        self.writer.close()
        caller, ended = self._caller, self._ended
        if caller is None or ended is None:
            self._reader.close()
        elif not caller.is_this_thread:
            until = time.monotonic() + LAST_S
            ended.wait(LAST_S)
            caller.close(until)

    def _run(self) -> None:
        assert self._caller is not None  # noqa: S101 - it has begun
        with self._reader, contextlib.suppress(OSError):
            while message := self._reader.recv(_LONGEST):
                self._caller.put([json.loads(message)], 1)
        # The system has ended; perhaps nobody waits for that.
        self._caller.end()

    def _call(self, event: dict[str, Any]) -> None:
        if event["event"] == LOST:
            _log.warning("%s events were left out for callbacks", event["count"])
        elif function := self._functions.get(event["event"]):
            function(event)


class _Told:
    """The program's own log has what goes wrong with its functions."""

    def warning(self, event: str, **fields: Any) -> None:
        told = {
            name: it for name, it in fields.items() if name not in ("hook", "trace")
        }
        words = " ".join(f"{name}={it}" for name, it in told.items())
        trace = fields.get("trace", "")
        _log.warning(
            "%s %s%s", event.replace("hook", "callback"), words, trace and "\n" + trace
        )
