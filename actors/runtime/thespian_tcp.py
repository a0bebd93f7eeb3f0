"""Thespian's TCP transport, imported as it has to be.

Some of it is decided at the import: how many messages may be under way, and what
this machine is called. For the latter it asks the name service, which may take
long where there is none, and complains there; nothing here needs a name.
"""

from __future__ import annotations

import os
import socket
from typing import Any

# With its default of 20, one receiver that hangs makes its sender deaf to all.
os.environ.setdefault("THESPIAN_MAX_PENDING_TRANSMITS", "500")


def _import() -> tuple[Any, Any]:
    asked = socket.getaddrinfo, socket.getfqdn
    socket.getaddrinfo = lambda *_, **__: []
    socket.getfqdn = lambda *_: "localhost"
    try:
        from thespian.system.transport import IPBase, TCPTransport  # noqa: PLC0415
    finally:
        socket.getaddrinfo, socket.getfqdn = asked
    return IPBase, TCPTransport


IPBase, TCPTransport = _import()
