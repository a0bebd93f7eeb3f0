"""What a source handed out, on its way to the producer: each job once."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

from actors.demand.job import odd_id_of
from actors.demand.job_events import StateMoved
from actors.demand.job_routing import Incoming
from actors.demand.producer import Decision
from actors.demand.seen_ids import SeenIds
from actors.fetcher.fetch_call import Fetched, Page, RunEnded, Unusable
from actors.journal.journal import JournalError
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from structlog.typing import FilteringBoundLogger

    from actors.demand.job import JobId
    from actors.demand.job_routing import Routes, Routing
    from actors.demand.producer import Producer
    from actors.fetcher.acknowledgements import Acknowledger
    from actors.fetcher.fetch_call import FetchStep
    from actors.fetcher.poll_worker import PollWorker
    from actors.journal.journal import Journal


#: How many jobs that came again are remembered as told.
_SHOWN = 10_000

_ID_HINT = (
    "an id must be an integer or a text; without one a job that comes again is "
    "run again"
)
_LIST_HINT = (
    "a list is one job; where its items were meant, `yield from` makes each of "
    "them one, and none of an empty list"
)


class _Again:
    """What came again in a poll, to be told in one line.

    A source that shows what it has, such as a list of open tickets, shows each of
    them at every poll for as long as it is open: those that were told are no news.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._told = SeenIds(capacity=_SHOWN)
        self._ids: set[tuple[type, JobId]] = set()
        self._example: tuple[JobId, Any] | None = None
        self._is_news = False

    def note(self, job_id: JobId, payload: Any, now: float) -> None:
        """A job came again."""
        is_new = not self._told.has(job_id, now)
        if self._example is None or (is_new and not self._is_news):
            self._example = job_id, payload
        self._ids.add((type(job_id), job_id))
        self._is_news |= is_new
        self._told.add(job_id, now)
        self._log.debug("job.known", job_id=job_id, job=payload)

    def tell(self) -> None:
        """The poll is over."""
        if self._example is not None:
            job_id, payload = self._example
            tell = self._log.warning if self._is_news else self._log.debug
            tell("job.duplicate", job_id=job_id, job=payload, count=len(self._ids))
        self._ids.clear()
        self._example, self._is_news = None, False


