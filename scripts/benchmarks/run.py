"""Run measurements, repeatedly, and turn their numbers into results."""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.model import MeasureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.model import Bench, Measurement, Row

BAR_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Result:
    """A row, measured.

    Attributes:
        error: Why it could not be measured, or not in all runs.
    """

    row: Row
    value: float | None = None
    reference: float | None = None
    error: str | None = None

    @property
    def ratio(self) -> float | None:
        """The value in its reference; None without one."""
        if self.value is None or not self.reference:
            return None
        return self.value / self.reference

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is no bar, or no value."""
        if self.row.bar is None or self.value is None:
            return None
        return self.row.bar.met(self.value, self.ratio)

    def json(self) -> dict[str, Any]:
        """For scripts."""
        told: dict[str, Any] = {
            "value": self.value,
            "unit": self.row.unit,
            "reference": self.reference,
            "ratio": self.ratio,
            "reference_name": self.row.reference,
            "bar": self.row.bar.text(self.row.unit) if self.row.bar else None,
            "met": self.met,
        }
        more = {"note": self.row.note, "error": self.error}
        return told | {key: each for key, each in more.items() if each}


@dataclass
class Runs:
    """What all runs came to: numbers by name, errors by measurement."""

    numbers: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def measure(
        self, bench: Bench, measurements: Sequence[Measurement], repeat: int
    ) -> None:
        """Measure everything ``repeat`` times, one round after the other.

        What disturbs the machine for a while then meets one run of each figure and
        of its reference, not all runs of one of them.
        """
        progress = _Progress(
            sum(min(repeat, each.most or repeat) for each in measurements)
        )
        for number in range(repeat):
            for measurement in measurements:
                if number >= (measurement.most or repeat):
                    continue
                progress.show(measurement.name)
                self._measure_once(bench, measurement)
                progress.step()
        progress.end()

    def _measure_once(self, bench: Bench, measurement: Measurement) -> None:
        try:
            numbers = measurement.measure(bench)
        except Exception as error:  # noqa: BLE001 - the others are still measured
            kind = (
                "" if isinstance(error, MeasureError) else f"{type(error).__name__}: "
            )
            text = " ".join(f"{kind}{error}".split())
            self.errors[measurement.name].append(text)
            return
        for name, number in numbers.items():
            self.numbers[name].append(number)

    def results(
        self, rows: Iterable[Row], measurements: Iterable[Measurement]
    ) -> list[Result]:
        """The rows with what was measured for them.

        Args:
            rows: What is to be told.
            measurements: All that there are; one that was not run has no numbers.
        """
        sources = {name: each.name for each in measurements for name in each.gives}
        return [self._result(row, sources) for row in rows]

    def _result(self, row: Row, sources: dict[str, str]) -> Result:
        errors = []
        for name in row.numbers:
            errors += self.errors.get(sources.get(name, ""), [])
            if not self.numbers.get(name):
                why = errors[-1] if errors else f"{name}: only with --peers"
                return Result(row, error=f"not measured: {why}")
        values = [statistics.median(self.numbers[name]) for name in row.numbers]
        failed = f"{len(errors)} runs failed: {errors[-1]}" if errors else None
        reference = values[1] if row.reference else None
        return Result(row, values[0], reference, failed)


class _Progress:
    """How far it is, on standard error: a bar on a terminal, else a line a step."""

    def __init__(self, steps: int) -> None:
        self._steps, self._done = steps, 0
        self._began = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def show(self, name: str) -> None:
        filled = BAR_WIDTH * self._done // self._steps
        passed = int(time.monotonic() - self._began)
        line = (
            f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] "
            f"{self._done}/{self._steps} {passed // 60}:{passed % 60:02} {name}"
        )
        start, end = ("\r\x1b[K", "") if self._is_terminal else ("", "\n")
        print(start + line, end=end, file=sys.stderr, flush=True)

    def step(self) -> None:
        self._done += 1

    def end(self) -> None:
        self.show("done")
        if self._is_terminal:
            print(file=sys.stderr)
