"""How many jobs a second each peer does."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import counts, proc
from benchmarks.environment import is_installed, programs, version
from benchmarks.model import ROOT, MeasureError, Measurement
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.redis_server import (
    AS_IT_COMES,
    SYNCED,
    redis_server,
    redis_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.model import Bench, Numbers

START_WITHIN_S = 30.0
GONE_WITHIN_S = 5.0
WARM_UP_S = 1.5
MEASURE_S = 3.0
#: Jobs that lie ready where the queue is full before the workers start.
FULL = 5000
LOOK_S = 0.01


def peer_rates(bench: Bench, peer: Peer) -> Numbers:
    """Jobs a second: all the way, the same on a synced Redis, and from a full queue.

    All the way: they are enqueued, one a task, while the workers run, as lowtide's
    fetcher takes its jobs while its processors run.
    """
    name = f"peer_{peer.name}"
    return {
        name: _rate(bench, peer, AS_IT_COMES, ahead=0),
        f"{name}_synced": _rate(bench, peer, SYNCED, ahead=0),
        f"{name}_full": _rate(bench, peer, AS_IT_COMES, ahead=bench.count(FULL)),
    }


def _rate(bench: Bench, peer: Peer, keeping: tuple[str, ...], ahead: int) -> float:
    with contextlib.ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(dir=bench.directory)
        directory = Path(stack.enter_context(temporary))
        redis = stack.enter_context(redis_server(directory, keeping))
        run = _Run(peer, directory, redis)
        if ahead:
            with run.producer(ahead) as producer:
                producer.wait()
        else:
            stack.enter_context(run.producer(0))
        for _ in range(peer.processes):
            stack.enter_context(run.worker())
        return _steady(bench, run, ahead)


def _steady(bench: Bench, run: _Run, limit: int) -> float:
    run.wait_for(1)
    if not limit:
        time.sleep(bench.seconds(WARM_UP_S))
    before, began = run.done(), time.monotonic()
    end = began + bench.seconds(MEASURE_S)
    while time.monotonic() < end and not (limit and run.done() >= limit * 0.95):
        time.sleep(LOOK_S)
    count, took_s = run.done() - before, time.monotonic() - began
    if not count:
        raise MeasureError(f"{run.peer.name} did no job: {run.errors()}")
    return count / took_s


@dataclass(frozen=True, slots=True)
class _Run:
    peer: Peer
    directory: Path
    redis: str

    @property
    def counts(self) -> Path:
        path = self.directory / "counts"
        path.mkdir(exist_ok=True)
        return path

    def done(self) -> int:
        return counts.total(self.counts)

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while self.done() < count:
            if time.monotonic() > deadline:
                raise MeasureError(f"{self.peer.name} does nothing: {self.errors()}")
            time.sleep(LOOK_S)

    def errors(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-300:]

    def producer(
        self, limit: int
    ) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        words = ("python", "-m", "benchmarks.peers.producer", self.peer.app)
        return self._program(*words, str(limit))

    def worker(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        words = (word.replace("{redis}", self.redis) for word in self.peer.worker)
        return self._program(*words)

    @contextlib.contextmanager
    def _program(self, program: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        path = programs(self.peer.requirements)
        environment = os.environ | {
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "scripts"),
            "BENCH_REDIS": self.redis,
            "BENCH_COUNTS": str(self.counts),
        }
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(path / program), *words],
                env=environment | dict(self.peer.environment),
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    pids = proc.descendants(process.pid)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    process.wait()
    proc.gone(pids, GONE_WITHIN_S)


def versions() -> str:
    """The peers that are installed, and Redis, with their versions."""
    told = [redis_version()]
    kinds = dict.fromkeys(peer.requirements for peer in PEERS)
    told += [version(each) for each in kinds if is_installed(each)]
    return ", ".join(each for each in told if each)


MEASUREMENTS = tuple(
    Measurement(
        f"peer_{peer.name}",
        tuple(f"peer_{peer.name}{end}" for end in ("", "_synced", "_full")),
        partial(peer_rates, peer=peer),
        peers=True,
    )
    for peer in PEERS
)
