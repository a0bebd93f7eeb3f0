"""Values that are the same on both sides of JSON: what jobs and results are."""

from __future__ import annotations

import json
import types
from contextlib import suppress
from itertools import chain
from typing import Any

#: Integers of less than so many bits are written without a second thought; of
#: the long ones some cannot be (see ``sys.set_int_max_str_digits``).
_SHORT = 1 << 63

#: Nested deeper than this, a value is left to the encoder to judge.
_DEPTH = 32

#: Arrays and objects inside each other. JSON and pickle fail where the
#: interpreter's stack ends, each at another depth, and another in each process:
#: what one can write the other may not, and a job would be under way for good.
MAX_DEPTH = 200

_encode = json.JSONEncoder(allow_nan=False).encode


def as_json(value: Any) -> Any:
    """Return a copy of ``value`` as JSON would give it back: plain dicts, lists.

    A job or a result is what it was at the moment it was handed over: whoever made
    it may fill the same dict again, and does so in another thread.

    Raises:
        TypeError: It has something that JSON has not.
        ValueError: It has ``NaN``, an infinity, an integer too long to write, or
            itself in it, is nested more than `MAX_DEPTH` deep, or has two keys
            that are one in JSON, as ``1`` and ``"1"`` are.
    """
    # A copy of what is plain already costs little more than the look at it, and a
    # third of writing it as JSON and reading that.
    if (copy := _copy(value, _DEPTH)) is not _ODD:
        return copy
    try:
        text = _encode(value)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # There are no more levels than brackets, and those are quick to count.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value, MAX_DEPTH)
    return _decode(text)


_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"

#: Stands for a value that is not plain.
_ODD = object()


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, dict | list | tuple):
        return
    if not left:
        raise ValueError(_TOO_DEEP)
    for each in value.values() if isinstance(value, dict) else value:
        _check_depth(each, left - 1)


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"two of its keys are {json.dumps(twice)} in JSON")
    return made


_decode = json.JSONDecoder(object_pairs_hook=_object_of).decode


def _copy(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return value if -_SHORT < value < _SHORT else _ODD
    if kind is float:
        return value if value - value == 0.0 else _ODD
    if not depth:
        return _ODD
    if kind is dict:
        return _copy_object(value, depth - 1)
    return _copy_array(value, depth - 1) if kind is list else _ODD


def _copy_object(value: dict[Any, Any], depth: int) -> Any:
    # In one step, before anybody can come in between.
    copy = value.copy()
    for key, each in copy.items():
        if type(key) is not str:
            return _ODD
        if type(each) is not str and (own := _copy(each, depth)) is not each:
            if own is _ODD:
                return _ODD
            copy[key] = own
    return copy


def _copy_array(value: list[Any], depth: int) -> Any:
    copy = value.copy()
    for index, each in enumerate(copy):
        if type(each) is not str and (own := _copy(each, depth)) is not each:
            # At the first: one that holds itself, twice over, has no end.
            if own is _ODD:
                return _ODD
            copy[index] = own
    return copy


#: What a value takes beside its content: quotes, commas, a number's digits.
_AROUND = 8


def size_of(value: Any) -> int:
    """Estimate the bytes that a JSON value takes in a message or a file.

    It is the same for equal values, on both sides of a message.
    """
    if type(value) is str:
        length = len(value) if value.isascii() else len(value.encode(errors="replace"))
        return length + _AROUND
    if type(value) is dict:
        return _AROUND + sum(map(size_of, chain(value, value.values())))
    if type(value) is list:
        return _AROUND + sum(map(size_of, value))
    if type(value) is int:
        return _AROUND + value.bit_length() // 8
    return _AROUND


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
