"""A job's way from its fetch to its route: kept first, then asked about, apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.config.build import build
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve
from actors.testing import Harness

if TYPE_CHECKING:
    from actors.config.model import SystemConfig

PARTITION = """[[fetcher]]
name = "n"
fetch = "x:fetch"
dispatcher = "partition"
partition_by = "x:by"
buffer = 4
[[processor]]
name = "p"
process = "x:process"
from = ["n"]
count = 2
"""
BROADCAST = """[[fetcher]]
name = "n"
fetch = "x:fetch"
dispatcher = "broadcast"
[[processor]]
name = "all"
process = "x:process"
from = ["n"]
count = 1
[[processor]]
name = "some"
process = "x:process"
selector = "x:select"
from = ["n"]
count = 1
"""


@pytest.fixture
def config_of(tmp_path: Path) -> Callable[..., SystemConfig]:
    def made(text: str, **settings: str) -> SystemConfig:
        path = tmp_path / "lowtide.toml"
        path.write_text(text)
        file = ConfigFile.read(path)
        return build(resolve(settings, {}, file), file)

    return made


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in range(1, count + 1)]


def itself(job: Any) -> Any:
    return job["id"]


def test_a_job_is_in_the_journal_before_it_is_asked_where_it_goes(
    config_of: Callable[..., SystemConfig],
) -> None:
    kept: list[list[int]] = []

    def by(job: Any) -> Any:
        rows = pipeline.journal.execute("SELECT id FROM job").fetchall()
        kept.append([json.loads(each) for (each,) in rows])
        return job["id"]

    config = config_of(PARTITION)
    with Harness(
        config=config, functions={"x:by": by, "x:process": itself}
    ) as pipeline:
        pipeline.push(numbered(3))
        pipeline.run_until_idle()

        assert sorted(pipeline.results) == [1, 2, 3]
        assert [number in ids for number, ids in enumerate(kept, 1)] == [True] * 3


@pytest.mark.file
def test_where_the_journal_cannot_be_written_nothing_is_asked(
    config_of: Callable[..., SystemConfig],
) -> None:
    asked: list[Any] = []

    def by(job: Any) -> Any:
        asked.append(job["id"])
        return job["id"]

    config = config_of(PARTITION)
    with Harness(
        config=config, functions={"x:by": by, "x:process": itself}
    ) as pipeline:
        database = pipeline.journal
        database.execute("PRAGMA query_only = ON")
        pipeline.push(numbered(1))
        pipeline.advance(seconds=10)
        before = list(asked)
        database.execute("PRAGMA query_only = OFF")
        pipeline.run_until_idle()

        assert (before, asked, pipeline.results) == ([], [1], [1])


def test_routes_are_found_again_where_the_fetcher_died_first(
    config_of: Callable[..., SystemConfig],
) -> None:
    functions = {"x:by": itself, "x:process": itself}
    with Harness(
        config=config_of(PARTITION), functions=functions, route_s=5
    ) as pipeline:
        pipeline.push(numbered(3))
        pipeline.advance(seconds=8)
        waiting = pipeline.status()["fetchers"][0]
        pipeline.crash("n")
        pipeline.run_until_idle()

        assert (waiting["waiting_for"], waiting["unrouted"]) == ("route", 2)
        assert sorted(pipeline.results) == [1, 2, 3]


def test_jobs_that_wait_for_a_route_take_room(
    config_of: Callable[..., SystemConfig],
) -> None:
    functions = {"x:by": itself, "x:process": itself}
    with Harness(
        config=config_of(PARTITION), functions=functions, route_s=9
    ) as pipeline:
        pipeline.push(numbered(9))
        pipeline.advance(seconds=8)
        account = pipeline.accounting
        pipeline.run_until_idle()

        assert (account["fetched"], account["buffered"]) == (4, 4)
        assert sorted(pipeline.results) == [*range(1, 10)]


def test_one_that_takes_too_long_fails_alone_and_the_mailbox_is_open(
    config_of: Callable[..., SystemConfig],
) -> None:
    def by(job: Any) -> Any:
        # Of the harness's own: what its next call takes.
        calls = pipeline._faults.call_s  # noqa: SLF001
        calls["route"] = 1000.0 if job["id"] == 2 else 0.0
        return job["id"]

    config = config_of(PARTITION, job_timeout_s="60")
    with Harness(
        config=config, functions={"x:by": by, "x:process": itself}
    ) as pipeline:
        pipeline.push(numbered(4))
        pipeline.advance(seconds=30)
        early = pipeline.accounting
        pipeline.run_until_idle()

        assert (early["done"], early["buffered"]) == (1, 3)
        assert sorted(pipeline.results) == [1, 3, 4]
        [failed] = pipeline.quarantined
        assert failed.error == "JobTimeoutError: partition_by took longer than 60 s"


def test_one_that_is_released_is_asked_again(
    config_of: Callable[..., SystemConfig],
) -> None:
    answers = iter([ValueError("not now"), "place"])

    def by(_: Any) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    config = config_of(PARTITION)
    with Harness(
        config=config, functions={"x:by": by, "x:process": itself}
    ) as pipeline:
        pipeline.push(numbered(1))
        pipeline.run_until_idle()
        [failed] = pipeline.quarantined
        command = {"verb": "jobs", "action": "retry", "keys": {"n": [1]}}
        pipeline.command(command)
        pipeline.run_until_idle()

        assert failed.error == "ValueError: not now (where it goes)"
        assert pipeline.results == [1]


@pytest.mark.file
def test_jobs_of_a_journal_that_have_no_route_get_one(
    config_of: Callable[..., SystemConfig],
) -> None:
    functions = {"x:select": lambda job: job["id"] == 2, "x:process": itself}
    with Harness(config=config_of(BROADCAST), functions=functions) as pipeline:
        pipeline.crash("all-1")
        pipeline.push(numbered(3))
        pipeline.run_until_idle()
        # As an earlier run left them, which had no dispatcher that asks.
        pipeline.journal.execute(
            "INSERT INTO single (fetcher, key, id, own_id, state, fetched_at) "
            "VALUES (1, 70, '8', 1, 'ready', 0)"
        )
        pipeline.journal.execute(
            "INSERT INTO payload VALUES ((1 << 40) + 70, '{\"id\": 2}')"
        )
        pipeline.journal.execute(
            "UPDATE fetcher SET fetched = fetched + 1, next_key = 71"
        )
        pipeline.restart()
        pipeline.run_until_idle()

        assert sorted(pipeline.results) == [1, 2, 2, 2, 2, 3]


def test_a_mark_waits_for_what_becomes_several_after_it_was_set(
    config_of: Callable[..., SystemConfig],
) -> None:
    functions = {"x:select": lambda job: job["id"] == 1, "x:process": itself}
    config = config_of(BROADCAST)
    with Harness(
        config=config, functions=functions, route_s=5, process_s=100
    ) as pipeline:
        pipeline.push(numbered(1))
        pipeline.advance(seconds=3)
        waiting = pipeline._world.command({"verb": "wait"})  # noqa: SLF001
        pipeline.push([{"id": 2}])
        pipeline.advance(seconds=60)
        early = waiting.reply
        pipeline.run_until_idle()
        pipeline.advance(seconds=1)

        assert early is None
        assert waiting.reply is not None
        assert sorted(pipeline.results) == [1, 1, 2]
