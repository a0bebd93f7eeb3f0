"""A system that waits to take over from the one that leads, and says so."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any, Self

from actors.commands.exit_codes import Exit
from actors.commands.page_process import PageProcess
from actors.commands.terminal import note
from actors.host.control_socket import ControlServer
from actors.host.systemd import notify
from actors.status.model import StandbyStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.config.model import SystemConfig
    from actors.host.state_dir import SystemFiles


class StoppedError(Exception):
    """It was told to wait no more."""


class Standby:
    """What a waiting system answers, and its end.

    It has the system's number, control socket and page, which are given back before
    it starts what it waited for.
    """

    def __init__(
        self, config: SystemConfig, files: SystemFiles, look: Callable[[], None]
    ) -> None:
        """Note what it is; nothing is opened yet.

        Args:
            config: Of the system.
            files: Its files, which are claimed.
            look: Called now and then; raises where the functions cannot be used.
        """
        self._config = config
        self._look = look
        self._control = ControlServer(files.socket)
        self._files = files
        self._page = PageProcess(config, files.socket)
        self._handlers: dict[int, Any] = {}
        self._stopped = False
        self._told = ""

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._stop)
        self._control.tick(time.monotonic())
        self._page.start()
        notify("READY=1", f"MAINPID={os.getpid()}", "STATUS=standby")
        return self

    def __exit__(self, *_: object) -> None:
        self._page.close()
        self._control.close()
        self._files.socket.unlink(missing_ok=True)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def wait(self, why: str, seconds: float) -> None:
        """Answer for a while.

        Args:
            why: It does not lead.
            seconds: How long.

        Raises:
            StoppedError: It is to wait no more.
        """
        if why != self._told:
            self._told = why
            note(f"lowtide: standby: {why}")
        self._look()
        # It may wait for months, and answers while it does.
        notify("WATCHDOG=1")
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._control.tick(time.monotonic())
            for fd in select.select(self._control.fds, [], [], min(left, 0.1))[0]:
                if (request := self._control.ready(fd)) is not None:
                    request.answer(self._answer(request.command, why))
            if self._stopped:
                raise StoppedError

    def _answer(self, command: dict[str, Any], why: str) -> dict[str, Any]:
        match command.get("verb"):
            case "journal":
                return {"journal": self._config.journal}
            case "stop":
                self._stopped = True
                nothing = {"buffered": 0, "in_flight": 0, "retrying": 0}
                return {"accounting": nothing}
            case _:
                told = StandbyStatus(state="standby", why=why, error=f"standby: {why}")
                return {**told}

    def _stop(self, *_: object) -> None:
        self._stopped = True


#: Of one that was told to wait no more: it has nothing.
STOPPED = Exit.NOTHING_LEFT
