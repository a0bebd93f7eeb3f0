"""Who listens where, as the kernel says it."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

_LISTENS = "0A"


def listening(pids: Iterable[int]) -> set[tuple[str, int]]:
    """Addresses and ports at which these processes accept connections."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            found |= _table(Path(f"/proc/{pid}/net/tcp"), inodes)
            found |= _table(Path(f"/proc/{pid}/net/tcp6"), inodes)
    return found


def _table(path: Path, inodes: set[str]) -> set[tuple[str, int]]:
    rows = [line.split() for line in path.read_text().splitlines()[1:]]
    return {_address(row[1]) for row in rows if row[3] == _LISTENS and row[9] in inodes}


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    raw = b"".join(
        struct.pack("<I", int(host[at : at + 8], 16)) for at in range(0, len(host), 8)
    )
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)
