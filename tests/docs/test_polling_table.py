"""The table in the docs is what the simulation comes to."""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path

import pytest

from actors.demand.polling import PollPolicy
from scripts.polling_table import (
    ANSWER_S,
    POLICIES,
    SEED,
    WEEK_S,
    Source,
    arrivals,
    simulate,
    table,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_table_in_the_docs_is_the_one_that_the_script_prints() -> None:
    printed = subprocess.run(
        [ROOT / "scripts" / "polling_table"], capture_output=True, text=True, check=True
    ).stdout

    assert printed == f"{table()}\n"
    assert printed in (ROOT / "docs" / "polling.md").read_text()


def test_a_week_has_as_many_jobs_as_it_should() -> None:
    times = arrivals(SEED)

    # Four standard deviations of a Poisson count of 16 800.
    assert len(times) == pytest.approx(100 * 24 * 7, abs=4 * 16_800**0.5)
    assert times == sorted(times)
    assert times[-1] < WEEK_S


def test_every_job_of_the_week_is_picked_up_and_none_before_it_came() -> None:
    for policy in POLICIES.values():
        week = simulate(policy, SEED)

        assert len(arrivals(SEED)) - len(week.delays) <= 2
        assert min(week.delays) > ANSWER_S / 2 - 1e-6


def test_at_a_fixed_interval_a_job_waits_for_half_of_it() -> None:
    week = simulate(PollPolicy(every_s=2.0, jitter=0.0), SEED)

    assert statistics.fmean(week.delays) == pytest.approx(1.0, abs=0.05)
    assert max(week.delays) <= 2.0 + 2 * ANSWER_S


def test_a_request_is_held_until_a_job_comes_or_the_wait_is_over() -> None:
    source = Source([3.0, 30.0], wait_s=20.0)

    answers = [source.ask(0.0), source.ask(4.0), source.ask(25.0)]

    assert [came for _, came in answers] == [3.0, None, 30.0]
    assert [at for at, _ in answers] == pytest.approx(
        [3.0 + ANSWER_S / 2, 24.0 + ANSWER_S, 30.0 + ANSWER_S / 2]
    )
