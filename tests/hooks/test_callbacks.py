"""Callbacks of a program: called in it, whatever they do."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from actors.commands.background import Run
from actors.demand.job import Failure, Job, Process
from actors.demand.job_events import JobDone, JobFailed, JobQuarantined
from actors.hooks import callbacks, program
from actors.hooks.callbacks import RELAY, Callbacks, hooks_with
from actors.hooks.events import event_of
from actors.job_functions import DoneEvent, FailedEvent, QuarantinedEvent

if TYPE_CHECKING:
    from collections.abc import Callable

JOB = Job(key=3, id=7, payload={"id": 7}, fetched_at=0.0)
PROCESS = Process(name="sort-1", pid=42, run="r", host="h")
FAILURE = Failure("ValueError: no", trace="Traceback ...")


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (JobDone(JOB, 1, PROCESS, [1], 0.5), DoneEvent),
        (JobFailed(JOB, PROCESS, FAILURE, 4.0), FailedEvent),
        (JobQuarantined(JOB, PROCESS, FAILURE), QuarantinedEvent),
    ],
)
def test_the_types_name_what_an_event_has(event: Any, kind: type) -> None:
    told = event_of("desk", event, 5.0)

    assert told is not None
    # A fetcher's queue adds the attempt, and what is too long says so.
    assert told.keys() | {"attempt", "too_long"} == get_type_hints(kind).keys()


def test_who_has_callbacks_has_a_hook_that_hands_events_on() -> None:
    hooks = hooks_with({"done": ("m:f",)}, {"done": print, "failed": print})

    assert hooks == {"done": ("m:f", RELAY), "failed": (RELAY,), "lost": (RELAY,)}
    assert hooks_with({"done": ("m:f",)}, {}) == {"done": ("m:f",)}


def begun(**functions: Callable[[Any], object]) -> tuple[Callbacks, socket.socket]:
    them = Callbacks(functions)
    writer = socket.socket(
        fileno=os.dup(them.writer.fileno())
    )  # as the process of hooks has it
    them.begin()
    return them, writer


def send(writer: socket.socket, *events: dict[str, Any]) -> None:
    for event in events:
        writer.send(json.dumps(event).encode())


def test_each_is_called_in_one_thread_in_the_order_of_events() -> None:
    called: list[tuple[str, int, int]] = []

    def note(event: Any) -> None:
        called.append((event["event"], event["n"], threading.get_ident()))

    them, writer = begun(done=note, failed=note)
    names = ("failed", "done", "leased", "failed", "done")
    with writer:
        send(writer, *({"event": it, "n": n} for n, it in enumerate(names)))
    them.close()

    assert [each[:2] for each in called] == [
        ("failed", 0),
        ("done", 1),
        ("failed", 3),
        ("done", 4),
    ]
    [thread] = {each[2] for each in called}
    assert thread != threading.get_ident()


def test_one_that_raises_is_in_the_programs_log_and_called_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    called: list[int] = []

    def raises(event: Any) -> None:
        called.append(event["n"])
        raise SystemExit("no")

    with caplog.at_level(logging.WARNING, "actors.pipeline"):
        them, writer = begun(done=raises)
        with writer:
            send(writer, *({"event": "done", "n": n} for n in range(3)))
        them.close()

    assert called == [0, 1, 2]
    [line] = caplog.messages
    assert line.startswith("callback.failed error=SystemExit: no count=1\nTraceback")
    assert "in raises" in line


def test_what_was_left_out_is_in_the_programs_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "actors.pipeline"):
        them, writer = begun(done=print)
        with writer:
            send(writer, {"event": "lost", "count": 7})
        them.close()

    assert caplog.messages == ["7 events were left out for callbacks"]


def test_the_end_waits_for_no_callback_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callbacks, "LAST_S", 0.01)
    go_on, hangs = threading.Event(), threading.Event()

    def hang(_: Any) -> None:
        hangs.set()
        go_on.wait(60)

    them, writer = begun(done=hang)
    with writer:
        send(writer, {"event": "done"})
    assert hangs.wait(60)
    them.close()

    assert not go_on.is_set()
    go_on.set()


def test_one_may_wait_for_the_end_itself() -> None:
    ended = threading.Event()

    def waits(_: Any) -> None:
        them.close()
        ended.set()

    them, writer = begun(done=waits)
    with writer:
        send(writer, {"event": "done"})

    assert ended.wait(60)


def test_one_that_never_began_leaves_nothing_open() -> None:
    them = Callbacks({"done": print})

    them.close()

    assert them.writer.fileno() == -1


def threads_but(before: set[threading.Thread]) -> set[threading.Thread]:
    return set(threading.enumerate()) - before


def test_its_threads_end_with_the_system_though_nobody_waits_for_that() -> None:
    before = set(threading.enumerate())
    called: list[int] = []
    them, writer = begun(done=lambda event: called.append(event["n"]))
    them.writer.close()  # as in a program whose system is another process
    with writer:
        send(writer, {"event": "done", "n": 1})

    for thread in threads_but(before):
        thread.join(60)

    assert (called, threads_but(before)) == ([1], set())


def test_its_threads_end_with_a_run_that_raises() -> None:
    before = set(threading.enumerate())
    run = Run(callbacks=Callbacks({"done": print}))

    def fails() -> None:
        with run.here() as owner:
            owner.started(Path("control"))  # type: ignore[arg-type]
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        fails()
    for thread in threads_but(before):
        thread.join(60)

    assert (threads_but(before), run.has_ended) == (set(), True)


def test_a_program_that_is_gone_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    them, writer = begun(done=print)
    them.writer.close()
    monkeypatch.setattr(program, "_way", None)
    program.tell({"event": "done"})
    program.configure(writer.detach())
    them.close()
