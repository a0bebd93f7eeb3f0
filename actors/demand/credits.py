"""What each subscription may still be sent, and whose turn it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.demand.errors import DuplicateSubscriptionError, UnknownSubscriptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.messages import Process, SubscriptionId


@dataclass(slots=True, eq=False)
class Asker:
    """One subscription.

    Attributes:
        subscription: Its id.
        process: Who has it; None where that does not matter.
        credit: Jobs it asked for and was not sent.
        turn: Rises each time it asks or is served: the lowest has waited longest.
    """

    subscription: SubscriptionId
    process: Process | None = None
    credit: int = 0
    turn: int = 0


class Credits:
    """The part of a dispatcher that is the same in all: who asked for how much.

    Attributes:
        demand: The credit of all subscriptions together.
    """

    exclusive = False

    def __init__(self) -> None:
        self.askers: dict[SubscriptionId, Asker] = {}
        self.demand = 0
        self._turn = 0

    def subscribe(
        self, subscription: SubscriptionId, process: Process | None = None
    ) -> None:
        """Admit a subscription, with no credit."""
        if subscription in self.askers:
            raise DuplicateSubscriptionError(subscription)
        self.askers[subscription] = Asker(subscription, process)

    def cancel(self, subscription: SubscriptionId) -> None:
        """Forget a subscription and its unused credit."""
        asker = self.askers.pop(subscription, None)
        self.demand -= 0 if asker is None else asker.credit

    def ask(self, subscription: SubscriptionId, count: int) -> None:
        """Raise a subscription's credit by ``count``."""
        if count <= 0:
            return
        asker = self._asker(subscription)
        asker.credit += count
        self.demand += count
        self._requeue(asker)

    def credit(self, subscription: SubscriptionId) -> int:
        """How many jobs it may still be sent."""
        return self._asker(subscription).credit

    def suits(self, process: Process, job: Any) -> bool:  # noqa: ARG002
        """Whether a process may have a job at all."""
        return True

    def largest(self, among: Iterable[Asker] | None = None) -> Asker | None:
        """The one that asked for most, of equals the one that waited longest."""
        askers = self.askers.values() if among is None else among
        asking = (asker for asker in askers if asker.credit)
        return min(asking, key=lambda asker: (-asker.credit, asker.turn), default=None)

    def spend(self, asker: Asker, count: int) -> None:
        """Take off what it is sent; its turn is over."""
        asker.credit -= count
        self.demand -= count
        self._requeue(asker)

    def _requeue(self, asker: Asker) -> None:
        self._turn += 1
        asker.turn = self._turn

    def _asker(self, subscription: SubscriptionId) -> Asker:
        try:
            return self.askers[subscription]
        except KeyError:
            raise UnknownSubscriptionError(subscription) from None
