"""Pages that lead nowhere, never end, or are none: bounded in time and in memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain import api
from tests.apis.base import Api, Asked, Said, served
from tests.apis.recipes import pipeline_of

#: What a poll may ask at the most (``max_pages``).
MOST = 100
MIB = 1 << 20


class Hostile(Api):
    """Answers with what a function makes of the request's number and query."""

    def __init__(self, page: Callable[[int, dict[str, str]], Any]) -> None:
        super().__init__()
        self.page = page

    def answer(self, asked: Asked) -> Said:
        return Said(self.page(len(self.asked), asked.query))


def one(n: int) -> list[dict[str, Any]]:
    return [{"id": n}]


CORPUS: dict[str, tuple[str, Callable[[int, dict[str, str]], Any]]] = {
    "next goes round": (
        'next = { url = "next" }',
        lambda n, _: {"rows": one(n), "next": f"?page={n % 3}"},
    ),
    "next goes round with the same pages": (
        'next = { url = "next" }',
        lambda n, _: {"rows": one(n % 3), "next": f"?page={n % 3}"},
    ),
    "pages without an end": (
        'next = { token = "next", param = "at" }',
        lambda n, _: {"rows": one(n), "next": n},
    ),
    "empty pages without an end": (
        'next = { token = "next", param = "at" }\nmore = "more"',
        lambda n, _: {"rows": [], "next": n, "more": True},
    ),
    "numbers without an end": (
        'next = { page = "page" }',
        lambda n, _: {"rows": one(n)},
    ),
    "a cursor that goes back and forth": (
        'params = { at = "{cursor}" }\ncursor = { value = "at" }\nmore = "more"',
        lambda n, _: {"rows": one(n), "at": n % 2, "more": True},
    ),
    "a cursor that goes back": (
        'params = { at = "{cursor}" }\ncursor = { max = "id" }\nmore = "more"',
        lambda n, _: {"rows": one(1000 - n), "more": True},
    ),
    "no id": ("", lambda n, _: {"rows": [{"id": None, "n": n}] * 50}),
    "ids of any kind": (
        "",
        lambda _, __: {"rows": [{"id": None}, {"id": True}, {"id": []}, {"id": {}}]},
    ),
    "no objects": ("", lambda _, __: {"rows": [None, 1, "text", [], [[]], True]}),
    "a next of any kind": (
        'next = { url = "next" }',
        lambda n, _: {
            "rows": one(n),
            "next": [0, [], {}, True, "http://[", "\x00", "//other.example/", "#"][
                n % 8
            ],
        },
    ),
}


@pytest.fixture(autouse=True)
def _around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(api, "_sessions", {})


def text_of(server: Api, options: str) -> str:
    return (
        'every_s = 10.0\n[[fetcher]]\nname = "hostile"\nfetch = "domain.api:fetch"\n'
        f'[fetcher.options]\nurl = "{server.url}/rows"\nitems = "rows"\n{options}\n'
    )


@pytest.mark.parametrize("name", CORPUS)
def test_a_poll_comes_to_its_end(name: str) -> None:
    options, page = CORPUS[name]
    with served(Hostile(page)) as server:  # noqa: SIM117 - the one is of the other
        with pipeline_of(text_of(server, options)) as pipeline:
            pipeline.advance(1)

            polled = [e for e in pipeline.events if e["event"] == "fetcher.polled"]
            assert len(polled) == 1
            assert len(server.asked) <= MOST
            assert len(str(polled)) < 2000
            pipeline.advance(12)
            # Ten seconds apart, or a little less after an error.
            assert len(server.asked) <= 4 * MOST
            told = [e for e in pipeline.events if e["event"] == "stage.error"]
            assert not told
            assert len(str(pipeline.state)) < 10_000


@pytest.mark.slow
@pytest.mark.parametrize("count", [100_000, 100_001])
def test_a_page_of_a_hundred_thousand(count: int) -> None:
    rows = [{"id": each} for each in range(count)]
    with served(Hostile(lambda _, __: {"rows": rows})) as server:
        text = text_of(server, f"max_bytes = {16 * MIB}")
        with pipeline_of(text) as pipeline:
            pipeline.advance(1)

            polled = [e for e in pipeline.events if e["event"] == "fetcher.polled"]
            fetched = pipeline.accounting["fetched"]
    if count > 100_000:
        assert "at most 100000 jobs" in polled[0]["error"]
        assert fetched == 0
    else:
        assert fetched == count


def test_a_page_that_is_too_long_is_not_read_to_its_end() -> None:
    rows = [{"id": each, "text": "x" * 1000} for each in range(50_000)]
    body = json.dumps({"rows": rows}).encode()
    with served(Hostile(lambda _, __: body)) as server:  # noqa: SIM117
        with pipeline_of(text_of(server, "")) as pipeline:
            tracemalloc.start()
            pipeline.advance(1)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()

            [told] = [e for e in pipeline.events if e["event"] == "fetcher.polled"]
            assert "TooLargeError" in told["error"]
            assert pipeline.accounting["fetched"] == 0
    # The server makes a copy of them to send it.
    assert peak - len(body) < 8 * MIB
