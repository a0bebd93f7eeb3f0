"""Manual demand in a processor: who says how much, and how its consumer hears it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.demand.job import Failure
from actors.demand.manual_demand import ManualDemand
from actors.supervision.messages import DemandGranted
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from structlog.typing import FilteringBoundLogger

    from actors.actor_system.environment import Environment
    from actors.actor_system.worker import Worker
    from actors.config.model import ProcessorConfig
    from actors.demand.consumer import Consumer, Send
    from actors.supervision.messages import GrantDemand


@dataclass(frozen=True, slots=True)
class Grant:
    """This many more jobs, of each source unless one is given."""

    count: int
    source: str | None


class Grants:
    """Hears a person through the root, and the user's function through a thread.

    The function is called once, with ``ask``, in a thread of its own, so it may go
    on for ever. ``ask`` may be called from there, from ``process``, or from any
    other thread of the process; it never blocks, and what cannot be asked for is
    refused where it is called.
    """

    def __init__(
        self,
        consumer: Consumer,
        name: str,
        environment: Environment,
        log: FilteringBoundLogger,
    ) -> None:
        self._consumer = consumer
        self._name = name
        self._environment = environment
        self._log = log
        self._worker: Worker | None = None
        self._told: dict[str | None, int] = {}

    def start(self, function: Callable[..., Any]) -> int:
        """Call the user's function; returns the descriptor to watch."""
        self._worker = self._environment.worker(f"ask-{self._name}")
        self._worker.call(partial(_run, function, self._ask), _run_failed)
        return self._worker.fd

    def spoke(self) -> list[Send]:
        """Take what the function asked for, and what went wrong with it."""
        sends: list[Send] = []
        for each in self._worker.take() if self._worker else ():
            if isinstance(each, Failure):
                self._log.error("demand.failed", error=each.error, trace=each.trace)
            else:
                sends += self._consumer.grant(each.count, each.source)
        return sends

    def told(self, message: GrantDemand) -> tuple[list[Send], DemandGranted]:
        """Take a person's word; told again, a running total is no news."""
        before = self._told.get(message.source, 0)
        sends, error = [], None
        try:
            news = max(0, message.total - before)
            sends = self._consumer.grant(news, message.source)
            self._told[message.source] = before + news
        except ValueError as problem:
            error = str(problem)
        return sends, DemandGranted(number=message.number, name=self._name, error=error)

    def _ask(self, count: int, source: str | None = None) -> None:
        manual_demand, worker = self._consumer.manual_demand, self._worker
        assert manual_demand is not None  # noqa: S101 - else nobody is given this
        assert worker is not None  # noqa: S101 - likewise
        manual_demand.check(count, source)
        worker.put(Grant(int(count), source))


def manual_demand_of(config: ProcessorConfig) -> ManualDemand | None:
    """What a processor may ask for, where somebody else decides that."""
    return ManualDemand(config.sources) if config.is_manual else None


def _run(
    function: Callable[..., Any], ask: Callable[..., None]
) -> Iterator[Grant | Failure]:
    try:
        function(ask)
    except BaseException as error:  # noqa: BLE001 - sys.exit() would end the thread
        yield describe(error)


def _run_failed(error: BaseException) -> Iterator[Failure]:
    yield describe(error)
