"""A pipeline with types, and mistakes that a type checker has to find.

Each ``type: ignore`` here is a mistake that is found: mypy, which is strict, refuses
one that is not needed, and so does pyright where ``reportUnnecessaryTypeIgnoreComment``
is on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypedDict, assert_type

from actors import DoneEvent, Fetcher, Pipeline, Processor, QuarantinedEvent


class Ticket(TypedDict):
    id: int
    text: str


def tickets() -> Ticket | None:
    return None


def tickets_of(url: str, token: str) -> Ticket | None:
    return None


def many_tickets() -> Iterator[Ticket]:
    yield {"id": 1, "text": ""}


def tickets_after(url: str, *, state: Any = None) -> tuple[list[Ticket], int]:
    return [], 0


def tickets_when(next_poll: Callable[[float], None]) -> Ticket | None:
    return None


async def tickets_later() -> Ticket | None:
    return None


def length(ticket: Ticket) -> int:
    return len(ticket["text"])


async def length_later(ticket: Ticket) -> int:
    return len(ticket["text"])


def lengths(tickets: list[Ticket]) -> list[int]:
    return [length(each) for each in tickets]


def nothing() -> int:
    return 0


def two(ticket: Ticket, more: int) -> int:
    return more


def each_word(ticket: Ticket) -> Iterator[str]:
    yield from ticket["text"].split()


def is_long(ticket: Ticket) -> bool:
    return len(ticket["text"]) > 1


def whoever(ticket):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    return ticket


def sound() -> None:
    assert_type(Fetcher(tickets), Fetcher[Ticket])
    assert_type(Fetcher(many_tickets), Fetcher[Ticket])
    assert_type(Fetcher(tickets_of, options={"url": "", "token": ""}), Fetcher[Ticket])
    assert_type(Fetcher("tickets:fetch"), Fetcher[Any])
    assert_type(Fetcher(tickets_when), Fetcher[Ticket])
    assert_type(Processor(length), Processor[Ticket, int])
    assert_type(Processor(length_later), Processor[Ticket, int])
    assert_type(Processor(lengths), Processor[list[Ticket], list[int]])
    assert_type(Processor("tickets:process"), Processor[Any, Any])
    Fetcher[Ticket](tickets)
    Fetcher[Ticket](many_tickets)
    Fetcher[Ticket](tickets_after)
    Fetcher[Ticket](tickets_after, options={"url": ""})
    Processor[Ticket, int](length, settings={"max_demand": "auto"})
    Processor(whoever)
    source = {"name": "tickets", "selector": is_long, "max_demand": 8}
    assert source
    Pipeline(
        [
            Fetcher(tickets, settings={"every_s": 2, "dispatcher": "broadcast"}),
            Processor(
                length, sources=["x", {"name": "tickets", "selector": is_long}], count=3
            ),
        ],
        every_s=0.5,
        journal=None,
    )

    done: list[DoneEvent] = []
    Pipeline(
        [Fetcher(tickets)],
        on_done=done.append,
        on_failed=lambda event: waits(event["retry_in_s"]),
        on_quarantined=told,
    )


def waits(seconds: float) -> None:
    """For so long."""


def told(event: QuarantinedEvent) -> None:
    assert_type(event["error"], str)


async def told_later(event: DoneEvent) -> None:
    """Nobody awaits it."""


def mistakes() -> None:
    # A wrong signature.
    Fetcher(length)  # type: ignore[arg-type]
    Fetcher(tickets_of)  # type: ignore[arg-type]
    Processor(nothing)  # type: ignore[arg-type]
    Processor(two)  # type: ignore[arg-type]
    # What another function returns, or takes.
    Fetcher[Ticket](nothing)  # type: ignore[arg-type]
    Processor[int, int](length)  # type: ignore[arg-type]
    Processor[Ticket, str](length)  # type: ignore[arg-type]
    # An unknown setting.
    Pipeline([], evry_s=2.0)  # type: ignore[call-arg]
    Fetcher(tickets, settings={"evry_s": 2.0})  # type: ignore[call-overload]
    Processor(length, settings={"max": 1})  # type: ignore[call-overload]
    Processor(length, sources=[{"nam": "a"}])  # type: ignore[arg-type, list-item]
    # One that may not be what it is.
    Pipeline([], every_s="2")  # type: ignore[arg-type]
    Fetcher(tickets, settings={"dispatcher": "all"})  # type: ignore[call-overload]
    # A function that returns before its work is done.
    Fetcher(tickets_later)  # type: ignore[arg-type]
    Processor(each_word)  # type: ignore[arg-type]
    # A callback that cannot be called, for another event, that is awaited by nobody.
    Pipeline([], on_done=nothing)  # type: ignore[arg-type]
    Pipeline([], on_done=told)  # type: ignore[arg-type]
    Pipeline([], on_done=told_later)  # type: ignore[arg-type]
    Pipeline([], on_quarantined=lambda event: waits(event["retry_in_s"]))  # type: ignore[typeddict-item]
    # No list.
    Pipeline(Fetcher(tickets))  # type: ignore[arg-type]
