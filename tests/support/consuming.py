"""A consumer that begins one job at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.demand.consumer import Consumer, Task


def next_of(consumer: Consumer) -> Task | None:
    """Take the next job to run; None while one runs or none is here."""
    return next(iter(consumer.take(1)), None)
