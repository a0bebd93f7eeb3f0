"""Ports that are free, and stay so until whoever asked for one listens there.

A port that this gives away is kept from all others who ask here, on this machine:
its number is also the name of a socket that this process holds. Between the
question and the moment when somebody listens may lie the start of a process.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections import deque

#: Below those that Linux gives to whoever connects (32768 and up): one of these may
#: be given away between the question and its use.
#: Source: ip(7), ip_local_port_range.
_PORTS = range(20000, 32000)


#: How many ports a process keeps from others: the last that it asked for.
_KEPT = 32

#: How many are tried: by then most are taken.
_TRIES = 200

_kept: deque[socket.socket] = deque()


def free_port() -> int:
    """A port on loopback that nobody uses, nor is given by the kernel meanwhile."""
    for _ in range(_TRIES):
        port = secrets.choice(_PORTS)
        if not _keep(port):
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    # Another user may hold them all, or their names: then it is kept from nobody.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def _keep(port: int) -> bool:
    keeper = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        # No file: a name that begins with a zero is the kernel's, and goes with us.
        keeper.bind(f"\0lowtide-port-{port}")
    except OSError:
        keeper.close()
        return False
    _kept.append(keeper)
    if len(_kept) > _KEPT:
        _kept.popleft().close()
    return True
