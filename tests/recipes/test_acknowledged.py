"""Acknowledgements with a token that a refresh token gets, while nothing is polled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from domain import api
from tests.apis import kinds
from tests.apis.base import Asked, Said, served
from tests.apis.recipes import VARIABLES, pipeline_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.testing.harness import Harness


class Closed(kinds.OAuth):
    """The list, where an item is closed by PATCH, and each refresh token is good once.

    Attributes:
        closed: The items that are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rotates = True
        self.closed: list[int] = []

    def answer(self, asked: Asked) -> Said:
        said = super().answer(asked)
        self.before_last = None
        if asked.method == "PATCH" and said.status == 200:
            self.closed.append(int(asked.path.rpartition("/")[2]))
        return said


@pytest.fixture(autouse=True)
def _around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path))
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(api, "_sessions", {})


def pause(pipeline: Harness) -> None:
    pipeline.command({"verb": "pause", "names": [], "hold": False})


def drain(pipeline: Harness) -> None:
    pipeline.command({"verb": "stop"})


def text(server: Closed) -> str:
    ack = f'ack = {{ method = "PATCH", url = "{server.url}/readings/{{id}}" }}\n'
    text = text_of("oauth2", server, ("[fetcher.options.auth]", ""))
    return (
        text.replace('type = "oauth2"', "\n[fetcher.options.auth]\ntype = 'oauth2'")
        .replace("cursor = {", f"{ack}cursor = {{")
        .replace("\n\n\n", "\n")
        + 'refresh_token = "refresh-canary-0"\n'
    )


@pytest.mark.parametrize("hold", [pause, drain])
def test_they_go_on_while_nothing_is_polled(
    hold: Callable[[Harness], None],
) -> None:
    with served(Closed()) as server:
        server.add(2)
        with pipeline_of(text(server), process_s=5.0) as pipeline:
            pipeline.advance(1)
            hold(pipeline)
            # The token has gone while the jobs were at work.
            server.revoke()
            pipeline.advance(20)

            assert sorted(server.closed) == [1, 2]
            told = [e for e in pipeline.events if e["event"] == "job.unsettled"]
            # One try is refused with the token that was good before.
            assert len(told) <= 1
            assert "canary" not in str(pipeline.events)


def test_a_refresh_token_that_was_rotated_meanwhile_is_not_lost(tmp_path: Path) -> None:
    with served(Closed()) as server:
        server.add(2)
        with pipeline_of(text(server), process_s=5.0) as pipeline:
            pipeline.advance(1)
            kept = pipeline.state["refresh"]["token"]
            pause(pipeline)
            server.revoke()
            pipeline.advance(20)
            assert server.closed
            assert server.refresh != kept
            assert pipeline.state["refresh"]["token"] == kept

            vars(api)["_sessions"].clear()
            pipeline.restart()
            server.revoke()
            server.add(1)
            pipeline.command({"verb": "resume", "names": []})
            pipeline.advance(60)

            assert pipeline.state["refresh"]["token"] == server.refresh
            assert sorted(server.closed) == [1, 2, 3]
            errors = [e for e in pipeline.events if e.get("outcome") == "faulted"]
            assert not errors
            pipeline.advance(20)
    modes = {each.stat().st_mode & 0o777 for each in tmp_path.glob("token-*")}
    assert modes <= {0o600}
