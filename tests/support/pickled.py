"""Whatever may travel between processes, pickled or opened by any Python.

usage: python pickled.py write FILE | read FILE
"""

import dataclasses
import datetime as dt
import pickle
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thespian.actors import ActorAddress

from actors.actor_system.system_base import THESPIANS
from actors.cluster import messages as cluster_messages
from actors.config import model
from actors.demand import job as jobs
from actors.demand import messages as protocol
from actors.host import logs, unpickling
from actors.status import model as status
from actors.supervision import message_types, messages

_SPACES = vars(protocol) | vars(model) | vars(messages) | vars(cluster_messages)
_SPACES |= {"Address": ActorAddress, "Sequence": Sequence}
_SPACES |= vars(jobs) | vars(logs) | vars(status)
_ADDRESS = ActorAddress("FetcherActor-0123456789abcdef")
_PLAIN = (
    dt.date(2026, 2, 3),
    dt.time(4, 5, tzinfo=dt.UTC),
    dt.datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=dt.timezone(dt.timedelta(hours=1))),
)


def samples() -> list[Any]:
    """One of each kind of message, and of what else may be in one."""
    return [*map(_sample, message_types.CLASSES), *_PLAIN, _ADDRESS]


def _sample(kind: type) -> Any:
    hints = typing.get_type_hints(kind, _SPACES)
    if not dataclasses.is_dataclass(kind):  # a named tuple
        return kind(*map(_value, hints.values()))
    names = [each.name for each in dataclasses.fields(kind) if each.init]
    return kind(**{name: _value(hints[name]) for name in names})


def _value(hint: Any) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or origin is dict or typing.is_typeddict(hint):
        return {"any": [1, 2.5, None, True, "ü", *_PLAIN]}
    if origin in (typing.Union, types.UnionType):
        return _value(inner[0])
    if origin in (tuple, Sequence):
        return tuple(_value(each) for each in inner if each is not Ellipsis)
    if hint is ActorAddress:
        return _ADDRESS
    if hint in message_types.CLASSES:
        return _sample(hint)
    return hint(1)


def main(verb: str, path: Path) -> None:
    """Write all of it, or open what another Python has written and compare."""
    unpickling.admit(THESPIANS)
    unpickling.admit(message_types.ADMITTED)
    mine = samples()
    if verb == "write":
        path.write_bytes(pickle.dumps([*map(pickle.dumps, mine)]))
        return
    theirs = map(unpickling.loads, pickle.loads(path.read_bytes()))  # noqa: S301
    for one, other in zip(mine, theirs, strict=True):
        assert type(one) is type(other), one
        assert one == other
    print(len(mine))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
