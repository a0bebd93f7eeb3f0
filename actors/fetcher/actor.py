"""The fetcher: polls a source, holds what it fetched, sends it on demand."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from actors.actor_system.stage import Address, Stage
from actors.config.model import ACCUMULATE
from actors.config.named_functions import routing_of
from actors.demand.backoff import RetryPolicy
from actors.demand.barriers import Barriers
from actors.demand.buffer import Buffer, Quarantine
from actors.demand.job import JobState
from actors.demand.job_store import JobStore
from actors.demand.messages import (
    CallOff,
    Cancel,
    Confirm,
    Crossing,
    Demand,
    Done,
    Jobs,
    Subscribe,
    halves_of,
    undeliverable,
)
from actors.demand.polling import PollState
from actors.demand.producer import Decision, LeasePolicy, Producer
from actors.demand.producer_subscription import ProducerSender
from actors.demand.rate_limit import Rate
from actors.demand.source_state import SourceState
from actors.demand.windows import MIB
from actors.fetcher.acknowledgements import Acknowledger
from actors.fetcher.commit_queue import (
    AGAIN_S,
    LOCKED_S,
    SOON_S,
    CommitQueue,
    Delivery,
)
from actors.fetcher.intake import Intake
from actors.fetcher.orders import Orders
from actors.fetcher.poll_worker import PollWorker
from actors.fetcher.replay import Backlog
from actors.fetcher.route_finder import RouteFinder
from actors.fetcher.status import FetcherStatus, look_at_size
from actors.host import forks
from actors.host.frames import MAX_MESSAGE
from actors.journal.journal import (
    JournalAwayError,
    JournalError,
    JournalLockedError,
)
from actors.journal.quota import Quota
from actors.status.counters import Tally
from actors.supervision.messages import (
    AskSign,
    BarrierPassed,
    Begin,
    DecideJobs,
    DecideState,
    Drain,
    Drained,
    Pause,
    ProcessGone,
    Resume,
    SetBarrier,
    Sign,
    SourceWaits,
    Started,
    StartFetcher,
    StatusAnswer,
    StatusRequest,
    Tune,
)
from actors.user_code.functions import check_call, check_fetch, name_beside

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.config.model import FetcherConfig, SystemConfig
    from actors.demand.job import Job
    from actors.demand.job_routing import Routing
    from actors.demand.source_state import KeptState
    from actors.fetcher.route_finder import Found
    from actors.journal.journal import Journal, Keep, TakenUp


#: How often a journal forgets what its window is over, in seconds; whatever else
#: wakes the fetcher then is occasion enough.
PURGE_S = 600.0
#: The same where there is more of it than one go takes.
PURGE_MORE_S = 5.0


def _purge_s(keep: Keep | None) -> float:
    if keep is None:
        return PURGE_S
    return min(PURGE_S, max(PURGE_MORE_S, keep.for_s))


_NOT_KEPT = (
    "there is no journal: the state of this fetch lives as long as its fetcher, and "
    "is None again after that"
)


@dataclass(slots=True)
class StartAgain:
    """A start that waits for whoever has the journal."""

    message: StartFetcher
    root: Address
    since: float
    at: float = 0.0
    told: bool = False


class FetcherActor(Stage):
    """Wakes itself on a timer, and never blocks its mailbox on the source.

    Attributes:
        config: What it was started with; what is changed since, its parts know.
    """

    config: FetcherConfig
    producer: Producer
    source: PollWorker
    commit_queue: CommitQueue
    status: FetcherStatus
    _backlog: Backlog
    _intake: Intake
    _delivery: Delivery
    _orders: Orders
    _journal: Journal
    _purge_at: float
    _purge_s: float

    def __init__(self) -> None:
        super().__init__()
        self._root: Address | None = None
        self._start_again: StartAgain | None = None
        self._barriers = Barriers()
        self._tally = Tally()
        self._told_drained = False
        self.acknowledger: Acknowledger | None = None
        self._finder: RouteFinder | None = None

    def receive(  # noqa: C901, PLR0912 - one arm a message
        self, message: Any, sender: Address
    ) -> None:
        """Handle one message."""
        if isinstance(message, StartFetcher) and self._root is None:
            self._start_if_free(message, sender)
        if self._root is None:
            if isinstance(message, Drain) and self._start_again is not None:
                # It has nothing yet.
                self.send(sender, Drained(name=self._start_again.message.config.name))
            return
        now = self.now()
        match message:
            case Subscribe() | Demand() | Done() | Cancel() | Crossing():
                self._delivery.sender.received(message, sender)
                self._put(self.producer.receive(message, now, self.chance))
            case ProcessGone():
                self._put(self._gone(message, now))
            case AskSign():
                accounting = self.producer.store.accounting()
                self.send(sender, Sign(name=self.config.name, accounting=accounting))
            case Begin():
                self.source.poller.start(now)
            case Drain():
                self._orders.drain()
            case StatusRequest():
                self._tell_status(message, sender, now)
            case Pause() | Resume() | Tune():
                self._orders.tune(message, now)
            case DecideJobs():
                self.send(self._root, self._orders.decide(message, now))
            case DecideState():
                self.send(self._root, self._orders.decide_state(message, now))
            case SetBarrier(number=number):
                self._barriers.put(number, self.producer.store)
            case StartFetcher():
                pass
            case _:
                self.unexpected(message)
        self._go_on(now)

    def too_long(self, message: Any, size: int) -> None:
        """Fail a job that no message can hold; halve what was measured too short."""
        if isinstance(message, Jobs | Confirm | CallOff) and (
            halves := halves_of(message)
        ):
            self._delivery.sender.send(halves)
        elif not isinstance(message, Jobs):
            super().too_long(message, size)
        else:
            now = self.now()
            for job in message.jobs:
                failed = undeliverable(message.subscription, job, size, MAX_MESSAGE)
                self._carry_out(self.producer.receive(failed, now, self.chance), now)
            self._go_on(now)

    def tick(self, now: float) -> None:
        """Poll if it is time; do what time brings to leases, retries, journal."""
        again = self._start_again
        if again is not None and now >= again.at:
            self._start_if_free(again.message, again.root)
        if self._root is not None:
            self._purge_if_due(now)
            if (at := self.next_tick()) is None or at > now:
                return  # what the timer was set for has been done before it fired
            self._delivery.sender.tick(now)
            if self._finder is not None:
                self._carry_out_found(self._finder.overdue(now), now)
            if self.commit_queue.retry_at is not None:
                self.producer.excuse(now)
            self._put(self.producer.tick(now))
            self._go_on(now)

    def next_tick(self) -> float | None:
        """The next poll, retry, ping, lease end, or try at the journal."""
        if self._root is None:
            return self._start_again.at if self._start_again is not None else None
        times = [self.producer.next_tick(), self.commit_queue.next_tick]
        if self._intake:  # an error came between
            times.append(self.commit_queue.retry_at or self.now())
        times.append(self.status.next_tick)
        if self.status.quota is not None:
            times.append(self.status.quota.next_tick)
        times.append(self._delivery.sender.next_tick())
        poller = self.source.poller
        waits = poller.state is not PollState.FETCHING and not poller.paused
        if waits and self.status.may_take:
            times.append(poller.next_poll)
        if self.acknowledger is not None:
            times.append(self.acknowledger.next_tick())
        if self._finder is not None:
            times.append(self._finder.next_tick())
        return min((each for each in times if each is not None), default=None)

    def exiting(self) -> None:
        """Let go of the journal."""
        if self._root is not None:
            self._journal.close()

    def _start_if_free(self, message: StartFetcher, root: Address) -> None:
        """Start, or wait for whoever has the journal, and say so."""
        now = self.now()
        try:
            self._start(message, root)
        except (JournalLockedError, JournalAwayError) as error:
            again = self._start_again or StartAgain(message, root, now)
            is_locked = isinstance(error, JournalLockedError)
            again.at = self.now() + (SOON_S if is_locked else AGAIN_S)
            self._start_again = again
            if not again.told and now >= again.since + LOCKED_S:
                again.told = True
                self.log.error("journal.failed", error=str(error))  # noqa: TRY400
                self._tell_started(root, waits_for=str(error))
        else:
            if self._start_again is not None and self._start_again.told:
                self.log.info("journal.healed")
            self._start_again = None

    def _start(self, message: StartFetcher, root: Address) -> None:
        config, system = message.config, message.system
        self.config = config
        self.log = self.environment.log(system.log_level, fetcher=config.name)
        try:
            fetch = self.environment.function(config.fetch)
            given = check_fetch(fetch, config.fetch, config.options)
            settle = self._settle_of(config)
            routing = routing_of(config, system, self.environment.function)
            self._journal = self.environment.journal(
                system.journal, config.name, config.remember_s, system.keep
            )
            self._purge_s = _purge_s(system.keep)
            follows = config.dispatcher == "broadcast" and settle is not None
            taken, kept, sent = self._taken_up(follows_copies=follows)
            states = SourceState.of(kept) if "state" in given else None
            self._make_source(config, forks.guarded(fetch), settle, states)
            if (waits := message.waits) is not None and waits.until > self.now():
                self.source.leave_alone(waits.until, waits.reason)
        except (JournalLockedError, JournalAwayError):
            raise
        except (ValueError, JournalError) as error:
            self._tell_started(root, error=str(error))
            return
        if states is not None and not self._journal.durable:
            self.log.warning("state.not_kept", hint=_NOT_KEPT)
        self._make_producer(taken, system, routed=not routing.is_open)
        self._resume_rate(sent, again=message.again)
        self._backlog = Backlog(self._journal, self.log)
        self.status = FetcherStatus(
            config.name,
            self.producer,
            self.source,
            self.commit_queue,
            self._tally,
            routed=config.dispatcher != "demand",
            on_demand=config.on_demand,
            kinds=frozenset(routing.selectors),
            quota=Quota(system.journal_mib * MIB) if system.journal_mib else None,
        )
        self._orders = Orders(
            self.producer,
            self.source,
            self.commit_queue,
            self._journal,
            self.status,
            self._carry_out,
            self._recall_copies,
            accumulates=config.demand == ACCUMULATE,
        )
        self._take_up(taken)
        self._make_ways(routing, system, root, taken.next_key)
        self._purge_at = self.now() + PURGE_MORE_S
        self._root = root
        self._tell_started(root)

    def _taken_up(
        self, *, follows_copies: bool
    ) -> tuple[TakenUp, KeptState, list[tuple[float, int]]]:
        journal = self._journal
        try:
            if follows_copies:
                journal.follow_copies()
            return journal.take_up(), journal.state(), journal.sent()
        except JournalError:
            self._journal.close()
            raise

    def _make_source(
        self,
        config: FetcherConfig,
        fetch: Callable[..., Any],
        settle: Callable[..., Any] | None,
        states: SourceState | None,
    ) -> None:
        hurry = self.environment.beside(config.fetch, "hurry")
        if hurry is not None:
            check_call(hurry, name_beside(config.fetch, "hurry"))
        self.source = PollWorker(
            config, fetch, self.environment, self.log, self._tally, hurry, states
        )
        if settle is not None:
            worker = self.environment.worker(f"settle-{config.name}")
            self.acknowledger = Acknowledger(
                settle, config.options, worker, self.log, states
            )

    def _settle_of(self, config: FetcherConfig) -> Callable[..., Any] | None:
        settle = self.environment.beside(config.fetch, "settle")
        if config.settle is not None:
            settle = self.environment.function(config.settle)
        if settle is not None:
            name = config.settle or name_beside(config.fetch, "settle")
            check_call(settle, name, "job", "outcome", options=config.options)
        return settle

    def _make_producer(
        self, taken: TakenUp, system: SystemConfig, *, routed: bool
    ) -> None:
        config = self.config
        buffer: Buffer[Job] = Buffer(
            config.buffer, config.buffer_mib * MIB, attrgetter("size")
        )
        store = JobStore(
            buffer,
            RetryPolicy(attempts=system.retries),
            first_key=taken.next_key,
            kept=taken.accounting,
            keep=config.buffer_keep,
            routed=routed,
        )
        self._tally.recovered(sum(job.state is JobState.READY for job in taken.jobs))
        store.quarantine = Quarantine(
            system.quarantine,
            system.quarantine_mib * MIB,
            taken.accounting.quarantined,
            taken.quarantined_bytes,
        )
        limit = config.rate_limit
        self.producer = Producer(
            store,
            config.new_dispatcher(),
            LeasePolicy.of(system.lease_s),
            Rate(limit, config.rate_interval_s) if limit else None,
        )
        self.commit_queue = CommitQueue(self._journal)

    def _recall_copies(self, jobs: list[Job]) -> None:
        # Their source is told once the last of them has ended.
        if self.acknowledger is None or self.config.dispatcher != "broadcast":
            return
        for job in jobs:
            if job.route:
                copies = self._journal.copies(job.id)
                self.acknowledger.copies.taken_up(job, copies)

    def _take_up(self, taken: TakenUp) -> None:
        self._recall_copies(taken.jobs)
        self.commit_queue.put(self.producer.taken_up(taken.jobs, self.now(), more=True))
        left = self.producer.store.accounting().left
        if left:
            self.log.info("journal.taken_up", jobs=left)

    def _resume_rate(self, sent: list[tuple[float, int]], *, again: bool) -> None:
        rate = self.producer.rate
        if rate is None:
            return
        if self._journal.durable:
            rate.resume(sent)
        elif again:
            # Nobody knows what it has sent: that was as much as it may.
            rate.spent(rate.count, self.now())

    def _make_ways(
        self, routing: Routing, system: SystemConfig, root: Address, next_key: int
    ) -> None:
        self.watch(self.source.fd, self._source_spoke)
        self.source.take_turns(self.turn)
        if not routing.is_open:
            worker = self.environment.worker(f"route-{self.config.name}")
            store, limit_s = self.producer.store, system.job_timeout_s
            self._finder = RouteFinder(
                routing,
                store,
                worker,
                limit_s,
                self.log,
                forked_call=self.environment.forked_call(),
                first_key=next_key,
            )
            self.watch(self._finder.fd, self._finder_spoke)
        if self.acknowledger is not None:
            self.watch(self.acknowledger.fd, self._acknowledger_spoke)
        self._intake = Intake(
            self.source,
            self._journal,
            self.producer,
            None if routing.is_open else routing,
            self.log,
            self.acknowledger,
        )
        self._delivery = Delivery(
            self,
            root,
            self.commit_queue,
            self.producer,
            self.source,
            self.acknowledger,
            ProducerSender(self.send),
            self.environment.hook_events(self.config.name),
        )

    def _tell_started(
        self, root: Address, error: str | None = None, waits_for: str | None = None
    ) -> None:
        started = Started(
            name=self.config.name,
            pid=self.environment.process_id(),
            error=error,
            waits_for=waits_for,
        )
        self.send(root, started)

    def _go_on(self, now: float) -> None:
        self._send_released(now)
        self._load_backlog(now)
        if self._finder is not None and self.commit_queue.has_kept_all:
            self._finder.go_on(now)
        self._look_at_size(now)
        room = self.status.room
        # A call that runs already is not begun, whatever could be taken.
        may_take = 0 if self.source.is_fetching else self.status.may_take_of(room)
        self.source.poll_if_due(now, may_take, self.producer.demand, full=not room)
        if self.acknowledger is not None:
            self.acknowledger.go_on(now)
        self.status.tell_if_stalled(now, self.log)
        self._tell_marks()
        self._tell_if_drained()

    def _look_at_size(self, now: float) -> None:
        try:
            if (quota := self.status.quota) is not None:
                look_at_size(quota, self._journal, self.log, now)
        except JournalError as error:
            self.commit_queue.failed(error, now)

    def _gone(self, message: ProcessGone, now: float) -> Decision:
        gone = self.producer.ids_of(message.process, *message.others)
        self._delivery.sender.forget(gone)
        return self.producer.gone(
            message.process,
            message.reason,
            now,
            crash=message.crash,
            others=message.others,
        )

    def _source_spoke(self) -> None:
        now = self.now()
        self._intake.hear(now)
        self._take_in(now)
        self._go_on(now)

    def _take_in(self, now: float) -> None:
        if self.status.quota is not None:
            self.status.quota.grew()
        try:
            with closing(self._intake.take(now, self.chance)) as decisions:
                for decision in decisions:
                    # Before the fetch hears that its jobs are kept, and asks for more.
                    self.source.note_room(full=not self.status.room)
                    self._carry_out(decision, now)
        except JournalError as error:
            self.commit_queue.failed(error, now)
        if self.source.asked is not None:
            # Who is started in place of this one is not to ask sooner.
            until, reason = self.source.asked
            self.source.asked = None
            waits = SourceWaits(name=self.config.name, until=until, reason=reason)
            self.send(self._root, waits)

    def _finder_spoke(self) -> None:
        if self._finder is not None:
            now = self.now()
            self._carry_out_found(self._finder.spoke(now), now)
            self._go_on(now)

    def _carry_out_found(self, found: list[Found], now: float) -> None:
        if found:
            self._carry_out(self.producer.routed(found, now), now)

    def _acknowledger_spoke(self) -> None:
        if self.acknowledger is not None:
            now = self.now()
            self.acknowledger.spoke(now, self.chance())
            self._go_on(now)

    def _put(self, decision: Decision) -> None:
        # It is carried out by `_go_on`.
        self.commit_queue.put(decision)

    def _carry_out(self, decision: Decision, now: float) -> None:
        self.commit_queue.put(decision)
        self._send_released(now)

    def _send_released(self, now: float) -> None:
        if self._intake and now >= (self.commit_queue.retry_at or now):
            self._take_in(now)
        self._delivery.release(now)
        if self.commit_queue.went_back:
            self.log.error("journal.went_back", error=self.commit_queue.not_kept)
            self.environment.kill(self.environment.process_id())
        if (rate := self.producer.rate) is None:
            return
        if not self.commit_queue.has_kept_all:
            rate.hold(now)
        elif rate.is_held:
            rate.release(now)
            self._carry_out(self.producer.tick(now), now)

    def _load_backlog(self, now: float) -> None:
        store = self.producer.store
        while store.wants_backlog and not self.commit_queue.error:
            try:
                jobs, more = self._backlog.page(store)
                self._recall_copies(jobs)
            except JournalError as error:
                self.commit_queue.failed(error, now)
                return
            self._carry_out(self.producer.taken_up(jobs, now, more=more), now)
            self._backlog.tell(store.backlog, now)

    def _purge_if_due(self, now: float) -> None:
        if now < self._purge_at:
            return
        self._purge_at = now + self._purge_s
        try:
            if not self.commit_queue.error and self._journal.purge():
                self._purge_at = now + PURGE_MORE_S
        except JournalError as error:
            self.commit_queue.failed(error, now)

    def _tell_marks(self) -> None:
        # Nobody is to hear of an end that a restart would know nothing of.
        if self._barriers.are_set and not self.commit_queue:
            for number in self._barriers.passed(self.producer.store):
                passed = BarrierPassed(number=number, name=self.config.name)
                self.send(self._root, passed)

    def _tell_if_drained(self) -> None:
        if not self.status.draining or self._told_drained or not self.source.stopped:
            return
        accounting = self.producer.store.accounting()
        left = accounting.in_flight if self._journal.durable else accounting.left
        settled = self.acknowledger is None or self.acknowledger.drained
        if left == 0 and settled and not self.commit_queue:
            self._told_drained = True
            drained = Drained(name=self.config.name, accounting=accounting)
            self.send(self._root, drained)

    def _tell_status(self, request: StatusRequest, sender: Address, now: float) -> None:
        answer = StatusAnswer(
            number=request.number,
            name=self.config.name,
            fetcher=self.status.status(now, self.environment.process_id()),
            events=self.environment.last_lines(),
            accounting=self.producer.store.accounting(),
        )
        self.send(sender, answer)
