"""Thousands of schedules: whatever goes wrong, every job is accounted for."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from tests.simulation.pipeline import Pipeline, run_seeds
from tests.support.repetitions import times

#: A minute of two cores; TEST_SCHEDULES=1000 for a look.
SCHEDULES = int(os.environ.get("TEST_SCHEDULES", "10000"))
#: Of these, so many where all of them would take too long.
FEW = times(100, 500)
#: Schedules at each of three windows.
WINDOWED = int(os.environ.get("TEST_WINDOWED", times(50, 400)))
#: Schedules per batch: small enough to keep all cores busy to the end, and to end in
#: time on a core that has much else to do.
BATCH = 100
KEPT = json.loads((Path(__file__).parent / "kept_seeds.json").read_text())


@pytest.mark.parametrize("at", range(0, FEW, BATCH))
def test_some_schedules_hold_every_invariant(at: int) -> None:
    assert run_seeds(range(at, min(at + BATCH, FEW))) == []


# It takes all cores itself.
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(900)
def test_thousands_of_schedules_hold_every_invariant() -> None:
    batches = [range(at, at + BATCH) for at in range(0, SCHEDULES, BATCH)]
    context = multiprocessing.get_context("forkserver")

    with context.Pool(os.cpu_count()) as pool:
        broken = [each for found in pool.imap(run_seeds, batches) for each in found]

    assert broken == []


@pytest.mark.parametrize("at", range(0, WINDOWED, BATCH))
@pytest.mark.parametrize("max_demand", [1, 1000, "auto"])
def test_the_same_holds_at_any_window(max_demand: int | str, at: int) -> None:
    first = SCHEDULES + at
    seeds = range(first, first + min(BATCH, WINDOWED - at))

    assert run_seeds(seeds, max_demand) == []


@pytest.mark.parametrize("at", range(0, WINDOWED, BATCH))
@pytest.mark.parametrize("max_demand", [None, "auto"])
def test_the_same_holds_where_jobs_have_no_ids(max_demand: str | None, at: int) -> None:
    first = 3 * SCHEDULES + at
    seeds = range(first, first + min(BATCH, WINDOWED - at))

    assert run_seeds(seeds, max_demand, named=False) == []


@pytest.mark.parametrize("at", range(0, WINDOWED, BATCH))
def test_the_same_holds_where_a_source_has_a_state(at: int) -> None:
    first = 2 * SCHEDULES + at
    seeds = range(first, first + min(BATCH, WINDOWED - at))

    assert run_seeds(seeds, paged=True) == []


@pytest.mark.parametrize("seed", [each["seed"] for each in KEPT])
def test_a_seed_that_once_failed_holds_every_invariant(seed: int) -> None:
    account = Pipeline(seed).run()

    assert account.seed == seed


@pytest.mark.parametrize("max_demand", [None, "auto"])
def test_the_same_seed_gives_the_same_schedule(max_demand: str | None) -> None:
    first = Pipeline(4711, max_demand=max_demand).run()

    again = Pipeline(4711, max_demand=max_demand).run()

    assert again == first


def test_schedules_differ_and_much_goes_wrong_in_them() -> None:
    accounts = [Pipeline(seed).run() for seed in range(100)]

    assert len({each.digest for each in accounts}) == 100
    assert sum(len(each.troubles) > 1 for each in accounts) > 50
    assert sum(each.runs > 1 for each in accounts) > 3
    assert sum(each.lost for each in accounts) > 0
    assert sum(each.accounting["quarantined"] for each in accounts) > 15
