"""What runs in an executor runs within a span where it can, and runs where not."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from actors.demand.consumer import Task
from actors.demand.messages import Assignment
from actors.hooks import spans
from actors.processor.executor_runner import ExecutorRunner
from actors.processor.process_call import Calling, Ended
from actors.processor.set_up import SetUp


def double(job: int) -> int:
    return 2 * job


class Here:
    """A worker that runs what it is given at once."""

    fd = -1

    def __init__(self) -> None:
        self.told: list[Any] = []

    def call(self, run: Callable[[], Iterator[Any]], _: object) -> None:
        self.told += run()

    def put(self, each: Any) -> None:
        self.told.append(each)


class Elsewhere:
    """An executor whose processes may have no lowtide."""

    def __init__(self, *, has_us: bool) -> None:
        self._has_us = has_us
        self.asked: list[Any] = []

    def submit(self, function: Any, job: Any) -> Future[Any]:
        self.asked.append(function)
        future: Future[Any] = Future()
        if self._has_us or function is double:
            taken = pickle.loads(pickle.dumps(function))  # noqa: S301 - our own
            future.set_result(taken(job))
        else:
            missing = ModuleNotFoundError("No module named 'actors'", name="actors")
            error = RuntimeError("what came cannot be read")
            error.__cause__ = missing
            future.set_exception(error)
        return future


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    spans.trace(["desk"])
    yield
    spans.trace_no_more()


@pytest.mark.parametrize("has_us", [True, False])
def test_every_job_runs_whatever_there_is_elsewhere(*, has_us: bool) -> None:
    executor, worker = Elsewhere(has_us=has_us), Here()
    calling = Calling(double, None, lambda: 0.0)
    runner = ExecutorRunner(worker, calling, lambda: executor)  # type: ignore[arg-type, return-value]
    runner.set_up(SetUp(lambda: None))
    worker.told.clear()

    runner.begin([Task("desk", Assignment(n, n, 1, n, n), n) for n in range(3)])

    ends = [each for each in worker.told if isinstance(each, Ended)]
    assert [each.outcome.result for each in ends] == [0, 2, 4]
    if has_us:
        assert all(isinstance(each, spans.Traced) for each in executor.asked)
    else:
        assert executor.asked[1:] == [double, double, double]
