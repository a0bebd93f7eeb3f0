"""When a source is asked, in which thread, and what the log hears of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from actors.demand.job_events import StateMoved
from actors.demand.polling import Poller, PollPolicy, PollState
from actors.fetcher.fetch_call import (
    Fetched,
    FetchStep,
    Page,
    RunEnded,
    Signals,
    Unusable,
    fetch_run,
    run_failed,
)
from actors.fetcher.page_call import page_run
from actors.host import native
from actors.user_code.failures import describe
from actors.user_code.functions import given_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from structlog.typing import FilteringBoundLogger

    from actors.actor_system.environment import Environment
    from actors.config.model import FetcherConfig
    from actors.demand.job import Failure
    from actors.demand.producer import Decision
    from actors.demand.source_state import SourceState
    from actors.status.counters import Tally


#: The longest that a fetch may put its next call off, in seconds: a month.
MAX_NEXT_S = 31 * 24 * 3600.0


class NextPoll:
    """What one call of a fetch is given as ``next_poll``."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def __call__(self, seconds: float) -> None:
        """Put the next poll off for this many seconds from the end of this one.

        What was said last holds, unless the call fails. After the call is over it
        does nothing.

        Raises:
            TypeError: It is no number.
            ValueError: It is below 0, or above a month.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"next_poll takes seconds, got {seconds!r}")
        if not 0 <= seconds <= MAX_NEXT_S:
            raise ValueError(
                f"next_poll takes from 0 to {MAX_NEXT_S:.0f} seconds, got {seconds!r}"
            )
        if self._signals.pace is self:
            self._signals.next_s = float(seconds)


def pacing(fetch: Callable[..., Any], signals: Signals) -> Callable[..., Any]:
    """A fetch that is given its ``next_poll`` with each call."""

    def call(**options: Any) -> Any:
        signals.next_s, signals.pace = None, NextPoll(signals)
        return fetch(**options, next_poll=signals.pace)

    return call


class PollWorker:
    """Runs the user's ``fetch`` in a thread, one run at a time."""

    def __init__(
        self,
        config: FetcherConfig,
        fetch: Callable[..., Any],
        environment: Environment,
        log: FilteringBoundLogger,
        tally: Tally,
        hurry: Callable[[], Any] | None = None,
        states: SourceState | None = None,
    ) -> None:
        self.poller = Poller(_policy(config))
        self.states = states
        self._options = config.options
        self._worker = environment.worker(f"fetch-{config.name}")
        self._signals = Signals(self._worker.permits(), self._worker.waits_next)
        paced = "next_poll" in given_to(fetch)
        self._fetch = pacing(fetch, self._signals) if paced else fetch
        self._hurry = hurry
        self._log = log
        self._count = 0
        self._demand = 0
        self.unknown_outcomes = 0
        self._last: tuple[str, str] | None = None
        self._began = 0.0
        self._heard_at = 0.0
        self.tally = tally
        self.last_error: str | None = None
        self.throttled_by: str | None = None
        #: Until when the source asks to be left alone, and what it said: what is new of
        #: that. It does no more, where the time is over.
        self.asked: tuple[float, str] | None = None
        self._is_left_alone = False

    @property
    def fd(self) -> int:
        """The descriptor to watch."""
        return self._worker.fd

    def take_turns(self, turn: Callable[[int], bool] | None) -> None:
        """Have what was fetched taken in the fetch's thread, where the stage waits."""
        self._worker.turn = turn

    @property
    def stopped(self) -> bool:
        """Whether it is told to stop and no fetch runs any more."""
        return self.poller.state is PollState.STOPPED

    @property
    def is_fetching(self) -> bool:
        """Whether a fetch runs."""
        return self.poller.state is PollState.FETCHING

    def stop(self) -> None:
        """Begin no further call; one that runs may end, and is told to hurry."""
        self._signals.stop = True
        self.poller.stop()
        if self._hurry is not None:
            # Not in the mailbox's thread: it is the user's function.
            hurry = partial(_hurry_up, self._hurry, self._log)
            native.start(hurry, "hurry")

    def leave_alone(self, until: float, reason: str) -> None:
        """Ask nothing until then: so the source said to an earlier fetcher."""
        self.poller.leave_alone(until)
        self.throttled_by = reason
        self._is_left_alone = True

    def poll_if_due(self, now: float, room: int, demand: int, *, full: bool) -> None:
        """Start a fetch if it is time.

        Args:
            now: Monotonic seconds.
            room: Jobs to take at most.
            demand: Jobs that are asked for.
            full: Whether there is no place for a job, whoever asks.
        """
        if demand > self._demand:
            self.poller.demanded(now)
        self._demand = demand
        if self.poller.due(now, room):
            self.poller.fetching(now)
            self._began = self._heard_at = now
            self._count = 0
            self._signals.full = False
            self._worker.call(self._run(room), partial(run_failed, self._signals))
        else:
            self.note_room(full=full)
            self._note_skipped(now, full=full)

    def note_room(self, *, full: bool) -> None:
        """Let a fetch that runs ask for no more answers once there is no room."""
        if full:
            self._signals.full = True

    def _run(self, room: int) -> Callable[[], Iterator[FetchStep]]:
        fetch, options, signals = self._fetch, self._options, self._signals
        signals.next_s = signals.pace = None
        if self.states is None:
            return partial(fetch_run, fetch, options, room, signals)
        signals.moved = False
        return partial(page_run, fetch, options, self.states.told, room, signals)

    def take(self, now: float) -> list[FetchStep]:
        """Take what the fetch came to since the last look."""
        self._heard_at = now
        return self._worker.take()

    def running_s(self, now: float) -> float | None:
        """Say how long a fetch runs without a word; None where none runs."""
        if self.poller.state is not PollState.FETCHING:
            return None
        return max(0.0, now - self._heard_at)

    def known(self) -> None:
        """A job had come before, and the fetch may go on."""
        self._signals.kept.release()

    def kept(self, count: int, useful: int) -> None:
        """Note that this many jobs are in the journal: the fetch may go on."""
        self._count += count
        if useful:
            self.poller.brought()
        if count:
            self._signals.kept.release(count)

    def restate(self, now: float) -> None:
        """Go on at the state that somebody set: what runs still goes by another."""
        self._signals.moved = True
        if self.poller.next_poll is not None:
            self.poller.start(now)

    def pages_kept(self, decision: Decision, now: float) -> None:
        """A decision's pages are in the journal, with the state that was told."""
        for event in decision.events:
            if type(event) is StateMoved and self.states is not None:
                self.states.keep(event.text, now)
        if decision.pages:
            self._signals.kept.release(decision.pages)

    def ended(self, steps: Iterable[FetchStep], now: float, chance: float) -> None:
        """Note how the fetch ended, if it did."""
        for step in steps:
            match step:
                case Fetched() | Unusable() | Page():
                    continue
                case RunEnded("error", failure) if failure is not None:
                    self.unknown_outcomes += step.unknown
                    self._note("error", failure, now)
                    delay = self.poller.failed(now, chance, failure.retry_after_s)
                    self._note_asked(failure, now + delay)
                    self._tell("error", failure.error, delay, unknown=step.unknown)
                case RunEnded("faulted", failure) if failure is not None:
                    self.unknown_outcomes += step.unknown
                    self._note("error", failure, now)
                    delay = self.poller.faulted(now, failure.retry_after_s)
                    self._note_asked(failure, now + delay)
                    self._tell("faulted", failure.error, delay, unknown=step.unknown)
                case RunEnded("throttled", failure) if failure is not None:
                    self._note("throttled", failure, now)
                    delay = self.poller.throttled(now, failure.retry_after_s)
                    self._note_asked(failure, now + delay)
                    self._tell("throttled", failure.error, delay)
                case RunEnded("full"):
                    self._note("full", None, now)
                    self.poller.full(now)
                    self._tell("full", delay=self._put_off(now))
                case RunEnded(outcome, took_s=took_s):
                    self._note(outcome, None, now)
                    self.poller.empty(now, chance, jobs=self._count, took_s=took_s)
                    self._tell(outcome, delay=self._put_off(now))

    def _note_asked(self, failure: Failure, until: float) -> None:
        if failure.retry_after_s is not None:
            self.asked = until, failure.error
            self._is_left_alone = True

    def _put_off(self, now: float) -> float:
        next_s = self._signals.next_s
        if next_s is None:
            return 0.0
        self.poller.paced(now, next_s)
        return next_s

    def _note_skipped(self, now: float, *, full: bool) -> None:
        poller = self.poller
        if poller.state is PollState.FETCHING or poller.next_poll is None:
            return
        if now >= poller.next_poll:
            reason = "buffer_full" if full else "no_demand"
            reason = "paused" if poller.paused else reason
            self.tally.skipped(reason, poller.next_poll)

    def _note(self, outcome: str, failure: Failure | None, now: float) -> None:
        said = failure.error if failure else None
        if self._is_left_alone and failure is None and outcome != "stopped":
            # Somebody had it asked sooner, and it answered: that is over for all.
            self.asked, self._is_left_alone = (now, ""), False
        self.throttled_by = said if outcome == "throttled" else None
        self.last_error = None if outcome == "throttled" else said
        word = "error" if outcome == "error" else "empty"
        asked = failure is not None and failure.retry_after_s is not None
        if asked or outcome == "throttled":
            word = "throttled"
        self.tally.polled(word, self._count, now - self._began)

    def _tell(
        self,
        outcome: str,
        error: str = "",
        delay: float = 0.0,
        *,
        unknown: bool = False,
    ) -> None:
        # An empty poll every two seconds, or the same error again, is no news.
        news = self._count > 0 or unknown or self._last != (outcome, error)
        self._last = (outcome, error)
        fields: dict[str, Any] = {"outcome": outcome, "count": self._count}
        if error:
            fields["reason" if outcome == "throttled" else "error"] = error
        if error or delay:
            fields["next_poll_s"] = round(delay, 3)
        if unknown:
            fields["unknown_outcome"] = True
        level = _LEVELS.get(outcome, "info") if news else "debug"
        getattr(self._log, level)("fetcher.polled", **fields)


def _hurry_up(hurry: Callable[[], Any], log: FilteringBoundLogger) -> None:
    try:
        hurry()
    except BaseException as error:  # noqa: BLE001 - the user's function
        log.warning("fetcher.hurry_failed", error=describe(error).error)


_LEVELS = {"error": "warning", "faulted": "error"}


def _policy(config: FetcherConfig) -> PollPolicy:
    wait_s = config.options.get("wait_s")
    return PollPolicy(
        every_s=config.every_s,
        idle_cap_s=config.idle_cap_s,
        wait_s=wait_s if isinstance(wait_s, int | float) and wait_s > 0 else None,
    )
