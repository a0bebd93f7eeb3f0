"""Dispatchers: whose demand gets the next job, by turns, by kind, or by key.

What a rule raises is here as well. A peer's mistake is answered with ``Cancel``, never
raised.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.demand.buffer import Buffer
    from actors.demand.job import Process
    from actors.demand.messages import SubscriptionId


class UnknownSubscriptionError(Exception):
    """The subscription is not open."""


class DuplicateSubscriptionError(Exception):
    """The subscription is open already."""


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


class Routed(Protocol):
    """A job that says where it is to go."""

    route: str


R = TypeVar("R", bound=Routed)


class BroadcastDispatcher(Credits):
    """Each job goes to the kind of processor that its route names.

    Whoever takes jobs in makes one of each for every kind (see ``routing``), so
    that each copy has a life of its own: a kind that fails or lags holds up no
    other until the buffer is full. Among processors of a kind the largest demand
    is served first, ties in turn.
    """

    def dispatch(
        self,
        buffer: Buffer[R],
        held: Iterable[tuple[SubscriptionId, R]] = (),  # noqa: ARG002
        most: int | None = None,
    ) -> list[tuple[SubscriptionId, tuple[R, ...]]]:
        """Take what can be sent from the buffer, and say who gets it."""
        kinds: dict[str, list[Asker]] = {}
        for asker in self.askers.values():
            kind = asker.process.kind if asker.process else ""
            kinds.setdefault(kind, []).append(asker)
        return _pick(
            self, buffer, lambda job: self.largest(kinds.get(job.route, ())), most
        )

    def demand_by_kind(self) -> Counter[str]:
        """How many jobs each kind has asked for, of those that are here at all."""
        demand: Counter[str] = Counter()
        for asker in self.askers.values():
            demand[asker.process.kind if asker.process else ""] += asker.credit
        return demand

    def suits(self, process: Process, job: Routed) -> bool:
        """Whether a process is of the kind that a job goes to."""
        return process.kind == job.route


class PartitionDispatcher(Credits):
    """Jobs of the same route go to the same processor, in order.

    Which one follows from the processors' names alone (rendezvous hashing): when
    one joins or leaves, only the routes move that it gains or had. A route does
    not move while jobs of it are out, so no two processors have it at a time. A
    job that is tried again comes behind those that have overtaken it.
    """

    exclusive = True

    def __init__(self) -> None:
        super().__init__()
        self._homes: dict[str, Asker | None] = {}

    def dispatch(
        self,
        buffer: Buffer[R],
        held: Iterable[tuple[SubscriptionId, R]] = (),
        most: int | None = None,
    ) -> list[tuple[SubscriptionId, tuple[R, ...]]]:
        """Take what can be sent from the buffer, and say who gets it."""
        bound = {job.route: subscription for subscription, job in held}
        self._homes = {}

        def choose(job: R) -> Asker | None:
            is_out = job.route in bound
            if is_out:
                asker = self.askers.get(bound[job.route])
            else:
                asker = self._home(job.route)
            if asker is None or not asker.credit:
                return None
            if asker.process is not None and asker.process.concurrency > 1:
                if is_out:
                    return None
                bound[job.route] = asker.subscription
            return asker

        return _pick(self, buffer, choose, most)

    def _home(self, route: str) -> Asker | None:
        if route not in self._homes:
            self._homes[route] = max(
                self.askers.values(),
                # Of two runs of one processor, the later is the living one.
                key=lambda asker: (_weight(route, asker), asker.turn),
                default=None,
            )
        return self._homes[route]


def _weight(route: str, asker: Asker) -> bytes:
    name = asker.process.name if asker.process else asker.subscription
    return blake2b(f"{route}\0{name}".encode(), digest_size=8).digest()


def _pick(
    credits_: Credits,
    buffer: Buffer[R],
    choose: Callable[[R], Asker | None],
    most: int | None,
) -> list[tuple[SubscriptionId, tuple[R, ...]]]:
    limit = credits_.demand if most is None else min(most, credits_.demand)

    def take(job: R) -> SubscriptionId | None:
        if (asker := choose(job)) is None:
            return None
        credits_.spend(asker, 1)
        return asker.subscription

    sent: dict[SubscriptionId, list[R]] = {}
    for job, subscription in buffer.pick(take, limit):
        sent.setdefault(subscription, []).append(job)
    return [(subscription, tuple(jobs)) for subscription, jobs in sent.items()]
