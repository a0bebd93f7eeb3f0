"""Job functions of which several run at the same time."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import actors
from tests.support.jobs import _note

_seen: set[int] = set()


def held(job: Any) -> Any:
    """Note, and take half a second."""
    _note(job)
    time.sleep(0.5)
    return job["id"]


async def held_later(job: Any) -> Any:
    """The same, as a task."""
    _note(job)
    await asyncio.sleep(0.5)
    return job["id"]


def kills(job: Any) -> Any:
    """Kill the process at job 3."""
    held(job)
    if job["id"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return job["id"]


async def kills_later(job: Any) -> Any:
    """The same, as a task."""
    await held_later(job)
    if job["id"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return job["id"]


def never(job: Any) -> Any:
    """Never end, at job 3."""
    _note(job)
    while job["id"] == 3:
        time.sleep(60)
    time.sleep(0.1)
    return job["id"]


async def blocks(job: Any) -> Any:
    """Keep the event loop from all others, at job 3."""
    _note(job)
    await asyncio.sleep(0.2)
    while job["id"] == 3:
        time.sleep(0.01)  # noqa: ASYNC251 - that is what it is to do
    await asyncio.sleep(0.3)
    return job["id"]


async def goes_on(job: Any) -> Any:
    """Swallow each cancellation, at job 3."""
    _note(job)
    while job["id"] == 3:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(0.1)
    return job["id"]


async def is_cancelled(job: Any) -> Any:
    """Take too long, at job 3."""
    _note(job)
    await asyncio.sleep(600 if job["id"] == 3 else 0.1)
    return job["id"]


async def one_loop(job: Any) -> Any:
    """Name the loop and the process it runs in."""
    await asyncio.sleep(0)
    return [id(asyncio.get_running_loop()), os.getpid()]


@contextlib.asynccontextmanager
async def kept() -> AsyncIterator[None]:
    """Note when what is kept is made, and when it is given back."""
    _note({"id": 1000})
    yield
    _note({"id": 2000})


def asks(job: Any) -> Any:
    """Note; take a minute at job 3, but look whether it is wanted."""
    _note(job)
    end = time.monotonic() + (600 if job["id"] == 3 else 0.1)
    while time.monotonic() < end and not actors.cancelled():
        time.sleep(0.05)
    return job["id"]


def tells(job: Any) -> Any:
    """Tell of each moment, as often as can be: five seconds, and until the switch."""
    for moment, share in _moments():
        actors.progress(share, f"moment {moment}")
    return job["id"]


async def tells_later(job: Any) -> Any:
    """The same, as a task."""
    for moment, share in _moments():
        actors.progress(share, f"moment {moment}")
        if moment % 1000 == 0:
            await asyncio.sleep(0.001)
    return job["id"]


async def stays(job: Any) -> Any:
    """Say how far it is, and stay there."""
    actors.progress(0.4, "<b>page</b> 4 of 10")
    await asyncio.sleep(600)
    return job["id"]


def _moments() -> Iterator[tuple[int, float]]:
    began, moment = time.monotonic(), 0
    switch = Path(os.environ.get("SWITCH", os.devnull))
    while (took_s := time.monotonic() - began) < 5.0 or not switch.exists():
        yield moment, took_s / (took_s + 5.0)
        moment += 1
