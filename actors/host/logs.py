"""One stream of log lines from every process.

Each process writes its lines, one JSON object each, to a pipe that the main
process made before it started any other. The pipe does not block: where its
reader is slow, lines are dropped and counted, and the actors go on. The main
process pumps the pipe to standard error, as it is or in colours for people.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import contextvars
import json
import logging
import math
import os
import select
import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, TextIO, TypedDict

from actors.host import forks, native
from actors.host.redaction import masked, redact
from actors.host.texts import (
    encodable,
    json_pieces,
    line_of,
    plain,
    plain_json,
    text_of,
)

# Where rich is installed, structlog imports it for tracebacks in colour. The log has
# its traces as text, and every process of a system would carry rich along: 5 MB, and
# a sixth of the time that a start takes. ``top`` imports it itself. None: that fails.
_had_rich = "rich" in sys.modules
if not _had_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]

import structlog  # noqa: E402 - what is above is for it

with contextlib.suppress(ModuleNotFoundError):
    # Not on Windows; only a process of ours needs it.
    import fcntl

if not _had_rich:
    del sys.modules["rich"]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

#: Bytes; a pipe takes a line of up to this size whole or not at all (pipe(7)).
MAX_LINE = 4096
#: Characters of one value; what is longer is cut and says so.
MAX_VALUE = 1024
#: Characters; a secret that is longer may be cut before it is found.
LONGEST_SECRET = 8192
#: Bytes that the pipe holds while nobody reads, if the kernel allows.
PIPE_SIZE = 1 << 20

#: Seconds that the pump waits for more where lines come quickly: too short to be seen.
GATHER_S = 0.01

#: How long the end of a process waits to tell of lines that were dropped, in seconds.
TOLD_WITHIN_S = 0.5

#: Lines of each process that ``status`` shows.
RECENT = 20
#: Characters of such a line.
RECENT_WIDTH = 160

_F_SETPIPE_SZ = 1031

_stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)


class Event(TypedDict):
    """A line of the log.

    Attributes:
        at: ISO time, UTC.
        level: ``info``, ``warning``, ``error`` or ``critical``.
        event: Its name, as ``job.failed``.
        text: The rest of it, in short.
    """

    at: str
    level: str
    event: str
    text: str


class LogPipe:
    """The writing end; every process of a system has it by inheritance."""

    def __init__(self, writer: int | None = None) -> None:
        self.reader, self.writer = os.pipe() if writer is None else (-1, writer)
        if self.reader >= 0:
            forks.keep(self.reader)
        # What a fork logs is in the log.
        forks.share(self.writer)
        os.set_blocking(self.writer, False)
        self.dropped = 0
        #: The last line that was a warning or worse; for who looks for a cause.
        self.problem = ""
        self._has_room = False
        # Where the kernel allows less, the default of 64 KiB serves as well.
        with contextlib.suppress(OSError):
            size = fcntl.fcntl(self.writer, _F_SETPIPE_SZ, PIPE_SIZE)
            self._has_room = size >= PIPE_SIZE
        self._gathers = False
        self._ends = native.Signal()

    def gather(self) -> None:
        """Let the pump wait a moment for more, from now on, where lines come quickly.

        To wake it takes longer than to write a line, for who writes it as well.
        """
        self._gathers = self._has_room

    def wait_for_more(self) -> None:
        """Wait for that moment, unless the end is near."""
        if self._gathers and self._ends.wait(GATHER_S):
            self._gathers = False

    def msg(self, line: str) -> None:
        """Write one line, or several, or count them as dropped."""
        lines = f"{line}\n".encode()
        if len(lines) <= MAX_LINE and not self.dropped:
            if not self._write(lines):
                self.dropped += lines.count(b"\n")
            return
        begin = 0
        while begin < len(lines):
            # As many as the pipe takes whole: no line of another is to come between.
            end = lines.rfind(b"\n", begin, begin + MAX_LINE) + 1
            piece = lines[begin : end or lines.index(b"\n", begin) + 1]
            if not self._has_told_dropped() or not self._write(piece):
                self.dropped += piece.count(b"\n")
            begin += len(piece)

    def _has_told_dropped(self) -> bool:
        if self.dropped:
            note = {"event": "log.dropped", "level": "warning", "count": self.dropped}
            if not self._write(json.dumps(note).encode() + b"\n"):
                return False
            self.dropped = 0
        return True

    log = debug = info = warning = error = critical = msg

    def tell_dropped(self) -> None:
        """Tell what was dropped last, at the end of this process."""
        end = time.monotonic() + TOLD_WITHIN_S
        while self.dropped and self.writer >= 0 and time.monotonic() < end:
            if not self._has_told_dropped():
                time.sleep(0.01)

    def _write(self, lines: bytes) -> bool:
        try:
            os.write(self.writer, lines)
        except OSError:  # full, or nobody reads any more
            return False
        return True

    def read_waiting(self) -> bytes:
        """Take what is there, where no pump has begun."""
        os.set_blocking(self.reader, False)
        try:
            return self.note_problem(os.read(self.reader, PIPE_SIZE))
        except BlockingIOError:
            return b""
        finally:
            os.set_blocking(self.reader, True)

    def note_problem(self, lines: bytes) -> bytes:
        """Keep the last line among these that tells of a problem; returns them."""
        # Most often there is none, and the lines are not even told apart.
        at = max(map(lines.rfind, _PROBLEMS))
        if at >= 0:
            begin, end = lines.rfind(b"\n", 0, at) + 1, lines.find(b"\n", at)
            line = lines[begin:] if end < 0 else lines[begin:end]
            self.problem = line.decode(errors="replace")
        return lines

    def finish(self, ended: native.Signal, deadline_s: float) -> bool:
        """Close this process's end, and let the pump write what is left.

        Args:
            ended: What `pump` has returned.
            deadline_s: How long that may take.

        Returns:
            Whether all of it is written.
        """
        os.close(self.writer)
        self.writer = -1
        self._ends.give()
        return ended.wait(deadline_s)


_PROBLEMS = tuple(
    f'"level": "{level}"'.encode() for level in ("warning", "error", "critical")
)
_pipe: LogPipe | None = None
#: Fields, or a line that is read again when it is asked for.
_recent: deque[MutableMapping[str, Any] | str] = deque(maxlen=RECENT)


def open_pipe() -> LogPipe:
    """Make the pipe; to be called before any other process is started."""
    global _pipe  # noqa: PLW0603
    _pipe = LogPipe()
    return _pipe


def join_pipe(writer: int) -> None:
    """Write to the pipe that the main process made, from a program of its own."""
    global _pipe  # noqa: PLW0603
    _pipe = LogPipe(writer)


def configure(level: str, **bound: Any) -> structlog.typing.FilteringBoundLogger:
    """Send this process's logs, the standard library's too, to the pipe.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        bound: Put on each line of this process, beside its pid.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    _configure(threshold)
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(
        pid=os.getpid(), **bound
    )
    _take_over_stdlib(log, max(threshold, logging.INFO))
    if _pipe is not None:
        atexit.unregister(_pipe.tell_dropped)
        atexit.register(_pipe.tell_dropped)
    return log


