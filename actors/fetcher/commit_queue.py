"""Decisions on their way out: kept in the journal first, then logged and sent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.demand.job_events import (
    JobDone,
    JobFailed,
    JobLeased,
    JobQuarantined,
    JobReturned,
    JobRouted,
    JobsSent,
    OutcomeIgnored,
)
from actors.demand.messages import Confirm
from actors.journal.journal import (
    JournalError,
    JournalLockedError,
    JournalOtherError,
)
from actors.status.counters import Histogram
from actors.status.job_log import log_events
from actors.supervision.messages import ProcessLost

if TYPE_CHECKING:
    from actors.actor_system.stage import Address, Stage
    from actors.demand.job_events import JobEvent
    from actors.demand.messages import ToConsumer
    from actors.demand.producer import Decision, Producer
    from actors.demand.producer_subscription import ProducerSender
    from actors.fetcher.acknowledgements import Acknowledger
    from actors.fetcher.poll_worker import PollWorker
    from actors.hooks.event_queue import EventQueue
    from actors.journal.journal import Journal


#: How long outcomes wait for others, to be synced with them, in seconds.
SYNC_S = 0.01

#: How often a journal that failed is tried again, in seconds.
AGAIN_S = 1.0

#: A journal that another writes to is tried again soon: that may be a fetcher of ours.
SOON_S = 0.02

#: Who writes for longer, in seconds, is none of ours, and it is told.
LOCKED_S = 2.0


class CommitQueue:
    """Holds decisions back until the journal has their events.

    Where it cannot be written (the disk is full), nothing is told or sent that
    a restart would know nothing of; all waits, in order, and one commit keeps
    the whole of it once there is room.

    Two of a decision's effects wait for more, the disk: what lets a consumer
    forget an outcome (``Confirm``), and what lets a source forget a job. Every
    outcome that comes within ``SYNC_S`` shares one sync, and where nobody waits for
    what else it brings, such as the next job, one transaction. A fetched job is
    synced at once: nobody else has it.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[Decision] = []
        self._unsynced: list[Decision] = []
        self._synced: list[Decision] = []
        self._sync_at: float | None = None
        self.error: str | None = None
        #: Whether this process knows more than the journal, and is to begin anew.
        self.went_back = False
        self.retry_at: float | None = None
        self._locked_since: float | None = None
        self._last_failure: str | None = None
        self.commit_s = Histogram()

    def __bool__(self) -> bool:
        return bool(self._waiting) or self._sync_at is not None

    @property
    def has_kept_all(self) -> bool:
        """Whether all that somebody waits for is in the journal."""
        return all(map(_only_ends, self._waiting))

    @property
    def not_kept(self) -> str | None:
        """Why something that was decided is not in the journal; None if all is.

        Unlike ``error``, it tells of a lock from its first moment.
        """
        return self.error or (self._last_failure if self._waiting else None)

    @property
    def next_tick(self) -> float | None:
        """When there is something to write, in monotonic seconds."""
        if self._waiting and self.retry_at is None and self._sync_at is None:
            return 0.0  # an error came between
        return self._sync_at if self.retry_at is None else self.retry_at

    def put(self, decision: Decision) -> None:
        """Add a decision behind those that wait."""
        if decision.events or decision.sends or decision.lost or decision.pages:
            self._waiting.append(decision)

    def failed(self, error: JournalError, now: float) -> None:
        """Note that the journal cannot be written, or read; it is tried again."""
        self._last_failure = str(error)
        # What is in memory only has nobody to take it up.
        if isinstance(error, JournalOtherError) and self._journal.durable:
            self.went_back = True
        if isinstance(error, JournalLockedError):
            if self._locked_since is None:
                self._locked_since = now
            if now < self._locked_since + LOCKED_S:
                self.retry_at = now + SOON_S
                return
        self.error, self.retry_at = str(error), now + AGAIN_S

    def release(self, now: float) -> list[Decision]:
        """Commit what waits; returns what may now be told and sent, in order.

        Its confirmations and the ends of its jobs are returned once more, by
        `take_synced`: until then they are nobody's business.
        """
        if self.retry_at is not None and now < self.retry_at:
            return []
        due = self._sync_at is not None and now >= self._sync_at
        if not (self._waiting or due or self.retry_at is not None):
            return []
        if self._may_wait(due=due):
            if self._sync_at is None:
                self._sync_at = now + SYNC_S
            return []
        events = [event for each in self._waiting for event in each.events]
        urgent = not all(map(_can_wait, events))
        try:
            self._keep(events, sync=urgent or due)
        except JournalError as error:
            self.failed(error, now)
            return []
        self.error = self.retry_at = None
        self._locked_since = self._last_failure = None
        released, self._waiting = self._waiting, []
        self._unsynced += filter(_waits_for_sync, released)
        if urgent or due or not self._journal.durable:
            self._synced += self._unsynced
            self._unsynced, self._sync_at = [], None
        elif self._sync_at is None and self._unsynced:
            self._sync_at = now + SYNC_S
        return released

    def take_synced(self) -> list[Decision]:
        """Those whose events have come to the disk since the last call, in order."""
        synced, self._synced = self._synced, []
        return synced

    def _may_wait(self, *, due: bool) -> bool:
        # For others, or for the sync that they are written with in any case.
        if due or self.retry_at is not None or not self._journal.durable:
            return False
        return all(map(_only_ends, self._waiting))

    def _keep(self, events: list[JobEvent], *, sync: bool) -> None:
        began = time.perf_counter()
        if events:
            self._journal.commit(events, sync=sync)
            self.commit_s.observe(time.perf_counter() - began)
        elif sync:
            self._journal.sync()


