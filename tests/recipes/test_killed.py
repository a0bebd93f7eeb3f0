"""Each recipe run by real processes, which are killed at any moment."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from actors.testing.processes import wait_until
from domain.api.formats import has_feedparser
from tests.apis import kinds
from tests.apis.base import Api, served
from tests.apis.recipes import RECIPES, VARIABLES, text_of

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

Start = Callable[..., Any]
KILLS = int(os.environ.get("TEST_KILLS", "30"))
#: As often as a system puts up with: more restarts in 5 s would end it.
APART_S = 1.7
#: The pages are small, and the polls are close together.
SMALL = {
    "github": ("per_page = 100", "per_page = 20"),
    "shopify": ("limit = 250", "limit = 50"),
    "slack": ("limit = 100", "limit = 10"),
    "stripe": ("limit = 100", "limit = 10"),
    "zendesk": ('requests_per = "10/min"\n', ""),
}


def served_by(name: str) -> Api:
    kind = {
        "atom": kinds.Feed,
        "github": kinds.GitHub,
        "oauth2": kinds.OAuth,
        "shopify": kinds.Shopify,
        "slack": kinds.Slack,
        "stripe": kinds.Stripe,
        "tickets": kinds.Tickets,
        "zendesk": kinds.Zendesk,
    }[name]
    return kind()


def change(server: Any, draw: Random) -> None:
    """Let something come, or change where that is a job of its own."""
    with server.lock:
        if isinstance(server, kinds.Zendesk | kinds.Shopify):
            server.change(draw.randrange(40))
        else:
            server.add(1)
        if isinstance(server, kinds.OAuth) and draw.random() < 0.1:
            server.revoke()


def expected(server: Any) -> set[str]:  # noqa: PLR0911 - one arm a kind
    """The ids of the jobs that there are to be."""
    match server:
        case kinds.Zendesk():
            return {f"{each['id']}@{each['updated_at']}" for each in server.changes}
        case kinds.Shopify():
            # Of an order that changed twice between two polls, the last alone is there.
            orders = server.orders.values()
            return {f"{each['id']}@{each['updated_at']}" for each in orders}
        case kinds.Slack():
            return {each["ts"] for each in server.messages}
        case kinds.OAuth():
            return {str(each["id"]) for each in server.items}
        case kinds.Feed():
            return {f"{each}@{at}" for each, at in server.entries}
        case kinds.Tickets():
            return {str(each) for each in server.tickets}
        case _:
            return {each["id"] for each in server.events}


def rows(journal: Path) -> dict[str, str]:
    """Each job that was fetched, as the journal knows it; an id has one."""
    with sqlite3.connect(journal) as db:
        found = db.execute("SELECT id, state FROM job").fetchall()
    return {str(json.loads(job_id)): state for job_id, state in found}


@pytest.mark.parametrize("name", sorted(each.stem for each in RECIPES.glob("*.toml")))
def test_nothing_is_skipped_and_nothing_becomes_a_job_twice(
    start_system: Start, tmp_path: Path, env: dict[str, str], name: str
) -> None:
    if name == "atom" and not has_feedparser():
        pytest.skip("the extra feeds is not installed")
    env.update(VARIABLES)
    draw, journal, config = Random(name), tmp_path / "lowtide.db", tmp_path / "r.toml"
    words: tuple[str, ...] = ("--config", str(config), "--journal", str(journal))
    words = (*words, "--process", "builtins:len", "--processors", "2")
    with served(served_by(name)) as server:
        server.before = lambda _: change(server, draw) if draw.random() < 0.2 else None
        text = text_of(name, server, *([SMALL[name]] if name in SMALL else ()))
        config.write_text("every_s = 0.3\n" + text.replace("every_s", "# every_s"))
        for _ in range(30):
            change(server, draw)
        system = start_system(*words)
        for _ in range(KILLS):
            change(server, draw)
            time.sleep(APART_S + draw.uniform(0.0, 0.5))  # a moment like any other
            fetchers = system.status()["fetchers"]
            if draw.random() < 0.8 and fetchers[0]["pid"]:
                os.kill(fetchers[0]["pid"], signal.SIGKILL)
            else:
                system.kill_all()
                system = start_system(*words)
        server.before = lambda _: None
        wait_until(lambda: rows(journal).keys() >= expected(server), "all of it", 60)
        wait_until(lambda: set(rows(journal).values()) == {"done"}, "all done", 60)
        accounting = system.status()["accounting"]
        # Nothing came twice: each id is a job once, and there are no others.
        assert accounting["fetched"] == len(rows(journal))
        if name != "shopify":
            assert rows(journal).keys() == expected(server)
        assert accounting["quarantined"] == 0
        system.kill_all()
