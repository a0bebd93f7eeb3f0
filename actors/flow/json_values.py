"""Values that are the same on both sides of JSON: what jobs and results are."""

from __future__ import annotations

import json
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
    """Return ``value`` as JSON would give it back: plain dicts, lists, and so on.

    A value that is plain already is returned as it is, not copied. Of others (a
    tuple, a subclass of ``dict``) a copy is made, so that a job is the same
    whether it was just fetched or is read from the journal.

    Raises:
        TypeError: It has something that JSON has not.
        ValueError: It has ``NaN``, an infinity, an integer too long to write, or
            itself in it, or is nested more than `MAX_DEPTH` deep.
    """
    if _is_plain(value, _DEPTH):
        return value
    try:
        text = _encode(value)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # There are no more levels than brackets, and those are quick to count.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value, MAX_DEPTH)
    return json.loads(text)


_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, dict | list | tuple):
        return
    if not left:
        raise ValueError(_TOO_DEEP)
    for each in value.values() if isinstance(value, dict) else value:
        _check_depth(each, left - 1)


def _is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_SHORT < value < _SHORT)
    if kind is float:
        return bool(value - value == 0.0)
    return depth > 0 and _is_plain_inside(value, kind, depth - 1)


def _is_plain_inside(value: Any, kind: type, depth: int) -> bool:
    if kind is dict:
        for key, each in value.items():
            if type(key) is not str:
                return False
            if type(each) is not str and not _is_plain(each, depth):
                return False
        return True
    return kind is list and all(_is_plain(each, depth) for each in value)
