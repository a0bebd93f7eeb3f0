"""JSON that means the same to every reader.

Python's parser takes more than RFC 8259 allows (NaN, Infinity) and picks a
side where the RFC leaves one open (the last of two equal keys wins). A job
read that way may not be the job that was sent, so all of it is refused here.
"""

import json
import math
import re
from collections import Counter
from typing import Any

from .errors import BadJsonError

__all__ = ["MAX_DEPTH", "MAX_DIGITS", "parse"]

#: Arrays and objects inside each other; a job needs one.
MAX_DEPTH = 64

#: Digits of an integer. Source: CPython's own default, stated here since a
#: process can lift that one (sys.set_int_max_str_digits) and parsing is quadratic.
MAX_DIGITS = 4300

# Possessive, and the closing quote optional: an unclosed string full of escapes
# would otherwise be scanned again from each of its quotes.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_BYTE_ORDER_MARK = "\ufeff"
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def parse(body: bytes) -> Any:
    """Read one JSON value.

    Raises:
        BadJsonError: ``body`` is not valid UTF-8 or not JSON, or it holds a
            byte order mark, NaN, an infinity (also 1e999), a key twice, a lone
            surrogate, an integer of more than `MAX_DIGITS` digits, or more than
            `MAX_DEPTH` nested brackets. It carries ``body``.
    """
    try:
        text = body.decode("utf-8")
        _check_depth(text)
        if text.startswith(_BYTE_ORDER_MARK):
            raise json.JSONDecodeError("Unexpected UTF-8 BOM", text, 0)
        value = _decoder.decode(text)
        _check_surrogates(text, value)
    except (ValueError, RecursionError) as error:
        reason = _reason(error)
        message = f"expected strict JSON, got {len(body)} bytes with {reason}"
        raise BadJsonError(message, body=body) from error
    return value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return  # as it mostly is: there are not so many
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} nested brackets")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which is not a JSON number")


def _finite(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise ValueError(f"{_short(literal)}, which is too large for a float")
    return value


def _short_int(literal: str) -> int:
    digits = len(literal.removeprefix("-"))
    if digits > MAX_DIGITS:
        raise ValueError(f"an integer of {digits} digits, more than {MAX_DIGITS}")
    return int(literal)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {_short(twice)} twice")
    return value


#: Made once: to make it takes as long as to read a short value.
_decoder = json.JSONDecoder(
    parse_constant=_refuse_constant,
    parse_float=_finite,
    parse_int=_short_int,
    object_pairs_hook=_unique_keys,
)


def _check_surrogates(text: str, value: Any) -> None:
    # A lone surrogate passes the parser and fails much later, in whatever first
    # encodes the string. Only an escape can smuggle one in.
    if _SURROGATE_ESCAPE.search(text):
        json.dumps(value, ensure_ascii=False).encode("utf-8")


def _reason(error: ValueError | RecursionError) -> str:
    match error:
        case UnicodeDecodeError():
            return f"invalid UTF-8 at byte {error.start}"
        case UnicodeEncodeError():
            return "a lone surrogate in a string"
        case json.JSONDecodeError():
            return f"a fault at character {error.pos}: {error.msg}"
        case RecursionError():
            return "too many nested brackets"
        case _:
            return str(error)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")  # noqa: PLR2004
