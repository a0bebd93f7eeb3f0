"""The log pipe: whole lines, bounded, and never in anybody's way."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from actors.host import logs, native


@pytest.fixture
def pipe() -> Iterator[logs.LogPipe]:
    root, manager = logging.root, logging.Logger.manager
    logs._recent.clear()  # noqa: SLF001 - what another test of this process has told
    pipe = logs.open_pipe()
    yield pipe
    logs.give_back()
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


class Odd:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda log: log.warning("%d", "x"), "%d % ('x',): TypeError"),
        (lambda log: log.warning("%s %s", *"x"), "%s %s % ('x',): TypeError"),
        (lambda log: log.log(25, "odd level"), "odd level"),
        (lambda log: log.log(99, "odd level"), "odd level"),
        (lambda log: log.warning(Odd()), "its text cannot be had"),
        (lambda log: log.warning("%s", Odd()), "its text cannot be had"),
        (lambda log: log.warning("\ud800"), "\\ud800"),
        (lambda log: log.warning("extra", extra={"odd": Odd()}), "extra"),
        (lambda log: log.error("error", exc_info=SyntaxError(*["x", "else"])), "error"),
    ],
)
def test_nothing_that_is_logged_raises_into_the_users_call(
    write: Any, says: str, pipe: logs.LogPipe
) -> None:
    # pytest's own handlers raise what they cannot format.
    handlers, logging.root.handlers[:] = logging.root.handlers[:], []
    logs.configure("info")

    write(logging.getLogger("billing"))

    logs.give_back()
    logging.root.handlers[:] = handlers
    [line] = lines(pipe)
    assert line["event"] == "log"
    assert says in line["message"]


def test_what_cannot_be_written_does_not_end_who_shows_the_last_lines(
    pipe: logs.LogPipe,
) -> None:
    logs.configure("info").info("log", what=Odd())

    assert logs.recent()[-1]["text"] == "what=its text cannot be had"


@pytest.mark.parametrize("value", [Odd(), {(1, 2): 3}, {"odd": Odd()}])
def test_any_value_is_written_somehow(value: Any, pipe: logs.LogPipe) -> None:
    log = logs.configure("info")

    log.info("job.fetched", job=value, job_id=1)

    [line] = lines(pipe)
    assert line["event"] == "job.fetched"
    assert line["job"]


def test_a_value_that_holds_itself_is_written(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")
    value: list[Any] = []
    value.append(value)

    log.info("job.fetched", job=value)

    [line] = lines(pipe)
    assert line["event"] == "job.fetched"


def test_loggers_that_were_there_before_come_along(pipe: logs.LogPipe) -> None:
    before = logging.getLogger("made.before")
    # As Thespian does in each of its processes.
    other = logging.RootLogger(logging.WARNING)
    logging.root = logging.Logger.root = other
    logging.Logger.manager = logging.Manager(other)

    logs.configure("info")
    before.warning("from one made before")
    logging.getLogger("made.after").warning("from one made after")

    assert [line["message"] for line in lines(pipe)] == [
        "from one made before",
        "from one made after",
    ]


def test_what_a_user_has_sent_to_a_terminal_comes_to_the_log_once(
    pipe: logs.LogPipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    file = logging.FileHandler(tmp_path / "own.log")
    terminal = logging.StreamHandler(sys.stderr)
    root.handlers += [file, terminal]
    try:
        logs.configure("info")
        logging.getLogger("billing").warning("both")
        logs.give_back()
        assert root.handlers == [*before, file, terminal]
    finally:
        root.handlers[:] = before
        file.close()

    assert [line["message"] for line in lines(pipe)] == ["both"]
    assert (tmp_path / "own.log").read_text() == "both\n"
    assert "both" not in capsys.readouterr().err


def test_what_a_fork_logs_has_its_own_pid(pipe: logs.LogPipe) -> None:
    logs.configure("info")
    child = os.fork()
    if child == 0:
        logging.getLogger("billing").warning("from a fork")
        os._exit(0)
    os.waitpid(child, 0)

    [line] = lines(pipe)
    assert line["pid"] == child


def test_an_output_that_does_not_block_loses_no_line(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(writer, "w") as out, open(reader) as read:  # noqa: PTH123
        ended = logs.pump(pipe, out, "json")
        for number in range(400):
            log.info("job.fetched", job="x" * 1000, number=number)
        found = [json.loads(read.readline())["number"] for _ in range(400)]
        pipe.finish(ended, 30.0)

    assert found == list(range(400))


def test_what_was_dropped_last_is_told_at_the_end(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")
    while not pipe.dropped:
        log.info("job.fetched", job="x" * 1000)
    lines(pipe)

    pipe.tell_dropped()

    [line] = lines(pipe)
    assert (line["event"], line["count"]) == ("log.dropped", 1)


@pytest.mark.parametrize("value", ["x" * 100_000, {"deep": ["y" * 50_000]}])
def test_a_long_value_is_cut_and_the_line_stays_whole(
    pipe: logs.LogPipe, value: Any
) -> None:
    log = logs.configure("info")

    log.info("job.fetched", job=value, result=value)

    [line] = lines(pipe)
    assert "characters" in line["job"]
    assert len(json.dumps(line)) < logs.MAX_LINE


def test_a_secret_across_the_cut_is_not_shown_in_part(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")
    url = f"{'x' * (logs.MAX_VALUE - 20)} https://user:{'p' * 500}@host/"

    log.info("job.fetched", job={"url": url, "rest": "y" * 100_000})

    [line] = lines(pipe)
    [recent] = logs.recent()[-1:]
    assert "ppp" not in line["job"]
    assert "ppp" not in recent["text"]


def test_what_is_kept_for_status_is_cut_already(pipe: logs.LogPipe) -> None:
    logs.configure("info").info("job.fetched", job={"text": "x" * 1_000_000})

    lines(pipe)
    assert max(len(str(each)) for each in logs._recent) < 3 * logs.MAX_VALUE  # noqa: SLF001


def test_many_long_values_still_make_one_line(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")

    log.info("job.failed", **{f"field{n}": "z" * 5000 for n in range(20)})

    [line] = lines(pipe)
    assert line["event"] == "job.failed"


def test_terminal_escapes_and_newlines_stay_text(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")
    log.info("job.fetched", job="\x1b]0;gotcha\x07\nforged line")
    out = io.StringIO()
    ended = logs.pump(pipe, out, "console")

    pipe.finish(ended, 30.0)

    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    "text",
    ["\x1b]0;X\x07", "\x1b[2K\x1b[1Gforged", "a\nb", "\x9b2K", "\u202egpj", "a\rb"],
)
def test_nothing_of_a_value_or_a_name_reaches_the_terminal_as_a_command(
    text: str, pipe: logs.LogPipe
) -> None:
    log = logs.configure("info")
    log.info(text, id=text, **{text: 1}, nested={"id": text, text: [text]})
    pipe.msg(f"no JSON {text}".replace("\n", " "))
    out = io.StringIO()
    ended = logs.pump(pipe, out, "console")

    pipe.finish(ended, 30.0)

    assert out.getvalue().count("\n") == 2
    assert all(line.isprintable() for line in out.getvalue().splitlines())


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii", "utf-16-le"])
def test_a_letter_is_that_letter_and_nothing_else_comes_through(
    encoding: str, pipe: logs.LogPipe, tmp_path: Path
) -> None:
    log = logs.configure("info")
    job = {"who": "Zoë 語", "odd": "\x1b[2J\x7f\x9b2K\u202egpj\u2066\u2028\ud800"}
    log.info("job.fetched", job=job)
    logs.write([line_of(log, "job.done", job=job)])
    path = tmp_path / "out"
    with path.open("w", encoding=encoding, newline="") as out:
        pipe.finish(logs.pump(pipe, out, "json"), 30.0)

    text = path.read_bytes().decode(encoding)
    first, second = text.splitlines()
    assert all(line.isprintable() for line in (first, second))
    assert [json.loads(line)["job"] for line in (first, second)] == [job, job]
    assert ("Zoë" in first) == (encoding != "ascii")
    assert ("語" in first) == (encoding.startswith("utf"))


def test_a_line_for_people_has_colours_of_ours_only() -> None:
    fields = {"timestamp": "2026-11-28T10:00:00.123456Z", "level": "info"}
    fields |= {"event": "job.done", "job": "\x1b[31m", "n": "two words"}

    plain = logs.Console(colours=False).line(fields)
    coloured = logs.Console(colours=True).line(fields)

    assert plain == (
        "10:00:00.123 [info    ] job.done             job='\\x1b[31m' n='two words'"
    )
    assert "\x1b[31m" not in coloured
    assert "\x1b[36mjob\x1b[0m=\x1b[35m'\\x1b[31m'\x1b[0m" in coloured


def test_a_traceback_for_people_stands_below_its_line() -> None:
    trace = "Traceback:\n  File x\nBad: \x1b[2J\r10:00:00.123 [info    ] job.done\n"
    fields = {"level": "warning", "event": "job.failed", "trace": trace, "n": 1}

    assert logs.Console(colours=False).line(fields).split("\n") == [
        "[warning ] job.failed           n=1",
        "    | Traceback:",
        "    |   File x",
        "    | Bad: \\x1b[2J",
        "    | 10:00:00.123 [info    ] job.done",
    ]


def test_secrets_in_a_logged_job_are_masked_by_their_names(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")

    log.info("job.fetched", job={"id": 1, "auth": {"type": "bearer", "token": "x"}})
    log.info("job.fetched", job=[{"password": "x"}])

    first, second = lines(pipe)
    assert first["job"] == {"id": 1, "auth": {"type": "bearer", "token": "***"}}
    assert second["job"] == [{"password": "***"}]


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
    ended = logs.pump(pipe, out, "json")

    log.info("system.stopped")
    assert pipe.finish(ended, 30.0)
    assert json.loads(out.getvalue())["event"] == "system.stopped"


@pytest.fixture
def shown(pipe: logs.LogPipe) -> Iterator[tuple[native.Signal, TextIO, list[bytes]]]:
    chunks: list[bytes] = []
    reader, writer = os.pipe()
    with open(reader) as read, open(writer, "w") as out:  # noqa: PTH123
        yield logs.pump(pipe, out, "json", chunks.append), read, chunks


def test_lines_that_come_quickly_are_waited_for_but_not_at_the_end(
    pipe: logs.LogPipe,
    shown: tuple[native.Signal, TextIO, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, read, chunks = shown
    monkeypatch.setattr(logs, "GATHER_S", 600.0)
    pipe.gather()

    for line in ("first", "second"):
        pipe.msg(line)
        assert read.readline() == f"{line}\n"
    for line in ("third", "fourth"):
        pipe.msg(line)

    assert pipe.finish(ended, 30.0)
    assert chunks == [b"first\n", b"second\n", b"third\nfourth\n"]
    assert os.read(read.fileno(), 999) == b"third\nfourth\n"


@pytest.mark.parametrize("before", ["short", "x" * 20_000])
def test_nothing_is_waited_for_where_there_is_much_or_no_word_to_wait(
    before: str,
    pipe: logs.LogPipe,
    shown: tuple[native.Signal, TextIO, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, read, _ = shown
    monkeypatch.setattr(logs, "GATHER_S", 600.0)
    if before != "short":
        pipe.gather()

    for line in [before, "short"] * 5:
        pipe.msg(line)
        assert read.readline() == f"{line}\n"

    assert pipe.finish(ended, 30.0)


def test_a_reader_that_is_gone_ends_no_pump(pipe: logs.LogPipe) -> None:
    log = logs.configure("info")
    out = io.StringIO()
    out.close()
    ended = logs.pump(pipe, out, "json")

    for _ in range(10):
        log.info("job.fetched")
    assert pipe.finish(ended, 30.0)


def told(pipe: logs.LogPipe) -> list[str]:
    os.set_blocking(pipe.reader, False)
    text = os.read(pipe.reader, 1 << 21).decode()
    return re.sub(r'"timestamp": "[^"]*"', '"timestamp": ""', text).splitlines()


def line_of(log: Any, event: str, **members: Any) -> str:
    frame: logs.Frame = log.frame
    texts = [f'"{name}": {logs.shown_text(each)}' for name, each in members.items()]
    event = f'"event": "{event}"'
    return f"{frame.head()}{', '.join([*texts, event])}{logs.line_end()}"


def test_a_line_that_is_put_together_by_hand_is_the_logs_own(
    pipe: logs.LogPipe,
) -> None:
    log = logs.configure("info", fetcher="nümbers")
    log.info("job.done", job={"token": "t", "n": 1})
    log.bind(pid=7).info("job.done")
    [_, own] = one_by_one = told(pipe)
    head = log.frame.head(7)  # type: ignore[attr-defined]

    before = datetime.now(UTC)
    logs.write([line_of(log, "job.done", job={"token": "t", "n": 1})])
    logs.write([f'{head}"event": "job.done"{logs.line_end()}'])

    assert told(pipe) == [one_by_one[0], own]
    [*_, recent] = logs.recent()
    assert (recent["event"], recent["text"]) == ("job.done", "nümbers")
    assert before <= datetime.fromisoformat(recent["at"]) <= datetime.now(UTC)
    assert re.fullmatch(r"[0-9]{4}(-[0-9]{2}){2}T[0-9:]{8}(\.[0-9]{6})?Z", recent["at"])


@given(st.integers(0, 4_000_000_000_000_000) | st.sampled_from([0, 10**6, 10**15 - 1]))
def test_a_moment_is_written_as_structlog_writes_it(micros: int) -> None:
    moment = datetime.fromtimestamp(micros // 10**6, UTC)
    moment = moment.replace(microsecond=micros % 10**6)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: micros * 1000 + 999)
        end = logs.line_end()

    at = moment.isoformat().replace("+00:00", "Z")
    assert end == f', "level": "info", "timestamp": "{at}"}}'


def test_a_line_is_as_the_log_has_it_where_somebody_has_a_say_in_it(
    pipe: logs.LogPipe,
) -> None:
    log: Any = logs.configure("info", fetcher="numbers")
    assert log.frame.holds()

    with structlog.contextvars.bound_contextvars(machine="m"):
        assert not log.frame.holds()
    with structlog.testing.capture_logs():
        assert not log.frame.holds()

    assert log.frame.holds()
    for odd in (1.5, None, ["a"], "x" * (logs.MAX_VALUE + 1)):
        assert log.bind(odd=odd).frame.head() is None
    other = logs.open_pipe()
    assert not log.frame.holds()
    for fd in (other.reader, other.writer):
        os.close(fd)


def test_many_lines_are_written_in_pieces_that_no_other_line_comes_between(
    pipe: logs.LogPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logs.configure("info", fetcher="numbers")
    pieces: list[bytes] = []
    write = os.write

    def note(fd: int, data: bytes) -> int:
        pieces.append(data)
        return write(fd, data)

    monkeypatch.setattr(os, "write", note)
    logs.write([line_of(log, "job.fetched", job_id=n) for n in range(500)])
    monkeypatch.undo()

    assert [line["job_id"] for line in lines(pipe)] == list(range(500))
    assert len(pieces) < 20
    assert all(len(each) <= logs.MAX_LINE for each in pieces)
    assert all(each.endswith(b"\n") for each in pieces)


def test_of_many_lines_those_that_find_no_room_are_counted(
    pipe: logs.LogPipe,
) -> None:
    log = logs.configure("info", fetcher="numbers")
    count = 40_000
    logs.write([line_of(log, "job.fetched", job_id=n) for n in range(count)])
    dropped = pipe.dropped
    written = lines(pipe)

    logs.write([line_of(log, "job.fetched", job_id=-1)])

    note, after = lines(pipe)
    assert (note["event"], note["count"]) == ("log.dropped", dropped)
    assert after["job_id"] == -1
    kept = [line for line in written if line["event"] == "job.fetched"]
    notes = [line for line in written if line["event"] == "log.dropped"]
    assert 0 < len(kept) < count
    assert len(kept) + sum(each["count"] for each in notes) + dropped == count


def test_json_is_passed_on_as_it_is(pipe: logs.LogPipe, tmp_path: Path) -> None:
    text = b'{"event":   "odd",  "a": 1e2}\n' * 3000 + b'{"event": "half'
    with (tmp_path / "out").open("w") as out:
        ended = logs.pump(pipe, out, "json")
        rest = memoryview(text)
        while rest:
            try:
                rest = rest[os.write(pipe.writer, rest) :]
            except BlockingIOError:
                continue
        pipe.finish(ended, 20.0)

    assert (tmp_path / "out").read_bytes() == text.rpartition(b"{")[0]


def test_the_last_problem_of_many_lines_is_kept(pipe: logs.LogPipe) -> None:
    line = '{"level": "%s", "n": %d}'
    levels = ["info", "warning", "error", "warning", "info"]
    text = "\n".join(line % (level, n) for n, level in enumerate(levels))

    assert pipe.note_problem(text.encode()) == text.encode()
    assert pipe.problem == line % ("warning", 3)
    pipe.note_problem(b'{"level": "info"}\n')
    assert pipe.problem == line % ("warning", 3)
    for level in ("error", "critical"):
        pipe.note_problem((line % (level, 9)).encode())
        assert pipe.problem == line % (level, 9)


def test_where_nobody_can_read_the_log_it_is_json() -> None:
    assert logs.default_format(None) == "json"
