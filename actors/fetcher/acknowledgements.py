"""Tells a source what became of its jobs, in a thread of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from actors.demand.acknowledgements import Settlement, Settlements, settlement_of
from actors.demand.json_values import as_json
from actors.fetcher.fetch_answer import is_raw, own_options
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from structlog.typing import FilteringBoundLogger

    from actors.actor_system.worker import Worker
    from actors.demand.job_events import Fact, JobState
    from actors.demand.messages import Failure, JobId


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
    ) -> None:
        self._settle = settle
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

    def ended(self, facts: Iterable[Fact], now: float) -> None:
        """Jobs have ended, and that is in the journal."""
        for fact in facts:
            settlement = settlement_of(fact)
            if settlement is not None and not is_raw(settlement.id):
                self._add(settlement, now)

    def known(self, job_id: JobId, job: Any, state: JobState, now: float) -> None:
        """A job came again that had ended: the source has not heard of it."""
        if not is_raw(job_id):
            self._add(Settlement(job_id, job, {"state": state.value}), now)

    def go_on(self, now: float) -> None:
        """Begin the next call, if it is time."""
        if (settlement := self._rules.next(now)) is not None:
            run = partial(_settle_run, self._settle, settlement, self._options)
            self._worker.call(run, _run_failed)

    def spoke(self, now: float, chance: float) -> None:
        """Note how a call ended."""
        for failure in self._worker.take():
            if failure is None:
                self._log.debug("job.settled", job_id=self._rules.succeeded().id)
                continue
            settlement, delay = self._rules.failed(failure, now, chance)
            self._tell_failed(settlement, failure.error, delay)

    def next_tick(self) -> float | None:
        """When ``go_on`` has something to do, in monotonic seconds."""
        return self._rules.next_tick()

    def _add(self, settlement: Settlement, now: float) -> None:
        if (given_up := self._rules.add(settlement, now)) is not None:
            self._tell_failed(given_up, "too many wait to be settled", None)

    def _tell_failed(
        self, settlement: Settlement, error: str, delay: float | None
    ) -> None:
        level = "error" if delay is None else "warning"
        retry_in_s = None if delay is None else round(delay, 3)
        getattr(self._log, level)(
            "job.unsettled", job_id=settlement.id, error=error, retry_in_s=retry_in_s
        )


def _settle_run(
    settle: Callable[..., Any], settlement: Settlement, options: dict[str, Any]
) -> Iterator[Failure | None]:
    failure = None
    try:
        # Its own, to do with as it likes: it may be called for this job again.
        job, outcome = as_json(settlement.job), as_json(settlement.outcome)
        settle(job, outcome, **own_options(options))
    except BaseException as error:  # noqa: BLE001 - sys.exit() would end the thread
        failure = describe(error)
    yield failure


def _run_failed(error: BaseException) -> Iterator[Failure]:
    yield describe(error)
