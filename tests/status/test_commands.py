"""Commands, as they cross the control socket."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from actors.status.commands import (
    AskJobs,
    AskJournal,
    AskStatus,
    Attach,
    Begin,
    Command,
    DecideJobs,
    Detach,
    Pause,
    RefusedError,
    Resume,
    SetValues,
    SourceState,
    Stop,
    Wait,
    ask,
)

#: Scripts of others may speak to the socket, too: key for key it is to stay.
ON_THE_WIRE: tuple[tuple[Command[Any], dict[str, Any]], ...] = (
    (AskStatus(), {"verb": "status"}),
    (AskJournal(), {"verb": "journal"}),
    (Begin(), {"verb": "begin"}),
    (Attach(), {"verb": "attach", "count": 1}),
    (
        Attach(count=2, processor="sqrt"),
        {"verb": "attach", "count": 2, "processor": "sqrt"},
    ),
    (Detach(), {"verb": "detach"}),
    (Detach(count=2), {"verb": "detach", "count": 2}),
    (Detach(names=["sqrt-1"]), {"verb": "detach", "names": ["sqrt-1"]}),
    (Stop(), {"verb": "stop"}),
    (Stop(now=False), {"verb": "stop", "now": False}),
    (Pause(), {"verb": "pause"}),
    (
        Pause(names=["numbers"], hold=True),
        {"verb": "pause", "names": ["numbers"], "hold": True},
    ),
    (Resume(), {"verb": "resume"}),
    (Resume(names=[]), {"verb": "resume", "names": []}),
    (
        SetValues(names=[], values={"every_s": 1.0}),
        {"verb": "set", "names": [], "values": {"every_s": 1.0}},
    ),
    (AskJobs(name="sqrt", count=3), {"verb": "ask", "name": "sqrt", "count": 3}),
    (
        AskJobs(name="sqrt", count=3, source="numbers"),
        {"verb": "ask", "name": "sqrt", "count": 3, "source": "numbers"},
    ),
    (Wait(names=["numbers"]), {"verb": "wait", "names": ["numbers"]}),
    (
        DecideJobs(action="retry", keys={"numbers": [1]}),
        {"verb": "jobs", "action": "retry", "keys": {"numbers": [1]}},
    ),
    (
        SourceState(fetcher="numbers", action="show"),
        {"verb": "state", "fetcher": "numbers", "action": "show"},
    ),
    (
        SourceState(fetcher="numbers", action="set", state=None),
        {"verb": "state", "fetcher": "numbers", "action": "set", "state": None},
    ),
)


@pytest.mark.parametrize(("command", "wire"), ON_THE_WIRE)
def test_a_command_is_json_key_for_key_and_is_read_again(
    command: Command[Any], wire: dict[str, Any]
) -> None:
    assert command.as_dict() == wire
    assert type(command).of(wire) == command


def test_what_a_command_lacks_is_none_and_what_it_has_beside_is_left() -> None:
    assert AskJobs.of({"verb": "ask", "count": "3", "colour": 1}) == AskJobs(
        name=None,  # type: ignore[arg-type]  # what the values are is not looked at
        count="3",  # type: ignore[arg-type]
    )


def test_a_refusal_is_an_error_with_its_words(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(json.dumps({"error": "no"}).encode() + b"\n")

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(RefusedError, match=r"^no$"):
            ask(path, AskStatus(), 5.0)
        answering.join()
