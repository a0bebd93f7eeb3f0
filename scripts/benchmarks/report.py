"""The results, for people, for scripts and for the docs."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.run import Result

HEADS = ("figure", "value", "unit", "reference", "ratio", "bar", "")
QUEUE_HEADS = (
    "jobs/s",
    "in memory",
    "synced",
    "in bulk, synced",
    "what it promises of a job",
)


def machine() -> str:
    """The machine, as far as it matters for the figures."""
    cores = len(os.sched_getaffinity(0))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{cores} cores, {platform.machine()}, {platform.system()}, {python}"


def as_json(results: Iterable[Result]) -> dict[str, Any]:
    """An object with one member a figure."""
    return {each.row.name: each.json() for each in results}


def as_text(results: Sequence[Result]) -> str:
    """A table for a terminal."""
    rows = [HEADS, *(_cells(each) for each in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if column in (0, 2, 5, 6) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_markdown(results: Sequence[Result], header: str) -> str:
    """The same for the docs: one table, and one of the peers where there are any."""
    ours = [each for each in results if not _is_peer(each)]
    lines = [
        f"{header}.",
        "",
        *_markdown_table(HEADS, ("", "r", "", "r", "r", "", ""), map(_cells, ours)),
    ]
    if len(ours) < len(results):
        aligned = ("", "r", "r", "r", "")
        lines += ["", *_markdown_table(QUEUE_HEADS, aligned, _queue_cells(results))]
    return "\n".join(lines) + "\n"


def _markdown_table(
    heads: Sequence[str], aligned: Sequence[str], rows: Iterable[Sequence[str]]
) -> list[str]:
    rules = ["---:" if each else "---" for each in aligned]
    return ["| " + " | ".join(row) + " |" for row in (heads, rules, *rows)]


def _is_peer(result: Result) -> bool:
    return result.row.name.startswith("peer_")


def _queue_cells(results: Iterable[Result]) -> list[list[str]]:
    """Ours and the peers, one a line, by where a job is kept."""
    lines: dict[str, list[str]] = {}
    for each in results:
        if each.row.note:
            name, column = _place(each)
            line = lines.setdefault(name, [name, "", "", "", each.row.note])
            line[column] = number(each.value)
            if each.error and each.error not in line[-1]:
                line[-1] += f"; {each.error}"
    return list(lines.values())


def _place(result: Result) -> tuple[str, int]:
    name, what = result.row.name, result.row.what
    if not _is_peer(result):
        return f"**lowtide**: {what}", 1 if name.endswith("_memory") else 2
    column = 2 if name.endswith("_synced") else 3 if name.endswith("_bulk") else 1
    return what.partition(":")[0], column


def _cells(result: Result) -> tuple[str, ...]:
    row = result.row
    bar = row.bar.text(row.unit) if row.bar else ""
    reference = f"{row.reference} {number(result.reference)}" if row.reference else ""
    met = {True: "met", False: "NOT MET", None: ""}[result.met]
    verdict = "; ".join(each for each in (met, result.error) if each)
    ratio = number(result.ratio) if result.ratio is not None else ""
    return (row.what, number(result.value), row.unit, reference, ratio, bar, verdict)


def number(value: float | None) -> str:
    """Three digits that say something."""
    if value is None:
        return "-"
    if abs(value) >= 100:  # noqa: PLR2004 - no decimals from here on
        return f"{value:,.0f}"
    return f"{value:.3g}"