def _configure(threshold: int) -> None:
    sink = _pipe or open_pipe()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _stamp,
            _render,
        ],
        wrapper_class=_class_of(threshold),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,
    )


def _class_of(threshold: int) -> type[structlog.typing.BindableLogger]:
    # Whoever has such a log may put its lines together by hand.
    filtering = structlog.make_filtering_bound_logger(threshold)
    own = {"threshold": threshold, "frame": cached_property(Frame)}
    return type("Log", (filtering,), own)


def current() -> structlog.typing.FilteringBoundLogger:
    """This process's log, configured first where nobody has, as in Thespian's admin.

    What the standard library logs there stays with Thespian.
    """
    if not structlog.is_configured():
        _configure(logging.INFO)
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log.bind(pid=os.getpid())


def recent() -> list[Event]:
    """This process's last lines."""
    return [
        {
            "at": str(fields.get("timestamp", "")),
            "level": str(fields.get("level", "")),
            "event": text_of(fields.get("event", "")),
            "text": redact(_in_short(fields))[:RECENT_WIDTH],
        }
        for fields in map(_fields_of, tuple(_recent))
    ]


def _fields_of(line: MutableMapping[str, Any] | str) -> MutableMapping[str, Any]:
    fields: MutableMapping[str, Any]
    fields = json.loads(line) if isinstance(line, str) else line
    return fields


def _in_short(fields: MutableMapping[str, Any]) -> str:
    told = ("timestamp", "level", "event", "pid", "trace", "fetcher", "processor")
    rest = [
        f"{name}={_dumps(value) if isinstance(value, dict | list) else text_of(value)}"
        for name, value in fields.items()
        if name not in told and value is not None
    ]
    stages = (fields.get("fetcher"), fields.get("processor"))
    return " ".join([*(text_of(each) for each in stages if each), *rest])


