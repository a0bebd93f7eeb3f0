"""Ports that are free, and stay so until whoever asked for one listens there."""

from __future__ import annotations

import contextlib
import secrets
import socket

#: Below those that Linux gives to whoever connects (32768 and up): one of these may
#: be given away between the question and its use.
#: Source: ip(7), ip_local_port_range.
_PORTS = range(20000, 32000)


def free_port() -> int:
    """A port on loopback that nobody uses, nor is given by the kernel meanwhile."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
