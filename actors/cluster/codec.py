"""What machines say to one another, as JSON: no pickle crosses a line.

A message is an object with the name of its class and its fields. What arrives is made
from the classes that are named here and no others, each field is held against its
declared type, numbers and names against their bounds. So what a member says is what a
member can mean, or its line ends; a stage that reads it need not ask again.

Jobs and results go as they are: plain JSON, which they are on one machine as well
(`actors.demand.job.as_json`). A date or another object in a job is refused there, with
a sentence that names its class.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from actors.cluster import messages as cluster
from actors.config import model
from actors.demand import job
from actors.demand import messages as protocol
from actors.demand.producer import KindCounts
from actors.host.frames import FrameError, Refusal
from actors.host.logs import Event
from actors.status import model as status
from actors.supervision import messages as supervision

#: What may cross.
_SAID: tuple[type, ...] = (
    *(cluster.Beat, cluster.Join, cluster.Welcome, cluster.Refuse, cluster.Leave),
    *(cluster.SourceIs, cluster.ProcessIs, cluster.Order, cluster.Retune),
    *(cluster.AskStatus, cluster.TellStatus, cluster.Down, supervision.Up),
    *(supervision.ProcessGone, supervision.ProcessLost, supervision.DemandGranted),
)

#: And what these hold.
CLASSES: tuple[type, ...] = (
    *_SAID,
    *dict.fromkeys((*get_args(protocol.ToConsumer), *get_args(protocol.ToProducer))),
    *(protocol.Assignment, protocol.Outcome),
    *(job.Process, job.Failure, job.Accounting, supervision.StatusAnswer),
    *(supervision.GrantDemand, supervision.Tune, supervision.Flush),
    *(supervision.SourceGone, supervision.Drain, supervision.Pause),
    *(supervision.Resume, supervision.Overdue),
    *(model.SystemConfig, model.FetcherConfig, model.ProcessorConfig),
    model.SubscriptionOptions,
)

_BY_NAME = {each.__name__: each for each in CLASSES}
#: Of these the last columns are the user's own JSON, which nobody looks into.
_ROWS: dict[type, str] = {protocol.Assignment: "payload", protocol.Outcome: "result"}

#: Whole numbers; counts are far below.
_MOST = 1 << 63
#: Characters of what is no text of a person's or a program's, but a name.
_LONGEST_NAME = 1024
_NAMES = frozenset(
    {"name", "run", "host", "version", "subscription", "source", "kind", "line", "fate"}
)
#: Objects inside each other; the deepest message has six.
_DEEPEST = 24

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def dumps(message: Any) -> bytes:
    """Write a message.

    Raises:
        ValueError: It holds what does not cross a line; the text says what.
    """
    try:
        return _encode(_written(message)).encode()
    except RecursionError:
        raise ValueError("a message is nested too deep to cross a line") from None


def loads(content: bytes) -> Any:
    """Read a message.

    Raises:
        FrameError: It is none that may cross, or one that nobody can mean.
    """
    try:
        message = _read(json.loads(content, parse_constant=_no_number), 0)
    except FrameError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FrameError(Refusal.GARBLED, f"{error}"[:200]) from error
    if type(message) not in _SAID:
        raise FrameError(Refusal.FORBIDDEN, type(message).__name__)
    return message


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _written(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in _BY_NAME.values():
        return {"c": kind.__name__, "f": _fields_of(value)}
    if kind is list:
        return [_written(each) for each in value]
    if kind is tuple:
        if value and type(value[0]) in _ROWS:
            return _columns(type(value[0]), value)
        return {"t": [_written(each) for each in value]}
    if kind in (dict, types.MappingProxyType):
        return {"d": [[_written(key), _written(value[key])] for key in value]}
    raise ValueError(f"{kind.__module__}.{kind.__qualname__} does not cross a line")


def _columns(kind: Any, rows: tuple[Any, ...]) -> dict[str, Any]:
    # A thousand jobs are five lists, most of them of plain numbers.
    columns = dict(zip(kind._fields, map(list, zip(*rows, strict=True)), strict=True))
    for name, column in columns.items():
        if name != _ROWS[kind] and not set(map(type, column)) <= _SCALARS:
            columns[name] = [_written(each) for each in column]
    return {"r": kind.__name__, "v": [*columns.values()]}


_SCALARS = {bool, int, float, str, type(None)}


def _fields_of(value: Any) -> dict[str, Any]:
    kind = type(value)
    if not dataclasses.is_dataclass(kind):
        return {name: _written(getattr(value, name)) for name in kind._fields}
    written = {}
    for each in dataclasses.fields(kind):
        one = getattr(value, each.name)
        if each.init and not (each.default is one or _is_default(each, one)):
            written[each.name] = _written(one)
    return written


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    default = field.default
    return type(default) is type(value) and bool(default == value)


def _read(value: Any, depth: int) -> Any:  # noqa: C901, PLR0911 - one arm a form
    kind = type(value)
    if kind is str or value is None:
        return value
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        return [_read(each, depth + 1) for each in value]
    if not isinstance(value, dict):
        if type(value) is int and not -_MOST <= value < _MOST:
            raise ValueError("a number that nobody can mean")
        return value
    match value:
        case {"t": list(items), **rest} if not rest:
            return tuple(_read(each, depth + 1) for each in items)
        case {"d": list(items), **rest} if not rest:
            pairs = [(key, _read(each, depth + 1)) for key, each in items]
            if not all(type(key) is str for key, _ in pairs):
                raise ValueError("a key that is no text")
            return dict(pairs)
        case {"r": str(name), "v": list(columns), **rest} if not rest:
            return _rows(name, columns, depth + 1)
        case {"c": str(name), "f": dict(fields), **rest} if not rest:
            return _object(name, fields, depth + 1)
    raise ValueError("an object that is none of ours")


def _class_of(name: str) -> Any:
    if name not in _BY_NAME:
        raise FrameError(Refusal.FORBIDDEN, name[:200])
    return _BY_NAME[name]


def _rows(name: str, columns: list[Any], depth: int) -> tuple[Any, ...]:
    kind = _class_of(name)
    if kind not in _ROWS or len(columns) != len(kind._fields):
        raise ValueError(f"no rows of {name[:200]}")
    checks, read = checks_of(kind), []
    for field, column in zip(kind._fields, columns, strict=True):
        if type(column) is not list:
            raise ValueError(f"no rows of {name[:200]}")
        if field != _ROWS[kind]:
            column = [_read(each, depth) for each in column]  # noqa: PLW2901
            if not all(map(checks[field], column)):
                raise ValueError(f"{name[:200]}.{field} is not what it may be")
        read.append(column)
    return tuple(map(functools.partial(tuple.__new__, kind), zip(*read, strict=True)))


def _object(name: str, fields: dict[str, Any], depth: int) -> Any:
    kind = _class_of(name)
    values = {key: _read(each, depth) for key, each in fields.items()}
    _check(kind, values)
    return kind(**values)


def _check(kind: type, values: dict[str, Any]) -> None:
    checks = checks_of(kind)
    for key, value in values.items():
        if key not in checks:
            raise ValueError(f"{kind.__name__} has no {key[:200]}")
        if not checks[key](value):
            raise ValueError(f"{kind.__name__}.{key} is not what it may be")
        if key in _NAMES and isinstance(value, str) and len(value) > _LONGEST_NAME:
            raise ValueError(f"{kind.__name__}.{key} is too long for a name")


# Checks, made of the declared types once.

Check = Callable[[Any], bool]

#: What annotations name that are imported for type checkers only.
_KNOWN: dict[str, Any] = {
    **{each.__name__: each for each in CLASSES},
    **{name: getattr(status, name) for name in ("FetcherAnswer", "ProcessorAnswer")},
    **{name: getattr(protocol, name) for name in ("ToConsumer", "ToProducer")},
    "AccountingCounts": job.AccountingCounts,
    "Event": Event,
    "KindCounts": KindCounts,
    "JobId": job.JobId,
    "Mapping": Mapping,
    "Sequence": Sequence,
    "SubscriptionId": str,
}


@functools.cache
def checks_of(kind: type) -> dict[str, Check]:
    """What holds each field of a class against its declared type."""
    hints = get_type_hints(kind, localns=_KNOWN)
    if dataclasses.is_dataclass(kind):
        names = [each.name for each in dataclasses.fields(kind) if each.init]
    else:
        names = [*kind._fields]  # type: ignore[attr-defined]
    return {name: _check_for(hints[name]) for name in names}


def _check_for(hint: Any) -> Check:  # noqa: C901, PLR0911 - one arm a form
    if hint is Any:
        return lambda _: True
    if hint in (None, type(None)):
        return lambda value: value is None
    if hint is float:
        return lambda value: type(value) in (int, float)
    if hint in (bool, int, str):
        return lambda value: type(value) is hint
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        any_of = [_check_for(each) for each in inner]
        return lambda value: any(check(value) for check in any_of)
    if origin is Literal:
        return lambda value: value in inner
    if origin is tuple:
        return _check_for_tuple(inner)
    if origin in (list, Sequence):
        one = _check_for(inner[0])
        return lambda value: type(value) in (list, tuple) and all(map(one, value))
    if origin in (dict, Mapping) or hint is dict:
        of_values = _check_for(inner[1]) if inner else _check_for(Any)
        return lambda value: type(value) is dict and all(map(of_values, value.values()))
    if typing.is_typeddict(hint):
        return _check_for_table(hint)
    if hint in _BY_NAME.values():
        return lambda value: type(value) is hint
    raise TypeError(f"no check for {hint}")


def _check_for_tuple(inner: tuple[Any, ...]) -> Check:
    if len(inner) == 2 and inner[1] is Ellipsis:  # noqa: PLR2004 - and any number
        one = _check_for(inner[0])
        return lambda value: type(value) is tuple and all(map(one, value))
    each = [_check_for(part) for part in inner]

    def check(value: Any) -> bool:
        if type(value) is not tuple or len(value) != len(each):
            return False
        return all(one(part) for one, part in zip(each, value, strict=True))

    return check


def _may_be_missing(hint: Any) -> bool:
    return get_origin(hint) is typing.NotRequired


def _check_for_table(hint: Any) -> Check:
    hints = get_type_hints(hint, localns=_KNOWN)
    checks = {name: _check_for(each) for name, each in hints.items()}
    # Written in words, what may be missing is not seen when the class is made.
    marked = get_type_hints(hint, localns=_KNOWN, include_extras=True)
    required = {
        name for name in hint.__required_keys__ if not _may_be_missing(marked[name])
    }

    def check(value: Any) -> bool:
        if type(value) is not dict or not required <= value.keys() <= checks.keys():
            return False
        return all(checks[name](each) for name, each in value.items())

    return check
