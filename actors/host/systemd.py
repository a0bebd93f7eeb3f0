"""What systemd is told: ready, stopping, and that the root still answers.

Source: sd_notify(3), and WatchdogSec= in systemd.service(5).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from actors.host.control_socket import ControlError, ask

if TYPE_CHECKING:
    from pathlib import Path


def notify(*states: str) -> None:
    """Tell the service manager; nothing where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        sender.sendto("\n".join(states).encode(), address)


def watchdog_s() -> float | None:
    """Within how many seconds a sign of life is expected; None for never."""
    for_pid = os.environ.get("WATCHDOG_PID")
    text = os.environ.get("WATCHDOG_USEC", "")
    if not text.isdigit() or for_pid not in (None, str(os.getpid())):
        return None
    return int(text) / 1e6


def feed_watchdog(control_socket: Path, within_s: float) -> None:
    """Give signs of life, as long as the root answers, until the process ends.

    A thread of the main process that is alive proves nothing: what is to be
    known is whether the root would still start, stop and supervise.
    """
    every_s = within_s / 3

    def run() -> None:
        while True:
            began = time.monotonic()
            with contextlib.suppress(ControlError, ValueError):
                answer = ask(control_socket, {"verb": "journal"}, every_s)
                if "error" not in answer:
                    notify("WATCHDOG=1")
            time.sleep(max(0.0, every_s - (time.monotonic() - began)))

    threading.Thread(target=run, name="watchdog", daemon=True).start()
