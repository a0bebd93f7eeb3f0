"""The two bases that what is no pure rule is run over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.bases import OnHarness, OnProcesses, Pipeline

if TYPE_CHECKING:
    from actors.testing.processes import System


#: Dozens of tests, each with a system of its own: for ``scripts/check``.
ON_PROCESSES = pytest.param("processes", marks=[pytest.mark.system, pytest.mark.slow])


@pytest.fixture(params=["harness", ON_PROCESSES])
def pipeline_of(
    request: pytest.FixtureRequest,
    start_system: Callable[..., System],
    tmp_path: Path,
) -> Iterator[Callable[..., Pipeline]]:
    """Start a fetcher of files and the processors that a text configures."""
    harnesses: list[OnHarness] = []
    systems: list[OnProcesses] = []

    def on_harness(
        config: str, own_fetch: str | None = None, **settings: str
    ) -> Pipeline:
        harnesses.append(OnHarness(config, settings, tmp_path, own_fetch))
        return harnesses[-1]

    def on_processes(
        config: str, own_fetch: str | None = None, **settings: str
    ) -> Pipeline:
        systems.append(OnProcesses(config, settings, start_system, tmp_path, own_fetch))
        return systems[-1]

    yield on_harness if request.param == "harness" else on_processes
    for harness in harnesses:
        harness.harness.close()
    for system in systems:
        system.close()
