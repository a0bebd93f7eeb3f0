"""A system run from a program of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from actors import ConfigError, Fetcher, Pipeline, Processor, StartError
from actors.host.ports import free_port
from actors.host.state_dir import SystemFiles
from actors.testing.processes import Program

pytestmark = pytest.mark.system

OWN_PROGRAM = Path(__file__).parents[1] / "support" / "own_program.py"


def fetch() -> None:
    """No job, ever."""


def process(job: Any) -> Any:
    return job


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Pipeline([]), "expected a list of Fetcher and Processor, at least "),
        (
            lambda: Pipeline(Fetcher(fetch)),  # type: ignore[arg-type]
            "expected a list of Fetcher and Processor, at least one Fetcher, got one ",
        ),
        (
            lambda: Pipeline([Fetcher(fetch)], fetcher=[]),
            "Pipeline: fetcher belongs into its list",
        ),
        (
            lambda: Pipeline([Fetcher(fetch)], bufer=1),
            "Pipeline: unknown key 'bufer', expected one of url, ",
        ),
        (
            lambda: Pipeline([Fetcher(fetch, settings={"every_s": 0})]),
            "Pipeline, fetcher 1: every_s must be a number of seconds above 0, got 0",
        ),
        (
            lambda: Pipeline([Fetcher(fetch), Processor(process, sources=("x",))]),
            "Pipeline, processor 1: processor 'process' takes from 'x', expected one ",
        ),
        (
            lambda: Pipeline(
                [
                    Fetcher(fetch),
                    Processor(process, sources=({"name": "fetch", "x": 1},)),
                ]
            ),
            "Pipeline, processor 1: unknown key 'x' in from, expected one of name, ",
        ),
        (
            lambda: Pipeline([Fetcher(lambda: None)]),
            "expected a function of a module, or MODULE:FUNCTION, got <function",
        ),
        (
            lambda: Pipeline([Fetcher("nothing")]),
            "Pipeline, fetcher 1: fetch must be MODULE:FUNCTION, as in domain.numbers:",
        ),
        (
            lambda: Pipeline([Fetcher(None)]),  # type: ignore[arg-type]
            "expected a function of a module, or MODULE:FUNCTION, got None",
        ),
        (
            lambda: Pipeline([Fetcher("no.such:fetch")]),
            "Pipeline, fetcher.fetch: fetch: cannot import module 'no.such'",
        ),
        (
            lambda: Pipeline([Fetcher(fetch, options={"url": "x"})]),
            "Pipeline, fetcher.fetch: fetch: ",
        ),
        (
            lambda: Pipeline([Fetcher(fetch), Processor(fetch, name="step")]),
            "Pipeline, processor.step: process: ",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    make: Callable[[], Pipeline], complaint: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        make()

    assert str(raised.value).startswith(complaint)


def test_all_that_is_wrong_is_said_at_once() -> None:
    stages: list[Fetcher | Processor] = [
        Fetcher("no.such:fetch", name="one"),
        Processor("no.such:process", name="two", settings={"max_demand": 0}),
    ]

    with pytest.raises(ConfigError) as raised:
        Pipeline(stages, buffer=0)

    assert [each.partition(", got")[0] for each in raised.value.problems] == [
        "Pipeline: buffer must be a whole number from 1",
        "Pipeline, processor 1: max_demand must be a whole number from 1, or auto",
        (
            "Pipeline, fetcher.one: fetch: cannot import module 'no.such' of "
            "'no.such:fetch': ModuleNotFoundError: No module named 'no'"
        ),
    ]


def test_a_program_of_ones_own_does_what_the_command_does(
    env: dict[str, str],
) -> None:
    program = Program(str(OWN_PROGRAM), str(free_port()), env=env)
    try:
        done = program.wait_for("job.done", count=3)
        code = program.wait()
    finally:
        program.close()

    assert sorted(each["result"] for each in done) == [1, 4, 9]
    assert {each["processor"] for each in done} == {"area-1"}
    assert code == 0
    [stopped] = program.all_of("system.stopped")
    assert stopped["accounting"]["done"] == 3


def test_ctrl_c_is_the_programs_own_again_once_it_has_run(
    env: dict[str, str],
) -> None:
    program = Program(str(OWN_PROGRAM), str(free_port()), "ctrl-c", env=env)
    try:
        code = program.wait()
    finally:
        program.close()

    assert len(program.all_of("system.stopped")) == 1
    assert code == 42


def test_a_thread_is_told_where_to_run_it_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    pipeline = Pipeline([Fetcher(fetch)], journal=str(tmp_path / "lowtide.db"))

    with ThreadPoolExecutor(1) as pool, pytest.raises(StartError) as raised:
        pool.submit(pipeline.run).result()

    assert "from the main thread only" in str(raised.value)
    assert "give another thread what else is to be done" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_number_is_the_same_error_as_the_command_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path))
    port = free_port()
    with SystemFiles(tmp_path, port).claim():
        pipeline = Pipeline([Fetcher(fetch)], port=port, journal="none")

        with pytest.raises(StartError) as raised:
            pipeline.run()

    assert str(raised.value) == (
        f"a lowtide system is running at port {port} already (pid {os.getpid()}); "
        "choose another with --port"
    )
