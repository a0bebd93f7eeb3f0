"""A fetcher's side of what a person changes while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.config.model import ACCUMULATE
from actors.demand.job_events import JobQuarantined, StateMoved
from actors.demand.producer import Decision
from actors.demand.source_state import NO_STATE
from actors.journal.journal import JournalError
from actors.supervision.messages import JobsDecided, Pause, Resume, StateDecided, Tune

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.demand.job import Job
    from actors.demand.producer import Producer
    from actors.fetcher.commit_queue import CommitQueue
    from actors.fetcher.poll_worker import PollWorker
    from actors.fetcher.status import FetcherStatus
    from actors.journal.journal import Journal
    from actors.supervision.messages import DecideJobs, DecideState


@dataclass(slots=True, eq=False)
class Orders:
    """Turns orders into what the fetcher's parts do; the root remembers them.

    Apart from the fetcher, where jobs take their course by themselves: three
    orders (a pause that holds, demand that accumulates, a drain) meet at one
    gate, and only here is known which of them keeps it shut.

    Attributes:
        accumulates: Whether the configuration keeps the gate shut.
    """

    _producer: Producer
    _source: PollWorker
    _commit_queue: CommitQueue
    _journal: Journal
    _status: FetcherStatus
    _carry_out: Callable[[Decision, float], None]
    _recall: Callable[[list[Job]], None]
    accumulates: bool
    _held: bool = False

    def __post_init__(self) -> None:
        self._set_gate()

    def tune(self, message: Pause | Resume | Tune, now: float) -> None:
        """Stop or start to poll, or go by other values from now on."""
        poller = self._source.poller
        match message:
            case Pause(hold=hold):
                self._pause(now, paused=True, hold=hold)
            case Resume():
                self._pause(now, paused=False, hold=False)
                if poller.next_poll is not None:
                    poller.start(now)
            case Tune(config=config):
                self.accumulates = config.demand == ACCUMULATE
                self._set_gate()
                poller.retime(config.every_s)
                self._producer.limit(config.rate_limit, config.rate_interval_s)
                self._carry_out(self._producer.tick(now), now)

    def decide(self, message: DecideJobs, now: float) -> JobsDecided:
        """Release or discard jobs of the quarantine, or cancel jobs that are not there.

        Returns:
            What came of it.
        """
        if message.action == "cancel":
            return self._call_off(message, now)
        # What is on the disk is told: while it cannot be written, a job that was
        # decided on would still be found in the quarantine, and be released twice.
        jobs, error = [], self._commit_queue.not_kept
        try:
            jobs = [] if error else self._journal.quarantined(message.keys)
            self._recall(jobs)
        except JournalError as failed:
            error = str(failed)
        if message.action == "retry":
            self._carry_out(self._producer.released(jobs, now), now)
        else:
            self._carry_out(self._producer.discarded(jobs, "discarded by hand"), now)
        return JobsDecided(
            number=message.number,
            name=self._status.name,
            count=len(jobs),
            error=error or self._commit_queue.not_kept,
        )

    def _call_off(self, message: DecideJobs, now: float) -> JobsDecided:
        count, error = 0, self._commit_queue.not_kept
        if error is None:
            decision = self._producer.called_off(message.keys, now)
            count = sum(type(each) is JobQuarantined for each in decision.events)
            self._carry_out(decision, now)
        return JobsDecided(
            number=message.number,
            name=self._status.name,
            count=count,
            error=error or self._commit_queue.not_kept,
        )

    def decide_state(self, message: DecideState, now: float) -> StateDecided:
        """Tell the state of the source, or set another; returns what it is now."""
        number, name = message.number, self._status.name
        states = self._source.states
        if states is None:
            none = f"the fetch of {name} has no parameter 'state'"
            return StateDecided(number=number, name=name, text=NO_STATE, error=none)
        failed: str | None = None
        if message.text is not None:
            if (failed := self._commit_queue.not_kept) is None and states.tell(
                message.text
            ):
                self._carry_out(Decision(events=[StateMoved(message.text)]), now)
                failed = self._commit_queue.not_kept
            if failed is None:
                self._source.restate(now)
        age_s = states.age_s(now)
        error = f"the journal cannot be written: {failed}" if failed else None
        text = states.kept.text
        return StateDecided(
            number=number, name=name, text=text, age_s=age_s, error=error
        )

    def drain(self) -> None:
        """Take nothing in any more, and end what is under way."""
        self._status.draining = True
        self._source.stop()
        # What the journal keeps can wait for the next start; what nothing keeps
        # is worked off while there is time.
        if self._journal.durable:
            self._producer.gate_open = False

    def _pause(self, now: float, *, paused: bool, hold: bool) -> None:
        self._source.poller.paused = paused
        self._held = hold
        self._set_gate()
        self._carry_out(self._producer.tick(now), now)

    def _set_gate(self) -> None:
        if not self._status.draining:
            is_shut = self._held or self.accumulates
            self._producer.gate_open = not is_shut
