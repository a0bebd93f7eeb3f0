"""What a user's function may return or raise by accident, and every job ends."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from actors.config.build import build
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve
from actors.testing import Harness
from tests.support.spooled import MuteError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: By none of them is a thread to be ended.
ENDS = (SystemExit, KeyboardInterrupt, MuteError)


class UnsayableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    @property
    def permanent(self) -> bool:
        raise RuntimeError("no answer")


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def errors(pipeline: Harness) -> list[dict[str, Any]]:
    return [each for each in pipeline.events if each["event"] == "stage.error"]


def test_a_result_that_cannot_be_pickled_arrives_as_plain_json() -> None:
    with Harness(process=lambda _: defaultdict(lambda: 0, total=5)) as pipeline:
        pipeline.push([1])
        pipeline.run_until_idle()

        assert pipeline.results == [{"total": 5}]


def test_a_job_that_cannot_be_pickled_arrives_as_plain_json() -> None:
    with Harness() as pipeline:
        pipeline.push([defaultdict(lambda: 0, amounts=(2, 3))])
        pipeline.run_until_idle()

        assert pipeline.results == [{"amounts": [2, 3]}]


@pytest.mark.parametrize("depth", [300, 900, 960, 5000])
def test_what_is_nested_too_deep_to_travel_is_quarantined(depth: int) -> None:
    with Harness(process=lambda _: nested(depth)) as pipeline:
        pipeline.push([1, nested(depth)])
        pipeline.run_until_idle()

        assert pipeline.accounting["quarantined"] == 2
        for each in pipeline.quarantined:
            assert "nested more than 200 deep" in str(each.error)
        assert errors(pipeline) == []


def test_each_call_gets_options_of_its_own() -> None:
    seen: list[Any] = []

    def fetch(words: list[str], more: dict[str, list[int]]) -> Any:
        seen.append((list(words), dict(more)))
        words.clear()
        more.clear()
        return len(seen) if len(seen) < 3 else None

    options = {"words": ["a"], "more": {"b": [1]}}
    with Harness(fetch=fetch, options=options) as pipeline:
        pipeline.run_until_idle()

        assert seen[:3] == [(["a"], {"b": [1]})] * 3


async def double_later(job: Any) -> Any:
    return 2 * job


def test_a_process_that_hides_what_it_began_fails_each_job_for_good() -> None:
    def begins(job: Any) -> Any:
        return double_later(job) if job < 3 else (each for each in [job])

    with Harness(process=begins) as pipeline:
        pipeline.push([1, 2, 3])
        pipeline.run_until_idle()

        errors = [str(each.error) for each in pipeline.quarantined]
        assert [error.split(",")[1] for error in errors] == [
            " got a coroutine",
            " got a coroutine",
            " got a generator",
        ]
        assert all(error.startswith("ResultError: process must ") for error in errors)


def test_a_fetch_that_hides_what_it_began_is_refused_until_it_is_mended() -> None:
    with Harness(fetch=lambda: double_later(1)) as pipeline:
        pipeline.advance(seconds=20)

        [fetcher] = pipeline.status()["fetchers"]
        polls = [e for e in pipeline.events if e["event"] == "fetcher.polled"]
        assert fetcher["state"] == "faulted"
        assert "got a coroutine, which nobody runs" in str(fetcher["last_error"])
        assert [each["outcome"] for each in polls] == ["faulted"]


def test_an_async_fetch_is_refused_at_once() -> None:
    async def fetch() -> Any:
        return 1

    with pytest.raises(ValueError, match="'fetch' is an async function"):
        Harness(fetch=fetch)


def test_each_try_of_settle_gets_a_job_and_an_outcome_of_its_own() -> None:
    told: list[tuple[Any, Any]] = []

    def settle(job: Any, outcome: Any) -> None:
        told.append((dict(job), dict(outcome)))
        job.clear()
        outcome["result"].clear()
        outcome.clear()
        if len(told) < 3:
            raise SyntaxError("unexpected token", cast("Any", "else"))

    with Harness(
        process=lambda job: {"of": [job["id"]]}, settle=settle, retries=1
    ) as pipeline:
        pipeline.push([{"id": 1, "lines": [1]}])
        pipeline.run_until_idle()
        pipeline.advance(seconds=200)

        job = {"id": 1, "lines": [1]}
        assert [each[0] for each in told] == [job] * 3
        assert {each[1]["state"] for each in told} == {"done"}


@pytest.mark.parametrize("error", ENDS, ids=["exit", "interrupt", "mute"])
def test_a_settle_that_ends_its_thread_is_called_again(error: Any) -> None:
    calls = iter([True, True, False])
    told: list[Any] = []

    def settle(job: Any, _: Any) -> None:
        if next(calls):
            raise error
        told.append(job["id"])

    with Harness(settle=settle) as pipeline:
        pipeline.push([{"id": 1}])
        pipeline.run_until_idle()
        pipeline.advance(seconds=200)

        assert told == [1]


@pytest.mark.parametrize("error", ENDS, ids=["exit", "interrupt", "mute"])
def test_a_function_that_asks_may_raise_anything_and_what_it_asked_for_stands(
    error: Any, tmp_path: Path
) -> None:
    def asks(ask: Any) -> None:
        ask(2)
        raise error

    path = tmp_path / "lowtide.toml"
    path.write_text(
        '[[fetcher]]\nname = "n"\nfetch = "x:y"\n'
        '[[processor]]\nname = "p"\nprocess = "x:p"\ncount = 1\n'
        'from = ["n"]\ndemand = "x:asks"\n'
    )
    functions = {"x:p": lambda job: job, "x:asks": asks}
    with Harness(config=path, functions=functions) as pipeline:
        pipeline.push([1, 2, 3])
        pipeline.advance(seconds=10)

        failed = [e for e in pipeline.events if e["event"] == "demand.failed"]
        assert (pipeline.results, len(failed)) == ([1, 2], 1)


def test_an_id_that_is_none_is_told_once_and_its_job_is_run() -> None:
    ids = [1.0, True, [1], {"a": 1}, 2.5, False, [], None]
    with Harness(process=lambda job: job["id"]) as pipeline:
        pipeline.push([{"id": each} for each in ids])
        pipeline.run_until_idle()

        told = [each for each in pipeline.events if each["event"] == "id.ignored"]
        assert len(pipeline.results) == len(ids)
        assert [each["got"] for each in told] == [
            "a number with a point",
            "true or false",
            "an array",
            "an object",
        ]
        assert {each["level"] for each in told} == {"warning"}


def test_an_integer_and_its_text_are_two_jobs() -> None:
    with Harness(process=lambda job: repr(job["id"])) as pipeline:
        pipeline.push([{"id": 17}, {"id": "17"}, {"id": 17}, {"id": "17"}])
        pipeline.run_until_idle()

        assert sorted(pipeline.results) == ["'17'", "17"]


def test_a_job_whose_keys_collide_is_kept_and_fails_alone() -> None:
    with Harness() as pipeline:
        pipeline.push([{"id": 1}, {1: "a", "1": "b"}, {"id": 2}])
        pipeline.run_until_idle()

        assert pipeline.results == [{"id": 1}, {"id": 2}]
        [failed] = pipeline.quarantined
        assert failed.job["raw"] == "{1: 'a', '1': 'b'}"
        assert str(failed.error).endswith('two of its keys are "1" in JSON')


def test_an_error_whose_text_no_file_can_hold_is_kept_spelled_out() -> None:
    def refuse(job: Any) -> None:
        raise ValueError(f"cannot do {job['name']}")

    with Harness(process=refuse, retries=2) as pipeline:
        pipeline.push([{"name": "\ud800"}, {"name": "fine"}])
        pipeline.run_until_idle()

        assert pipeline.accounting["quarantined"] == 2
        assert pipeline.failed[0].error == "ValueError: cannot do \\ud800"
        assert errors(pipeline) == []


def test_an_error_that_cannot_say_what_it_is_fails_its_job_only() -> None:
    def refuse(job: Any) -> Any:
        if job == 1:
            raise UnsayableError
        return job

    with Harness(process=refuse, retries=1) as pipeline:
        pipeline.push([1, 2])
        pipeline.run_until_idle()

        assert pipeline.results == [2]
        [failed] = pipeline.quarantined
        assert failed.error == "UnsayableError: its text cannot be had"


def test_a_partition_key_that_no_file_can_hold_still_finds_its_way(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lowtide.toml"
    path.write_text(
        '[[fetcher]]\nname = "n"\nfetch = "x:y"\ndispatcher = "partition"\n'
        'partition_by = "key"\n[[processor]]\nname = "p"\nprocess = "tests:p"\n'
        'from = ["n"]\n'
    )
    file = ConfigFile.read(path)
    config = build(resolve({}, {}, file), file)

    with Harness(config=config, functions={"tests:p": lambda job: 1}) as pipeline:
        pipeline.push([{"key": "\ud800"}])
        pipeline.run_until_idle()

        assert pipeline.results == [1]
        assert errors(pipeline) == []


def test_a_list_that_is_shown_until_it_is_done_is_told_in_one_line_a_poll() -> None:
    tickets = [{"id": each} for each in range(1, 21)]

    def fetch() -> Iterator[dict[str, int]]:
        yield from tickets

    with Harness(fetch=fetch, every_s=1.0) as pipeline:
        pipeline.advance(seconds=10)
        tickets.append({"id": 21})
        pipeline.advance(seconds=10)

        polls = sum(pipeline.status()["fetchers"][0]["tally"]["polls"].values())
        again = [e for e in pipeline.events if e["event"] == "job.duplicate"]
    told = [(e["job_id"], e["count"]) for e in again if e["level"] == "warning"]
    # Of the first poll the jobs are new; what was told once is no news.
    assert told == [(1, 20), (21, 21)]
    assert 15 < len(again) <= polls
    assert {e["level"] for e in again} == {"warning", "debug"}


def test_a_list_of_pages_is_told_in_one_line_a_poll_as_well() -> None:
    def fetch(state: Any = None) -> Iterator[Any]:
        for page in range(4):
            yield [{"id": page * 5 + each} for each in range(5)], state

    with Harness(fetch=fetch, every_s=1.0) as pipeline:
        pipeline.advance(seconds=10)

        again = [e for e in pipeline.events if e["event"] == "job.duplicate"]
    assert {e["count"] for e in again} == {20}
    assert [e["job_id"] for e in again if e["level"] == "warning"] == [0]


def test_a_list_in_place_of_jobs_is_told_once_and_waits_for_the_next_poll() -> None:
    rows = [{"id": 1}, {"id": 2}]
    with Harness(fetch=lambda: rows, process=len, every_s=1.0) as pipeline:
        pipeline.advance(seconds=20)

        [told] = [e for e in pipeline.events if e["event"] == "job.is_list"]
        assert (told["items"], "yield from" in told["hint"]) == (2, True)
        assert 10 <= len(pipeline.results) <= 30
