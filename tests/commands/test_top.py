"""Keys of ``top``, as a terminal hands them over."""

from __future__ import annotations

import os
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.commands import top
from actors.status.commands import DecideJobs

pytest.importorskip("rich")

from actors.commands.top_view import View

JOB = {"id": 3, "key": 7, "fetcher": "numbers", "state": "leased"}


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What is written here is typed."""
    keyboard, terminal = os.openpty()
    tty.setcbreak(terminal)
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield keyboard
    os.close(keyboard)


def test_what_is_pasted_with_an_id_does_not_confirm(
    keyboard: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(top, "_cancellable", lambda *_: [JOB])

    def ask(_: Path, command: Any) -> dict[str, Any]:
        asked.append(command)
        return {}

    monkeypatch.setattr(top, "_ask", ask)
    session = top._Session(tmp_path / "none", View(4570))  # noqa: SLF001

    os.write(keyboard, b"c3\ny" + b"y" * 200)
    session.wait_for_key()
    question = session.view.question
    session.wait_for_key()  # of what was pasted nothing is left
    assert (session.view.question, asked) == (question, [])
    os.write(keyboard, b"y")
    session.wait_for_key()
    assert session._answer is not None  # noqa: SLF001
    session._answer.result(60)  # noqa: SLF001

    assert question.startswith("cancel job 3 of numbers, leased? [y]es")
    assert session.view.question == ""
    [command] = asked
    assert command == DecideJobs(action="cancel", keys={"numbers": [7]})
