"""Each recipe of the docs, over the whole pipeline and a server like the real one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from domain import api
from domain.api.formats import has_feedparser
from tests.apis import kinds
from tests.apis.base import served
from tests.apis.recipes import RECIPES, VARIABLES, pipeline_of, text_of

if TYPE_CHECKING:
    from actors.testing.harness import Harness


@pytest.fixture(autouse=True)
def _around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path))
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(api, "_sessions", {})


def done(pipeline: Harness) -> Counter[Any]:
    return Counter(each.job["id"] for each in pipeline.done)


def versions(pipeline: Harness, key: str) -> Counter[tuple[Any, Any]]:
    return Counter((each.job["id"], each.job[key]) for each in pipeline.done)


def once(numbers: Any) -> Counter[Any]:
    return Counter(dict.fromkeys(numbers, 1))


def test_all_recipes_are_run() -> None:
    names = {each.stem for each in RECIPES.glob("*.toml")}
    tested = {each.removeprefix("test_") for each in globals() if "test_" in each}

    assert names <= tested


def test_github() -> None:
    with served(kinds.GitHub()) as server:
        server.add(250)
        with pipeline_of(text_of("github", server)) as pipeline:
            pipeline.run_until_idle()
            server.add(5)
            pipeline.run_until_idle()
            pipeline.restart()
            pipeline.run_until_idle()

            assert done(pipeline) == once(each["id"] for each in server.events)
    pages = [each.query.get("page", "1") for each in server.asked]
    assert pages[:3] == ["1", "2", "3"]
    tags = ["if-none-match" in each.headers for each in server.asked]
    assert tags[:4] == [False, False, False, True]
    # After the restart, too, it asks for what changed.
    assert tags[-1]
    assert {each.headers["authorization"] for each in server.asked} == {
        "Bearer ghp_canary"
    }


def test_github_at_its_limit_is_throttled_and_not_faulted() -> None:
    with served(kinds.GitHub()) as server:
        server.budget, server.window_s = 2, 4.0
        server.add(250)
        with pipeline_of(text_of("github", server)) as pipeline:
            pipeline.advance(1)
            [told] = [e for e in pipeline.events if e.get("outcome") == "throttled"]
            assert told["level"] != "error"
            assert 0 < told["next_poll_s"] <= 10
            assert len(pipeline.done) == 200
    assert server.exceeded == 0
    assert len(server.asked) == 2


def test_stripe() -> None:
    with served(kinds.Stripe()) as server:
        server.add(250)
        with pipeline_of(text_of("stripe", server)) as pipeline:
            pipeline.run_until_idle()
            before = len(server.asked)
            server.add(3)
            pipeline.run_until_idle()
            pipeline.restart()
            pipeline.run_until_idle()

            assert done(pipeline) == once(each["id"] for each in server.events)
            assert pipeline.state["cursor"] == "evt_253"
    assert before == 3
    assert all("starting_after" not in each.query for each in server.asked[before:])


def test_stripe_refuses_a_key() -> None:
    with served(kinds.Stripe()) as server:
        text = text_of("stripe", server, ("{env:STRIPE_KEY}", "sk_other"))
        with pipeline_of(text) as pipeline:
            pipeline.advance(20)

            [told] = [e for e in pipeline.events if e.get("outcome") == "faulted"]
            assert "sk_other" not in str(pipeline.events)
            assert "expected a 2xx status, got 401" in told["error"]
    assert len(server.asked) == 1


def test_slack() -> None:
    with served(kinds.Slack()) as server:
        server.add(250)
        with pipeline_of(text_of("slack", server)) as pipeline:
            pipeline.run_until_idle()
            server.add(2)
            pipeline.run_until_idle()

            assert done(pipeline) == once(each["ts"] for each in server.messages)
            assert pipeline.state["cursor"] == "1512085950.000252"


def test_slack_says_ok_to_everything() -> None:
    with served(kinds.Slack()) as server:
        server.add(2)
        server.errors = ["fatal_error", "ratelimited", "invalid_auth"]
        with pipeline_of(text_of("slack", server)) as pipeline:
            pipeline.advance(1)
            outcomes = [e["outcome"] for e in pipeline.events if "outcome" in e]
            assert outcomes == ["error"]
            pipeline.advance(10)
            told = [e for e in pipeline.events if e.get("outcome") == "throttled"]
            assert told
            assert not pipeline.done
            assert not pipeline.quarantined


def test_zendesk() -> None:
    with served(kinds.Zendesk()) as server:
        for ticket in (1, 2, 3, 1, 4, 1, 2):
            server.change(ticket)
        text = text_of("zendesk", server, ('requests_per = "10/min"\n', ""))
        with pipeline_of(text) as pipeline:
            pipeline.run_until_idle()
            server.change(3)
            pipeline.restart()
            pipeline.run_until_idle()

            expected = once((e["id"], e["updated_at"]) for e in server.changes)
            assert versions(pipeline, "updated_at") == expected
            assert pipeline.state["cursor"] == "c8"
    assert "start_time" in server.asked[0].query
    assert all("start_time" not in each.query for each in server.asked[1:])


def test_zendesk_is_asked_ten_times_a_minute() -> None:
    with served(kinds.Zendesk()) as server:
        server.budget, server.window_s = 10, 60.0
        for ticket in range(60):
            server.change(ticket)
        with pipeline_of(text_of("zendesk", server)) as pipeline:
            pipeline.advance(5)
            told = [e for e in pipeline.events if e.get("outcome") == "throttled"]
            assert "requests_per allows 10 requests in 60 s" in told[0]["reason"]
            pipeline.restart()
            pipeline.advance(5)
            assert len(pipeline.done) == 30
    assert (len(server.asked), server.exceeded) == (10, 0)


def test_shopify() -> None:
    with served(kinds.Shopify()) as server:
        for order in range(1, 8):
            server.change(order)
        text = text_of(
            "shopify", server, ("limit = 250", "limit = 3"), ('"2/s"', '"100/s"')
        )
        with pipeline_of(text) as pipeline:
            pipeline.run_until_idle()
            seen = {(e["id"], e["updated_at"]) for e in server.orders.values()}
            server.change(2)
            pipeline.run_until_idle()

            seen |= {(e["id"], e["updated_at"]) for e in server.orders.values()}
            assert versions(pipeline, "updated_at") == once(seen)
            assert pipeline.state["cursor"] == server.orders[2]["updated_at"]


def test_tickets() -> None:
    with served(kinds.Tickets()) as server:
        server.add(8)
        with pipeline_of(text_of("tickets", server)) as pipeline:
            pipeline.run_until_idle()
            server.add(1)
            pipeline.run_until_idle()
            pipeline.advance(5)

            assert done(pipeline) == once(range(1, 10))
    assert {each["status"] for each in server.tickets.values()} == {"closed"}
    patched = [each for each in server.asked if each.method == "PATCH"]
    assert len(patched) == 9
    assert {each.headers["x-api-key"] for each in patched} == {"desk_canary"}


@pytest.mark.parametrize("style", ["basic", "post"])
def test_oauth2(style: str) -> None:
    with served(kinds.OAuth()) as server:
        server.add(3)
        text = text_of("oauth2", server) + f'style = "{style}"\n'
        with pipeline_of(text) as pipeline:
            pipeline.run_until_idle()
            server.revoke()
            server.add(1)
            pipeline.run_until_idle()

            assert done(pipeline) == once(range(1, 5))
            assert not [e for e in pipeline.events if e.get("outcome") == "error"]
            assert "canary" not in str(pipeline.state)
    assert server.grants == 2


def test_oauth2_keeps_a_rotated_refresh_token_before_it_is_used() -> None:
    with served(kinds.OAuth()) as server:
        server.rotates = True
        server.add(1)
        text = text_of("oauth2", server) + 'refresh_token = "refresh-canary-0"\n'
        with pipeline_of(text) as pipeline:
            for _ in range(4):
                server.add(1)
                server.revoke()
                pipeline.run_until_idle()
                vars(api)["_sessions"].clear()
                pipeline.restart()

            pipeline.run_until_idle()
            assert pipeline.state["refresh"]["token"] == server.refresh
            assert "canary" not in str(pipeline.events)
    assert server.grants >= 5


def test_oauth2_that_is_refused_is_faulted_in_one_line() -> None:
    with served(kinds.OAuth()) as server:
        text = text_of("oauth2", server, ("{env:CLIENT_ID}", "nobody"))
        with pipeline_of(text) as pipeline:
            pipeline.advance(60)

            [told] = [e for e in pipeline.events if e.get("outcome") == "faulted"]
            assert "auth: token_url" in told["error"]
            assert "401 invalid_client" in told["error"]
    assert len(server.asked) == 1


@pytest.mark.skipif(not has_feedparser(), reason="the extra feeds is not installed")
def test_atom() -> None:
    with served(kinds.Feed()) as server:
        server.add(3)
        with pipeline_of(text_of("atom", server)) as pipeline:
            pipeline.run_until_idle()
            seen = set(server.entries)
            server.add(1)
            server.change(1)
            pipeline.run_until_idle()
            seen |= set(server.entries)

            assert versions(pipeline, "updated") == once(seen)
            pipeline.restart()
            before = len(server.asked)
            pipeline.advance(90)
    last = server.asked[before:]
    assert last
    assert all("if-none-match" in each.headers for each in last)
