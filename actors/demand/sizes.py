"""How large jobs and results are, and how much of them is under way at a time.

What is sent is bounded by its size as well as by its number: a message that is
too long for a frame would be found out only after it was pickled, and a thousand
large jobs would fill the memory of everybody on their way.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

#: Bytes.
MIB = 1 << 20
#: What several jobs, or outcomes, in one message come to at most, in bytes; one that
#: is larger travels alone.
MESSAGE_BYTES = MIB
#: A consumer that holds jobs of so many bytes is sent no more, whatever it asked for,
#: and one that owes results of so many begins none.
WINDOW_BYTES = 4 * MIB

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


def in_parts(
    many: Iterable[T], size: Callable[[T], int], most: int = MESSAGE_BYTES
) -> Iterator[tuple[list[T], int]]:
    """Cut a sequence into parts of at most so many bytes, each with its size.

    One that is larger is a part by itself; of an empty sequence there is none.
    """
    part: list[T] = []
    total = 0
    for each in many:
        more = size(each)
        if part and total + more > most:
            yield part, total
            part, total = [], 0
        part.append(each)
        total += more
    if part:
        yield part, total
