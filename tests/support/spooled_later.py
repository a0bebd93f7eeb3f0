"""The functions of `spooled`, each as an async function says it."""

import asyncio
import functools
import inspect
import types
from collections.abc import Callable
from importlib import import_module
from typing import Any

# The one that is called by the same path: what it keeps, it keeps once.
_spooled = import_module(__name__.removesuffix("_later"))


def _later(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(function)
    async def later(job: Any) -> Any:
        await asyncio.sleep(0)
        answer = function(job)
        # Not ``isawaitable``, which asks a value for its ``__class__``.
        return await answer if type(answer) is types.CoroutineType else answer

    later.__module__ = __name__
    return later


for _name, _each in vars(_spooled).items():
    if inspect.isfunction(_each):
        globals()[_name] = _later(_each)
