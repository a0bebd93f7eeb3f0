"""Measure what lowtide costs and how fast it is, beside its references and bars."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.model import Bench, Row
from benchmarks.peers.measure import MEASUREMENTS as PEERS
from benchmarks.peers.rows import BEST, PEER_ROWS, best_peer
from benchmarks.rows import MEASUREMENTS, ROWS
from benchmarks.run import Runs

if TYPE_CHECKING:
    from collections.abc import Iterable


def main(words: list[str] | None = None) -> int:
    """Parse, measure, print; returns 0 whether bars are met or not."""
    parser = _parser()
    options = parser.parse_args(words)
    rows = (*ROWS, *PEER_ROWS) if options.peers else ROWS
    if options.list:
        for row in rows:
            print(f"{row.name:<36} {row.what}")
        return 0
    rows = _selected(parser, rows, options.only)
    runs = _measure(rows, options)
    results = runs.results(rows, (*MEASUREMENTS, *PEERS))
    print(f"{report.machine()}; medians of {options.repeat}\n")
    print(report.as_text(results))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(results), indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(report.as_markdown(results, options.repeat))
    return 0


def _measure(rows: Iterable[Row], options: argparse.Namespace) -> Runs:
    needed = {name for row in rows for name in row.numbers}
    if BEST in needed:
        needed |= {name for each in PEERS for name in each.gives}
    candidates = (*MEASUREMENTS, *PEERS) if options.peers else MEASUREMENTS
    measurements = [each for each in candidates if needed & set(each.gives)]
    runs = Runs()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as name:
        runs.measure(Bench(Path(name), options.scale), measurements, options.repeat)
    if best := best_peer(runs.numbers):
        runs.numbers[BEST] = best
    return runs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the figures")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="this figure; repeatable"
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="measure Celery, Dramatiq, RQ, huey and taskiq on Redis as well",
    )
    parser.add_argument(
        "--repeat", type=_count, default=3, metavar="N", help="runs of each (3)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write one JSON object there"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write a table for the docs there"
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="X",
        help="times and counts times this; below 1 only to try the script",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("/var/tmp"),  # noqa: S108 - a directory of its own is made in it
        metavar="DIR",
        help="for journals; on a disk (/var/tmp)",
    )
    return parser


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise ValueError
    return count


def _selected(
    parser: argparse.ArgumentParser, rows: tuple[Row, ...], only: list[str] | None
) -> tuple[Row, ...]:
    names = [row.name for row in rows]
    for name in only or ():
        if name not in names:
            parser.error(f"no figure {name!r}, expected one of {', '.join(names)}")
    return tuple(row for row in rows if only is None or row.name in only)


if __name__ == "__main__":
    sys.exit(main())
