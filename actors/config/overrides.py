"""What people changed in a running system, kept for the root that comes after.

The root tells the main process of each change before it answers whoever asked for
it; so what was answered holds, whatever becomes of the root. A start of the whole
system begins with none: it is what its configuration says. Where another system takes
over, it goes on with them.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from actors.config.model import LIVE
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

    def as_text(self) -> str:
        """All that another system goes on with, as JSON; empty for nothing.

        An order to stop was one to this system.
        """
        kept = {
            "paused": self.paused,
            "detached": sorted(self.detached),
            "values": self._values,
            "more": {name: more for name, more in self._more.items() if more},
        }
        kept = {name: what for name, what in kept.items() if what}
        return json.dumps(kept, sort_keys=True) if kept else ""

    @classmethod
    def of(cls, text: str, config: SystemConfig) -> Changes:
        """Read what ``as_text`` wrote, as far as it fits.

        Another version may have written it, of another configuration.
        """
        kept: dict[str, Any] = json.loads(text) if text else {}
        fetchers = {each.name for each in config.fetchers}
        processors = {each.name for each in config.processors}
        made = cls(
            _only(kept.get("paused", {}), fetchers),
            detached=fetchers.intersection(kept.get("detached", ())),
        )
        made._more = _only(kept.get("more", {}), processors)
        for name, values in kept.get("values", {}).items():
            role = "fetcher" if name in fetchers else "processor"
            if name in fetchers | processors and (fit := _fitting(values, role)):
                made._values[name] = fit
        return made

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


def live_values(values: dict[str, Any], role: str) -> dict[str, Any]:
    """Those of the values of ``set`` that fetchers have, or processors."""
    chosen = {name: value for name, value in values.items() if name in LIVE[role]}
    # A floor for asking again that suited the old window need not suit the new.
    return chosen | ({"min_demand": None} if "max_demand" in chosen else {})


def _only(named: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: each for name, each in named.items() if name in names}


def _fitting(values: dict[str, Any], role: str) -> dict[str, Any]:
    sound = {}
    for name in values.keys() & LIVE[role].keys():
        with contextlib.suppress(ValueError):
            sound[name] = LIVE[role][name].live_type.check(values[name])
    return live_values(sound, role)
