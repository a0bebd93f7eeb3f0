"""Events on their way out of a fetcher: whole, in order, bounded, never waited for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from actors.demand.job import Failure, Job, Process
from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
)
from actors.hooks import event_queue
from actors.hooks.event_queue import EventQueue, Message
from actors.hooks.events import JOB_EVENTS, KINDS, event_of
from actors.host import native


def job(key: int, payload: Any = None, size: int = 0) -> Job:
    return Job(key=key, id=key, payload=payload, fetched_at=0.0, size=size)


@pytest.fixture
def way() -> Iterator[tuple[native.Socket, native.Socket]]:
    pair = native.message_pair()
    pair[0].settimeout(30)
    yield pair
    for each in pair:
        each.close()


def queue_at(writer: native.Socket, *wanted: str) -> EventQueue:
    return EventQueue(writer, "desk", wanted, lambda: 5.0)


def read(reader: native.Socket, count: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while len(events) < count:
        events += Message(reader.recv(1 << 22)).events()
    return events


def test_events_come_out_in_order(way: tuple[native.Socket, native.Socket]) -> None:
    reader, writer = way
    out = queue_at(writer, "fetched")

    out.note([JobFetched(job(n)) for n in range(200)])

    assert [each["key"] for each in read(reader, 200)] == list(range(200))
    out.close()


PROCESS = Process(name="sort-1", pid=42, run="r", host="h")
FAILURE = Failure("ValueError: no", trace="Traceback ...")
ODD: Any = {"who": "Zoë \ud800", "n": [1.5, -0.0, None, True, 1 << 80, {}], "": []}


@pytest.mark.parametrize(
    "event",
    [
        JobFetched(job(3, ODD)),
        JobLeased(job(3, ODD), PROCESS),
        JobDone(job(3, ODD), 2, PROCESS, ODD, 0.25),
        JobReturned(job(3, ODD), PROCESS, "its process died"),
        JobFailed(job(3, ODD), PROCESS, FAILURE, 4.0),
        JobQuarantined(job(3, ODD), None, FAILURE),
        JobReleased(job(3, ODD)),
        JobDropped(job(3, ODD), "full"),
    ],
)
def test_an_event_comes_out_as_it_is(
    event: Any, way: tuple[native.Socket, native.Socket]
) -> None:
    reader, writer = way
    out = queue_at(writer, *JOB_EVENTS)
    attempt = getattr(event, "attempt", event.job.attempt)

    out.note([event, event])

    for told in read(reader, 2):
        expected = event_of("desk", event, 5.0)
        assert expected is not None
        assert told == expected | {"attempt": attempt}
    out.close()


def test_a_job_too_deep_to_be_written_goes_without(
    way: tuple[native.Socket, native.Socket],
) -> None:
    reader, writer = way
    out = queue_at(writer, "fetched", "done")
    deep: Any = []
    for _ in range(3000):
        deep = [deep]

    out.note([JobFetched(job(1, deep, 9)), JobDone(job(1), 1, PROCESS, deep, 0.1)])

    assert [(each["event"], each["job"]) for each in read(reader, 2)] == [
        ("fetched", None),
        ("done", None),
    ]
    out.close()


def test_long_results_go_one_by_one(way: tuple[native.Socket, native.Socket]) -> None:
    reader, writer = way
    out = queue_at(writer, "done")

    out.note([JobDone(job(n), 1, PROCESS, "x" * 60_000, 0.1) for n in range(3)])

    assert [len(each["result"]) for each in read(reader, 3)] == [60_000] * 3
    out.close()


def test_only_what_somebody_wants_is_sent(
    way: tuple[native.Socket, native.Socket],
) -> None:
    reader, writer = way
    out = queue_at(writer, "dropped")

    out.note([JobFetched(job(1)), JobDropped(job(2), "full")])

    [event] = read(reader, 1)
    assert (event["event"], event["key"], event["reason"]) == ("dropped", 2, "full")
    out.close()


@pytest.mark.parametrize("size", [100, 90_000])
def test_while_nobody_reads_so_much_waits_and_the_rest_is_counted(
    way: tuple[native.Socket, native.Socket],
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "MOST", 3000)
    reader, writer = way
    out = queue_at(writer, "fetched")
    count = 20_000 if size == 100 else 400

    out.note([JobFetched(job(n, "x" * size, size)) for n in range(count)])

    seen: list[dict[str, Any]] = []
    while not any(each["event"] == "lost" for each in seen):
        seen += read(reader, 1)
        out.note([])
    [lost] = (each["count"] for each in seen if each["event"] == "lost")
    assert lost > 0
    assert len(seen) - 1 + lost <= count
    out.close()


def test_an_event_too_long_goes_without_its_job(
    way: tuple[native.Socket, native.Socket],
) -> None:
    reader, writer = way
    out = queue_at(writer, "fetched")

    out.note([JobFetched(job(1, "x" * 500_000))])

    [event] = read(reader, 1)
    assert (event["key"], event["job"], event["too_long"]) == (1, None, True)
    out.close()


def test_the_end_sends_what_waits(way: tuple[native.Socket, native.Socket]) -> None:
    reader, writer = way
    out = queue_at(writer, "fetched")

    out.note([JobFetched(job(1))])
    out.close()

    assert [each["key"] for each in read(reader, 1)] == [1]


def test_a_message_says_what_is_in_it_and_gives_a_part_of_that(
    way: tuple[native.Socket, native.Socket],
) -> None:
    reader, writer = way
    out = queue_at(writer, *JOB_EVENTS)

    out.note(
        [
            JobFetched(job(1)),
            JobLeased(job(1), PROCESS),
            JobFetched(job(2)),
            JobDropped(job(2), "full"),
        ]
    )

    message = Message(reader.recv(1 << 22))
    assert message.count(KINDS) == 4
    assert message.count(["fetched", "dropped", "lost"]) == 3
    some = message.events(["fetched", "dropped"])
    assert [(each["event"], each["key"]) for each in some] == [
        ("fetched", 1),
        ("fetched", 2),
        ("dropped", 2),
    ]
    out.close()


def test_what_finds_room_at_once_does_not_overtake_what_waits(
    way: tuple[native.Socket, native.Socket],
) -> None:
    reader, writer = way
    out = queue_at(writer, "fetched")
    # More than the socket holds, and less than may wait for it.
    count, text = 200, "x" * 10_000

    seen: list[dict[str, Any]] = []
    for number in range(count):
        out.note([JobFetched(job(number, text, len(text)))])
        if number > count // 2:
            seen += read(reader, 1)
    seen += read(reader, count - len(seen))

    assert [each["key"] for each in seen] == [*range(count)]
    out.close()


def test_what_the_main_process_tells_is_as_it_is() -> None:
    reader = event_queue.open_way(["fatal"])
    told = {"event": "fatal", "at": 1.0, "stage": "desk", "error": "no"}
    try:
        event_queue.tell(told)
        event_queue.tell({"event": "faulted"})
    finally:
        event_queue.close_way()

    with reader:
        assert [*Message(reader.recv(1 << 22)).events()] == [told]
        assert not reader.recv(1 << 22)


def test_where_nobody_wants_to_hear_there_is_none() -> None:
    assert event_queue.event_queue_of("desk", lambda: 0.0) is None
