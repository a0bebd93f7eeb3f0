"""The functions of `spooled`, each as an async function says it."""

import asyncio
import functools
import types
from collections.abc import Callable
from typing import Any

from tests.support import spooled


def _later(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(function)
    async def later(job: Any) -> Any:
        await asyncio.sleep(0)
        answer = function(job)
        # Not ``isawaitable``, which asks a value for its ``__class__``.
        return await answer if type(answer) is types.CoroutineType else answer

    return later


def __getattr__(name: str) -> Any:
    return _later(getattr(spooled, name))
