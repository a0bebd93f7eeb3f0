"""Functions whose call only begins what somebody else must carry on."""

from __future__ import annotations

import asyncio
import functools
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from actors.demand.job import pending
from actors.user_code.functions import FunctionError, check_call, check_kind


async def later(job: Any) -> Any:
    return job


async def each_later(job: Any) -> AsyncIterator[Any]:
    yield job


def each(job: Any) -> Iterator[Any]:
    yield job


class Called:
    async def __call__(self, job: Any) -> Any:
        return job

    async def method(self, job: Any) -> Any:
        return job

    @staticmethod
    async def static(job: Any) -> Any:
        return job

    @classmethod
    async def of_class(cls, job: Any) -> Any:
        return job


class Yields:
    def __call__(self, job: Any) -> Iterator[Any]:
        yield job


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*words: Any) -> Any:
        return function(*words)

    return wrapper


def carried_out(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*words: Any) -> Any:
        return asyncio.run(function(*words))

    return wrapper


@decorated
def wrapped(job: Any) -> Any:
    return job


@carried_out
async def run_at_once(job: Any) -> Any:
    return job


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (later, "an async function"),
        (functools.partial(later), "an async function"),
        (functools.partial(functools.partial(later)), "an async function"),
        (functools.cache(later), "an async function"),
        (staticmethod(later), "an async function"),
        (Called(), "an async function"),
        (functools.partial(Called()), "an async function"),
        (Called().method, "an async function"),
        (Called.static, "an async function"),
        (Called.of_class, "an async function"),
        (wrapped, "an async function"),
        (each_later, "an async generator"),
        (each, "a generator"),
        (functools.partial(each), "a generator"),
        (Yields(), "a generator"),
    ],
)
def test_it_is_refused_in_one_sentence(function: Any, what: str) -> None:
    with pytest.raises(FunctionError) as refused:
        check_call(function, "jobs:process", "job")

    assert str(refused.value) == (
        f"'jobs:process' is {what}: it must be an ordinary function that returns when "
        "its work is done"
    )


@pytest.mark.parametrize(
    "function",
    [print, int, lambda job: job, run_at_once, functools.partial(print), dict, each],
)
def test_an_ordinary_one_is_not(function: Any) -> None:
    # What an ordinary function does with the async one that it wraps is its affair.
    check_kind(function, "jobs:fetch", yields=True)


def test_what_a_call_began_is_told_and_leaves_no_warning() -> None:
    class Awaits:
        def __await__(self) -> Any:
            raise AssertionError

    class Inherits(Awaits):
        pass

    async def one_more() -> None:
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = [
            pending(value)
            for value in (
                later(1),
                each(1),
                each_later(1),
                Inherits(),
                one_more(),
                7,
                "text",
                later,
                [1],
            )
        ]

    assert said == [
        "a coroutine",
        "a generator",
        "an async generator",
        "something to await",
        "a coroutine",
        None,
        None,
        None,
        None,
    ]


def test_one_that_hides_it_is_found_out_when_it_is_called() -> None:
    def hides(job: Any) -> Awaitable[Any]:
        return later(job)

    check_call(hides, "jobs:process", "job")

    assert pending(hides(1)) == "a coroutine"
