"""A system run from a program of one's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from actors import (
    ConfigError,
    DoneEvent,
    Exit,
    Fetcher,
    Pipeline,
    Processor,
    RunningError,
    StartError,
)
from actors.commands.background import Run
from actors.host.ports import free_port
from actors.host.state_dir import SystemFiles
from actors.testing.processes import Program, wait_until

pytestmark = pytest.mark.system

STARTED_PROGRAM = Path(__file__).parents[1] / "support" / "started_program.py"
OWN_PROGRAM = Path(__file__).parents[1] / "support" / "own_program.py"


def fetch() -> None:
    """No job, ever."""


def process(job: Any) -> Any:
    return job


async def later(event: Any) -> None:
    """Nothing that awaits it."""


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Pipeline([]), "expected a list of Fetcher and Processor, at least "),
        (
            lambda: Pipeline(Fetcher(fetch)),  # type: ignore[arg-type]
            "expected a list of Fetcher and Processor, at least one Fetcher, got one ",
        ),
        (
            lambda: Pipeline([Fetcher(fetch)], fetcher=[]),  # type: ignore[call-arg]
            "Pipeline: fetcher belongs into its list",
        ),
        (
            lambda: Pipeline([Fetcher(fetch)], bufer=1),  # type: ignore[call-arg]
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
                    Processor(
                        process,
                        sources=({"name": "fetch", "x": 1},),  # type: ignore[arg-type]
                    ),
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
            lambda: Pipeline([Fetcher(None)]),  # type: ignore[call-overload]
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
            lambda: Pipeline(
                [
                    Fetcher(fetch),
                    Processor(fetch, name="step"),  # type: ignore[arg-type]
                ]
            ),
            "Pipeline, processor.step: process: ",
        ),
        (
            lambda: Pipeline([Fetcher(fetch)], on_done="m:f"),  # type: ignore[arg-type]
            "Pipeline: on_done must be a function, got 'm:f'",
        ),
        (
            lambda: Pipeline([Fetcher(fetch)], on_failed=fetch),  # type: ignore[arg-type]
            "Pipeline: 'on_failed' is called as on_failed(event): too many positional",
        ),
        (
            lambda: Pipeline([Fetcher(fetch)], on_quarantined=later),  # type: ignore[arg-type]
            "Pipeline: 'on_quarantined' is an async function: it must be an ordinary",
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
    stages: list[Fetcher[Any] | Processor[Any, Any]] = [
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

    assert str(raised.value) == (
        "run() takes signals, which Python does in the main thread only; call start() "
        "here, which runs the system in a process of its own"
    )
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


_one_left = [{"id": 1}]


def fetch_one() -> dict[str, Any] | None:
    return _one_left.pop() if _one_left else None


_some_left = [{"id": number} for number in range(5)]


def fetch_some() -> dict[str, Any] | None:
    return _some_left.pop(0) if _some_left else None


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    return Pipeline(
        [Fetcher(fetch_one), Processor(process, count=1)],
        port=0,
        every_s=0.1,
        journal=tmp_path / "lowtide.db",
    )


def do_the_job(pipeline: Pipeline) -> None:
    """Wait until the one that there is has come, and is done."""
    wait_until(lambda: pipeline.status()["accounting"]["fetched"], "a job")
    pipeline.wait_for_jobs()


def test_a_program_goes_on_beside_the_system_that_it_starts(pipeline: Pipeline) -> None:
    with pipeline:
        assert pipeline.status()["state"] == "running"
        assert pipeline.attach(2) == ["process-2", "process-3"]
        assert pipeline.detach() == ["process-3"]
        do_the_job(pipeline)
        assert pipeline.status()["accounting"]["done"] == 1
        with pytest.raises(RunningError, match="runs already: stop"):
            pipeline.start()
        with pytest.raises(TimeoutError, match="has not ended within"):
            pipeline.wait(0.01)
        with pytest.raises(RunningError, match="there is no processor 'x'"):
            pipeline.detach("x")

    assert not pipeline.is_running
    assert pipeline.wait() is pipeline.stop() is Exit.NOTHING_LEFT
    with pytest.raises(RunningError, match="has ended"):
        pipeline.status()


def kept_in(journal: Path) -> Pipeline:
    """A pipeline that ends once its few jobs are done."""
    return Pipeline(
        [Fetcher(fetch_some), Processor(process, count=1)],
        port=0,
        every_s=0.1,
        until_idle_s=0.5,
        journal=journal,
    )


def test_what_is_done_comes_to_the_program_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    pipeline = kept_in(tmp_path / "lowtide.db")

    with pipeline:
        results = list(pipeline.results())

    assert [(each.id, each.result, each.attempt) for each in results] == [
        (number, {"id": number}, 1) for number in range(5)
    ]
    # A further iterator begins with the first; nothing is left beside the file.
    assert list(pipeline.results()) == results
    assert sorted(each.name for each in tmp_path.iterdir()) == ["lowtide.db", "state"]


def test_threads_may_share_an_iterator_of_results(tmp_path: Path) -> None:
    pipeline = kept_in(tmp_path / "lowtide.db")

    with pipeline, ThreadPoolExecutor(3) as pool:
        results = pipeline.results()
        shares = list(pool.map(lambda _: list(results), range(3)))

    assert sorted(each.id for share in shares for each in share) == [*range(5)]


def test_of_threads_that_start_it_at_once_one_does(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)

    def slow(*what: Any) -> Run:
        # A journal in PostgreSQL is asked here, which lets others run.
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return Run(*what)

    monkeypatch.setattr("actors.pipeline.Run", slow)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(pipeline.start) for _ in range(2)]
        errors = [each.exception() for each in asked]
    pipeline.stop()

    assert [str(each) for each in errors if each] == [
        "this pipeline runs already: stop() it first"
    ]


_two_left = [{"id": 0}, {"id": 1}]


def fetch_two() -> dict[str, Any] | None:
    return _two_left.pop(0) if _two_left else None


def never_does_1(job: Any) -> Any:
    if job["id"] == 1:
        raise ValueError("never")
    return job["id"] * 10


@pytest.mark.parametrize("way", ["start", "run"])
def test_callbacks_hear_of_each_job_in_the_program(
    way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(sys.modules[__name__], "_two_left", [{"id": 0}, {"id": 1}])
    told: list[tuple[str, Any, Any]] = []
    threads: set[int] = set()

    def done(event: DoneEvent) -> None:
        threads.add(threading.get_ident())
        told.append(("done", event["job_id"], event["result"]))
        raise RuntimeError("a callback of one's own")

    pipeline = Pipeline(
        [Fetcher(fetch_two), Processor(never_does_1, count=1)],
        on_done=done,
        on_failed=lambda it: told.append(("failed", it["job_id"], it["error"])),
        on_quarantined=lambda it: told.append(("set aside", it["job_id"], None)),
        port=0,
        every_s=0.1,
        retries=2,
        until_idle_s=0.5,
        journal="none",
    )
    if way == "run":
        pipeline.run()
    else:
        pipeline.start().wait()

    # What was due at the end has been called by then.
    assert sorted(told) == [
        ("done", 0, 0),
        ("failed", 1, "ValueError: never"),
        ("set aside", 1, None),
    ]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_callback_may_stop_the_pipeline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    codes: list[Exit] = []
    it = Pipeline(
        [Fetcher(fetch_some), Processor(process, count=1)],
        on_done=lambda _: codes.append(it.stop()),
        port=0,
        every_s=0.1,
        journal=tmp_path / "lowtide.db",
    )

    assert it.start().wait(60) in (Exit.NOTHING_LEFT, Exit.JOBS_LEFT)

    assert codes[0] is it.wait()


def test_without_a_journal_there_are_no_results(pipeline: Pipeline) -> None:
    with pytest.raises(RunningError, match="was not started"):
        pipeline.results()
    without = Pipeline([Fetcher(fetch)], port=0, journal="none", until_idle_s=0.1)
    without.run()

    with pytest.raises(RunningError, match="it needs one"):
        without.results()


def test_it_may_be_started_and_stopped_from_any_thread(pipeline: Pipeline) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(pipeline.start).result() is pipeline
        # The thread that started it is no reason for it to end.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(pipeline.status).result()["state"] == "running"
        pool.submit(do_the_job, pipeline).result()
        assert pool.submit(pipeline.stop).result() is Exit.NOTHING_LEFT


def test_an_event_loop_goes_on_beside_it(pipeline: Pipeline) -> None:
    async def use() -> int:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.01)

        turning = asyncio.ensure_future(turn())
        async with pipeline as running:
            assert running.status()["state"] == "running"
            # Stopped with its job fetched and not begun, it would end otherwise.
            await asyncio.to_thread(do_the_job, running)
        turning.cancel()
        return turns

    assert asyncio.run(use()) > 10
    assert pipeline.wait() is Exit.NOTHING_LEFT


def test_one_that_runs_in_the_main_thread_is_stopped_from_another(
    pipeline: Pipeline,
) -> None:
    asked: list[Any] = []

    def stop() -> None:
        wait_until(lambda: pipeline.is_running, "run() is called")
        asked.append(pipeline.status()["state"])
        asked.append(pipeline.attach())
        asked.append(pipeline.stop())

    thread = threading.Thread(target=stop)
    thread.start()
    code = pipeline.run()
    thread.join()

    assert asked == ["running", ["process-2"], code]


def test_it_may_be_ended_at_once_and_started_again(pipeline: Pipeline) -> None:
    pipeline.start()
    pipeline.stop(now=True)

    with pipeline:
        assert pipeline.is_running


def test_what_keeps_it_from_starting_is_raised_by_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    pipeline = Pipeline([Fetcher(fetch)], port=0, journal=tmp_path / "no" / "x.db")

    with pytest.raises(StartError, match=r"cannot write .*No such file"):
        pipeline.start()

    assert not pipeline.is_running
    with pytest.raises(RunningError, match="has ended"):
        pipeline.status()


def test_what_was_not_started_says_so() -> None:
    pipeline = Pipeline([Fetcher(fetch)])

    for use in (pipeline.status, pipeline.stop, pipeline.wait, pipeline.attach):
        with pytest.raises(RunningError, match=r"was not started: call start\(\)"):
            use()


@pytest.mark.parametrize(
    ("word", "code"), [("falls off its end", 0), ("killed", -9), ("forked", 0)]
)
def test_a_system_ends_with_the_program_that_started_it(
    word: str, code: int, env: dict[str, str]
) -> None:
    program = Program(str(STARTED_PROGRAM), word, env=env)
    try:
        assert program.process.wait(60) == code
        program.wait_for("system.stopped")
    finally:
        program.close()

    assert len(program.all_of("system.abandoned")) == (word == "killed")


def test_a_program_that_starts_whenever_it_is_imported_is_told(
    env: dict[str, str],
) -> None:
    done = subprocess.run(
        [sys.executable, str(STARTED_PROGRAM), "unguarded"],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "actors.commands.start_error.StartError: this program starts its pipeline "
        "whenever its file is imported, and the system's own process imports it: put "
        'that under if __name__ == "__main__"'
    )
