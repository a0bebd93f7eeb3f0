"""What ``top`` shows: a status, drawn for a terminal of any size."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from actors.commands.terminal import (
    GAP,
    Column,
    columns_for,
    progress_in_words,
    share_lines,
    those_not_shown,
)
from actors.host.texts import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import RenderableType

    from actors.status.model import SystemStatus

#: Rates are over this many seconds.
RATE_S = 30.0
#: Quarantined jobs that are shown at a time.
QUARANTINED = 5
#: Events that are shown before a long list of stages is.
LEAST_EVENTS = 3
#: Lines beside the rows of stages, jobs and events: heads, headings, blanks.
FRAME = 10
#: What a list of quarantined jobs adds to them.
JOBS_FRAME = 2

KEYS = "[q]uit [p]ause [r]esume [a]ttach [d]etach [c]ancel"
JOB_KEYS = " [j/k] [t]ry again [X] discard"

_COLOURS = {
    "running": "green",
    "paused": "yellow",
    "draining": "yellow",
    "starting": "yellow",
    "backoff": "yellow",
    "fatal": "red",
    "faulted": "red",
    "silent": "red",
    "away": "red",
    "error": "red",
    "warning": "yellow",
}


@dataclass(slots=True)
class View:
    """What there is to show.

    Attributes:
        status: As ``status --json`` prints it.
        quarantined: Rows of the journal.
        chosen: Which of them the keys are about.
        message: What the last key led to.
        question: What the next keys answer; empty while they do not.
        trouble: Why the status is an old one; empty while it is not.
    """

    port: int
    status: SystemStatus = field(init=False)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    chosen: int = 0
    message: str = ""
    question: str = ""
    trouble: str = ""
    _seen: deque[tuple[float, int, int]] = field(default_factory=deque)

    @property
    def chosen_job(self) -> dict[str, Any] | None:
        """The job that the keys are about."""
        return self.quarantined[self.chosen] if self.quarantined else None

    def take(self, status: SystemStatus, now: float) -> None:
        """Show another status from now on."""
        self.status, self.trouble = status, ""
        accounting = status["accounting"]
        self._seen.append((now, accounting["fetched"], accounting["done"]))
        while now - self._seen[0][0] > RATE_S:
            self._seen.popleft()

    def choose(self, step: int) -> None:
        """Go up or down the quarantined jobs."""
        last = max(0, len(self.quarantined) - 1)
        self.chosen = min(max(0, self.chosen + step), last)

    def draw(self, width: int, height: int) -> RenderableType:
        """All of it, in this many columns and lines."""
        status = self.status
        fetchers, processors = status["fetchers"], status["processors"]
        frame = FRAME + (JOBS_FRAME if self.quarantined else 0)
        wanted = (len(fetchers), len(processors), min(QUARANTINED, self._count))
        given = share_lines(height - frame - LEAST_EVENTS, wanted)
        parts: list[RenderableType] = [self._head(), self._why(), self._pace(), Text()]
        parts += _stages(FETCHERS, fetchers, width, given[0])
        columns: tuple[Column, ...] = PROCESSORS
        if any(each.get("progress") for each in processors):
            columns = TELLING
        parts += [Text(), *_stages(columns, processors, width, given[1])]
        if self.quarantined:
            parts += [Text(), _table(JOBS, self._shown_jobs(given[2]), width)]
        parts += [Text(), *self._events(height - frame - sum(given))]
        return Group(*parts, Text(), self._foot())

    @property
    def _count(self) -> int:
        return len(self.quarantined)

    def _head(self) -> Text:
        accounting = self.status["accounting"]
        # An old status must not look like a new one.
        state = "silent" if self.trouble else self.status["state"]
        head = Text.assemble(
            ("lowtide ", "bold"),
            (state, f"bold {_COLOURS.get(state, '')}"),
            (f" at port {self.port}   ", "dim"),
        )
        counts = [f"{count} {name}" for name, count in accounting.items() if count]
        head.append(", ".join(counts).replace("_", " ") or "nothing fetched yet")
        return _one_line(head)

    def _why(self) -> Text:
        if self.trouble:
            return _one_line(Text(plain(self.trouble), "bold red"))
        return _one_line(Text(plain(self.status["why"]), "bold"))

    def _pace(self) -> Text:
        first, last = self._seen[0], self._seen[-1]
        seconds = last[0] - first[0]
        per_minute = 60 / seconds if seconds > 0 else 0.0
        fetched, done = (max(0, last[i] - first[i]) * per_minute for i in (1, 2))
        text = f"{fetched:.0f} fetched and {done:.0f} done a minute"
        return Text(f"{text}, over {seconds:.0f} s", "dim")

    def _foot(self) -> Text:
        if self.question:
            return _one_line(Text(plain(self.question), "bold cyan"))
        if self.message:
            return _one_line(Text(plain(self.message), "cyan"))
        return _one_line(Text(KEYS + (JOB_KEYS if self.quarantined else ""), "dim"))

    def _shown_jobs(self, count: int) -> list[dict[str, Any]]:
        first = max(0, min(self.chosen - count // 2, self._count - count))
        rows = self.quarantined[first : first + count]
        return [row | {"mark": ">" if row is self.chosen_job else " "} for row in rows]

    def _events(self, count: int) -> list[Text]:
        return [
            _one_line(
                Text.assemble(
                    (f"{each['at'][11:19]} ", "dim"),
                    (f"{plain(each['event']):<20} ", _COLOURS.get(each["level"], "")),
                    plain(each["text"]),
                )
            )
            for each in self.status["events"][-count:]
            if count > 0
        ]


def _seconds(name: str) -> Callable[[Mapping[str, Any]], str]:
    def shown(row: Mapping[str, Any]) -> str:
        seconds = row.get(name)
        if seconds is None:
            return "-"
        return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"  # noqa: PLR2004

    return shown


FETCHERS = (
    Column("fetcher", "name"),
    Column("state", "state"),
    Column("waits for", "waiting_for"),
    Column("buffer", "buffered", number=True),
    Column("demand", "demand", number=True),
    Column("in flight", "in_flight", number=True),
    Column("oldest", _seconds("oldest_job_age_s"), number=True),
    Column("polled", _seconds("last_poll_age_s"), 2, number=True),
    Column("next", _seconds("next_poll_s"), 1, number=True),
    Column("restarts", "restarts", 3, number=True),
)
PROCESSORS = (
    Column("processor", "name"),
    Column("state", "state"),
    Column("waits for", "waiting_for"),
    Column("in flight", "in_flight", number=True),
    Column("demand", "demand", 1, number=True),
    Column("done", "done", number=True),
    Column("failed", "failed", number=True),
    Column("pid", "pid", 3, number=True),
    Column("restarts", "restarts", 2, number=True),
)
#: Where jobs say how far they are, which few do: that takes what is left of the line.
TELLING = (
    *PROCESSORS[:3],
    *(replace(each, rank=each.rank or 1) for each in PROCESSORS[3:]),
    Column("progress", progress_in_words, most=60, least=12),
)
JOBS = (
    Column("", "mark"),
    Column("quarantined", "id"),
    Column("of", "fetcher"),
    Column("attempts", "attempt", number=True),
    Column("error", "error", most=500, least=12),
)


def _stages(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], width: int, lines: int
) -> list[RenderableType]:
    if len(rows) <= lines:
        return [_table(columns, rows, width)]
    shown, rest = rows[: lines - 1], rows[lines - 1 :]
    return [_table(columns, shown, width), _one_line(Text(those_not_shown(rest)))]


def _table(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], width: int
) -> Table:
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    kept = columns_for(columns, rows, width)
    left = width
    for column in kept:
        needed = min(left, column.width(rows))
        left -= needed + GAP
        table.add_column(
            column.heading,
            justify="right" if column.number else "left",
            width=max(1, needed),
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(_cell(column, row) for column in kept))
    return table


def _cell(column: Column, row: Mapping[str, Any]) -> Text:
    text = column.text(row)
    return Text(text, _COLOURS.get(text, "") if column.value == "state" else "")


def _one_line(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