class Intake:
    """Holds what a source handed out until it is known which of it came before.

    Where the journal cannot be read, that is asked again.
    """

    def __init__(
        self,
        source: PollWorker,
        journal: Journal,
        producer: Producer,
        routing: Routing | None,
        log: FilteringBoundLogger,
        acknowledger: Acknowledger | None,
    ) -> None:
        self._source = source
        self._journal = journal
        self._producer = producer
        self._routing = routing
        self._log = log
        self._acknowledger = acknowledger
        self._steps: list[FetchStep] = []
        self._again = _Again(log)
        self._odd_ids: set[str] = set()
        self._told_list = False

    def __bool__(self) -> bool:
        return bool(self._steps)

    def hear(self, now: float) -> None:
        """Hold what the fetch came to since the last look."""
        self._steps += self._source.take(now)

    def take(
        self, now: float, chance: Callable[[], float]
    ) -> Generator[Decision, None, None]:
        """Decide about what is held, each decision to be carried out in its turn.

        What is not decided about when this is closed is held still.

        Raises:
            JournalError: The journal cannot be read; all of it is held still.
        """
        seen = self._journal.known(_ids_of(self._steps))
        steps = self._steps
        left = deque(steps)
        fetched = [step for step in steps if type(step) is Fetched]
        others = [s for s in steps if type(s) is Page or type(s) is Unusable]
        ends = [step for step in steps if type(step) is RunEnded]
        try:
            self._steps = []
            decisions = []
            if new := self._new_ones(fetched, seen, now):
                decisions = [self._fetched(new, now)]
            left = deque([*others, *ends])
            yield from decisions
            for step in others:
                if isinstance(step, Unusable):
                    decisions = [*self._set_aside(step, seen, now)]
                else:
                    decisions = [self._turn(step, seen, now)]
                left.popleft()
                yield from decisions
            if ends:
                self._again.tell()
            self._source.ended(ends, now, chance())
            left.clear()
        finally:
            self._steps = [*left, *self._steps]

    def _turn(self, page: Page, seen: set[JobId], now: float) -> Decision:
        """One decision of a whole page, so that it is kept whole or not at all."""
        fetched = [job for job in page.jobs if type(job) is Fetched]
        new = self._new_ones(fetched, seen, now)
        decision = self._fetched(new, now) if new else Decision()
        for job in page.jobs:
            if isinstance(job, Unusable):
                for aside in self._set_aside(job, seen, now):
                    decision.events += aside.events
                    decision.fetched += aside.fetched
        states = self._source.states
        if states is not None and states.follows(page.given) and states.tell(page.told):
            decision.events.append(StateMoved(page.told))
        decision.pages = 1
        return decision

    def _fetched(self, new: list[tuple[JobId | None, Any]], now: float) -> Decision:
        jobs: Sequence[Incoming | tuple[JobId | None, Any]] = new
        if (routing := self._routing) is not None:
            jobs = [
                Incoming(job_id, payload, _routes_of(payload, routing))
                for job_id, payload in new
            ]
        return self._producer.fetched(jobs, now)

    def _set_aside(
        self, step: Unusable, seen: set[JobId], now: float
    ) -> Iterator[Decision]:
        served = Fetched(step.payload, step.id)
        for job_id, payload in self._new_ones([served], seen, now):
            yield self._producer.set_aside(job_id, payload, step.failure, now)

    def _new_ones(
        self, steps: Iterable[Fetched], seen: set[JobId], now: float
    ) -> list[tuple[JobId | None, Any]]:
        new = []
        for payload, own_id in steps:
            if own_id is not None:
                if own_id in seen:
                    self._known(own_id, payload, now)
                    continue
                seen.add(own_id)
            elif type(payload) is list:
                self._tell_list(payload)
            elif odd := odd_id_of(payload):
                self._tell_odd_id(odd, payload)
            new.append((own_id, payload))
        return new

    def _known(self, job_id: JobId, payload: Any, now: float) -> None:
        self._again.note(job_id, payload, now)
        self._source.tally.duplicate()
        self._settle_again(job_id, payload, now)
        self._source.known()

    def _tell_odd_id(self, odd: str, payload: Any) -> None:
        # Once a kind: each of its jobs has one. They are run, as jobs without an id
        # are; a source that only shows what it has hands them out again and again.
        if odd not in self._odd_ids:
            self._odd_ids.add(odd)
            self._log.warning("id.ignored", got=odd, job=payload, hint=_ID_HINT)

    def _tell_list(self, payload: list[Any]) -> None:
        # Once, and of one that is empty or has objects: those were meant as jobs.
        meant = not payload or type(payload[0]) is dict
        if meant and not self._told_list:
            self._told_list = True
            self._log.warning("job.is_list", items=len(payload), hint=_LIST_HINT)

    def _settle_again(self, job_id: JobId, payload: Any, now: float) -> None:
        if self._acknowledger is None:
            return
        # Where it cannot be read: the source hands the job out once more.
        with contextlib.suppress(JournalError):
            if state := self._journal.ended(job_id):
                self._acknowledger.known(job_id, payload, state, now)


def _ids_of(steps: Iterable[FetchStep]) -> list[JobId]:
    ids: list[JobId] = []
    for step in steps:
        if type(step) is Fetched:
            if step.id is not None:
                ids.append(step.id)
        elif isinstance(step, Page):
            ids += [job.id for job in step.jobs if job.id is not None]
        elif isinstance(step, Unusable):
            ids.append(step.id)
    return ids


def _routes_of(payload: Any, routing: Routing) -> Routes | None:
    if routing.asks_user:
        return None  # not here, and not before it is kept
    return routing.routes_of(payload, describe)
