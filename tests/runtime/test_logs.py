"""The log pipe: whole lines, bounded, and never in anybody's way."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from actors.runtime import logs


@pytest.fixture
def pipe() -> Iterator[logs.LogPipe]:
    root, manager = logging.root, logging.Logger.manager
    pipe = logs.open_pipe()
    yield pipe
    logging.captureWarnings(capture=False)
    logging.root = logging.Logger.root = root
    logging.Logger.manager = manager
    structlog.reset_defaults()
    for fd in (pipe.reader, pipe.writer):
        if fd >= 0:
            os.close(fd)


def lines(pipe: logs.LogPipe) -> list[dict[str, Any]]:
    os.set_blocking(pipe.reader, False)
    try:
        return [json.loads(line) for line in os.read(pipe.reader, 1 << 21).splitlines()]
    except BlockingIOError:
        return []


def test_a_line_says_who_when_and_what(pipe: logs.LogPipe) -> None:
    log = logs.configure("info", fetcher="numbers")

    log.info("job.fetched", job_id=17)

    [line] = lines(pipe)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "job.fetched",
        "level": "info",
        "pid": os.getpid(),
        "fetcher": "numbers",
        "job_id": 17,
    }


def test_what_is_below_the_level_is_not_written(pipe: logs.LogPipe) -> None:
    log = logs.configure("warning")

    log.info("job.fetched")
    log.warning("job.failed")

    assert [line["event"] for line in lines(pipe)] == ["job.failed"]


def test_what_a_users_function_logs_comes_along(pipe: logs.LogPipe) -> None:
    logs.configure("info", processor="sqrt-1")

    logging.getLogger("billing").warning("no %s", "money")

    [line] = lines(pipe)
    assert (line["event"], line["logger"], line["message"], line["processor"]) == (
        "log",
        "billing",
        "no money",
        "sqrt-1",
    )


@pytest.mark.parametrize("value", ["x" * 100_000, {"deep": ["y" * 50_000]}])
def test_a_long_value_is_cut_and_the_line_stays_whole(
    pipe: logs.LogPipe, value: Any
) -> None:
    log = logs.configure("info")

    log.info("job.fetched", job=value, result=value)

    [line] = lines(pipe)
    assert "characters" in line["job"]
    assert len(json.dumps(line)) < logs.MAX_LINE


def test_many_long_values_still_make_one_line(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")

    log.info("job.failed", **{f"field{n}": "z" * 5000 for n in range(20)})

    [line] = lines(pipe)
    assert line["event"] == "job.failed"


def test_terminal_escapes_and_newlines_stay_text(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")
    log.info("job.fetched", job="\x1b]0;gotcha\x07\nforged line")
    out = io.StringIO()
    thread = logs.pump(pipe, out, "console")

    pipe.finish(thread, 30.0)

    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()


def test_lines_that_find_no_room_are_counted_and_told(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")

    while not pipe.dropped:
        log.info("job.fetched", job="x" * 1000)
    before = lines(pipe)
    log.info("job.done")

    after = lines(pipe)
    assert {line["event"] for line in before} == {"job.fetched"}
    assert [line["event"] for line in after] == ["log.dropped", "job.done"]
    assert after[0]["count"] == 1


def test_the_pump_copies_until_the_last_writer_is_gone(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")
    out = io.StringIO()
    thread = logs.pump(pipe, out, "json")

    log.info("system.stopped")
    pipe.finish(thread, 30.0)

    assert not thread.is_alive()
    assert json.loads(out.getvalue())["event"] == "system.stopped"


def test_a_reader_that_is_gone_ends_no_pump(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")
    out = io.StringIO()
    out.close()
    thread = logs.pump(pipe, out, "json")

    for _ in range(10):
        log.info("job.fetched")
    pipe.finish(thread, 30.0)

    assert not thread.is_alive()
