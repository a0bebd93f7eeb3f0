"""Recipes run by real processes, which are killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from actors.testing.processes import wait_until
from tests.apis import kinds
from tests.apis.base import served
from tests.apis.recipes import VARIABLES, text_of

pytestmark = pytest.mark.system

Start = Callable[..., Any]
KILLS = 5


def rows(journal: Path) -> list[tuple[Any, Any]]:
    """Each job that was fetched, as the journal knows it."""
    with sqlite3.connect(journal) as db:
        found = db.execute("SELECT id, state FROM job").fetchall()
    return [(json.loads(job_id), state) for job_id, state in found]


def fetcher_of(system: Any) -> int | None:
    [fetcher] = system.status()["fetchers"]
    return fetcher["pid"] if fetcher["state"] == "running" else None


def run(
    start_system: Start, tmp_path: Path, text: str, change: Callable[[], Any], seed: int
) -> tuple[Any, Path]:
    """Run a recipe, and kill its fetcher or all of it again and again."""
    draw, journal = Random(seed), tmp_path / "lowtide.db"
    config = tmp_path / "recipe.toml"
    config.write_text("every_s = 0.2\n" + text.replace("every_s", "# every_s"))
    words: tuple[str, ...] = ("--config", str(config), "--journal", str(journal))
    words = (*words, "--process", "builtins:len", "--processors", "2")
    system = start_system(*words)
    for _ in range(KILLS):
        for _ in range(5):
            change()
        time.sleep(draw.uniform(0.0, 0.8))  # a moment like any other
        if draw.random() < 0.5:
            pid = wait_until(partial(fetcher_of, system), "the fetcher runs")
            os.kill(pid, signal.SIGKILL)
        else:
            system.kill_all()
            system = start_system(*words)
    return system, journal


@pytest.mark.parametrize("name", ["stripe", "zendesk"])
def test_nothing_is_skipped_and_nothing_becomes_a_job_twice(
    start_system: Start, tmp_path: Path, env: dict[str, str], name: str
) -> None:
    env.update(VARIABLES)
    server = kinds.Stripe() if name == "stripe" else kinds.Zendesk()
    draw = Random(1)

    def change() -> None:
        if isinstance(server, kinds.Stripe):
            server.add(3)
        else:
            server.change(draw.randrange(20))

    def expected() -> set[str]:
        if isinstance(server, kinds.Stripe):
            return {each["id"] for each in server.events}
        return {f"{each['id']}@{each['updated_at']}" for each in server.changes}

    with served(server):
        text = text_of(name, server)
        text = text.replace('requests_per = "10/min"\n', "")
        text = text.replace("limit = 100", "limit = 10")
        for _ in range(20):
            change()
        system, journal = run(start_system, tmp_path, text, change, 3)

        wait_until(
            lambda: {job_id for job_id, _ in rows(journal)} >= expected(),
            "all of it",
            within_s=60,
        )
        wait_until(
            lambda: {state for _, state in rows(journal)} == {"done"}, "all of it done"
        )
        ids = [job_id for job_id, _ in rows(journal)]
        assert sorted(ids) == sorted(expected())
        system.kill_all()
