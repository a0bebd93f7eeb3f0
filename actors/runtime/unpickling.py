"""Unpickling that makes what messages are made of, and nothing else.

A pickle names the classes and functions that it wants to be called, and any may
be named. Here a name is looked up in a list, and never imported.
"""

from __future__ import annotations

import datetime as dt
import io
import pickle
from typing import TYPE_CHECKING, Any

from actors.runtime.frames import FrameError, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What TOML has beside JSON's values; a fetcher's options may hold it.
PLAIN: tuple[type, ...] = (
    dt.date,
    dt.time,
    dt.datetime,
    dt.timedelta,
    dt.timezone,
)

_admitted: dict[tuple[str, str], type] = {}


def admit(classes: Iterable[type]) -> None:
    """Let these classes be made from what arrives."""
    for each in classes:
        _admitted[each.__module__, each.__qualname__] = each


def admitted() -> frozenset[type]:
    """The classes that may be made."""
    return frozenset(_admitted.values())


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
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