def pump(
    pipe: LogPipe,
    out: TextIO,
    log_format: str,
    tap: Callable[[bytes], object] | None = None,
) -> native.Signal:
    """Copy the pipe to ``out`` until every writer has closed it.

    Args:
        pipe: Has a line of JSON for each event.
        out: For people, or for whatever keeps logs.
        log_format: ``console`` or ``json``.
        tap: Called with the same lines as well, as they come.
    """
    render = _console(out) if log_format == "console" else None
    return native.start(partial(_pump, pipe, out, render, tap), "log-pump")


def default_format(out: TextIO | None = sys.stderr) -> str:
    """``console`` for a person at a terminal, ``json`` for whatever else reads."""
    return "console" if out is not None and out.isatty() else "json"


class _Forward(logging.Handler):
    """Writes what the standard library logs; raises nothing into a user's call."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "message": _message(record)}
        if record.exc_info:
            fields["trace"] = _trace(record.exc_info)
        # A fork logs as well, and is another process.
        self._log.log(_level(record.levelno), "log", pid=os.getpid(), **fields)


def _message(record: logging.LogRecord) -> str:
    try:
        return encodable(record.getMessage())
    except BaseException as error:  # noqa: BLE001 - the user's classes, or mistake
        return f"{text_of(record.msg)} % {text_of(record.args)}: {line_of(error)}"


def _trace(exc_info: Any) -> str:
    try:
        return encodable(logging.Formatter().formatException(exc_info))
    except BaseException:  # noqa: BLE001 - the user's class
        return line_of(exc_info[1])


def _level(number: Any) -> int:
    # Any number may be a level there; here only those that have a name.
    return max((each for each in _LEVELS if each <= number), default=logging.DEBUG)


_LEVELS = (
    *(logging.DEBUG, logging.INFO, logging.WARNING),
    *(logging.ERROR, logging.CRITICAL),
)
#: As they are before Thespian puts others in their place, with the loggers that
#: modules have made while they were imported.
_root, _manager = logging.root, logging.Logger.manager
#: What was taken from the root logger of this process: its handlers, and its level.
_taken: tuple[list[logging.Handler], int] | None = None


def _take_over_stdlib(
    log: structlog.typing.FilteringBoundLogger, threshold: int
) -> None:
    global _taken  # noqa: PLW0603
    # In an actor, Thespian has put a forwarder in place of the root logger that
    # sends each record as a message (1.5 ms apiece).
    logging.root = logging.Logger.root = _root
    logging.Logger.manager = _manager
    own = [each for each in _root.handlers if not isinstance(each, _Forward)]
    if _taken is None:
        _taken = own, _root.level
    # What a user has sent to a terminal comes to the log instead; files stay.
    kept = [each for each in own if not _is_on_terminal(each)]
    _root.handlers[:] = [_Forward(log), *kept]
    if _root.level != threshold:  # each logger writes down that it is
        _root.setLevel(threshold)
    logging.captureWarnings(capture=True)


def _is_on_terminal(handler: logging.Handler) -> bool:
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    stream = getattr(handler, "stream", None)
    return stream is not None and any(stream is each for each in streams)


def give_back() -> None:
    """Leave the standard library's log as it was before ``configure``."""
    global _taken  # noqa: PLW0603
    if _taken is not None:
        handlers, level = _taken
        _taken = None
        _root.handlers[:] = handlers
        _root.setLevel(level)
        logging.captureWarnings(capture=False)


class Frame:
    """What all lines of one log have in common, for who puts them together by hand.

    Such a line is its head, its members as JSON, and its end: what ``log.info`` would
    write, at a fraction of the time. Whoever has some writes them by `write`. It is an
    attribute of the logs that `configure` returns.

    Attributes:
        threshold: The level below which the log says nothing.
    """

    def __init__(self, log: Any) -> None:
        self.threshold: int = log.threshold
        self._sink, self._processors = log._logger, log._processors  # noqa: SLF001
        self._context = dict(structlog.get_context(log))
        self._heads: dict[int | None, str | None] = {}

    def holds(self) -> bool:
        """Whether the log's lines are as this says, at the moment.

        They are not where they go to a test, or while the user's code has bound
        something to all lines.
        """
        processors = self._processors
        if self._sink is not _pipe or not processors or processors[-1] is not _render:
            return False
        bound = contextvars.copy_context()
        return not (bound and structlog.contextvars.get_contextvars())

    def head(self, pid: int | None = None) -> str | None:
        """What a line begins with, members of its own to follow.

        Args:
            pid: Of another process than this one, if it is of that.

        Returns:
            None where each line has to be looked at as a whole.
        """
        try:
            return self._heads[pid]
        except KeyError:
            head = self._made(pid)
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[pid] = head
        return head

    def _made(self, pid: int | None) -> str | None:
        context = self._context if pid is None else self._context | {"pid": pid}
        for value in context.values():
            if type(value) is not int and not _is_short_text(value):
                return None
        return f"{_encode(context)[:-1]}, " if context else "{"


