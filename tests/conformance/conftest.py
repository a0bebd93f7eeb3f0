"""The three bases that what is no pure rule is run over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.bases import (
    Manner,
    OnHarness,
    OnMachines,
    OnProcesses,
    Pipeline,
)

if TYPE_CHECKING:
    from actors.testing.processes import System, Systems

KEY = "a key of all machines, 32 bytes or more"

#: Dozens of tests, each with a system of its own: for ``scripts/check``.
_SLOW = [pytest.mark.system, pytest.mark.slow]
ON_PROCESSES = pytest.param("processes", marks=_SLOW)
ON_MACHINES = pytest.param("machines", marks=_SLOW)


@pytest.fixture(params=["harness", ON_PROCESSES, ON_MACHINES])
def pipeline_of(
    request: pytest.FixtureRequest,
    start_system: Callable[..., System],
    systems: Systems,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> Iterator[Callable[..., Pipeline]]:
    """Start a fetcher of files and the processors that a text configures."""
    manner = Manner(
        pytestconfig.getoption("--concurrency"), pytestconfig.getoption("--as-async")
    )
    harnesses: list[OnHarness] = []
    processes: list[OnProcesses] = []

    def on_harness(
        config: str, own_fetch: str | None = None, **settings: str
    ) -> Pipeline:
        harnesses.append(
            OnHarness(manner.of(config), manner.settings(settings), tmp_path, own_fetch)
        )
        return harnesses[-1]

    def on_processes(
        config: str, own_fetch: str | None = None, **settings: str
    ) -> Pipeline:
        system = OnProcesses(
            manner.of(config),
            manner.settings(settings),
            start_system,
            tmp_path,
            own_fetch,
        )
        processes.append(system)
        return system

    def on_machines(
        config: str, own_fetch: str | None = None, **settings: str
    ) -> Pipeline:
        starts = start_system, systems.join
        systems.env["LOWTIDE_CLUSTER_KEY"] = KEY
        joined = OnMachines(
            manner.of(config), manner.settings(settings), *starts, tmp_path, own_fetch
        )
        processes.append(joined)
        return joined

    yield {
        "harness": on_harness,
        "processes": on_processes,
        "machines": on_machines,
    }[request.param]
    for harness in harnesses:
        harness.harness.close()
    for system in processes:
        system.close()
