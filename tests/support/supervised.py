"""Configurations and supervisors for tests of rules: nothing is started."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actors.config.model import FetcherConfig, ProcessorConfig, SystemConfig
from actors.supervision.effects import Effect, Log, Start, Tell
from actors.supervision.supervisor import Supervisor

NOW = 100.0


def processor(name: str, *sources: str, count: int = 1, **more: Any) -> ProcessorConfig:
    return ProcessorConfig(
        name=name,
        process="jobs:root",
        sources=sources,
        count=count,
        max_demand=1,
        min_demand=None,
        buffer=16,
        **more,
    )


def system(
    *processors: ProcessorConfig, fetchers: tuple[str, ...] = ("numbers",)
) -> SystemConfig:
    return SystemConfig(
        fetchers=tuple(
            FetcherConfig(name=name, fetch="jobs:fetch", every_s=1.0, buffer=16)
            for name in fetchers
        ),
        processors=processors,
        port=1,
        journal=None,
        job_timeout_s=None,
        lease_s=30.0,
        retries=3,
        quarantine=10,
        quarantine_mib=1,
        journal_mib=None,
        drain_timeout_s=10.0,
        log_format=None,
        log_level="info",
        run_for_s=None,
        until_idle_s=None,
    )


class Machine:
    """A supervisor whose effects are carried out on nothing: see what they are."""

    def __init__(self, config: SystemConfig, **more: Any) -> None:
        self.supervisor = Supervisor(config, "boot", "host", **more)
        self.pids = 0
        self.supervisor.begin(NOW)

    def start(self, now: float = NOW) -> list[Effect]:
        """Start and have ready all that is due; returns what follows."""
        effects = self.supervisor.tick(now)
        for effect in effects:
            if isinstance(effect, Start):
                effect.child.address = f"at {effect.child.name}"
        for child in [each.child for each in effects if isinstance(each, Start)]:
            self.pids += 1
            effects += self.supervisor.started(child.name, self.pids, now)
        self.supervisor.begun = True
        return effects


def logged(effects: Iterable[Effect]) -> list[tuple[str, str]]:
    """What is told the log: levels and events."""
    return [(each.level, each.event) for each in effects if isinstance(each, Log)]


def told(effects: Iterable[Effect], name: str) -> list[Any]:
    """What a child is told."""
    return [e.message for e in effects if isinstance(e, Tell) and e.name == name]
