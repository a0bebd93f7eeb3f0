"""Finding out which of several jobs takes its processor down.

A processor that dies while it holds several jobs leaves it open which of them
was to blame. Whatever it held is suspect then: each of these jobs is sent again
alone, to a consumer that holds nothing else, so that the next crash has a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.dispatchers import Dispatcher
    from actors.demand.job import Job
    from actors.demand.producer_subscription import ProducerSubscription


class Suspects:
    """Keeps subscriptions from the dispatcher while they serve suspects."""

    def __init__(self, dispatcher: Dispatcher[Job]) -> None:
        self._dispatcher = dispatcher
        self.held: list[ProducerSubscription] = []

    def choose(
        self, subscriptions: Iterable[ProducerSubscription], suspect: Job
    ) -> ProducerSubscription | None:
        """Find a consumer for a suspect: one that holds nothing and asks.

        Where all are busy, one of them is held back until it has finished: in a
        stream of other jobs it might never hold nothing.
        """
        able = [
            each
            for each in subscriptions
            if not each.closing and self._dispatcher.suits(each.process, suspect)
        ]
        free = [each for each in able if not each.leases and each.credit > 0]
        busy = [each for each in able if each.leases]
        chosen = max(free, key=lambda each: each.credit, default=None)
        if chosen is None and busy and not any(each.is_isolated for each in able):
            self._hold(min(busy, key=lambda each: len(each.leases)))
        elif chosen is not None and not chosen.is_isolated:
            self._hold(chosen)
        return chosen

    def release(self, suspects: Iterable[Job]) -> None:
        """Serve those again, once they have finished, that no suspect waits for."""
        for each in tuple(self.held):
            wanted = any(self._dispatcher.suits(each.process, job) for job in suspects)
            if not each.leases and not wanted:
                self.held.remove(each)
                each.is_isolated = False
                self._dispatcher.subscribe(each.id, each.process)
                self._dispatcher.ask(each.id, each.credit)

    def forget(self, subscription: ProducerSubscription) -> None:
        """The subscription is closed or closing."""
        if subscription.is_isolated:
            self.held.remove(subscription)
            subscription.is_isolated = False

    def _hold(self, subscription: ProducerSubscription) -> None:
        self._dispatcher.cancel(subscription.id)
        self.held.append(subscription)
        subscription.is_isolated = True
