"""Jobs and results that are long, and too long for a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.config.build import build
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve
from actors.demand.job import size_of
from actors.demand.messages import MESSAGE_BYTES, Done, Jobs
from actors.demand.windows import MIB
from actors.host.frames import MAX_MESSAGE
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


def test_a_thousand_jobs_of_100_kib_go_through_in_messages_of_a_mebibyte() -> None:
    with Harness(process=as_it_is, max_demand="auto", journal="none") as pipeline:
        pipeline.push({"id": number, "text": "x" * 102_400} for number in range(1000))
        pipeline.run_until_idle(within_s=60)

        assert pipeline.accounting["done"] == 1000
        sizes = [
            size_of([each.payload for each in message.content.jobs])
            for message in pipeline.messages
            if isinstance(message.content, Jobs)
        ]
        sizes += [
            size_of([each.result for each in message.content.outcomes])
            for message in pipeline.messages
            if isinstance(message.content, Done)
        ]
        assert max(sizes) < MESSAGE_BYTES + 1000


def test_what_is_over_the_buffers_bytes_stays_at_the_source() -> None:
    with Harness(process=length, processors=0, buffer_mib=1) as pipeline:
        pipeline.push({"id": number, "text": "x" * 102_400} for number in range(50))
        pipeline.advance(30)

        status = pipeline.status()
        [fetcher] = status["fetchers"]
        assert fetcher["waiting_for"] == "room"
        assert fetcher["buffered"] == 11
        assert fetcher["capacity_bytes"] == MIB <= fetcher["buffered_bytes"]
        assert "is full (11 jobs, 1.1 MiB)" in status["why"]
        pipeline.attach(1)
        pipeline.run_until_idle()
        assert pipeline.accounting["done"] == 50


def test_a_backlog_is_loaded_by_bytes_as_well() -> None:
    with Harness(process=length, processors=0, buffer_mib=1) as pipeline:
        pipeline.push({"id": number, "text": "x" * 102_400} for number in range(50))
        for _ in range(3):
            pipeline.advance(10)
            pipeline.restart()
        pipeline.advance(10)

        [fetcher] = pipeline.status()["fetchers"]
        assert fetcher["buffered_bytes"] < 2 * MIB
        pipeline.attach(1)
        pipeline.run_until_idle()
        assert sorted(each.job["id"] for each in pipeline.done) == list(range(50))


def test_a_batch_is_no_larger_than_what_is_sent_at_a_time(tmp_path: Path) -> None:
    sizes = []

    def together(jobs: list[Any]) -> list[Any]:
        sizes.append(len(jobs))
        return [None for _ in jobs]

    path = tmp_path / "lowtide.toml"
    path.write_text(
        '[[fetcher]]\nname = "heavy"\nfetch = "x:y"\n'
        '[[processor]]\nname = "together"\nprocess = "tests:together"\ncount = 1\n'
        "max_demand = 100\nbatch_size = 100\nbatch_timeout_s = 60.0\n"
    )
    file = ConfigFile.read(path)
    config = build(resolve({}, {}, file), file)
    with Harness(config=config, functions={"tests:together": together}) as pipeline:
        pipeline.push({"id": number, "text": "x" * 102_400} for number in range(200))
        pipeline.advance(5)

        # None of these waited for company that could not come.
        assert pipeline.accounting["done"] >= 160
        assert max(sizes) < 50
