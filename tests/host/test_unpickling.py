"""What may be made from what arrives, and what may not."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import inspect
import os
import pickle
import socket
import subprocess
import sys
import types
import typing
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from _pythons import found

from actors.cluster import messages as cluster_messages
from actors.config import model
from actors.config.model import SubscriptionOptions
from actors.demand import job as jobs
from actors.demand import messages as protocol
from actors.demand.job import Accounting, Failure, Process, as_json
from actors.demand.messages import Assignment, Cancel, Jobs, Outcome
from actors.host import logs, unpickling
from actors.host.frames import FrameError, Refusal
from actors.status import model as status
from actors.supervision import message_types, messages

ROOT = Path(__file__).parents[2]

unpickling.admit(message_types.ADMITTED)


def classes_of(module: types.ModuleType) -> set[type]:
    return {
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if each.__module__ == module.__name__
        and (dataclasses.is_dataclass(each) or issubclass(each, tuple))
    }


def test_every_class_of_messages_is_admitted_and_no_other() -> None:
    ours = classes_of(protocol) | classes_of(messages) | classes_of(cluster_messages)

    assert set(message_types.CLASSES) == ours | {
        Accounting,
        Failure,
        Process,
        model.FetcherConfig,
        model.ProcessorConfig,
        SubscriptionOptions,
        model.SystemConfig,
    }


def test_every_class_that_a_message_may_hold_is_admitted() -> None:
    known = unpickling.admitted() | {bool, int, float, str, bytes, dict, type(None)}
    spaces = vars(protocol) | vars(model) | vars(messages) | vars(cluster_messages)

    for each in message_types.CLASSES:
        for hint in typing.get_type_hints(each, {**spaces, **HINTS}).values():
            assert parts_of(hint) <= known, (each, hint)


#: What hints name that is imported for the type checker only.
HINTS = {
    "Address": str,
    "Sequence": Sequence,
    **vars(jobs),
    **vars(logs),
    **vars(status),
}


def parts_of(hint: Any) -> set[Any]:
    if typing.is_typeddict(hint):
        return {dict}  # what it is at run time
    if typing.get_origin(hint) is None:
        return set() if hint is Any or hint is Ellipsis else {hint}
    parts = set()
    for each in typing.get_args(hint):
        parts |= parts_of(each)
    return parts


def test_a_message_arrives_as_it_was() -> None:
    job = Assignment(3, 17, 1, "#17", {"id": 17, "number": [1.5, None, True, "ü"]})
    message = Jobs(subscription="a/1", first=3, upto=4, jobs=(job,))

    assert unpickling.loads(pickle.dumps(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        cluster_messages.Beat(),
        messages.SourceGone(name="north"),
        protocol.Ping(subscription="a/1", sent=3),
    ],
)
def test_a_message_of_no_field_of_one_or_of_several_arrives(message: Any) -> None:
    assert unpickling.loads(pickle.dumps(message)) == message


def test_a_message_with_a_field_too_few_is_refused() -> None:
    whole = pickle.dumps(protocol.Ping(subscription="a/1", sent=3), 2)
    short = whole.replace(b"K\x03" + pickle.TUPLE2, pickle.TUPLE1)
    assert len(short) == len(whole) - 2

    with pytest.raises(FrameError) as caught:
        unpickling.loads(short)

    assert caught.value.refusal is Refusal.GARBLED


@pytest.mark.parametrize("protocol_number", [2, 3, 4, 5])
def test_whatever_python_sends_is_understood(protocol_number: int) -> None:
    outcome = Outcome(3, 1, None, Failure("ValueError: no"), 0.5)

    assert unpickling.loads(pickle.dumps(outcome, protocol_number)) == outcome


class Deadly:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def deadly_pickles(path: Path) -> list[bytes]:
    inner = Deadly(path)
    return [
        pickle.dumps(inner),
        pickle.dumps((1, {"a": [inner]})),
        pickle.dumps(Cancel(subscription="a", reason=inner)),  # type: ignore[arg-type]
        b"cos\nsystem\n(S'touch " + str(path).encode() + b"'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
        b"\x80\x04\x8c\x11actors.host.linux\x8c\x02os\x93.",
    ]


@pytest.mark.parametrize("index", range(6))
def test_a_pickle_that_would_run_code_does_not(index: int, tmp_path: Path) -> None:
    path = tmp_path / "ran"

    with pytest.raises(FrameError) as caught:
        unpickling.loads(deadly_pickles(path)[index])

    assert caught.value.refusal in {Refusal.FORBIDDEN, Refusal.GARBLED}
    assert not path.exists()


def test_what_is_no_pickle_is_refused() -> None:
    for content in (b"", b"\x80", b"random bytes", b"\x80\x04."):
        with pytest.raises(FrameError):
            unpickling.loads(content)


def test_a_value_of_toml_may_be_an_option() -> None:
    values = {"since": dt.date(2024, 1, 1), "at": dt.time(3, 4)}

    assert unpickling.loads(pickle.dumps(values)) == values


class Price(float):
    """As numeric libraries have them."""


def test_a_json_value_of_a_users_class_is_sent_as_what_json_makes_of_it() -> None:
    value = as_json(OrderedDict(price=Price(1.5), parts=(1, 2)))

    assert value == {"price": 1.5, "parts": [1, 2]}
    assert {type(value), *map(type, value.values())} == {dict, float, list}
    assert unpickling.loads(pickle.dumps(value)) == value
    assert type(as_json(Price(2.5))) is float


def by_name_of_the_module(member: enum.Enum, _: int) -> Any:
    return member.name


def by_getattr(member: enum.Enum, _: int) -> Any:
    return getattr, (type(member), member.name)


@pytest.mark.parametrize("way", [by_name_of_the_module, by_getattr])
@pytest.mark.parametrize("member", [socket.AF_INET, socket.SOCK_STREAM])
def test_an_enumeration_arrives_however_this_python_pickles_its_members(
    way: Any, member: enum.Enum, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpickling.admit([type(member)])
    monkeypatch.setattr(type(member), "__reduce_ex__", way)

    assert unpickling.loads(pickle.dumps(member)) is member


def run_pickled(python: str, *words: str) -> None:
    # The packages of this environment; those that travel are all pure Python.
    path = [str(ROOT), *(each for each in sys.path if "site-packages" in each)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    command = [python, str(ROOT / "tests/support/pickled.py"), *words]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{python}: {done.stderr}"


@pytest.mark.slow
def test_what_one_python_of_this_machine_sends_each_other_one_opens(
    tmp_path: Path,
) -> None:
    # Looking for them takes seconds: here, and not where tests are collected.
    pythons = [each.path for each in found()]
    for number, python in enumerate(pythons):
        pickled = str(tmp_path / f"pickled-{number}")
        run_pickled(python, "write", pickled)
        for other in pythons:
            run_pickled(other, "read", pickled)
