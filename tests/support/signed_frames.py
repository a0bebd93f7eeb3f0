"""A system of one actor, to which somebody who has its key sends odd frames.

Prints as JSON what the actor handled, how each frame was answered, and what the
log tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from actors.flow.messages import Confirm
from actors.runtime import closed, logs
from actors.runtime.frames import Kind, Opener, Sealer, with_length
from actors.runtime.ports import free_port
from actors.runtime.seam import Address, Stage
from actors.runtime.system import RunningSystem
from actors.stages.wire import ADMITTED

SEEN = Path(tempfile.mkdtemp()) / "seen"


class Deadly:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {SEEN}.ran",)


class Listener(Stage):
    """Notes what it was sent, in a file."""

    def receive(self, message: Any, sender: Address) -> None:
        with SEEN.open("a") as seen:
            seen.write(f"{message.subscription}\n")


def handled() -> list[str]:
    """Subscriptions of the messages that the actor has handled so far."""
    return SEEN.read_text().split() if SEEN.exists() else []


def ask(port: int, frame: bytes) -> str:
    """Send a frame; returns what is answered."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(with_length(frame))
        connection.settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            answer = connection.recv(1000).partition(b">")[2]
            if answer:
                opener = Opener(closed._key, time.monotonic_ns)  # noqa: SLF001
                return opener.open(answer).kind.name
    return "nothing"


def main() -> None:
    pipe = logs.open_pipe()
    system = RunningSystem(free_port(), os.devnull, ADMITTED)
    try:
        address = system._actors.createActor(Listener)  # noqa: SLF001
        port = closed.port_of(address)
        sealer = Sealer(closed._key, b"somebody", time.monotonic_ns)  # noqa: SLF001

        def seal(message: Any, to: int = port) -> bytes:
            return sealer.seal(Kind.MESSAGE, (port, to), pickle.dumps(message))

        first = seal(Confirm(subscription="first", outcomes=()))
        elsewhere = seal(Confirm(subscription="elsewhere", outcomes=()), port + 1)
        answers = {
            "first": ask(port, first),
            "repeated": ask(port, first),
            "elsewhere": ask(port, elsewhere),
            "deadly": ask(port, seal(Deadly())),
            "unknown class": ask(port, seal(Path("x"))),
            "last": ask(port, seal(Confirm(subscription="last", outcomes=()))),
        }
        deadline = time.monotonic() + 30
        while "last" not in handled() and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        system.kill()
    told = [json.loads(line) for line in os.read(pipe.reader, 1 << 16).splitlines()]
    print(  # noqa: T201 - it is the answer
        json.dumps(
            {
                "handled": handled(),
                "answers": answers,
                "ran": Path(f"{SEEN}.ran").exists(),
                "told": [
                    each["reason"] for each in told if each["event"] == "frame.refused"
                ],
            }
        )
    )


if __name__ == "__main__":
    # Actors are found by the name of their module, and this one's has another.
    import signed_frames  # type: ignore[import-not-found]

    signed_frames.main()
