"""Text and tables for a terminal: of any width, and of what others have written."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.host.redaction import masked, redact
from actors.host.texts import plain, plain_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.status.model import JobProgress

#: Blanks between two columns.
GAP = 2


def say(*lines: str) -> None:
    """Print an answer, as people may see it: the way out of every verb.

    Args:
        lines: Each is one line, whatever is in it.
    """
    print("\n".join(plain(redact(line)) for line in lines), flush=True)


def say_text(text: str) -> None:
    """Print an answer of several lines that were put together here."""
    say(*text.split("\n"))


def say_json(value: Any, *, indent: int | None = None) -> None:
    """Print an answer for a program, secrets masked by their names, too."""
    # A letter is that letter, where the terminal or the file has it.
    utf8 = (getattr(sys.stdout, "encoding", None) or "").replace("-", "").lower()
    text = json.dumps(masked(value), indent=indent, ensure_ascii=utf8 != "utf8")
    say_text(plain_json(text))


def complain(text: str) -> None:
    """Say on standard error what went wrong."""
    note(f"lowtide: {text}")


def note(text: str) -> None:
    """Say a line on standard error."""
    print(plain(redact(text)), file=sys.stderr, flush=True)


def table(rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...]) -> str:
    """Rows under headings, columns aligned; what is None is shown as a dash."""
    lines = [[column.replace("_", " ") for column in columns]]
    lines += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def short_time(seconds: float | None) -> str | None:
    """A time that may be far below a second, as that of most jobs."""
    if seconds is None:
        return None
    if seconds >= 1:
        return f"{seconds:.1f}"
    return f"{seconds:.6f}".rstrip("0").ljust(len("0.0"), "0")


def progress_in_words(processor: Mapping[str, Any]) -> str | None:
    """How far a processor's jobs are: the first that says so, and how many more do."""
    told: Sequence[JobProgress] = processor.get("progress") or ()
    if not told:
        return None
    fraction = told[0]["fraction"]
    # What is not done is not shown as 100%.
    percent = "" if fraction is None else f"{math.floor(fraction * 100)}%"
    more = f"(+{len(told) - 1})" if len(told) > 1 else ""
    return " ".join(each for each in (percent, told[0]["text"], more) if each) or "?"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else plain(str(value))


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        rank: Of two columns, that with the higher rank is left out first.
        value: A key of the row, or what makes a text of it.
        number: Whether it is set to the right.
        most: Characters of a cell; what is longer is cut.
        least: Characters that do, where there is no room for more.
    """

    heading: str
    value: str | Callable[[Mapping[str, Any]], str | None]
    rank: int = 0
    number: bool = False
    most: int = 24
    least: int | None = None

    def text(self, row: Mapping[str, Any]) -> str:
        """The cell in this row."""
        value = row.get(self.value) if isinstance(self.value, str) else self.value(row)
        text = "-" if value is None else plain(str(value))
        return text if len(text) <= self.most else f"{text[: self.most - 1]}…"

    def width(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """How wide it has to be."""
        return max(len(self.heading), *(len(self.text(row)) for row in rows), 0)


def columns_for(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], width: int
) -> list[Column]:
    """Leave out as many columns as have to be, the last of each rank first."""
    kept = list(columns)
    while len(kept) > 1 and _needed(kept, rows) > width:
        rank = max(column.rank for column in kept)
        last = max(i for i, column in enumerate(kept) if column.rank == rank)
        del kept[last]
    return kept


def _needed(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> int:
    widths = (column.least or column.width(rows) for column in columns)
    return sum(width + GAP for width in widths) - GAP


def share_lines(lines: int, wanted: Sequence[int]) -> list[int]:
    """Deal out lines in turn, until each has what it wants or there are no more.

    Each gets one in any case, if it wants any.
    """
    given = [min(1, want) for want in wanted]
    left = lines - sum(given)
    while left > 0 and given != list(wanted):
        for i, want in enumerate(wanted):
            if given[i] < want and left > 0:
                given[i] += 1
                left -= 1
    return given


def those_not_shown(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line for rows that had no room: how many, in which states."""
    states = [str(row.get("state")) for row in rows]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    return f"and {len(rows)} more: {told}"
