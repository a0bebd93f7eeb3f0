"""A rate limit over crashes and restarts of everything, on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing import Harness
from tests.testing.test_journal_trouble import full_disk

Make = Callable[..., Harness]
INTERVAL_S = 20.0


class Begun:
    """Notes when each job was begun first, as soon as it had come.

    Not when its end was told: that may wait for others to be kept with.
    """

    def __init__(self) -> None:
        self._at: dict[int, float] = {}
        self.pipeline: Harness | None = None

    def __call__(self, job: Any) -> None:
        assert self.pipeline is not None
        self._at.setdefault(job["id"], self.pipeline.now)

    def most_in_a_stretch(self) -> int:
        """The most jobs that were begun within an interval."""
        at = list(self._at.values())
        return max(sum(a <= other < a + INTERVAL_S for other in at) for a in at)


@pytest.mark.parametrize("what", ["fetcher", "root", "all"])
@pytest.mark.parametrize("every_s", [0.5, 3.0, 7.0])
def test_a_limit_holds_over_a_loop_of_crashes(
    what: str, every_s: float, pipeline: Make
) -> None:
    begun = Begun()
    limited = begun.pipeline = pipeline(
        process=begun,
        processors=3,
        max_demand=4,
        every_s=0.5,
        rate_limit=2,
        rate_interval_s=INTERVAL_S,
    )
    limited.push([{"id": number} for number in range(1, 13)])
    name = limited.status()["fetchers"][0]["name"]
    limited.advance(0.5)

    for _ in range(3):
        if what == "all":
            limited.restart()
        else:
            limited.crash(name if what == "fetcher" else "root")
        limited.advance(every_s)
    limited.run_until_idle()

    assert len(limited.done) == 12
    assert begun.most_in_a_stretch() == 2


@pytest.mark.parametrize("what", ["fetcher", "root"])
def test_without_a_journal_a_fetcher_that_died_has_sent_all_it_may(
    what: str, pipeline: Make
) -> None:
    limited = pipeline(
        every_s=0.5, rate_limit=2, rate_interval_s=INTERVAL_S, journal="none"
    )
    limited.push([{"id": 1}, {"id": 2}])
    name = limited.status()["fetchers"][0]["name"]
    limited.advance(0.5)

    limited.crash(name if what == "fetcher" else "root")
    limited.push([{"id": 3}, {"id": 4}, {"id": 5}])
    limited.advance(INTERVAL_S - 2)
    before = len(limited.done)
    limited.advance(4)

    assert (before, len(limited.done)) == (2, 4)


@pytest.mark.file
def test_what_waits_while_the_disk_is_full_leaves_as_the_limit_says(
    pipeline: Make,
) -> None:
    begun = Begun()
    limited = begun.pipeline = pipeline(
        process=begun,
        processors=3,
        max_demand=4,
        every_s=0.5,
        rate_limit=2,
        rate_interval_s=INTERVAL_S,
    )
    limited.push([{"id": number} for number in range(1, 9)])
    limited.advance(0.5)

    with full_disk(limited):
        limited.advance(3 * INTERVAL_S)
    limited.run_until_idle()

    assert len(limited.done) == 8
    assert begun.most_in_a_stretch() == 2
