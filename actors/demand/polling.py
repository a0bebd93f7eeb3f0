"""When a fetcher polls next: one timer and one fetch outstanding, ever."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from actors.demand.backoff import MAX_RETRY_AFTER_S, Backoff

#: A source that asks to be left alone is, up to this many seconds.
MAX_THROTTLED_S = 24 * 3600.0

#: A call of ``fetch`` may take this many seconds, beside three intervals and what its
#: source may hold it open; a longer one is likely to hang.
GRACE_S = 10.0


def may_take(*, room: int, demand: int, waiting: int, on_demand: bool = False) -> int:
    """Say how many jobs to take from the source now.

    Args:
        room: Jobs that can be kept.
        demand: Jobs that were asked for and not sent yet.
        waiting: Jobs that are here for it, and held up by something else.
        on_demand: Take no more than what is asked for and not here, so that
            others who share the source get the rest.
    """
    return min(room, max(0, demand - waiting)) if on_demand else room


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """How often to ask a source.

    Attributes:
        every_s: Between a poll that found nothing more and the next.
        jitter: The share by which that may be shorter or longer, so that
            fetchers that were started together do not ask together.
        idle_cap_s: Where it is set, ``every_s`` doubles with each poll in a row
            that found nothing, after ``idle_after`` such polls, up to this.
        wait_s: How long the source holds a request open that it has no job for.
            One that was held for at least half of it has been waiting already,
            and that counts towards ``every_s``.
        error_base_s: The longest wait after a first error; it doubles with each
            further one up to ``error_cap_s``. Where in it the wait falls is
            chance (full jitter), but never under ``every_s`` or the base,
            whichever is less.
        faulted_s: Between tries while the source refuses us as we are.
    """

    every_s: float = 2.0
    jitter: float = 0.1
    idle_after: int = 5
    idle_cap_s: float | None = None
    wait_s: float | None = None
    error_base_s: float = 1.0
    error_cap_s: float = 300.0
    faulted_s: float = 300.0

    def __post_init__(self) -> None:
        """Refuse an interval that would spin."""
        if not self.every_s > 0:
            raise ValueError(f"every_s must be above 0, got {self.every_s}")

    def empty_delay_s(self, empties: int, chance: float) -> float:
        """Say how long to wait after the ``empties``-th empty poll in a row."""
        delay, longest = self.every_s, self.idle_cap_s or 0.0
        if empties > self.idle_after and longest > delay:
            delay = Backoff(delay, longest).longest_s(empties - self.idle_after + 1)
        return delay * (1 + self.jitter * (2 * chance - 1))

    def error_delay_s(self, errors: int, chance: float) -> float:
        """Say how long to wait after the ``errors``-th error in a row."""
        longest = Backoff(self.error_base_s, self.error_cap_s).longest_s(errors)
        shortest = min(self.every_s, self.error_base_s)
        return max(shortest, longest * chance)

    @property
    def may_take_s(self) -> float:
        """How long a fetch may go on without a job before one should ask why."""
        return (self.wait_s or 0.0) + 3 * self.every_s + GRACE_S

    def was_held(self, took_s: float) -> bool:
        """Whether the source held a request open for long that found nothing."""
        return self.wait_s is not None and took_s >= self.wait_s / 2


class PollState(enum.Enum):
    """What the poller is at."""

    IDLE = "idle"
    FETCHING = "fetching"
    BACKOFF = "backoff"
    FAULTED = "faulted"
    THROTTLED = "throttled"
    PACED = "paced"
    STOPPED = "stopped"


class Poller:
    """Decides when a fetch starts; whoever holds it does the fetching.

    A fetch is one run: it asks the source for job after job until that has no
    more, the room is used up, or something fails. ``chance`` is uniform in 0 to
    1, for the jitter; 0.5 leaves a wait as it is. ``failing`` says whether the
    last that was heard of the source is an error: while it is asked again, too.
    """

    def __init__(self, policy: PollPolicy) -> None:
        self.policy = policy
        self.state = PollState.IDLE
        self.paused = False
        self.errors = 0
        self.empties = 0
        self.failing = False
        self.next_poll: float | None = None
        self.last_poll: float | None = None

    def start(self, now: float) -> None:
        """Begin, or begin again: the next poll is due at once, unless it is stopped.

        Where the source asks to be left alone, that stands.
        """
        if self.state not in (PollState.STOPPED, PollState.THROTTLED):
            self.next_poll = now

    def leave_alone(self, until: float) -> None:
        """Begin no fetch before then: so the source has asked, before this began."""
        self.state, self.next_poll = PollState.THROTTLED, until

    def stop(self) -> None:
        """Begin no further fetch; one that runs may end."""
        if self.state is not PollState.FETCHING:
            self.state = PollState.STOPPED
        self.next_poll = None

    def retime(self, every_s: float) -> None:
        """Poll at another interval, sooner than planned if that is what it means."""
        self.policy = replace(self.policy, every_s=every_s)
        if self.last_poll is None or self.next_poll is None:
            return
        if self.state is PollState.IDLE:
            self.next_poll = min(self.next_poll, self.last_poll + every_s)

    def due(self, now: float, room: int) -> bool:
        """Whether to start a fetch now."""
        waiting = self.state not in (PollState.FETCHING, PollState.STOPPED)
        due = self.next_poll is not None and now >= self.next_poll
        return waiting and due and room > 0 and not self.paused

    def demanded(self, now: float) -> None:
        """Record fresh demand: the next poll waits no longer than ``every_s``.

        It changes nothing about a wait after an error.
        """
        self.empties = 0
        if self.state is not PollState.IDLE or self.next_poll is None:
            return
        if self.last_poll is not None:
            soon = max(now, self.last_poll + self.policy.every_s)
            self.next_poll = min(self.next_poll, soon)

    def fetching(self, now: float) -> None:
        """Record that a fetch was started."""
        self.state = PollState.FETCHING
        self.last_poll = now

    def brought(self) -> None:
        """Record that the fetch under way has brought a job, of some use.

        Errors are counted in a row: one that follows is the first again.
        """
        self.errors, self.failing = 0, False

    def empty(
        self, now: float, chance: float = 0.5, *, jobs: int = 0, took_s: float = 0.0
    ) -> None:
        """Record that the fetch ended because the source had no more.

        Args:
            now: Monotonic seconds.
            chance: See above.
            jobs: How many it had before.
            took_s: How long the last request took, the one that found nothing.
        """
        held = self.policy.was_held(took_s)
        self.empties = 0 if jobs or held else self.empties + 1
        delay = self.policy.empty_delay_s(self.empties, chance)
        self._ended(PollState.IDLE, now, max(0.0, delay - took_s) if held else delay)
        self.errors, self.failing = 0, False

    def full(self, now: float) -> None:
        """Record that the fetch ended because there was no more room.

        The source may have more, so the next poll is due as soon as there is.
        """
        self._ended(PollState.IDLE, now, 0.0)
        self.errors = self.empties = 0
        self.failing = False

    def failed(
        self, now: float, chance: float, retry_after_s: float | None = None
    ) -> float:
        """Record that the fetch ended in an error.

        Args:
            now: Monotonic seconds.
            chance: See above.
            retry_after_s: What the source asked for, if it did.

        Returns:
            The seconds until the next poll.
        """
        self.errors, self.failing = self.errors + 1, True
        delay = self.policy.error_delay_s(self.errors, chance)
        delay = _obeyed(delay, retry_after_s)
        self._ended(PollState.BACKOFF, now, delay)
        return delay

    def faulted(self, now: float, retry_after_s: float | None = None) -> float:
        """Record that the source refuses us, and will until somebody acts.

        Args:
            now: Monotonic seconds.
            retry_after_s: What the source asked for, if it did, as some do with a
                403 for those who ask too often.

        Returns:
            The seconds until the next try.
        """
        self.errors, self.failing = self.errors + 1, True
        delay = _obeyed(self.policy.faulted_s, retry_after_s)
        self._ended(PollState.FAULTED, now, delay)
        return delay

    def throttled(self, now: float, retry_after_s: float | None) -> float:
        """Record that the source asks to be left alone, which is no error.

        Returns:
            The seconds until the next poll.
        """
        self.failing = False
        delay = self.policy.every_s if retry_after_s is None else retry_after_s
        delay = min(delay, MAX_THROTTLED_S)
        self._ended(PollState.THROTTLED, now, delay)
        return delay

    def paced(self, now: float, next_s: float) -> None:
        """Record when the fetch that has just ended well wants to be called next."""
        if self.state is not PollState.STOPPED:
            self.state, self.next_poll = PollState.PACED, now + next_s

    def _ended(self, state: PollState, now: float, delay: float) -> None:
        self.last_poll = now
        if self.next_poll is None:
            self.state = PollState.STOPPED
        else:
            self.state = state
            self.next_poll = now + delay


def _obeyed(delay_s: float, retry_after_s: float | None) -> float:
    if retry_after_s is None:
        return delay_s
    # In this order, what is not a number changes nothing.
    return min(max(delay_s, retry_after_s), MAX_RETRY_AFTER_S)


#: An answer that is taken for the last is doubted once this many polls in a row have
#: ended with one; and after that once twice as many have, up to the most.
FIRST_DOUBT = 5

MOST_DOUBT = 20


@dataclass(slots=True)
class Lengths:
    """What was seen of one source's answers.

    Rule 1: an answer as long as any that something followed may have more behind it.
    Rule 2: while there is none, so may one longer than each that nothing followed.
    Rule 3: one job may always have more behind it: many a source hands them out so,
    and a pile of jobs after a quiet hour is not to wait.
    Rule 4: any other is taken for the last, but not for ever.
    """

    _longest_last: int = 0
    _shortest_full: float = math.inf
    _trusted: int = 0
    _doubt: int = FIRST_DOUBT
    _asked_after: int = 0

    def begin(self) -> None:
        """A poll begins."""
        self._asked_after = 0

    def may_have_more(self, length: int) -> bool:
        """Note an answer that brought something; returns whether to ask again."""
        if self._asked_after:
            self._shortest_full = min(self._shortest_full, self._asked_after)
            self._trusted, self._doubt = 0, FIRST_DOUBT
        self._asked_after = length
        is_known = self._shortest_full < math.inf
        least = self._shortest_full if is_known else self._longest_last + 1
        if length == 1 or length >= least:
            return True
        self._trusted += 1
        return self._trusted >= self._doubt

    def nothing(self) -> None:
        """Note an answer that brought nothing new."""
        if self._asked_after:
            self._longest_last = max(self._longest_last, self._asked_after)
            if self._trusted >= self._doubt:
                self._doubt = min(MOST_DOUBT, self._doubt * 2)
        self._trusted = self._asked_after = 0
