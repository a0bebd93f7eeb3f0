"""Dispatchers that look at a job's route: the same job kind or key, the same place."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol, TypeVar

from actors.demand.credits import Asker, Credits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.demand.buffer import Buffer
    from actors.demand.messages import Process, SubscriptionId


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
            if job.route in bound:
                asker = self.askers.get(bound[job.route])
            else:
                asker = self._home(job.route)
            return asker if asker and asker.credit else None

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
