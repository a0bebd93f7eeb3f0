"""Where a message of the demand protocol goes when it crosses machines.

A consumer names the source that it speaks to; a producer names the subscription
that it answers. So what goes up is routed by the source's name, and leaves a
trace by which the answers find their way down. Nothing has to be told of a
subscription's end: what a consumer says next leaves the trace anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from actors.demand.messages import Cancel

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.demand.messages import SubscriptionId, ToConsumer, ToProducer

W = TypeVar("W")


class Switchboard(Generic[W]):
    """Knows where sources are, and who opened which subscription."""

    def __init__(self) -> None:
        self._sources: dict[str, W] = {}
        self._consumers: dict[SubscriptionId, W] = {}

    def source_up(self, name: str, where: W) -> None:
        """A source is there now."""
        self._sources[name] = where

    def source_gone(self, name: str) -> None:
        """A source is not coming back."""
        self._sources.pop(name, None)

    def up(self, source: str, message: ToProducer, origin: W) -> W | None:
        """Where a consumer's message goes; None if its source is not known."""
        where = self._sources.get(source)
        if where is not None:
            self._consumers[message.subscription] = origin
        return where

    def down(self, message: ToConsumer) -> W | None:
        """Where a producer's message goes; None if nobody asked for it."""
        if isinstance(message, Cancel):
            return self._consumers.pop(message.subscription, None)
        return self._consumers.get(message.subscription)

    def forget(self, is_gone: Callable[[W], bool]) -> None:
        """Forget the sources and consumers that are where nobody is any more."""
        self._sources = _without(self._sources, is_gone)
        self._consumers = _without(self._consumers, is_gone)


def _without(known: dict[str, W], is_gone: Callable[[W], bool]) -> dict[str, W]:
    return {key: where for key, where in known.items() if not is_gone(where)}
