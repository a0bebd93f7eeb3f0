"""Which subscription gets the next job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from actors.demand.credits import Credits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.buffer import Buffer
    from actors.demand.messages import Process, SubscriptionId

T = TypeVar("T")


class Dispatcher(Protocol[T]):
    """Matches what was asked for with what is buffered.

    It knows subscriptions by id and their credit (asked for, not yet sent). It
    takes jobs from the buffer only to hand them out, and never hands out more
    than a subscription's credit. ``Credits`` has all of it but ``dispatch``.

    Attributes:
        exclusive: Whether jobs of one route are with one processor at a time.
    """

    exclusive: bool

    def subscribe(
        self, subscription: SubscriptionId, process: Process | None = None
    ) -> None:
        """Admit a subscription, with no credit.

        Raises:
            DuplicateSubscriptionError: It is open already.
        """

    def cancel(self, subscription: SubscriptionId) -> None:
        """Forget a subscription and its unused credit; unknown ones are ignored."""

    def ask(self, subscription: SubscriptionId, count: int) -> None:
        """Raise a subscription's credit by ``count``.

        Raises:
            UnknownSubscriptionError: It is not open.
        """

    def credit(self, subscription: SubscriptionId) -> int:
        """How many jobs it may still be sent.

        Raises:
            UnknownSubscriptionError: It is not open.
        """

    @property
    def demand(self) -> int:
        """The credit of all subscriptions together."""

    def suits(self, process: Process, job: T) -> bool:
        """Whether a process may have a job at all."""

    def dispatch(
        self,
        buffer: Buffer[T],
        held: Iterable[tuple[SubscriptionId, T]] = (),
        most: int | None = None,
    ) -> list[tuple[SubscriptionId, tuple[T, ...]]]:
        """Take what can be sent from the buffer, and say who gets it.

        Args:
            buffer: What waits, oldest first.
            held: Which jobs each subscription holds, closing ones included, and
                under no subscription those that are on no account to be passed;
                to be gone through once, at the beginning or not at all.
            most: Take no more than this; None is no limit.
        """


class DemandDispatcher(Credits):
    """The largest demand first, as much as it asked for; ties in turn.

    With a credit of 1 each, as is the default, this is round-robin: the one
    that has waited longest since it last became equal is served first.
    """

    def dispatch(
        self,
        buffer: Buffer[T],
        held: Iterable[tuple[SubscriptionId, T]] = (),  # noqa: ARG002
        most: int | None = None,
    ) -> list[tuple[SubscriptionId, tuple[T, ...]]]:
        """Take what can be sent from the buffer, and say who gets it."""
        left = len(buffer) if most is None else min(most, len(buffer))
        sent = []
        while left and (asker := self.largest()):
            jobs = buffer.take(min(asker.credit, left))
            left -= len(jobs)
            self.spend(asker, len(jobs))
            sent.append((asker.subscription, jobs))
        return sent
