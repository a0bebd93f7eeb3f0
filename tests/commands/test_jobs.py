"""``jobs``: what it prints, and what it says where it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from actors.commands import jobs
from actors.host.control_socket import NoAnswerError
from actors.main import main


@pytest.mark.parametrize("words", [["list"], ["show", "17"], ["retry", "17"]])
def test_a_system_that_ends_meanwhile_is_told_in_a_line(
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ends(*_: Any) -> Any:
        raise NoAnswerError("the system ended")

    monkeypatch.setattr(jobs, "ask", ends)

    assert main(["jobs", *words, "--port", "4571"]) == 1
    assert capsys.readouterr().err == "lowtide: the system ended\n"