def _is_short_text(value: Any) -> bool:
    return type(value) is str and len(value) <= MAX_VALUE


#: A processor that is started again has another one.
_MOST_HEADS = 256


def line_end() -> str:
    """What a line of the level ``info`` and of this moment ends with."""
    # As structlog's stamper writes it, at a tenth of the time.
    seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
    fraction = f".{micros:06d}" if micros else ""
    return f', "level": "info", "timestamp": "{_second(seconds)}{fraction}Z"}}'


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:_NO_OFFSET]


_NO_OFFSET = -len("+00:00")


def is_long(line: str) -> bool:
    """Whether a line is longer than the log has it, and is to be cut first."""
    return len(line) > _SURELY_SHORT and _bytes_in(line) >= MAX_LINE


#: Characters, of which none takes more than four bytes.
_SURELY_SHORT = MAX_LINE // 4 - 1


def write(lines: list[str]) -> None:
    """Write lines that are put together, and take them off the list."""
    if lines:
        _recent.extend(lines[-RECENT:])
        sink = _pipe or open_pipe()
        for begin in range(0, len(lines), _TOGETHER):
            sink.msg(redact("\n".join(lines[begin : begin + _TOGETHER])))
        lines.clear()


#: Lines that are copied together: what is larger than a cache takes longer to copy.
_TOGETHER = 128


def cut_text(value: Any, text: str) -> str:
    """What the log shows of a plain JSON value that is long and hides nothing.

    Args:
        value: Which.
        text: The same as JSON.
    """
    return _encode(_clip(value) if type(value) is str else _cut(text))


def shown_text(value: Any) -> str:
    """What the log shows of a plain JSON value that hides nothing, as JSON."""
    return _encode(_clip(value))


def _render(_: Any, __: str, fields: MutableMapping[str, Any]) -> str:
    clipped = {key: _clip(value) for key, value in fields.items()}
    if fields.get("level") != "debug":
        # What is cut: whole, they would be held for long, and read at each status.
        _recent.append(clipped)
    return redact(_fit(dict(clipped)))


def _fit(fields: MutableMapping[str, Any]) -> str:
    line = _dumps(fields)
    if _bytes_in(line) < MAX_LINE:
        return line
    sizes = {key: len(_dumps(value)) for key, value in fields.items()}
    for key in sorted(sizes, key=sizes.__getitem__, reverse=True):
        fields[key] = f"... {sizes[key]} characters"
        line = _dumps(fields)
        if _bytes_in(line) < MAX_LINE:
            break
    return line


_pieces = json_pieces(text_of, ascii_only=False)


def _encode(value: Any) -> str:
    return plain_json("".join(_pieces(value, 0)))


def _bytes_in(line: str) -> int:
    return len(line) if line.isascii() else len(line.encode())


def _dumps(value: Any) -> str:
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        # Keys that are no text, or a value that holds itself.
        if not isinstance(value, dict):
            return _encode(text_of(value))
        return _encode({text_of(key): text_of(each) for key, each in value.items()})


def _clip(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) <= MAX_VALUE:
            return value
        return _cut(value)
    if type(value) in (dict, list):
        # One that holds itself is left to what writes it.
        with contextlib.suppress(RecursionError):
            value = masked(value)
    if (
        isinstance(value, dict | list | tuple)
        and len(text := _dumps(value)) > MAX_VALUE
    ):
        return _cut(text)
    return value


def _cut(text: str) -> str:
    # Redacted before the cut, or half a secret would pass; and as much as the longest
    # secret behind it, not all of a job of a megabyte.
    shown = redact(text[: MAX_VALUE + LONGEST_SECRET])[:MAX_VALUE]
    return f"{shown}... {len(text)} characters"


