"""Where the time of a trivial job goes, in the fetcher and in a processor.

A sampling profiler (py-spy, in an environment of its own) looks at both processes
while jobs go through, at all threads, also at those that wait. A sample counts for
the innermost layer of ours, or Thespian, that is on its stack.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.environment import programs
from benchmarks.model import Bench, MeasureError
from benchmarks.system import System

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REQUIREMENTS = ("py-spy>=0.4",)
SAMPLES_A_S = 250
WARM_UP_S = 1.0
TOP = 12

#: By a part of the file's path; the first that fits.
LAYERS = {
    "/thespian/": "Thespian: messages",
    "/actors/actor_system/worker": "hand-over between threads",
    "/actors/demand/": "rules",
    "/actors/journal/": "journal, with the wait for the disk",
    "/actors/host/": "host",
    "/actors/actor_system/": "our system base: messages",
    "/actors/": "actors",
    "/benchmarks/jobs": "the job's functions",
}
WAITING = "waiting"
OTHER = "the interpreter"
#: Innermost functions that only wait.
WAITERS = ("select (", "Condition.wait (", "Worker._run (", "Gate.passed (")


@dataclass(slots=True)
class Profile:
    """Samples of one process.

    Attributes:
        layers: By thread and layer.
        functions: By function, of what did not wait.
        samples: By thread.
    """

    layers: dict[str, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    functions: Counter[str] = field(default_factory=Counter)

    def add(self, line: str) -> None:
        """Take a line: frames from the outermost one on, and how often."""
        stack, _, text = line.rpartition(" ")
        thread, *frames = stack.split(";")
        count, name = int(text), thread.rpartition(": ")[2]
        layer = layer_of(frames)
        self.layers[name][layer] += count
        if layer != WAITING:
            self.functions[_short(frames[-1])] += count


def layer_of(frames: list[str]) -> str:
    """The layer that a stack counts for."""
    if any(waiter in frames[-1] for waiter in WAITERS):
        return WAITING
    for frame in reversed(frames):
        for part, layer in LAYERS.items():
            if part in frame:
                return layer
    return OTHER


def _short(frame: str) -> str:
    name, _, place = frame.partition(" (")
    path = place.rstrip(")").rpartition(":")[0]
    return f"{name} ({'/'.join(path.split('/')[-2:])})"


def table(title: str, profile: Profile, jobs: int, seconds: float) -> Iterator[str]:
    """What a job costs on the clock of each thread, by layer; in Markdown."""
    threads = sorted(profile.layers, key=lambda name: name != "MainThread")
    yield f"**{title}**: {jobs:,} jobs in {seconds:.1f} s, µs a job"
    yield ""
    names = ["mailbox" if name == "MainThread" else name for name in threads]
    yield "| where | " + " | ".join(names) + " |"
    yield "|---|" + "---:|" * len(threads)
    layers = sum(profile.layers.values(), Counter[str]())
    for layer, _ in layers.most_common():
        cells = (_microseconds(profile, each, layer, jobs, seconds) for each in threads)
        yield f"| {layer} | " + " | ".join(cells) + " |"
    yield ""
    busy = sum(profile.functions.values())
    yield "| function | of what did not wait |"
    yield "|---|---:|"
    for function, count in profile.functions.most_common(TOP):
        yield f"| `{function}` | {count / busy:.0%} |"
    yield ""


def _microseconds(
    profile: Profile, thread: str, layer: str, jobs: int, seconds: float
) -> str:
    counts = profile.layers[thread]
    share = counts[layer] / sum(counts.values())
    return f"{share * seconds / max(1, jobs) * 1e6:,.0f}" if share else ""


def record(system: System, seconds: float, flame: Path | None) -> Iterable[str]:
    """Profile a system's fetcher and one processor; yields the tables."""
    roles = system.roles()
    system.wait_until_done(1, 60)
    time.sleep(WARM_UP_S)
    names = ("source", "worker-1")
    before, began = _done(system), time.monotonic()
    files = [system.directory / f"{name}.raw" for name in names]
    pids = [roles[name] for name in names]
    _spy(pids, files, seconds, "raw")
    after, took_s = _done(system), time.monotonic() - began
    for name, file in zip(names, files, strict=True):
        profile = Profile()
        for line in file.read_text().splitlines():
            profile.add(line)
        title = "fetcher" if name == "source" else "processor"
        yield from table(title, profile, after[name] - before[name], took_s)
    if flame is not None:
        flame.mkdir(parents=True, exist_ok=True)
        drawings = [flame / f"{name}.svg" for name in names]
        _spy(pids, drawings, seconds, "flamegraph")
        yield f"flame graphs: {', '.join(map(str, drawings))}"


def _done(system: System) -> dict[str, int]:
    # One that is busy may be too late for a round of questions: it is asked again.
    status = system.status()
    while any(each["state"] == "silent" for each in status["processors"]):
        status = system.status()
    done = {each["name"]: each["done"] for each in status["processors"]}
    return done | {"source": status["accounting"]["done"]}


def _spy(pids: list[int], files: list[Path], seconds: float, kind: str) -> None:
    spy = str(programs(REQUIREMENTS) / "py-spy")
    words = ["--duration", f"{seconds:.0f}", "--rate", str(SAMPLES_A_S), "--format"]
    words += [kind, "--idle", "--threads", "--full-filenames"]
    spies = [
        subprocess.Popen(
            [spy, "record", "--pid", str(pid), "--output", str(file), *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for pid, file in zip(pids, files, strict=True)
    ]
    for each in spies:
        _, errors = each.communicate(timeout=seconds + 30)
        if each.returncode:
            raise MeasureError(f"py-spy: {errors.strip()[-300:]}")


def main() -> int:
    """Parse, profile, print."""
    parser = argparse.ArgumentParser(prog="scripts/profile", description=__doc__)
    parser.add_argument("--max-demand", default="auto", metavar="N|auto")
    parser.add_argument("--journal", choices=("file", "none"), default="file")
    parser.add_argument("--seconds", type=float, default=5.0, help="(5)")
    parser.add_argument("--flame", type=Path, metavar="DIR", help="draw graphs there")
    options = parser.parse_args()
    demand = options.max_demand
    settings = {"max_demand": int(demand) if demand.isdigit() else demand}
    settings |= {"journal": "none"} if options.journal == "none" else {}
    print(f"{report.machine()}; max_demand {demand}, journal {options.journal}\n")
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as name:
        bench = Bench(Path(name))
        try:
            programs(REQUIREMENTS)  # installed before the clock runs
            with System(bench, **settings) as system:
                for line in record(system, options.seconds, options.flame):
                    print(line)
        except MeasureError as error:
            print(f"profile: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
