"""Unpickling that makes what messages are made of, and nothing else.

A pickle names the classes and functions that it wants to be called, and any may
be named. Here a name is looked up in a list, and never imported.

How a value is pickled is its class's to say, and for some that changes with the
Python: a member of an enumeration is ``AddressFamily(2)`` in one, ``getattr`` with
a name in another, and the name of a module's attribute in a third. What is admitted
is therefore pickled in one way in all of them, the one that is understood here.
"""

from __future__ import annotations

import copyreg
import datetime as dt
import io
import pickle
from dataclasses import fields, is_dataclass
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from actors.host.frames import FrameError, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: What TOML has beside JSON's values; a fetcher's options may hold it.
PLAIN: tuple[type, ...] = (
    dt.date,
    dt.time,
    dt.datetime,
    dt.timedelta,
    dt.timezone,
)

_admitted: dict[tuple[str, str], Callable[..., Any]] = {}


def admit(names: Iterable[Callable[..., Any]]) -> None:
    """Let these classes, and what these functions return, be made from what arrives.

    A function is called with whatever a pickle says: it is to make something of
    it, and do nothing else.
    """
    for each in names:
        _admitted[each.__module__, each.__qualname__] = each
        if not isinstance(each, type):
            continue
        if issubclass(each, Enum):
            copyreg.pickle(each, _by_value)
        elif is_dataclass(each) and "__slots__" in vars(each):
            _quicken(each)


def admitted() -> frozenset[Callable[..., Any]]:
    """What may be called."""
    return frozenset(_admitted.values())


def _by_value(member: Enum) -> tuple[type[Enum], tuple[Any]]:
    return type(member), (member.value,)


def _quicken(kind: Any) -> None:
    # What a frozen dataclass has by itself to tell and to take its state looks up
    # its fields each time: half of what a short message costs.
    names = tuple(each.name for each in fields(kind))
    take = tuple(getattr(kind, name).__set__ for name in names)
    tell = attrgetter(*names) if len(names) > 1 else None

    def getstate(self: Any) -> tuple[Any, ...]:
        return tell(self) if tell else tuple(getattr(self, name) for name in names)

    def setstate(self: Any, state: tuple[Any, ...]) -> None:
        for put, value in zip(take, state, strict=True):
            put(self, value)

    kind.__getstate__ = getstate
    kind.__setstate__ = setstate


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _admitted.get((module, name))
        if found is None:
            raise FrameError(Refusal.FORBIDDEN, f"{module}.{name}"[:200])
        return found


def loads(content: bytes) -> Any:
    """Make what was pickled.

    Raises:
        FrameError: It names what is not admitted, or is no pickle.
    """
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except FrameError:
        raise
    except Exception as error:
        raise FrameError(Refusal.GARBLED, type(error).__name__) from error


admit(PLAIN)
