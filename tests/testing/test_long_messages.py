"""Jobs and results that are long, and too long for a message."""

from __future__ import annotations

from typing import Any

from actors.runtime.frames import MAX_MESSAGE
from actors.testing import Harness

MEGABYTE = "x" * 1_000_000


def as_it_is(job: Any) -> Any:
    return job


def length(job: Any) -> int:
    return len(job["text"])


def test_jobs_that_are_long_together_travel_in_parts() -> None:
    with Harness(process=length, processors=1, max_demand=16) as pipeline:
        pipeline.push({"id": number, "text": MEGABYTE} for number in range(16))
        pipeline.run_until_idle()

        assert pipeline.results == [1_000_000] * 16
        assert pipeline.accounting["done"] == 16
        assert pipeline.failed == []


def test_results_that_are_long_together_travel_in_parts() -> None:
    with Harness(process=as_it_is, processors=1, max_demand=16) as pipeline:
        pipeline.push({"id": number, "text": MEGABYTE} for number in range(16))
        pipeline.run_until_idle()

        assert {each["id"] for each in pipeline.results} == set(range(16))
        assert pipeline.quarantined == []


def test_a_job_that_no_message_holds_is_set_aside_and_the_rest_goes_on() -> None:
    with Harness(process=length, processors=1, max_demand=4) as pipeline:
        pipeline.push(
            {"id": number, "text": MEGABYTE * (5 if number == 2 else 1)}
            for number in range(5)
        )
        pipeline.run_until_idle()

        [aside] = pipeline.quarantined
        assert aside.job["id"] == 2
        assert aside.error is not None
        assert aside.error.startswith("MessageTooLongError: the job takes 5000")
        assert aside.error.endswith(f"at most {MAX_MESSAGE} are sent")
        assert pipeline.results == [1_000_000] * 4


def test_a_result_that_no_message_holds_fails_its_job_for_good() -> None:
    def grow(job: Any) -> Any:
        return MEGABYTE * (5 if job["id"] == 1 else 1)

    with Harness(process=grow, processors=1) as pipeline:
        pipeline.push({"id": number} for number in range(3))
        pipeline.run_until_idle()

        [aside] = pipeline.quarantined
        assert aside.job["id"] == 1
        assert "the result takes 5000" in str(aside.error)
        assert len(pipeline.results) == 2
