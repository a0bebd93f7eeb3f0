"""What is made once in a process, kept over its jobs, and given back at its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from actors.config.errors import ConfigError
from actors.testing import Harness
from actors.testing.world import SystemEndedError

told: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    told.clear()


def process(job: Any) -> Any:
    told.append("job")
    return job


async def process_later(job: Any) -> Any:
    await asyncio.sleep(0.1)
    return process(job)


def plain() -> None:
    told.append("set up")


async def later() -> None:
    await asyncio.sleep(1.0)
    told.append("set up")


@contextlib.contextmanager
def managed() -> Iterator[None]:
    told.append("set up")
    yield
    told.append("torn down")


@contextlib.asynccontextmanager
async def managed_later() -> AsyncIterator[None]:
    told.append("set up")
    yield
    await asyncio.sleep(0)
    told.append("torn down")


async def made_later() -> Any:
    return managed_later()


def fails() -> None:
    raise ValueError("no database")


def pipeline(
    setup: Callable[..., Any], process: Callable[[Any], Any], **more: Any
) -> Any:
    return Harness(
        config={
            "fetcher": [{"name": "numbers", "fetch": process}],
            "processor": [
                {"name": "p", "process": process, "setup": setup, "count": 1} | more
            ],
        }
    )


@pytest.mark.parametrize(
    ("setup", "run"),
    [
        (plain, process),
        (plain, process_later),
        (later, process_later),
        (managed, process),
        (managed, process_later),
        (managed_later, process_later),
        (made_later, process_later),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_it_is_run_before_the_first_job_and_left_after_the_last(
    setup: Callable[..., Any], run: Callable[[Any], Any], concurrency: int
) -> None:
    with pipeline(setup, run, concurrency=concurrency) as started:
        assert told == ["set up"]
        started.push(range(3))
        started.run_until_idle()
        started.stop()

    expected = ["set up", "job", "job", "job", "torn down"]
    is_managed = setup in (managed, managed_later, made_later)
    assert told == (expected if is_managed else expected[:-1])


def test_one_that_fails_is_a_failure_to_start() -> None:
    with pytest.raises(SystemEndedError) as failed:
        pipeline(fails, process)

    assert "the setup of p-1, failed: ValueError: no database" in str(failed.value)


@pytest.mark.parametrize("setup", [managed_later])
def test_an_async_one_goes_with_an_async_process_only(setup: Any) -> None:
    with pytest.raises(SystemEndedError, match="goes with an async process"):
        pipeline(setup, process)


@pytest.mark.parametrize(("takes_s", "times"), [(4.0, 0), (30.0, 1)])
def test_one_that_takes_long_is_told_once_and_waited_for(
    takes_s: float, times: int
) -> None:
    async def slow() -> None:
        await asyncio.sleep(takes_s)

    with pipeline(slow, process_later) as started:
        started.push(range(3))
        started.run_until_idle()

        events = [each for each in started.events if each["event"] == "setup.slow"]
        assert len(events) == times
        assert all(each["setup"] for each in events)
        assert sorted(started.results) == [0, 1, 2]


def test_one_that_fails_when_the_process_is_restarted_is_tried_again() -> None:
    left = [True, False, False, True]

    def sometimes() -> None:
        if not left.pop(0):
            raise ValueError("no database")

    with pipeline(sometimes, process) as started:
        started.crash("p-1")
        started.push(range(3))
        started.run_until_idle()

        assert started.results == [0, 1, 2]
        assert left == []


def test_check_refuses_one_that_cannot_be_called() -> None:
    from actors import Fetcher, Pipeline, Processor  # noqa: PLC0415

    with pytest.raises(ConfigError) as refused:
        Pipeline(
            [
                Fetcher("domain.numbers:fetch"),
                Processor(
                    "tests.processor.test_setup:process",
                    name="p",
                    settings={"setup": "tests.processor.test_setup:later"},
                ),
            ],
            journal="none",
        )

    assert "setup: 'tests.processor.test_setup:later' is an async function" in str(
        refused.value
    )


def test_an_async_process_goes_with_no_executor() -> None:
    from actors import Fetcher, Pipeline, Processor  # noqa: PLC0415

    here = "tests.processor.test_setup"
    settings: Any = {"executor": f"{here}:plain"}
    with pytest.raises(ConfigError) as refused:
        Pipeline(
            [
                Fetcher("domain.numbers:fetch"),
                Processor(f"{here}:process_later", name="p", settings=settings),
            ],
            journal="none",
        )

    assert f"process: '{here}:process_later' is an async function" in str(refused.value)
