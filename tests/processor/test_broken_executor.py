"""An executor that breaks while jobs that had ended wait to be reported."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from actors.demand.job import Failure
from actors.demand.job_routing import ANYWHERE
from actors.demand.messages import Outcome
from actors.processor.actor import ProcessorActor
from actors.processor.executor_runner import Broken
from actors.processor.process_call import Ended


def test_what_had_ended_is_reported_before_the_process_ends() -> None:
    told: list[Any] = []
    ended = Ended(1, Outcome(1, 1, 5, None, 0.1), ANYWHERE)
    broken = Broken(Failure("a worker died"), by_a_job=True)
    actor = object.__new__(ProcessorActor)
    actor.__dict__.update(
        _runner=SimpleNamespace(waiting=0, take=lambda: [broken, ended, broken]),
        consumer=SimpleNamespace(queued=0, runs=lambda _: True, drain=lambda _: []),
        environment=SimpleNamespace(
            kill=lambda _: told.append("killed"), process_id=lambda: 1, now=lambda: 0.0
        ),
        log=SimpleNamespace(error=lambda *_, **__: None),
        _batching=None,
        _is_stuck=False,
        _is_leaving=False,
        _sources={},
        _finished=told.extend,
    )

    actor._take_ended()

    assert told == [ended, "killed"]
