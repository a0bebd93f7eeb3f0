"""How many jobs a second each peer does."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import counts, proc
from benchmarks.environment import is_installed, programs, version
from benchmarks.model import ROOT, MeasureError, Measurement
from benchmarks.over_http import MARGIN, NUMBERS, WITHIN_S, number_server
from benchmarks.peers.catalogue import PEERS, PROCRASTINATE, Peer
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
LOOK_S = 0.01


def peer_rates(bench: Bench, peer: Peer) -> Numbers:
    """Jobs a second: one a task, the same on a synced Redis, and there in bulk.

    They are enqueued while the workers run, as lowtide's fetcher takes its jobs while
    its processors run.
    """
    name = f"peer_{peer.name}"
    return {
        name: _rate(bench, peer, AS_IT_COMES, "one"),
        f"{name}_synced": _rate(bench, peer, SYNCED, "one"),
        f"{name}_bulk": _rate(bench, peer, SYNCED, "bulk"),
    }


def huey_over_http(bench: Bench) -> Numbers:
    """Jobs a second of a loop with `requests` that enqueues numbers for huey."""
    [huey] = [each for each in PEERS if each.name == "huey"]
    # Of an environment of its own, which has both.
    peer = replace(huey, requirements=(*huey.requirements, "requests"))
    count = bench.count(NUMBERS, least=60)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(number_server(count))
        redis = stack.enter_context(_redis(bench, SYNCED))
        run = running(stack, bench, peer, redis, url)
        run.wait_for(int(count * MARGIN))
        before, began = run.done(), time.monotonic()
        run.wait_for(int(count * (1 - MARGIN)), WITHIN_S)
        rate = (run.done() - before) / (time.monotonic() - began)
    return {"peer_huey_http": rate}


def _rate(bench: Bench, peer: Peer, keeping: tuple[str, ...], source: str) -> float:
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(_redis(bench, keeping))
        return steady(bench, running(stack, bench, peer, redis, source))


@contextlib.contextmanager
def _redis(bench: Bench, keeping: tuple[str, ...]) -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(dir=bench.directory) as name,
        redis_server(Path(name), keeping) as url,
    ):
        yield url


def running(
    stack: contextlib.ExitStack, bench: Bench, peer: Peer, broker: str, source: str
) -> PeerRun:
    """A peer with its producer and its workers, until the stack ends.

    Args:
        stack: Ends them.
        bench: How to measure.
        peer: Which.
        broker: The URL of its server.
        source: What its producer enqueues.
    """
    temporary = tempfile.TemporaryDirectory(dir=bench.directory)
    directory = Path(stack.enter_context(temporary))
    run = PeerRun(peer, directory, broker, source)
    if peer.prepare:
        with run.program(*peer.prepare) as prepares:
            prepares.wait(START_WITHIN_S)
    stack.enter_context(run.producer())
    for _ in range(peer.processes):
        stack.enter_context(run.worker())
    return run


def steady(bench: Bench, run: PeerRun) -> float:
    """Jobs a second of a peer that is at work."""
    run.wait_for(1)
    time.sleep(bench.seconds(WARM_UP_S))
    before, began = run.done(), time.monotonic()
    time.sleep(bench.seconds(MEASURE_S))
    count, took_s = run.done() - before, time.monotonic() - began
    if not count:
        raise MeasureError(f"{run.peer.name} did no job: {run.errors()}")
    return count / took_s


@dataclass(frozen=True, slots=True)
class PeerRun:
    """A peer at work: its producer, its workers, and how many jobs are done."""

    peer: Peer
    directory: Path
    broker: str
    source: str

    @property
    def counts(self) -> Path:
        """Where its processes count."""
        path = self.directory / "counts"
        path.mkdir(exist_ok=True)
        return path

    def done(self) -> int:
        """How many jobs are done."""
        return counts.total(self.counts)

    def wait_for(self, count: int, within_s: float = START_WITHIN_S) -> None:
        """Wait until so many are."""
        deadline = time.monotonic() + within_s
        while self.done() < count:
            if time.monotonic() > deadline:
                raise MeasureError(f"{self.peer.name} does nothing: {self.errors()}")
            time.sleep(LOOK_S)

    def errors(self) -> str:
        """What it said last."""
        return (self.directory / "log").read_text(errors="replace")[-300:]

    def producer(
        self,
    ) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """Enqueue jobs for ever."""
        words = ("python", "-m", "benchmarks.peers.producer", self.peer.app)
        return self.program(*words)

    def worker(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """Work at them."""
        words = (word.replace("{redis}", self.broker) for word in self.peer.worker)
        return self.program(*words)

    @contextlib.contextmanager
    def program(self, program: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """One of the peer's programs, while it runs."""
        path = programs(self.peer.requirements)
        environment = os.environ | {
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "scripts"),
            "BENCH_BROKER": self.broker,
            "BENCH_COUNTS": str(self.counts),
            "BENCH_SOURCE": self.source,
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
    peers = (*PEERS, PROCRASTINATE)
    kinds = dict.fromkeys(peer.requirements for peer in peers)
    told += [version(each) for each in kinds if is_installed(each)]
    return ", ".join(each for each in told if each)


MEASUREMENTS = (
    Measurement(
        "peer_huey_http", ("peer_huey_http",), huey_over_http, peers=True, most=2
    ),
    *(
        Measurement(
            f"peer_{peer.name}",
            tuple(f"peer_{peer.name}{end}" for end in ("", "_synced", "_bulk")),
            partial(peer_rates, peer=peer),
            peers=True,
            most=2,
        )
        for peer in PEERS
    ),
)
