"""Row 45 of the fault matrix: what arrives at a port and is not ours."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.runtime.frames import Kind, Sealer, with_length
from actors.runtime.ports import free_port
from tests.support.listening import listening

pytestmark = pytest.mark.system

Start = Callable[..., Any]
Take = Callable[..., Any]


class Deadly:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def send(port: int, content: bytes) -> bytes:
    """Send bytes as a stranger would; returns what is answered."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.settimeout(30)
        with contextlib.suppress(OSError):
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(1000)
    return b""


def reading(system: Any) -> list[int]:
    """Ports at which somebody reads what arrives.

    The main process does not, once it has started the root.
    """
    unread = listening({system.program.process.pid})
    return sorted(port for _, port in listening(system.pids()) - unread)


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_45_everything_listens_on_loopback_only(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    system = start_system("--url", numbers.url, "--web", str(free_port()))
    system.wait_for("job.done", count=2)

    found = listening(system.pids())

    assert len(found) >= 6
    assert {host for host, _ in found} == {"127.0.0.1"}


def test_45_what_strangers_send_is_dropped_told_once_and_changes_nothing(
    start_numbers: Start, start_system: Start, account: Take, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "5", "--every", "0")
    system = start_system("--url", numbers.url)
    system.wait_for("job.done", count=5)
    ports = reading(system)
    before = {pid: memory(pid) for pid in system.pids()}
    path = tmp_path / "ran"
    deadly = pickle.dumps(Deadly(path))
    other_key = Sealer(b"x" * 32, b"stranger", time.monotonic_ns)
    strange = (
        with_length(deadly),
        *(
            with_length(other_key.seal(Kind.MESSAGE, (port, port), deadly))
            for port in ports
        ),
        b"9999999999999>" + b"x" * 1_000_000,
        b"10000000000>",
        os.urandom(1000),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    )

    answers = {send(port, each) for port in ports for each in strange * 3}

    assert answers == {b""}
    numbers.add(16.0, 25.0)
    system.wait_for("job.done", count=7)
    assert not path.exists()
    taken = account(numbers, system)
    assert (taken.lost, taken.unexpected, taken.duplicated) == ((), (), 0)
    told = system.wait_for("frame.refused", count=len(ports) * 3)
    reasons = {
        "too long",
        "no frame",
        "not signed with this system's key",
    }
    assert {each["reason"] for each in told} == reasons
    assert all(
        len([e for e in told if (e["pid"], e["reason"]) == (each["pid"], reason)]) == 1
        for each in told
        for reason in reasons
    )
    grown = {pid: memory(pid) - before[pid] for pid in before if pid in system.pids()}
    assert max(grown.values()) < 8_000_000


def test_45_a_frame_that_is_played_again_changes_nothing(
    start_numbers: Start, start_system: Start, account: Take
) -> None:
    try:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    except PermissionError:
        pytest.skip("reading what goes over loopback needs root")
    with wire:
        wire.bind(("lo", 0x0800))
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        numbers = start_numbers("--preload", "5", "--every", "0")
        system = start_system("--url", numbers.url, "--processors", "1")
        system.wait_for("job.done", count=5)
        frames = set(recorded(wire))
    ports = reading(system)
    status = system.status()
    ours = [(port, frame) for port, frame in frames if port in ports]
    assert len(ours) > 10

    for port, frame in ours:
        send(port, frame)

    system.wait_for("frame.refused", reason="repeated", count=2)
    numbers.add(16.0)
    system.wait_for("job.done", count=6)
    taken = account(numbers, system)
    assert (taken.lost, taken.unexpected, taken.left) == ((), (), 0)
    after = system.status()
    assert after["accounting"]["fetched"] == after["accounting"]["done"] == 6
    assert [e["pid"] for e in after["processors"]] == [
        e["pid"] for e in status["processors"]
    ]


def recorded(wire: socket.socket) -> Any:
    """Port and frame of each frame that went to a listening port whole."""
    wire.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while True:
            packet = wire.recv(1 << 17)
            if packet[9] != socket.IPPROTO_TCP:
                continue
            segment = packet[(packet[0] & 15) * 4 :]
            content = segment[(segment[12] >> 4) * 4 :]
            if re.match(rb"\d{2,7}>", content):
                yield int.from_bytes(segment[2:4]), content


def test_45_what_is_signed_and_not_ours_is_refused_and_what_is_repeated_is_not_redone(
    env: dict[str, str],
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "signed_frames"],
        capture_output=True,
        text=True,
        env=env,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    found = json.loads(done.stdout)

    assert found["handled"] == ["first", "last"]
    assert not found["ran"]
    assert found["answers"] == {
        "first": "ACKNOWLEDGED",
        "repeated": "ACKNOWLEDGED",
        "elsewhere": "nothing",
        "deadly": "REJECTED",
        "unknown class": "REJECTED",
        "last": "ACKNOWLEDGED",
    }
    assert sorted(found["told"]) == [
        "holds what no message of ours holds",
        "repeated",
        "sealed for another process",
    ]
