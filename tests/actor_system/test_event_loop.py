"""Coroutines of a loop that is the user's as well."""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from actors.actor_system.event_loop import LoopWorker

WITHIN_S = 20.0


@pytest.fixture
def loop() -> Iterator[LoopWorker]:
    worker = LoopWorker("loop")
    yield worker
    worker.close(WITHIN_S)


def take(loop: LoopWorker, count: int) -> list[Any]:
    """What was put, once so much was; the end of those before is over then."""
    found: list[Any] = []
    while len(found) < count:
        assert select.select([loop.fd], [], [], WITHIN_S)[0], found
        found += loop.take()
    return found


def failed(error: BaseException) -> list[Any]:
    return [type(error).__name__]


async def twice(key: int) -> list[Any]:
    return [key, key]


def test_one_that_cancels_itself_as_it_returns_ends_once(loop: LoopWorker) -> None:
    async def cancelled() -> list[Any]:
        for task in asyncio.all_tasks():
            task.cancel()
        return ["returned"]

    loop.spawn(1, cancelled, failed)
    first = take(loop, 1)
    loop.spawn(2, lambda: twice(2), failed)

    assert (first, take(loop, 2)) == (["returned"], [2, 2])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")
def test_one_that_is_begun_eagerly_and_cancels_itself_ends_once(
    loop: LoopWorker,
) -> None:
    async def is_eager() -> list[Any]:
        eager = asyncio.eager_task_factory  # type: ignore[attr-defined]
        asyncio.get_running_loop().set_task_factory(eager)
        return ["eager"]

    async def cancelled() -> list[Any]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return ["returned"]

    loop.spawn(1, is_eager, failed)
    first = take(loop, 1)
    loop.spawn(2, cancelled, failed)
    second = take(loop, 1)
    loop.spawn(3, lambda: twice(3), failed)

    assert (first, second, take(loop, 2)) == (["eager"], ["returned"], [3, 3])


def test_one_that_is_cancelled_by_another_ends_once(loop: LoopWorker) -> None:
    async def waits() -> list[Any]:
        await asyncio.sleep(60.0)
        return ["returned"]

    async def cancels() -> list[Any]:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        return ["done"]

    loop.spawn(1, waits, failed)
    loop.spawn(2, cancels, failed)

    assert sorted(take(loop, 2)) == ["CancelledError", "done"]


def begins_nothing(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError


def returns_nothing(
    loop: asyncio.AbstractEventLoop, running: Any, **__: Any
) -> asyncio.Task[Any] | None:
    asyncio.Task(running, loop=loop)
    return None


def runs_it_at_once(_: Any, running: Any, **__: Any) -> Any:
    running.send(None)  # raises, since it has ended


@pytest.mark.parametrize("factory", [begins_nothing, returns_nothing, runs_it_at_once])
def test_a_factory_that_is_broken_harms_nobody_else(
    loop: LoopWorker, factory: Any
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def breaks() -> list[Any]:
        loops.append(asyncio.get_running_loop())
        loops[0].set_task_factory(factory)
        return ["broken"]

    loop.spawn(1, breaks, failed)
    first = take(loop, 1)
    loop.spawn(2, lambda: twice(2), failed)
    second = take(loop, 2)
    loops[0].call_soon_threadsafe(loops[0].set_task_factory, None)
    loop.spawn(3, lambda: twice(3), failed)

    assert (first, second) == (["broken"], [2, 2])
    assert take(loop, 2) == [3, 3]