@dataclass(frozen=True, slots=True)
class Console:
    """Makes a line for a person of a line of the log; no value reaches the terminal.

    What is no sign of its own is spelt out: a job must not move the cursor, name the
    window, or look like a line of the log. So a traceback, which is to be read, stands
    below its line behind a mark. It is ours since what structlog's renderer lets
    through differs from version to version.
    """

    colours: bool

    def line(self, fields: Mapping[str, Any]) -> str:
        """One line, and below it the traceback if it has one, without its end."""
        rest = dict(fields)
        trace = rest.pop("trace", None)
        at = plain(text_of(rest.pop("timestamp", "")))
        level = plain(text_of(rest.pop("level", "")))
        event = plain(text_of(rest.pop("event", "")))
        words = [
            self._in(_DIM, at[11:23] if len(at) > _TIME_ENDS else at),
            f"[{self._in(_COLOURS.get(level, ''), f'{level:<8}')}]",
            self._in(_BOLD, f"{event:<20}"),
        ]
        words += [
            f"{self._in(_CYAN, plain(name))}={self._in(_MAGENTA, _spelt(value))}"
            for name, value in rest.items()
        ]
        below = text_of(trace).rstrip().splitlines() if trace else []
        return "\n".join(
            [
                " ".join(word for word in words if word),
                *(self._in(_DIM, f"    | {plain(each)}") for each in below),
            ]
        )

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self.colours and colour and text else text


_RESET, _BOLD, _DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
_CYAN, _MAGENTA = "\x1b[36m", "\x1b[35m"
_COLOURS = {
    "debug": "\x1b[32m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[31m",
}
#: Of an ISO time the clock is shown, and its milliseconds.
_TIME_ENDS = 23


def _spelt(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and not _QUOTED & set(value):
        return value
    return plain(repr(value))


_QUOTED = frozenset(" \"'=")


def _console(out: TextIO) -> Console:
    return Console(colours=out.isatty())


#: Bytes that the pump takes at a time, and those of which there are few.
_CHUNK, _FEW = 1 << 16, 1 << 14


def _pump(
    pipe: LogPipe,
    out: TextIO,
    render: Console | None,
    tap: Callable[[bytes], object] | None,
) -> None:
    rest = b""
    many_at = few_at = -math.inf
    while chunk := pipe.note_problem(os.read(pipe.reader, _CHUNK)):
        end = chunk.rfind(b"\n") + 1
        lines, rest = (rest + chunk[:end], chunk[end:]) if end else (b"", rest + chunk)
        if tap is not None:
            tap(lines)
        # Where nobody reads any more, the actors are not to notice.
        with contextlib.suppress(OSError, ValueError):
            _write_out(out, lines if render is None else _for_people(lines, render))
        now = time.monotonic()
        if len(chunk) > _FEW:
            many_at = now
        elif now - few_at > 2 * GATHER_S:
            few_at = now
        elif now - many_at > 2 * GATHER_S:
            # The second within a short time. Of many there may be more than the pipe
            # holds, so that nobody is to wait.
            pipe.wait_for_more()
            few_at = time.monotonic()


def _for_people(lines: bytes, render: Console) -> str:
    return "".join(f"{_line(line, render)}\n" for line in lines.split(b"\n")[:-1])


def _write_out(out: TextIO, text: str | bytes) -> None:
    # What an encoding has no form for; in JSON spelt out as JSON does.
    errors = _AS_JSON if isinstance(text, bytes) else "backslashreplace"
    if isinstance(text, bytes) and not (text.isascii() and _is_plain(out)):
        text = text.decode(errors="replace")
    try:
        fd = out.fileno()
    except (OSError, ValueError):  # it is in memory
        out.write(text if isinstance(text, str) else text.decode())
        out.flush()
        return
    if isinstance(text, str):
        text = text.encode(out.encoding or "utf-8", errors=errors)
    rest = memoryview(text)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            # Whoever reads has set it not to block, as node and ssh do: what does not
            # fit now is waited for; meanwhile the pipe counts what it has no room for.
            writable = native.poll()
            writable.register(fd, select.POLLOUT)
            writable.poll()


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


_AS_JSON = "lowtide.json"
codecs.register_error(_AS_JSON, _escape)


def _is_plain(out: TextIO) -> bool:
    # Its letters are those of ASCII, one byte each.
    return not (out.encoding or "").lower().startswith(("utf-16", "utf-32", "cp037"))


def _line(line: bytes, render: Console) -> str:
    text = line.decode(errors="replace")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return plain(text)
    return render.line(fields) if isinstance(fields, dict) else plain(text)
