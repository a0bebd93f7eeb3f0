"""One that waits to take over, as its service manager sees it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from actors.commands.standby import Standby
from actors.config.model import SystemConfig
from actors.host.state_dir import SystemFiles

if TYPE_CHECKING:
    import pytest


def test_one_that_waits_feeds_its_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        config = SystemConfig(fetchers=(), processors=())
        files = SystemFiles(tmp_path, 4000)

        with Standby(config, files, lambda: None) as waits:
            told = manager.recv(4096).decode().splitlines()
            waits.wait("another one leads", 0.0)
            signs = manager.recv(4096).decode()

    assert {"READY=1", "STATUS=standby"} <= set(told)
    assert signs == "WATCHDOG=1"
