"""What crosses a line between machines, and what a member cannot say."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import tracemalloc
from typing import Any

import pytest

from actors.cluster import codec
from actors.cluster.messages import (
    AskStatus,
    Beat,
    Down,
    Join,
    Leave,
    Order,
    ProcessIs,
    Refuse,
    Retune,
    SourceIs,
    TellStatus,
    Welcome,
)
from actors.config.model import ProcessorConfig, SubscriptionOptions, SystemConfig
from actors.demand.job import Failure, Process
from actors.demand.messages import (
    Assignment,
    Cancel,
    Confirm,
    Demand,
    Done,
    Jobs,
    Outcome,
    Ping,
    Subscribe,
    Subscribed,
)
from actors.host.frames import FrameError
from actors.supervision.messages import (
    DemandGranted,
    GrantDemand,
    ProcessGone,
    ProcessLost,
    StatusAnswer,
    Tune,
    Up,
)

PROCESS = Process(name="far/p-1", run="r1", pid=7, host="far", kind="p")
#: Looks like our own way to write, in a job.
ODD: Any = {"c": "Beat", "f": {}, "t": [1, {"d": [["a", 1]]}], "r": "Outcome", "v": []}
KIND = ProcessorConfig(
    name="p",
    process="billing:process",
    sources=("orders",),
    subscriptions={"orders": SubscriptionOptions(max_demand=3)},
)
SYSTEM = SystemConfig(fetchers=(), processors=(KIND,)).for_machines()
ANSWER = StatusAnswer(
    number=1,
    name="far/p-1",
    processor={
        "pid": 7,
        "host": "far",
        "state": "running",
        "in_flight": 0,
        "demand": 1,
        "manual": False,
        "done": 3,
        "failed": 0,
        "progress": [
            {
                "taken_from": "orders",
                "id": "a",
                "jobs": 1,
                "fraction": None,
                "text": "page 4",
                "age_s": 0,
            },
        ],
    },
    events=({"at": "", "level": "info", "event": "job.done", "text": ""},),
)
JOBS = Jobs(
    subscription="s",
    first=3,
    upto=6,
    jobs=(
        Assignment(3, 1, 1, "a", ODD),
        Assignment(4, 2, 1, 7, [ODD, None, 1.5, "\ud800", True]),
        Assignment(5, 3, 2, "7", None),
    ),
    confirmed=((1, 1), (2, 1)),
    alone=True,
)
DONE = Done(
    subscription="s",
    outcomes=(
        Outcome(1, 1, ODD, None, 0.5),
        Outcome(
            2,
            1,
            None,
            Failure("ValueError: x", permanent=True, retry_after_s=3),
            1,
            begun=False,
        ),
    ),
    total=9,
    received=4,
    ended=2,
)
MESSAGES = (
    Beat(),
    Join(name="far", run="r", host="far", version="1 (abc)", limit_s=5.0),
    Welcome(line="l", system=SYSTEM, versions={"a:b": "1"}, limit_s=5.0),
    Refuse(reason="no", for_now=True),
    Leave(reason="stopped"),
    SourceIs(kind="orders", name="orders", up=True, run="1"),
    ProcessIs(process=PROCESS, up=False, reason="gone", crash=True, fate="restart"),
    Order(verb="tell", process=PROCESS, message=GrantDemand(number=1, total=5)),
    Order(verb="tell", process=PROCESS, message=Tune(config=KIND)),
    Order(verb="kill", process=PROCESS),
    Retune(system=SYSTEM),
    AskStatus(number=3),
    TellStatus(number=3, answers=(ANSWER,)),
    ProcessLost(process=PROCESS),
    ProcessGone(process=PROCESS, reason="x", others=(PROCESS,)),
    DemandGranted(number=1, name="p", error=None),
    Down(message=JOBS),
    Down(message=Jobs(subscription="s", first=0, upto=2, jobs=())),
    Down(message=Subscribed(subscription="s")),
    Down(message=Confirm(subscription="s", outcomes=((1, 2),))),
    Down(message=Ping(subscription="s", sent=3)),
    Up(source="orders", message=DONE),
    Up(source="orders", message=Demand(subscription="s", total=5, received=2)),
    Up(source="orders", message=Subscribe(subscription="s", process=PROCESS)),
    Up(source="orders", message=Cancel(subscription="s", reason="over")),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_what_machines_say_arrives_as_it_was(message: Any) -> None:
    content = codec.dumps(message)

    assert codec.loads(content) == message
    json.loads(content)


def test_each_field_of_each_class_has_a_check() -> None:
    for kind in codec.CLASSES:
        assert (
            codec.checks_of(kind)
            or kind is Beat
            or not vars(kind).get("__match_args__")
        )


def test_what_is_no_json_does_not_cross_and_is_named() -> None:
    for odd in (dt.date(2026, 1, 1), {1}, object(), b"x"):
        with pytest.raises(ValueError, match=rf"{type(odd).__name__} does not cross"):
            codec.dumps(Order(verb="tell", process=PROCESS, message=odd))


def wrong(message: Any, *path: Any, value: Any) -> bytes:
    """The message with another value at a place within it."""
    content: Any = json.loads(codec.dumps(message))
    place = content
    for each in path[:-1]:
        place = place[each]
    place[path[-1]] = value
    return json.dumps(content).encode()


STATUS = ("f", "answers", "t", 0, "f", "processor", "d")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"3",
        b"NaN",
        b"\xff",
        pickle.dumps(Beat()),
        # Nine bytes that made 352 MB: a place far out in a pickle's memory.
        b"\x80\x04Nr\xff\xff\xff\x00.",
        b'{"c":"Beat","f":{},"more":1}',
        b'{"c":"Nothing","f":{}}',
        b'{"c":"StartGate","f":{}}',
        b'{"c":"os.system","f":{}}',
        b'{"c":"Beat","f":{"more":1}}',
        b'{"c":"Process","f":{"name":"p","run":"r","pid":1,"host":"h"}}',
        b"[" * 100_000,
        b'{"t":' * 1000 + b"1" + b"}" * 1000,
        b'{"c":"AskStatus","f":{"number":' + b"9" * 5000 + b"}}",
        wrong(AskStatus(number=3), "f", "number", value="3"),
        wrong(AskStatus(number=3), "f", "number", value=True),
        wrong(AskStatus(number=3), "f", "number", value=1 << 64),
        wrong(Refuse(reason="x", for_now=True), "f", "for_now", value=1),
        wrong(Leave(reason="x"), "f", "reason", value=None),
        wrong(MESSAGES[1], "f", "name", value="x" * 5000),
        wrong(MESSAGES[1], "f", "limit_s", value="soon"),
        wrong(MESSAGES[12], "f", "answers", value=[1]),
        wrong(MESSAGES[12], "f", "answers", value={"t": [None]}),
        wrong(MESSAGES[12], *STATUS, value=[]),
        wrong(MESSAGES[12], *STATUS, 0, value=["pid", {"d": []}]),
        wrong(MESSAGES[12], *STATUS, 0, value=["more", 1]),
        wrong(MESSAGES[12], *STATUS, 0, value=[{"d": []}, 1]),
        wrong(Down(message=JOBS), "f", "message", value={"c": "Beat", "f": {}}),
        wrong(Down(message=JOBS), "f", "message", "f", "jobs", "v", value=[]),
        wrong(Down(message=JOBS), "f", "message", "f", "jobs", "v", 1, 0, value="x"),
        wrong(Down(message=JOBS), "f", "message", "f", "jobs", "v", 3, 0, value=1.5),
        wrong(
            MESSAGES[-4], "f", "message", "f", "outcomes", "v", 3, 0, value={"d": []}
        ),
        wrong(MESSAGES[-3], "f", "message", "f", "received", value=9),
    ],
)
def test_what_no_member_can_mean_is_refused(content: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(FrameError):
        codec.loads(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 16 << 20
