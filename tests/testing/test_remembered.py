"""How long an id is known after its job's end, over the whole pipeline."""

from __future__ import annotations

from typing import Any

import pytest

from actors.config.errors import ConfigError
from actors.testing.harness import Harness

DAY_S = 24 * 3600.0
JOURNALS = pytest.mark.parametrize("journal", ["lowtide.db", "none"])


class Shown:
    """A source that shows the same job whenever it is asked."""

    def __init__(self) -> None:
        self.is_there = True

    def fetch(self) -> Any:
        return {"id": 7} if self.is_there else None


@JOURNALS
@pytest.mark.parametrize(
    ("settings", "every_s", "window_s"),
    [
        ({"remember_s": 60.0}, 2.0, 60.0),
        pytest.param({}, 7200.0, 7 * DAY_S, marks=pytest.mark.slow),
    ],
)
def test_an_id_is_known_for_so_long_after_its_jobs_end(
    journal: str, settings: dict[str, Any], every_s: float, window_s: float
) -> None:
    source = Shown()
    with Harness(source.fetch, every_s=every_s, journal=journal, **settings) as run:
        run.advance(window_s - 2 * every_s)
        assert len(run.done) == 1

        run.advance(4 * every_s)

        assert len(run.done) == 2


@JOURNALS
def test_a_job_that_has_not_ended_is_known_however_short_the_window(
    journal: str,
) -> None:
    source = Shown()
    with Harness(
        source.fetch, every_s=2.0, process_s=50.0, journal=journal, remember_s=0.0
    ) as pipeline:
        pipeline.advance(49)

        assert pipeline.accounting["fetched"] == 1
        pipeline.advance(10)
        assert pipeline.accounting["fetched"] == 2


@JOURNALS
def test_a_job_that_is_set_aside_is_known_until_somebody_decides(journal: str) -> None:
    source = Shown()

    def process(job: Any) -> Any:
        raise ValueError(job)

    with Harness(
        source.fetch, process, every_s=2.0, retries=1, journal=journal, remember_s=10.0
    ) as pipeline:
        pipeline.advance(100)

        assert pipeline.accounting["quarantined"] == 1
        assert pipeline.accounting["fetched"] == 1


def test_a_restart_forgets_nothing_of_it() -> None:
    source = Shown()
    with Harness(source.fetch, every_s=2.0, remember_s=60.0) as pipeline:
        pipeline.advance(5)
        pipeline.restart()
        pipeline.advance(30)
        assert len(pipeline.done) == 1

        pipeline.advance(40)

        assert len(pipeline.done) == 2


def test_each_fetcher_may_have_a_window_of_its_own() -> None:
    source = Shown()
    table = {"fetch": "x:fetch", "every_s": 2.0}
    config = {
        "remember_s": 1000.0,
        "fetcher": [
            table | {"name": "short", "remember_s": 20.0},
            table | {"name": "long"},
        ],
        "processor": [{"name": "any", "process": "x:process"}],
    }
    functions = {"x:process": lambda job: job}
    with Harness(source.fetch, config=config, functions=functions) as pipeline:
        pipeline.advance(60)

        fetchers = pipeline.status()["fetchers"]
        fetched = {each["name"]: each["tally"]["fetched"] for each in fetchers}
        assert fetched["long"] == 1
        assert 3 <= fetched["short"] <= 4


@pytest.mark.parametrize("value", [-1, "seven days", True, float("inf")])
def test_what_is_no_number_of_seconds_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"remember(_s)? must be a number of seconds"):
        Harness(remember_s=value)
