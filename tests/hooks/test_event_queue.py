"""Events on their way out of a fetcher: whole, in order, bounded, never waited for."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from actors.demand.job import Job
from actors.demand.job_events import JobDropped, JobFetched
from actors.hooks import event_queue
from actors.hooks.event_queue import EventQueue


def job(key: int, payload: Any = None, size: int = 0) -> Job:
    return Job(key=key, id=key, payload=payload, fetched_at=0.0, size=size)


@pytest.fixture
def way() -> Iterator[tuple[socket.socket, socket.socket]]:
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pair[0].settimeout(30)
    yield pair
    for each in pair:
        each.close()


def queue_at(writer: socket.socket, *wanted: str) -> EventQueue:
    return EventQueue(writer, "desk", wanted, lambda: 5.0)


def read(reader: socket.socket, count: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while len(events) < count:
        events += json.loads(reader.recv(1 << 22))
    return events


def test_events_come_out_in_order(way: tuple[socket.socket, socket.socket]) -> None:
    reader, writer = way
    out = queue_at(writer, "fetched")

    out.note([JobFetched(job(n)) for n in range(200)])

    assert [each["key"] for each in read(reader, 200)] == list(range(200))
    out.close()


def test_only_what_somebody_wants_is_sent(
    way: tuple[socket.socket, socket.socket],
) -> None:
    reader, writer = way
    out = queue_at(writer, "dropped")

    out.note([JobFetched(job(1)), JobDropped(job(2), "full")])

    [event] = read(reader, 1)
    assert (event["event"], event["key"], event["reason"]) == ("dropped", 2, "full")
    out.close()


@pytest.mark.parametrize("size", [0, 1 << 20])
def test_while_nobody_reads_so_much_waits_and_the_rest_is_counted(
    way: tuple[socket.socket, socket.socket],
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "MOST", 3000)
    reader, writer = way
    out = queue_at(writer, "fetched")
    count = 20_000 if size == 0 else 100

    out.note([JobFetched(job(n, "x" * 100, size)) for n in range(count)])

    seen: list[dict[str, Any]] = []
    while not any(each["event"] == "lost" for each in seen):
        seen += read(reader, 1)
        out.note([])
    [lost] = (each["count"] for each in seen if each["event"] == "lost")
    assert lost > 0
    assert len(seen) - 1 + lost <= count
    out.close()


def test_an_event_too_long_goes_without_its_job(
    way: tuple[socket.socket, socket.socket],
) -> None:
    reader, writer = way
    out = queue_at(writer, "fetched")

    out.note([JobFetched(job(1, "x" * 500_000))])

    [event] = read(reader, 1)
    assert (event["key"], event["job"], event["too_long"]) == (1, None, True)
    out.close()


def test_the_end_sends_what_waits(way: tuple[socket.socket, socket.socket]) -> None:
    reader, writer = way
    out = queue_at(writer, "fetched")

    out.note([JobFetched(job(1))])
    out.close()

    assert [each["key"] for each in read(reader, 1)] == [1]


def test_where_nobody_wants_to_hear_there_is_none() -> None:
    assert event_queue.event_queue_of("desk", lambda: 0.0) is None
