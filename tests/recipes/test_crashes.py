"""Each recipe while its server changes and fails, and its fetcher dies many times."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from domain import api
from domain.api import budgets, session
from domain.api.formats import has_feedparser
from tests.apis import kinds
from tests.apis.base import Api, Asked, served
from tests.apis.recipes import VARIABLES, pipeline_of, text_of
from tests.support.repetitions import times

if TYPE_CHECKING:
    from actors.testing.harness import Harness

DEATHS = times(10, 30)
SEEDS = range(int(os.environ.get("TEST_RECIPE_SEEDS", "1")))


class Clock:
    """What budgets go by: the time of the pipeline that runs."""

    pipeline: Harness | None = None

    def __call__(self) -> float:
        return 1000.0 + (self.pipeline.now if self.pipeline else 0.0)


clock = Clock()


@pytest.fixture(autouse=True)
def _around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(budgets, "boot_time", clock)
    monkeypatch.setattr(session, "PATIENCE_S", 0.0)
    monkeypatch.setattr(clock, "pipeline", None)
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path))
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(api, "_sessions", {})


def run(
    pipeline: Harness,
    server: Api,
    draw: Random,
    change: Callable[[], Any],
    often: float = 0.4,
) -> None:
    """Let everything happen, and then nothing any more."""

    def before(_: Asked) -> None:
        if draw.random() < often:
            change()
        if draw.random() < 0.1:
            server.faults.append(draw.choice([500, 502, 503, 429]))
        server.cut += draw.random() < 0.1

    [fetcher] = pipeline.sources
    clock.pipeline = pipeline
    server.before = before
    for _ in range(DEATHS):
        change()
        pipeline.crash_at(draw.randrange(20_000), fetcher)
        pipeline.advance(draw.uniform(1, 40))
        if draw.random() < 0.4:
            vars(api)["_sessions"].clear()
            pipeline.restart()
    server.before = lambda _: None
    server.faults.clear()
    server.cut = 0
    pipeline.advance(400)
    pipeline.run_until_idle()
    polls = [e for e in pipeline.events if e["event"] == "fetcher.polled"]
    quiet = sum(e["count"] == 0 and e["outcome"] == "none" for e in polls)
    # What was answered when the fetcher died is asked for again, and each fetcher
    # that is started asks.
    least = server.useful + quiet + DEATHS
    assert server.useful + server.idle <= 1.2 * least


def check(
    pipeline: Harness, ran: list[Any], expected: set[Any], key: Callable[[Any], Any]
) -> None:
    """All of it has come, and nothing became a job twice."""
    assert {key(job) for job in ran} == expected
    assert pipeline.accounting["fetched"] == len(expected)
    assert pipeline.accounting["done"] == len(expected)


def by_id(job: Any) -> Any:
    return job["id"]


@pytest.mark.parametrize("seed", SEEDS)
def test_github(seed: int) -> None:
    with served(kinds.GitHub()) as server:
        server.add(150)
        # No more than it shows: what it forgets nobody gets.
        text = text_of("github", server, ("per_page = 100", "per_page = 20"))
        ran: list[Any] = []
        with pipeline_of(text, ran) as pipeline:
            run(pipeline, server, Random(seed), lambda: server.add(1))

            check(pipeline, ran, {each["id"] for each in server.events}, by_id)


@pytest.mark.parametrize("seed", SEEDS)
def test_stripe(seed: int) -> None:
    with served(kinds.Stripe()) as server:
        server.add(30)
        text = text_of("stripe", server, ("limit = 100", "limit = 3"))
        ran: list[Any] = []
        with pipeline_of(text, ran) as pipeline:
            run(pipeline, server, Random(seed), lambda: server.add(2))

            check(pipeline, ran, {each["id"] for each in server.events}, by_id)


@pytest.mark.parametrize("seed", SEEDS)
def test_slack(seed: int) -> None:
    with served(kinds.Slack()) as server:
        server.add(30)
        text = text_of("slack", server, ("limit = 100", "limit = 3"))
        ran: list[Any] = []
        with pipeline_of(text, ran) as pipeline:
            run(pipeline, server, Random(seed), lambda: server.add(2))

            check(pipeline, ran, {each["ts"] for each in server.messages}, by_id)


@pytest.mark.parametrize("seed", SEEDS)
def test_zendesk(seed: int) -> None:
    draw = Random(seed)
    with served(kinds.Zendesk()) as server:
        for _ in range(20):
            server.change(draw.randrange(5))
        text = text_of("zendesk", server, ('requests_per = "10/min"\n', ""))
        ran: list[Any] = []
        with pipeline_of(text, ran) as pipeline:
            run(pipeline, server, draw, lambda: server.change(draw.randrange(5)))

            changes = {(each["id"], each["updated_at"]) for each in server.changes}
            check(pipeline, ran, changes, lambda job: (job["id"], job["updated_at"]))


@pytest.mark.parametrize("seed", SEEDS)
def test_shopify(seed: int) -> None:
    draw = Random(seed)
    with served(kinds.Shopify()) as server:
        for order in range(12):
            server.change(order)
        text = text_of(
            "shopify", server, ("limit = 250", "limit = 3"), ('"2/s"', '"1000/s"')
        )
        ran: list[Any] = []
        with pipeline_of(text, ran) as pipeline:
            run(pipeline, server, draw, lambda: server.change(draw.randrange(15)))

            done = {(each["id"], each["updated_at"]) for each in ran}
            last = {(e["id"], e["updated_at"]) for e in server.orders.values()}
            assert last <= done
            assert pipeline.accounting["fetched"] == len(done)


@pytest.mark.parametrize("seed", [0])
def test_tickets(seed: int) -> None:
    with served(kinds.Tickets()) as server:
        server.add(20)
        server.size = 10
        ran: list[Any] = []
        with pipeline_of(text_of("tickets", server), ran) as pipeline:
            # Each page of them is asked for in each poll, and there are more and more.
            run(pipeline, server, Random(seed), lambda: server.add(1), often=0.05)
            pipeline.advance(100)

            check(pipeline, ran, set(server.tickets), by_id)
            assert {e["status"] for e in server.tickets.values()} == {"closed"}


@pytest.mark.parametrize("rotates", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_oauth2(seed: int, rotates: bool) -> None:  # noqa: FBT001
    with served(kinds.OAuth()) as server:
        server.rotates = rotates
        server.add(5)
        draw = Random(seed)
        text = text_of("oauth2", server)
        if rotates:
            text += 'refresh_token = "refresh-canary-0"\n'

        def change() -> None:
            server.add(1)
            if draw.random() < 0.5:
                server.revoke()

        ran: list[Any] = []
        with pipeline_of(text, ran) as pipeline:
            run(pipeline, server, draw, change)

            check(pipeline, ran, {each["id"] for each in server.items}, by_id)


@pytest.mark.skipif(not has_feedparser(), reason="the extra feeds is not installed")
@pytest.mark.parametrize("seed", SEEDS)
def test_atom(seed: int) -> None:
    with served(kinds.Feed()) as server:
        server.add(5)
        ran: list[Any] = []
        with pipeline_of(text_of("atom", server), ran) as pipeline:
            run(pipeline, server, Random(seed), lambda: server.add(1))

            check(pipeline, ran, {name for name, _ in server.entries}, by_id)
