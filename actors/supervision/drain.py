"""How a system ends: the drain, and what starts it by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.supervision.messages import Drain

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.demand.job import AccountingCounts
    from actors.supervision.messages import StatusAnswer
    from actors.supervision.root import RootActor

#: How often to look whether there is anything left to do, in seconds.
_LOOK_S = 0.25
#: A fetch that is under way may bring a job yet: so long it is waited for, in
#: seconds. It is no longer, since a source may hold a request open for long.
_FETCH_S = 5.0
#: How often the progress of a drain is told, in seconds.
_PROGRESS_S = 1.0
#: How long the stages may take to end once all is over, in seconds. Each has less
#: for what a user wants done at the end (see ``host/process_end.py``).
_END_S = 3.0


class Shutdown:
    """Drains within a deadline; ends the system after a time, or when it is idle."""

    def __init__(self, root: RootActor) -> None:
        self._root = root
        self.draining = False
        self._deadline = 0.0
        self._waiting: set[str] = set()
        self._stop_at: float | None = None
        self._look_at: float | None = None
        self._idle_since: float | None = None
        self._fetched = -1
        self._over = False
        self.ending = False
        self._end_by = 0.0
        self._told = False
        self._then: list[Callable[[AccountingCounts], None]] = []

    @property
    def left_s(self) -> float | None:
        """How long the drain may still take, in seconds; None if there is none."""
        if not self.draining:
            return None
        return round(max(0.0, self._deadline - self._root.now()), 1)

    def begin(self, now: float) -> None:
        """The system is ready: its time starts to run."""
        config = self._root.config
        if config.run_for_s is not None:
            self._stop_at = now + config.run_for_s
        if config.until_idle_s is not None:
            self._look_at = now + _LOOK_S

    def stop(
        self,
        now: float,
        *,
        at_once: bool = False,
        then: Callable[[AccountingCounts], None],
    ) -> None:
        """Drain; ``then`` gets the account when it is over."""
        self._then.append(then)
        if self.draining and not at_once:
            return
        root = self._root
        timeout = 0.0 if at_once else root.config.drain_timeout_s
        if not self.draining:
            root.reporter.draining()
        root.log.info("drain.started", timeout_s=timeout)
        self.draining = True
        self._deadline = now + timeout
        self._look_at = now + _PROGRESS_S
        self._waiting = {each.name for each in root.fetchers}
        for fetcher in root.fetchers:
            root.tell(fetcher.name, Drain())
        if at_once or not self._waiting:
            self._finish(at_once=at_once)

    def stage_drained(self, name: str) -> None:
        """A fetcher has nothing left to do."""
        self._waiting.discard(name)
        if self.draining and not self._waiting:
            self._finish()

    def tick(self, now: float) -> None:
        """Stop when it is time, and look whether it is."""
        if self.draining:
            self._tick_draining(now)
            return
        if self._stop_at is not None and now >= self._stop_at:
            self._stop_at = None
            self.stop(now, then=lambda _: None)
        elif self._look_at is not None and now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._root.ask_all(self._look)

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do."""
        times = [self._look_at, self._stop_at]
        if self.draining and not self._over:
            times.append(self._deadline)
        if self.ending and not self._told:
            times.append(self._end_by)
        return min((each for each in times if each is not None), default=None)

    def _tick_draining(self, now: float) -> None:
        if self.ending and now >= self._end_by:
            self._tell_end()
        if self._over:
            return
        if now >= self._deadline:
            self._finish()
        elif self._look_at is not None and now >= self._look_at:
            self._look_at = now + _PROGRESS_S
            self._root.ask_all(self._tell_progress)

    def _tell_progress(self, _: dict[str, StatusAnswer]) -> None:
        accounting = self._root.accounting()
        left_s = max(0.0, self._deadline - self._root.now())
        if not self._over:
            self._root.log.info(
                "drain.progress",
                in_flight=accounting.in_flight,
                buffered=accounting.buffered,
                left_s=round(left_s, 1),
            )

    def _look(self, answers: dict[str, StatusAnswer]) -> None:
        now = self._root.now()
        accounting = self._root.accounting()
        said = [each.fetcher for each in answers.values() if each.fetcher is not None]
        polled = len(said) == len(self._root.fetchers) and all(
            each["last_poll_age_s"] is not None for each in said
        )
        if accounting.left or accounting.fetched != self._fetched or not polled:
            self._fetched = accounting.fetched
            self._idle_since = now
            return
        wait = self._root.config.until_idle_s or 0.0
        if any(each["fetching"] for each in said):
            wait = max(wait, _FETCH_S)
        if self._idle_since is not None and now - self._idle_since >= wait:
            self.stop(now, then=lambda _: None)

    def _finish(self, *, at_once: bool = False) -> None:
        if self._over:
            if at_once and self.ending:
                self._tell_end()
            return
        self._over = True
        self._look_at = None
        if at_once:
            self._root.ask_all(lambda _: self._tell_end())
        else:
            self._root.ask_all(self._end_stages)

    def stage_ended(self) -> None:
        """A stage is gone that was asked to end."""
        if not self._root.is_any_there():
            self._tell_end()

    def _end_stages(self, _: dict[str, StatusAnswer]) -> None:
        # They end as programs do: what was printed is written, ``atexit`` is run.
        self.ending = True
        self._end_by = self._root.now() + _END_S
        for member in (*self._root.fetchers, *self._root.processors):
            self._root.end_stage(member.name)
        self.stage_ended()

    def _tell_end(self) -> None:
        if self._told:
            return
        self._told = True
        accounting = self._root.accounting()
        for then in self._then:
            then(accounting.as_dict())
        self._root.reporter.stopped(accounting.as_dict(), accounting.left)
