"""Limits that a server enforces by refusing: not exceeded by one request."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from domain import api
from domain.api import budgets, session
from tests.apis import kinds
from tests.apis.base import Asked, served
from tests.apis.recipes import VARIABLES, pipeline_of, text_of

#: Of two clocks: requests are counted when they arrive, and sent a little before.
SLACK_S = 0.05


@pytest.fixture(autouse=True)
def _around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path))
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(api, "_sessions", {})


@pytest.mark.parametrize("seed", range(1))
def test_two_requests_a_second_of_shopify(seed: int) -> None:
    draw = Random(seed)
    with served(kinds.Shopify()) as server:
        server.budget, server.window_s = 2, 1.0
        for order in range(12):
            server.change(order)
        server.before = lambda _: server.change(draw.randrange(12))
        with pipeline_of(text_of("shopify", server, ("250", "5"))) as pipeline:
            for _ in range(3):
                pipeline.advance(draw.uniform(5, 15))
                if draw.random() < 0.5:
                    vars(api)["_sessions"].clear()
                    pipeline.restart()
            server.before = lambda _: None
            pipeline.advance(60)

            last = {(e["id"], e["updated_at"]) for e in server.orders.values()}
            done = {(e.job["id"], e.job["updated_at"]) for e in pipeline.done}
            assert last <= done
    assert len(server.asked) >= 5
    assert server.exceeded == 0
    at = [each.at for each in server.asked]
    assert all(
        late - early > 1.0 - SLACK_S for early, late in zip(at, at[2:], strict=False)
    )


class Bucket(kinds.Shopify):
    """A bucket that leaks: it takes so many at once, and two a second after that.

    Attributes:
        size: What it holds.
    """

    size = 4.0

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._level = 0.0
        self._seen_at = 0.0

    def _spent(self, asked: Asked) -> tuple[int | None, float]:
        level = max(0.0, self._level - 2.0 * (self.now - self._seen_at))
        self._seen_at, self.budget = self.now, int(self.size)
        self._level = level + 1.0 if level + 1.0 <= self.size else level
        return int(self.size - level - 1.0), 1.0


def test_without_a_budget_of_ours_its_bucket_is_obeyed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with served(Bucket()) as server:
        for order in range(60):
            server.change(order)
        text = text_of("shopify", server, ("250", "3"), ('requests_per = "2/s"\n', ""))
        with pipeline_of(text) as pipeline:
            # Time is the test's, for the budgets and the server as well.
            monkeypatch.setattr(budgets, "boot_time", lambda: 1000.0 + pipeline.now)
            monkeypatch.setattr(session, "PATIENCE_S", 0.0)
            for _ in range(60):
                server.now = pipeline.now
                pipeline.advance(1.0)

            assert len({each.job["id"] for each in pipeline.done}) == 60
    assert server.exceeded == 0
