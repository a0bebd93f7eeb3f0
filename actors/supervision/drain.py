"""How a system ends: the drain, and what starts it by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.supervision.effects import End
from actors.supervision.gather import Gather
from actors.supervision.messages import Drain, Flush

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeAlias

    from actors.demand.job import AccountingCounts
    from actors.host.control_socket import Request
    from actors.supervision.actor import Means
    from actors.supervision.effects import Effect
    from actors.supervision.gather import Question
    from actors.supervision.messages import StatusAnswer

    Answers: TypeAlias = dict[str, StatusAnswer]

    class Elsewhere(Protocol):
        """The processors on other machines."""

        def tell_processes(self, message: Any) -> list[Effect]:
            """Have each of them told something."""


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

    def __init__(
        self,
        means: Means,
        elsewhere: Elsewhere,
        ask_for_status: Callable[[Callable[[Answers], None]], None],
    ) -> None:
        self._means = means
        self._elsewhere = elsewhere
        self._supervisor = means.supervisor
        self._ask_for_status = ask_for_status
        self.draining = False
        self._deadline = 0.0
        self._drained = Gather()
        self._stop_at: float | None = None
        self._look_at: float | None = None
        self._idle_since: float | None = None
        self._fetched = -1
        self._unanswered: tuple[str, ...] = ()
        self._over = False
        self.ending = False
        self._end_by = 0.0
        self._has_reported = False
        self._then: list[Callable[[AccountingCounts], None]] = []

    @property
    def left_s(self) -> float | None:
        """How long the drain may still take, in seconds; None if there is none."""
        if not self.draining:
            return None
        return round(max(0.0, self._deadline - self._means.now()), 1)

    def begin(self, now: float) -> None:
        """Let the system's time run: it is ready."""
        config = self._supervisor.system
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
        means = self._means
        timeout = 0.0 if at_once else self._supervisor.system.drain_timeout_s
        if not self.draining:
            means.reporter.draining()
        means.log.info("drain.started", timeout_s=timeout)
        self.draining = True
        self._deadline = now + timeout
        self._look_at = now + _PROGRESS_S
        names = [each.name for each in self._supervisor.fetchers]
        for name in names:
            means.tell(name, Drain())
        self._flush()
        if at_once:
            self._finish(at_once=True)
        else:
            self._drained.ask(names, self._all_drained, until=self._deadline)

    def stop_verb(self, request: Request) -> None:
        """Carry out ``stop``: drain, and answer with the account when it is over."""
        self.stop(
            self._means.now(),
            at_once=request.command.get("now") is True,
            then=lambda accounting: request.answer({"accounting": accounting}),
        )

    def stage_drained(self, name: str) -> None:
        """Note that a fetcher has nothing left to do."""
        self._drained.answered_to_all(name)

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
            self._ask_for_status(self._look)

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do."""
        times = [self._look_at, self._stop_at, self._drained.next_tick()]
        if self.ending and not self._has_reported:
            times.append(self._end_by)
        return min((each for each in times if each is not None), default=None)

    def _tick_draining(self, now: float) -> None:
        if self.ending and now >= self._end_by:
            self._tell_end()
        self._drained.tick(now)
        if self._over:
            return
        if self._look_at is not None and now >= self._look_at:
            self._look_at = now + _PROGRESS_S
            self._flush()
            self._ask_for_status(self._tell_progress)

    def _flush(self) -> None:
        # Said again each second: a processor may be new, and a line may lose it.
        for each in self._supervisor.processors:
            self._means.tell(each.name, Flush())
        self._means.carry_out(self._elsewhere.tell_processes(Flush()))

    def _all_drained(self, _: Question) -> None:
        self._finish()

    def _tell_progress(self, _: Answers) -> None:
        accounting = self._supervisor.accounting()
        left_s = max(0.0, self._deadline - self._means.now())
        if not self._over:
            self._means.log.info(
                "drain.progress",
                in_flight=accounting.in_flight,
                buffered=accounting.buffered,
                retrying=accounting.retrying,
                left_s=round(left_s, 1),
            )

    def _look(self, answers: Answers) -> None:
        if self.draining:
            return  # by an answer before this one, or by somebody
        now = self._means.now()
        accounting = self._supervisor.accounting()
        said = [each.fetcher for each in answers.values() if each.fetcher is not None]
        polled = len(said) == len(self._supervisor.fetchers) and all(
            each["last_poll_age_s"] is not None for each in said
        )
        if accounting.left or accounting.fetched != self._fetched or not polled:
            self._fetched = accounting.fetched
            self._idle_since = now
            return
        wait = self._supervisor.system.until_idle_s or 0.0
        if any(each["fetching"] for each in said):
            wait = max(wait, _FETCH_S)
        if self._idle_since is not None and now - self._idle_since >= wait:
            self._note_unanswered(answers)
            self.stop(now, then=lambda _: None)

    def _note_unanswered(self, answers: Answers) -> None:
        # That nothing is left is only known of a source that has answered. To wait for
        # one that is down would have a run that ends by itself run for ever.
        for name, answer in answers.items():
            if (said := answer.fetcher) is None:
                continue
            if error := said["last_error"] or said["throttled_by"]:
                self._unanswered += (name,)
                self._means.log.warning("drain.unanswered", fetcher=name, error=error)

    def _finish(self, *, at_once: bool = False) -> None:
        if self._over:
            if at_once and self.ending:
                self._tell_end()
            return
        self._over = True
        self._look_at = None
        if at_once:
            self._ask_for_status(lambda _: self._tell_end())
        else:
            self._ask_for_status(self._end_stages)

    def stage_ended(self) -> None:
        """Note that a stage is gone that was asked to end."""
        if all(each.address is None for each in self._supervisor.stages):
            self._tell_end()

    def _end_stages(self, _: Answers) -> None:
        # They end as programs do: what was printed is written, ``atexit`` is run.
        self.ending = True
        self._end_by = self._means.now() + _END_S
        there = (each.address for each in self._supervisor.stages)
        self._means.carry_out([End(each) for each in there if each is not None])
        self.stage_ended()

    def _tell_end(self) -> None:
        if self._has_reported:
            return
        self._has_reported = True
        accounting = self._supervisor.accounting()
        for then in self._then:
            then(accounting.as_dict())
        self._means.reporter.stopped(
            accounting.as_dict(), accounting.left, self._unanswered
        )
