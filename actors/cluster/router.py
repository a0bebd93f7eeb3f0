"""Where a message of the demand protocol goes when it crosses machines.

A consumer names the source that it speaks to; a producer names the subscription
that it answers. So what goes up is routed by the source's name, and leaves a
trace by which the answers find their way down. Nothing has to be told of a
subscription's end: what a consumer says next leaves the trace anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from actors.cluster.messages import Down
from actors.demand.messages import Cancel

if TYPE_CHECKING:
    from actors.demand.messages import SubscriptionId, ToConsumer
    from actors.supervision.messages import Up


@dataclass(frozen=True, slots=True)
class Peer:
    """A machine on the other side of a line, by its run."""

    run: str


#: Where a source or a consumer is: on another machine, or at an address on this one.
Origin: TypeAlias = Any


class Passed(NamedTuple):
    """A message on its way, and where it goes next."""

    where: Origin
    message: Any


class Router:
    """Knows where sources are, and who opened which subscription."""

    def __init__(self) -> None:
        self._sources: dict[str, Origin] = {}
        self._consumers: dict[SubscriptionId, Origin] = {}

    def source_up(self, name: str, where: Origin) -> None:
        """Note where a source is now."""
        self._sources[name] = where

    def source_gone(self, name: str) -> None:
        """Forget a source that is not coming back."""
        self._sources.pop(name, None)

    def up(self, message: Up, origin: Origin) -> Passed | None:
        """Pass on what a consumer says; None if its source is not known."""
        where = self._sources.get(message.source)
        if where is None:
            return None
        self._consumers[message.message.subscription] = origin
        is_afar = isinstance(where, Peer)
        return Passed(where, message if is_afar else message.message)

    def down(self, message: ToConsumer) -> Passed | None:
        """Pass on what a producer says; None if nobody asked for it."""
        if isinstance(message, Cancel):
            where = self._consumers.pop(message.subscription, None)
        else:
            where = self._consumers.get(message.subscription)
        if where is None:
            return None
        is_afar = isinstance(where, Peer)
        return Passed(where, Down(message=message) if is_afar else message)

    def place_of(self, subscription: SubscriptionId) -> Origin | None:
        """Where the consumer is that opened a subscription, if that is known."""
        return self._consumers.get(subscription)

    def forget(self, peer: Peer) -> None:
        """Forget the sources and consumers of a machine that is gone."""
        self._sources = _without(self._sources, peer)
        self._consumers = _without(self._consumers, peer)


def _without(known: dict[str, Origin], peer: Peer) -> dict[str, Origin]:
    return {
        key: where
        for key, where in known.items()
        if not (isinstance(where, Peer) and where == peer)
    }
