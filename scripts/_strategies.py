"""Push, event bus and pull over the same domain, under a processor that is slow.

Each strategy polls a number server of its own that never runs dry, for the same
time, and takes the square roots with the same functions of ``domain``. Counted
are the jobs that the API has forgotten and nobody has done: what a crash costs,
and what fills the memory.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.host.control_socket import ControlError, ask
from actors.host.ports import free_port
from actors.host.state_dir import SystemFiles
from domain import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
#: How long the slow processor takes over a job, in seconds.
SLOW_S = 0.02
#: How often is looked, in seconds.
LOOK_S = 0.1
#: More numbers than any strategy takes from the server.
PRELOAD = 200_000


@dataclass(slots=True)
class Seen:
    """What a strategy came to.

    Attributes:
        fetched: Jobs taken from the API.
        done: Jobs that are done; with a bus, by each subscriber.
        most: Jobs in flight at the worst moment.
        first_kib: Memory of the processes when the first job was there.
        peak_kib: Their memory at the most.
    """

    fetched: int = 0
    done: int = 0
    most: int = 0
    first_kib: int = 0
    peak_kib: int = 0

    def look(self, fetched: int, done: int, flying: int, kib: int) -> None:
        """Take a sample into account."""
        self.fetched, self.done = fetched, done
        self.most = max(self.most, flying)
        self.first_kib = self.first_kib or kib
        self.peak_kib = max(self.peak_kib, kib)


def slow_process(job: Any) -> float:
    """Take a root slowly, as a processor behind a slow database does."""
    time.sleep(SLOW_S)
    return numbers.process(job)


def push(url: str, seconds: float) -> Seen:
    """A message per number, to whoever works, whether it can follow or not."""
    return _messages(url, seconds, subscribers=1)


def bus(url: str, seconds: float) -> Seen:
    """Each number published to every subscriber of an event bus."""
    return _messages(url, seconds, subscribers=2)


def pull(url: str, seconds: float) -> Seen:
    """This project: a job leaves the API when there is room, the fetcher on demand."""
    port = free_port()
    with tempfile.TemporaryDirectory() as state:
        config = Path(state, "pull.toml")
        config.write_text(
            f'port = {port}\njournal = "none"\nbuffer = 10\nprocessors = 1\n'
            'process = "_strategies:slow_process"\n'
            f'every_s = 0.01\nurl = "{url}"\nlog_level = "error"\n'
        )
        environment = os.environ | {
            "LOWTIDE_STATE_DIR": state,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}",
        }
        words = [sys.executable, "-m", "actors.main", "--config", str(config)]
        system = subprocess.Popen(words, env=environment)
        try:
            return _watch_system(SystemFiles(Path(state), port), seconds)
        finally:
            system.kill()
            system.wait()


def _watch_system(files: SystemFiles, seconds: float) -> Seen:
    seen = Seen()
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            status = ask(files.socket, {"verb": "status"}, 5.0)
        except ControlError:
            time.sleep(LOOK_S)
            continue
        account = status["accounting"]
        if account["fetched"]:
            if not seen.fetched:
                end = time.monotonic() + seconds
            pids = [each["pid"] for each in status["fetchers"] + status["processors"]]
            flying = account["buffered"] + account["in_flight"] + account["retrying"]
            seen.look(account["fetched"], account["done"], flying, _kib(pids))
        time.sleep(LOOK_S)
    return seen


@dataclass(slots=True)
class _Bench:
    fetched: Any = field(default_factory=lambda: multiprocessing.Value("l", 0))
    done: Any = field(default_factory=lambda: multiprocessing.Value("l", 0))
    queues: list[Any] = field(default_factory=list)

    def poll(self, url: str) -> None:
        while True:
            if (job := numbers.fetch(url)) is None:
                time.sleep(0.01)
                continue
            with self.fetched.get_lock():
                self.fetched.value += 1
            for each in self.queues:
                each.put(job)

    def work(self, queue: Any) -> None:
        while True:
            slow_process(queue.get())
            with self.done.get_lock():
                self.done.value += 1


def _messages(url: str, seconds: float, subscribers: int) -> Seen:
    bench = _Bench(queues=[multiprocessing.Queue() for _ in range(subscribers)])
    processes = [multiprocessing.Process(target=bench.poll, args=(url,), daemon=True)]
    processes += [
        multiprocessing.Process(target=bench.work, args=(each,), daemon=True)
        for each in bench.queues
    ]
    for each in processes:
        each.start()
    seen = Seen()
    for _ in _looks(lambda: bench.fetched.value, seconds):
        fetched, done = bench.fetched.value, bench.done.value
        pids = [each.pid for each in processes]
        seen.look(fetched, done, fetched * subscribers - done, _kib(pids))
    for each in processes:
        each.kill()
        each.join()
    return seen


def _looks(begun: Callable[[], int], seconds: float) -> Iterator[None]:
    while not begun():
        time.sleep(LOOK_S)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(LOOK_S)


def _kib(pids: list[int | None]) -> int:
    return sum(_rss_kib(pid) for pid in pids if pid is not None)


def _rss_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(lines[0].split()[1]) if lines else 0


@contextlib.contextmanager
def _number_server() -> Iterator[str]:
    words = [sys.executable, "-m", "number_server", "--port", "0"]
    words += ["--preload", str(PRELOAD), "--every", "0"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
    finally:
        server.kill()
        server.wait()


def main() -> None:
    """Run all three, one after another, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each (5)")
    seconds = parser.parse_args().seconds
    print(f"a processor that takes {SLOW_S * 1000:g} ms, {seconds:g} s each")
    heads = ("strategy", "fetched", "done", "most in flight", "peak MiB", "grown MiB")
    print("{:<10}{:>10}{:>10}{:>16}{:>10}{:>11}".format(*heads))
    for strategy in (push, bus, pull):
        with _number_server() as url:
            seen = strategy(url, seconds)
        grown = (seen.peak_kib - seen.first_kib) / 1024
        print(
            f"{strategy.__name__:<10}{seen.fetched:>10}{seen.done:>10}"
            f"{seen.most:>16}{seen.peak_kib / 1024:>10.1f}{grown:>11.1f}"
        )


if __name__ == "__main__":
    main()
