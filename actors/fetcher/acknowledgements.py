"""Tells a source what became of its jobs, in a thread of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from actors.demand.acknowledgements import Settlement, Settlements, settlement_of
from actors.demand.json_values import as_json
from actors.fetcher.fetch_answer import is_raw, own_options
from actors.host import forks
from actors.user_code import error_attributes
from actors.user_code.failures import describe
from actors.user_code.functions import given_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from structlog.typing import FilteringBoundLogger

    from actors.actor_system.worker import Worker
    from actors.demand.job import Failure, JobId, JobState
    from actors.demand.job_events import JobEvent
    from actors.demand.source_state import SourceState


class Settler:
    """Calls the user's ``settle`` for each job that has ended, one at a time.

    Beside the fetch's thread, which a source may hold for long.
    """

    def __init__(
        self,
        settle: Callable[..., Any],
        options: dict[str, Any],
        worker: Worker,
        log: FilteringBoundLogger,
        states: SourceState | None = None,
    ) -> None:
        # One that wants to know how far its source has been read is told.
        self._states = states if "state" in given_to(settle) else None
        self._settle = forks.guarded(settle)
        self._options = options
        self._log = log
        self._rules = Settlements()
        self._worker = worker

    @property
    def fd(self) -> int:
        """The descriptor to watch."""
        return self._worker.fd

    @property
    def drained(self) -> bool:
        """Whether nothing is left to tell, or nobody listens.

        A source that is down is not waited for: it will hand the job out again.
        """
        return not self._rules or self._rules.failing

    def ended(self, events: Iterable[JobEvent], now: float) -> None:
        """Jobs have ended, and that is in the journal."""
        for event in events:
            settlement = settlement_of(event)
            if settlement is not None and not is_raw(settlement.id):
                self._add(settlement, now)

    def known(self, job_id: JobId, job: Any, state: JobState, now: float) -> None:
        """A job came again that had ended: the source has not heard of it."""
        if not is_raw(job_id):
            self._add(Settlement(job_id, job, {"state": state.value}), now)

    def go_on(self, now: float) -> None:
        """Begin the next call, if it is time."""
        if (settlement := self._rules.next(now)) is not None:
            options = own_options(self._options)
            if self._states is not None:
                options["state"] = self._states.value
            run = partial(_settle_run, self._settle, settlement, options)
            self._worker.call(run, _run_failed)

    def spoke(self, now: float, chance: float) -> None:
        """Note how a call ended."""
        for failure, throttled in self._worker.take():
            if failure is None:
                self._log.debug("job.settled", job_id=self._rules.succeeded().id)
                continue
            settlement, delay = self._rules.failed(
                failure, now, chance, throttled=throttled
            )
            self._tell_failed(settlement, failure.error, delay, throttled=throttled)

    def next_tick(self) -> float | None:
        """When ``go_on`` has something to do, in monotonic seconds."""
        return self._rules.next_tick()

    def _add(self, settlement: Settlement, now: float) -> None:
        if (given_up := self._rules.add(settlement, now)) is not None:
            self._tell_failed(given_up, "too many wait to be settled", None)

    def _tell_failed(
        self,
        settlement: Settlement,
        error: str,
        delay: float | None,
        *,
        throttled: bool = False,
    ) -> None:
        level = "error" if delay is None else "debug" if throttled else "warning"
        retry_in_s = None if delay is None else round(delay, 3)
        getattr(self._log, level)(
            "job.unsettled", job_id=settlement.id, error=error, retry_in_s=retry_in_s
        )


def _settle_run(
    settle: Callable[..., Any], settlement: Settlement, options: dict[str, Any]
) -> Iterator[tuple[Failure | None, bool]]:
    failure, throttled = None, False
    try:
        # Its own, to do with as it likes: it may be called for this job again.
        job, outcome = as_json(settlement.job), as_json(settlement.outcome)
        settle(job, outcome, **options)
    except BaseException as error:  # noqa: BLE001 - sys.exit() would end the thread
        failure = describe(error)
        throttled = error_attributes.attribute(error, "throttled") is True
    yield failure, throttled


def _run_failed(error: BaseException) -> Iterator[tuple[Failure, bool]]:
    yield describe(error), False
