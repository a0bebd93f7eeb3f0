"""What a fetcher has decided, on its way out: told and sent once it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.demand.messages import Confirm
from actors.demand.producer_subscription import Linger
from actors.status.job_log import log_events
from actors.supervision.messages import ProcessLost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.actor_system.stage import Address, Stage
    from actors.demand.messages import SubscriptionId, ToConsumer, ToProducer
    from actors.demand.producer import Producer
    from actors.fetcher.acknowledgements import Settler
    from actors.fetcher.commit_queue import CommitQueue
    from actors.fetcher.source import Source


@dataclass(slots=True, eq=False)
class Outlet:
    """Gives everybody what concerns them of what the outbox lets go.

    Apart from the fetcher, which decides, since nothing here does: only here is
    known where those are who take from it.
    """

    _stage: Stage
    _root: Address
    _commit_queue: CommitQueue
    _producer: Producer
    _source: Source
    _settler: Settler | None
    _linger: Linger = field(default_factory=Linger)
    _addresses: dict[SubscriptionId, Address] = field(default_factory=dict)
    _told_error: str | None = None

    def heard(self, message: ToProducer, sender: Address) -> None:
        """Note where a subscription's messages go, and what has arrived there."""
        self._addresses[message.subscription] = sender
        self._linger.heard(message)

    def send(self, messages: Iterable[ToConsumer]) -> None:
        """Send now; what is for a subscription that is not known is dropped."""
        for message in messages:
            if (address := self._addresses.get(message.subscription)) is not None:
                self._stage.send(address, message)

    def release(self, now: float) -> None:
        """Have the journal keep what waits, then tell and send it."""
        for decision in self._commit_queue.release(now):
            log_events(self._stage.log, decision.events)
            self._source.tally.note(decision.events, now)
            self._source.kept(decision.fetched, decision.useful)
            self._source.pages_kept(decision, now)
            others = [each for each in decision.sends if type(each) is not Confirm]
            self.send(self._linger.put(others, now))
            for process in decision.lost:
                self._stage.send(self._root, ProcessLost(process=process))
        self._let_go(now)
        self._forget_closed()
        self._tell_journal()

    def tick(self, now: float) -> None:
        """Send what has waited for company long enough."""
        self.send(self._linger.due(now))

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do, in monotonic seconds."""
        return self._linger.next_tick()

    def _let_go(self, now: float) -> None:
        for decision in self._commit_queue.take_synced():
            if self._settler is not None:
                self._settler.ended(decision.events, now)
            confirms = [each for each in decision.sends if type(each) is Confirm]
            self.send(self._linger.put(confirms, now))

    def _forget_closed(self) -> None:
        if self._commit_queue:
            return  # a closed one may be waiting for its confirmation
        subscriptions = self._producer.subscriptions
        if len(self._addresses) > len(subscriptions):
            still = {each.id for each in subscriptions}
            self._addresses = {
                key: address for key, address in self._addresses.items() if key in still
            }
            self._linger.keep(still)

    def _tell_journal(self) -> None:
        error = self._commit_queue.error
        if error == self._told_error:
            return
        self._told_error = error
        if error:
            self._stage.log.error("journal.failed", error=error)
        else:
            self._stage.log.info("journal.healed")