def _waits_for_sync(decision: Decision) -> bool:
    ends = not _ENDS.isdisjoint(map(type, decision.events))
    return ends or any(type(each) is Confirm for each in decision.sends)


def _only_ends(decision: Decision) -> bool:
    """Whether it tells of jobs that are done, and has something for nobody but them."""
    if decision.lost or decision.pages or not decision.events:
        return False
    events, sends = map(type, decision.events), map(type, decision.sends)
    return _DONE.issuperset(events) and _CONFIRM.issuperset(sends)


_DONE = frozenset((JobDone, OutcomeIgnored))
_CONFIRM = frozenset((Confirm,))
_ENDS = frozenset((JobDone, JobFailed, JobQuarantined, OutcomeIgnored))

#: A lease that is forgotten with its machine is given anew, and so is a job whose
#: outcome is: its processor has it still, until it is confirmed. A route is found
#: once more.
_CAN_WAIT = _ENDS | {JobLeased, JobReturned, JobRouted}

#: No machine is back sooner than that, in seconds: what a rate limit counts for less
#: need not outlive it.
BOOT_S = 5.0


def _can_wait(event: JobEvent) -> bool:
    if type(event) is JobsSent:
        return event.forget_s < BOOT_S
    return type(event) in _CAN_WAIT


@dataclass(slots=True, eq=False)
class Delivery:
    """Gives everybody what concerns them of what the commit queue lets go.

    Apart from the fetcher, which decides, since nothing here does: only here is
    known where those are who take from it.
    """

    _stage: Stage
    _root: Address
    _commit_queue: CommitQueue
    _producer: Producer
    _source: PollWorker
    _acknowledger: Acknowledger | None
    sender: ProducerSender[Address]
    _hooks: EventQueue | None = None
    _told_error: str | None = None

    def release(self, now: float) -> None:
        """Have the journal keep what waits, then tell and send it."""
        released = self._commit_queue.release(now)
        synced = self._commit_queue.take_synced()
        if released or synced:
            events = [event for decision in released for event in decision.events]
            try:
                self._send(released, synced, now)
            finally:
                # Even where there is no memory to send: what is not sent is asked for
                # again, and a fetch that does not hear of this waits for ever.
                self._pass_on(released, events, synced, now)
            if events:
                self._tell(events, now)
        self._forget_closed()
        self._tell_journal()

    def _send(
        self, released: list[Decision], synced: list[Decision], now: float
    ) -> None:
        # A confirmation goes along with jobs, where there are.
        sends: list[ToConsumer] = [
            each
            for decision in synced
            for each in decision.sends
            if type(each) is Confirm
        ]
        sends += [
            each
            for decision in released
            for each in decision.sends
            if type(each) is not Confirm
        ]
        self.sender.put(sends, now)

    def _pass_on(
        self,
        released: list[Decision],
        events: list[JobEvent],
        synced: list[Decision],
        now: float,
    ) -> None:
        for decision in released:
            self._source.kept(decision.fetched, decision.useful)
            self._source.pages_kept(decision, now)
            for process in decision.lost:
                self._stage.send(self._root, ProcessLost(process=process))
        if self._acknowledger is not None:
            self._acknowledger.copies.made(events)
            for decision in synced:
                self._acknowledger.ended(decision.events, now)

    def _tell(self, events: list[JobEvent], now: float) -> None:
        log_events(self._stage.log, events)
        if self._hooks is not None:
            self._hooks.note(events)
        self._source.tally.note(events, now)

    def _forget_closed(self) -> None:
        if self._commit_queue:
            return  # a closed one may be waiting for its confirmation
        self.sender.keep(self._producer.subscription_ids)

    def _tell_journal(self) -> None:
        error = self._commit_queue.error
        if error == self._told_error:
            return
        self._told_error = error
        if error:
            self._stage.log.error("journal.failed", error=error)
        else:
            self._stage.log.info("journal.healed")
