"""Schedules of crashes over a paged source with a cursor, drawn from seeds.

``TEST_CURSORED`` says how many; each is a system of its own, so the count is free.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from actors.testing.harness import Harness
from tests.support.repetitions import times

SCHEDULES = int(os.environ.get("TEST_CURSORED", times(20, 80)))
PARTS = 4


class Paged:
    """Events with a position each, page after page of them, which grow and fail."""

    def __init__(self, draw: Random) -> None:
        self.draw = draw
        self.events = draw.randrange(30)
        self.page = draw.choice([1, 3, 10])
        self.calm = False

    def read(self, after: int) -> tuple[list[Any], int]:
        if not self.calm:
            self.events += self.draw.choice([0, 0, 0, 1, 5])
            if self.draw.random() < 0.1:
                raise ConnectionError("trouble")
        upto = min(self.events, after + self.page)
        return [{"id": each} for each in range(after, upto)], upto

    def returned(self, state: Any = None) -> Any:
        return self.read(state or 0)

    def yielded(self, state: Any = None) -> Iterator[Any]:
        jobs, at = self.read(state or 0)
        while jobs:
            yield jobs, at
            jobs, at = self.read(at)


def check_state(pipeline: Harness) -> None:
    """The state is never ahead of the jobs: all before it are in the journal."""
    ids = [json.loads(row[0]) for row in pipeline.journal.execute("SELECT id FROM job")]
    assert len(ids) == len(set(ids))
    assert set(range(pipeline.state or 0)) <= set(ids)


def run(seed: int) -> None:
    draw = Random(seed)
    source = Paged(draw)
    fetch = draw.choice([source.returned, source.yielded])
    settings: dict[str, Any] = {
        "every_s": 1.0,
        "buffer": draw.choice([2, 10, 1000]),
        "retries": 3,
    }
    ran: list[int] = []
    with Harness(
        fetch, lambda job: ran.append(job["id"]), seed=seed, **settings
    ) as pipeline:
        for _ in range(draw.randrange(1, 5)):
            match draw.randrange(4):
                case 0:
                    pipeline.crash_at(draw.randrange(4000), "source")
                case 1:
                    pipeline.crash("source")
                case 2:
                    pipeline.restart()
                case _:
                    pipeline.crash(draw.choice(["processor-1", "root"]))
            pipeline.advance(draw.uniform(0.1, 6.0))
            check_state(pipeline)
        source.calm = True
        pipeline.advance(40)
        pipeline.run_until_idle()
        check_state(pipeline)

        assert pipeline.state == source.events or not source.events
        assert set(ran) == set(range(source.events))
        accounting = pipeline.accounting
        assert accounting["fetched"] == accounting["done"] == source.events


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_skipped_and_no_state_is_ahead_of_its_jobs(part: int) -> None:
    for seed in range(part, SCHEDULES, PARTS):
        try:
            run(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
