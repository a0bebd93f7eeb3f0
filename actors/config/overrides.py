"""What people changed in a running system, kept for the root that comes after.

The root tells the main process of each change before it answers whoever asked for
it; so what was answered holds, whatever becomes of the root. A start of the whole
system begins with none: it is what its configuration says.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from actors.host.reports import (
    Attached,
    Counted,
    Detached,
    Draining,
    Paused,
    Resumed,
    Tuned,
)

if TYPE_CHECKING:
    from actors.config.model import FetcherConfig, ProcessorConfig, SystemConfig
    from actors.host.reports import Report

    Stage = TypeVar("Stage", FetcherConfig, ProcessorConfig)


@dataclass(slots=True)
class Changes:
    """All of them so far.

    Attributes:
        paused: By fetcher's name, whether its jobs are held back as well.
        draining: Whether the system was told to stop.
        detached: Names of fetchers that are not to run.
    """

    paused: dict[str, bool] = field(default_factory=dict)
    draining: bool = False
    detached: set[str] = field(default_factory=set)
    _values: dict[str, dict[str, Any]] = field(default_factory=dict)
    _more: dict[str, int] = field(default_factory=dict)

    def heard(self, report: Report) -> bool:
        """Note what the root reports; returns whether it was a change."""
        match report:
            case Paused(fetcher=name, hold=hold):
                self.paused[name] = hold
            case Resumed(fetcher=name):
                self.paused.pop(name, None)
            case Tuned(stage=name, values=values):
                self._values[name] = self._values.get(name, {}) | values
            case Counted(processor=name, more=more):
                self._more[name] = self._more.get(name, 0) + more
            case Detached(fetcher=name):
                self.detached.add(name)
            case Attached(fetcher=name):
                self.detached.discard(name)
            case Draining():
                self.draining = True
            case _:
                return False
        return True

    def over(self, config: SystemConfig) -> SystemConfig:
        """What was configured, as it was changed."""
        processors = (self._tuned(each) for each in config.processors)
        return replace(
            config,
            fetchers=tuple(self._tuned(each) for each in config.fetchers),
            processors=tuple(
                replace(each, count=max(0, each.count + self._more.get(each.name, 0)))
                for each in processors
            ),
        )

    def _tuned(self, stage: Stage) -> Stage:
        return replace(stage, **self._values.get(stage.name, {}))
