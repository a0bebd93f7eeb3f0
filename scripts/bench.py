"""Measure what lowtide costs and how fast it is, beside its references and bars."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.model import Bench, Row
from benchmarks.peers.measure import MEASUREMENTS as PEERS
from benchmarks.peers.measure import versions
from benchmarks.peers.on_postgres import MEASUREMENTS as ON_POSTGRES
from benchmarks.peers.on_postgres import ROWS as POSTGRES_ROWS
from benchmarks.peers.rows import BEST, BEST_BULK, BEST_SAFE, PEER_ROWS, best_peers
from benchmarks.rows import MEASUREMENTS, ROWS
from benchmarks.run import Runs

if TYPE_CHECKING:
    from collections.abc import Iterable


def main(words: list[str] | None = None) -> int:
    """Parse, measure, print; returns 0 whether bars are met or not."""
    parser = _parser()
    options = parser.parse_args(words)
    rows = (*ROWS, *PEER_ROWS, *POSTGRES_ROWS) if options.peers else ROWS
    if options.list:
        for row in rows:
            print(f"{row.name:<36} {row.what}")
        return 0
    rows = _selected(parser, rows, options.only)
    runs = _measure(rows, options)
    results = runs.results(rows, (*MEASUREMENTS, *PEERS, *ON_POSTGRES))
    header = f"{report.machine()}; medians of {options.repeat}"
    if options.peers:
        header += f"; {versions()}"
    print(f"{header}\n")
    print(report.as_text(results))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(results), indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(report.as_markdown(results, header))
    return 0


def _measure(rows: Iterable[Row], options: argparse.Namespace) -> Runs:
    needed = {name for row in rows for name in row.numbers}
    if needed & {BEST, BEST_SAFE, BEST_BULK}:
        needed |= {name for each in PEERS for name in each.gives}
    candidates = MEASUREMENTS
    if options.peers:
        candidates += (*PEERS, *ON_POSTGRES)
    measurements = [each for each in candidates if needed & set(each.gives)]
    runs = Runs()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as name:
        runs.measure(Bench(Path(name), options.scale), measurements, options.repeat)
    runs.numbers |= best_peers(runs.numbers)
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
        help="measure Celery, Dramatiq, RQ, huey and taskiq on Redis as well, and "
        "procrastinate beside a journal in PostgreSQL",
    )
    parser.add_argument(
        "--repeat", type=_count, default=3, metavar="N", help="runs of each (3)"
    )
    parser.add_argument(
        "--json", type=_file, metavar="FILE", help="write one JSON object there"
    )
    parser.add_argument(
        "--markdown",
        type=_file,
        metavar="FILE",
        help="write a table for the docs there",
    )
    parser.add_argument(
        "--scale",
        type=_scale,
        default=1.0,
        metavar="X",
        help="times and counts times this; below 1 only to try the script",
    )
    parser.add_argument(
        "--directory",
        type=_directory,
        default=Path("/var/tmp"),  # noqa: S108 - a directory of its own is made in it
        metavar="DIR",
        help="for journals; on a disk (/var/tmp)",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1, got {text!r}")
    return int(text)


def _scale(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (scale := float(text)) < float("inf"):
            return scale
    raise argparse.ArgumentTypeError(f"a number above 0, got {text!r}")


def _file(text: str) -> Path:
    # Told now, and not when everything is measured.
    if Path(text).is_dir() or not os.access(Path(text).absolute().parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"a file to write, got {text!r}")
    return Path(text)


def _directory(text: str) -> Path:
    if not os.access(text, os.W_OK | os.X_OK) or not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"a directory to write in, got {text!r}")
    return Path(text).absolute()


def _selected(
    parser: argparse.ArgumentParser, rows: tuple[Row, ...], only: list[str] | None
) -> tuple[Row, ...]:
    names = [row.name for row in rows]
    for name in only or ():
        if name not in names:
            parser.error(f"no figure {name!r}, expected one of {', '.join(names)}")
    return tuple(row for row in rows if only is None or row.name in only)


if __name__ == "__main__":
    # What was started is ended on the way out, however that comes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
