"""The pytest plugin: ``pipeline`` on virtual time, ``running_system`` for real."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from actors.testing.harness import Harness
    from actors.testing.processes import System

# What the fixtures use is imported in them: the plugin is loaded in every run of
# pytest, in those that have nothing to do with us as well.


@pytest.fixture
def pipeline(request: pytest.FixtureRequest) -> Iterator[Callable[..., Harness]]:
    """Make pipelines on virtual time: ``pipeline(process=my_function)``.

    It takes what ``actors.testing.Harness`` takes. What a pipeline logged is shown
    where the test fails.
    """
    from actors.testing.harness import Harness  # noqa: PLC0415

    made: list[Harness] = []

    def make(*functions: Callable[..., Any], **options: Any) -> Harness:
        made.append(Harness(*functions, **options))
        return made[-1]

    yield make
    for each in made:
        lines = "\n".join(json.dumps(event, default=str) for event in each.events)
        request.node.add_report_section("teardown", "pipeline log", lines)
        each.close()


@pytest.fixture
def running_system(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., System]]:
    """Start systems of real processes: ``running_system("--process", "m:f")``.

    The words are those of ``lowtide run``. Each is on a free port, with its state
    and journal in the test's temporary directory, and ends with the test; job
    functions are also found beside the test and in pytest's root directory.
    """
    from actors.testing.processes import Systems  # noqa: PLC0415

    places: list[str | Path] = [
        request.path.parent,
        request.config.rootpath,
        *filter(None, sys.path),
    ]
    systems = Systems(tmp_path, places)
    yield systems.start
    left = systems.close()
    request.node.add_report_section("teardown", "system log", systems.log())
    assert not left, f"processes left over: {left}"  # noqa: S101 - a test's finding
