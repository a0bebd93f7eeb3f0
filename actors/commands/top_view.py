"""What ``top`` shows: a status, drawn for a terminal."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import RenderableType

#: Rates are over so many seconds.
RATE_S = 30.0
#: Quarantined jobs that are shown at a time.
QUARANTINED = 5
#: Events are shown however low the terminal is.
LEAST_EVENTS = 3

KEYS = (
    "[p]ause [r]esume [a]ttach [d]etach  "
    "[j]/[k] choose a job, [t]ry it again, [X] discard it  [q]uit"
)

_COLOURS = {
    "running": "green",
    "paused": "yellow",
    "draining": "yellow",
    "starting": "yellow",
    "backoff": "yellow",
    "fatal": "red",
    "faulted": "red",
    "silent": "red",
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
    """

    port: int
    status: dict[str, Any]
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    chosen: int = 0
    message: str = ""
    _seen: deque[tuple[float, int, int]] = field(default_factory=deque)

    @property
    def chosen_job(self) -> dict[str, Any] | None:
        """The job that the keys are about."""
        return self.quarantined[self.chosen] if self.quarantined else None

    def take(self, status: dict[str, Any], now: float) -> None:
        """Show another status from now on."""
        self.status = status
        accounting = status["accounting"]
        self._seen.append((now, accounting["fetched"], accounting["done"]))
        while now - self._seen[0][0] > RATE_S:
            self._seen.popleft()

    def choose(self, step: int) -> None:
        """Go up or down the quarantined jobs."""
        last = max(0, len(self.quarantined) - 1)
        self.chosen = min(max(0, self.chosen + step), last)

    def rates(self) -> tuple[float, float]:
        """Jobs fetched and done a minute."""
        first, last = self._seen[0], self._seen[-1]
        seconds = last[0] - first[0]
        if seconds <= 0:
            return 0.0, 0.0
        fetched, done = last[1] - first[1], last[2] - first[2]
        return max(0.0, fetched * 60 / seconds), max(0.0, done * 60 / seconds)

    def draw(self, height: int) -> RenderableType:
        """All of it, in so many lines."""
        status = self.status
        parts: list[RenderableType] = [self._head(), self._why(), self._pace()]
        parts.append(Text())
        parts.append(_table(FETCHERS, status["fetchers"]))
        parts += [Text(), _table(PROCESSORS, status["processors"])]
        used = 10 + len(status["fetchers"]) + len(status["processors"])
        if self.quarantined:
            shown = self._shown_jobs()
            parts += [Text(), _table(JOBS, shown)]
            used += len(shown) + 2
        left = max(LEAST_EVENTS, height - used)
        parts += [Text(), *_events(status["events"][-left:])]
        parts += [Text(), self._foot()]
        return Group(*parts)

    def _head(self) -> Text:
        accounting = self.status["accounting"]
        state = self.status["state"]
        head = Text.assemble(
            ("lowtide ", "bold"),
            (state, f"bold {_COLOURS.get(state, '')}"),
            (f" at port {self.port}   ", "dim"),
        )
        counts = [f"{count} {name}" for name, count in accounting.items() if count]
        head.append(", ".join(counts).replace("_", " ") or "nothing fetched yet")
        return _one_line(head)

    def _why(self) -> Text:
        return _one_line(Text(self.status["why"], style="bold"))

    def _pace(self) -> Text:
        fetched, done = self.rates()
        return Text(f"{fetched:.0f} fetched and {done:.0f} done a minute", "dim")

    def _foot(self) -> Text:
        return _one_line(Text(self.message or KEYS, "cyan" if self.message else "dim"))

    def _shown_jobs(self) -> list[dict[str, Any]]:
        first = max(0, min(self.chosen, len(self.quarantined) - QUARANTINED))
        rows = self.quarantined[first : first + QUARANTINED]
        return [row | {"mark": ">" if row is self.chosen_job else " "} for row in rows]


def _seconds(name: str) -> Callable[[dict[str, Any]], str]:
    def shown(row: dict[str, Any]) -> str:
        seconds = row.get(name)
        if seconds is None:
            return "-"
        return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"  # noqa: PLR2004

    return shown


FETCHERS: dict[str, str | Callable[[dict[str, Any]], str]] = {
    "fetcher": "name",
    "state": "state",
    "waits for": "waiting_for",
    "buffer": "buffered",
    "demand": "demand",
    "in flight": "in_flight",
    "oldest": _seconds("oldest_job_age_s"),
    "polled": _seconds("last_poll_age_s"),
    "next": _seconds("next_poll_s"),
    "restarts": "restarts",
}
PROCESSORS: dict[str, str | Callable[[dict[str, Any]], str]] = {
    "processor": "name",
    "state": "state",
    "waits for": "waiting_for",
    "in flight": "in_flight",
    "demand": "demand",
    "done": "done",
    "failed": "failed",
    "pid": "pid",
    "restarts": "restarts",
}
JOBS: dict[str, str | Callable[[dict[str, Any]], str]] = {
    "": "mark",
    "quarantined": "id",
    "of": "fetcher",
    "attempts": "attempt",
    "error": "error",
}
_TEXTS = {"name", "state", "waiting_for", "mark", "id", "fetcher", "error"}


def _table(
    columns: dict[str, str | Callable[[dict[str, Any]], str]],
    rows: Iterable[dict[str, Any]],
) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    for heading, value in columns.items():
        number = value not in _TEXTS
        table.add_column(
            heading,
            justify="right" if number else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(_cell(value, row) for value in columns.values()))
    return table


def _cell(value: str | Callable[[dict[str, Any]], str], row: dict[str, Any]) -> Text:
    if callable(value):
        return Text(value(row))
    shown = row.get(value)
    style = _COLOURS.get(str(shown), "") if value == "state" else ""
    return Text("-" if shown is None else str(shown), style)


def _events(events: list[dict[str, str]]) -> list[Text]:
    return [
        _one_line(
            Text.assemble(
                (f"{each['at'][11:19]} ", "dim"),
                (f"{each['event']:<20} ", _COLOURS.get(each["level"], "")),
                each["text"].replace("\n", " "),
            )
        )
        for each in events
    ]


def _one_line(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
