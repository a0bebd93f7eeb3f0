"""Values that stand for work still to be done: coroutines, generators and such."""

from __future__ import annotations

import types
from contextlib import suppress
from typing import Any

_PENDING: dict[type, str] = {
    types.CoroutineType: "a coroutine",
    types.GeneratorType: "a generator",
    types.AsyncGeneratorType: "an async generator",
}


def pending(value: Any) -> str | None:
    """What a value is that stands for work still to be done, in words.

    The call of an async function or of a generator returns such a value. A
    coroutine is closed here: nobody is going to run it, and Python would complain
    of that on standard error.

    Args:
        value: Anything; no code of its class is run.

    Returns:
        ``a coroutine`` and the like; None where it is none of them.
    """
    kind = type(value)
    if kind is types.CoroutineType:
        # One that runs, or ends otherwise than it should, is the user's affair.
        with suppress(BaseException):
            value.close()
    if kind in _PENDING:
        return _PENDING[kind]
    classes = type.__dict__["__mro__"].__get__(kind)
    return "something to await" if any(map(_is_awaited, classes)) else None


def _is_awaited(kind: type) -> bool:
    return "__await__" in type.__dict__["__dict__"].__get__(kind)
