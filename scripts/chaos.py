"""Run a system under load while a nemesis works on it, and take the account.

The account is Jepsen's, from two independent records: what the number server says
it served, and what the journal and the log say became of it. A number that was
served and never reached the journal, because its fetcher was killed with the
answer in hand, is counted apart (``in hand``): no client can keep what a source
forgets before it is kept. Every other number must come to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from _observed import Observers

from actors.host.ports import free_port

if TYPE_CHECKING:
    from tests.support.postgres import Server

ROOT = Path(__file__).resolve().parents[1]
NEMESES = ("processor", "fetcher", "root", "admin", "main", "pause", "restart")
#: What may be done to a system with hooks, beside that.
HOOKS = "hooks"
#: Strikes that may cost the one number which a fetcher has in hand.
DEADLY = ("fetcher", "root", "admin", "main")
PROCESSORS = 3
#: So many deaths in five seconds a stage may have, of which it is started again.
RESTARTS = 3
#: A processor that is stopped for longer than this has lost its leases, in seconds.
LEASE_S = 3.0
#: The most jobs that a processor holds with ``--max-demand auto``.
LARGEST_AUTO = 1024
START_WITHIN_S = 30.0
#: The kernel's to keep: a killed main process takes all others with it, though
#: one that syncs to a busy disk ends after that.
GONE_WITHIN_S = 15.0
SETTLE_WITHIN_S = 120.0


@dataclass
class Chaos:
    """One run: a number server, a system, and what was done to it."""

    directory: Path
    options: argparse.Namespace
    chance: random.Random
    done_to_it: Counter[str] = field(default_factory=Counter)
    bad_ends: list[str] = field(default_factory=list)
    last: str = ""
    numbers: subprocess.Popen[str] | None = None
    database: Server | None = None
    url: str = ""
    system: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None
    stopped: dict[int, float] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    observers: Observers | None = None

    def run(self) -> dict[str, Any]:
        """Let the nemesis work, then let the system settle; returns the account."""
        try:
            self.start_numbers()
            self.start_database()
            if self.observers is not None:
                self.observers.follow(self.journal)
            self.start_system()
            began = time.monotonic()
            while not self.is_over(began):
                time.sleep(self.chance.uniform(0.2, 2.0) * self.options.pace)
                self.strike()
                self.show(began)
            self.settle()
            self.stop_system()
            return self.account()
        finally:
            self.end()

    def is_over(self, began: float) -> bool:
        """Whether the nemesis has had its time, or its number of strikes."""
        if self.options.strikes is not None:
            return self.done_to_it.total() >= int(self.options.strikes)
        return time.monotonic() - began >= float(self.options.minutes) * 60

    def start_numbers(self) -> None:
        """Start the source; nothing is done to it."""
        words = ["--port", "0", "--preload", str(self.options.preload)]
        words += ["--every", str(self.options.every), "--seed", str(self.options.seed)]
        self.numbers = subprocess.Popen(
            [sys.executable, "-m", "number_server", *words],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.numbers.stdout is not None
        self.url = self.numbers.stdout.readline().split()[-1]

    def start_database(self) -> None:
        """Start a PostgreSQL server of its own, if jobs are to be kept in one."""
        if self.options.journal == "sqlite":
            return
        sys.path.append(str(ROOT))
        from tests.support import postgres  # noqa: PLC0415 - with pytest

        if (reason := postgres.missing()) is not None:
            raise SystemExit(f"chaos: {reason}")
        self.database = postgres.Server(free_port())

    def start_system(self) -> None:
        """Start the system, and wait until it answers."""
        self.stopped.clear()
        self.struck.clear()
        self.log = (self.directory / "log").open("ab")
        words = ["--url", self.url, "--log-format", "json", "--every", "0.2"]
        words += ["--processors", str(PROCESSORS), "--lease", str(LEASE_S)]
        words += ["--max-demand", self.options.max_demand]
        words += ["--process", "chaos_jobs:process"]
        if self.observers is not None:
            words += ["--config", str(self.observers.config)]
        self.system = subprocess.Popen(
            [sys.executable, "-m", "actors.main", *words],
            stderr=self.log,
            env=self.environment(),
            cwd=ROOT,
        )
        wait(lambda: self.status() is not None, START_WITHIN_S, "the system's start")

    def environment(self) -> dict[str, str]:
        """Everything of this run is in its own directory."""
        observed = {} if self.observers is None else self.observers.environment()
        return (
            os.environ
            | observed
            | {
                "LOWTIDE_STATE_DIR": str(self.directory / "state"),
                "LOWTIDE_JOURNAL": self.journal,
                "LOWTIDE_PORT": str(self.options.port),
                "CHAOS_EFFECTS": str(self.directory / "effects"),
                "PYTHONPATH": f"{ROOT}{os.pathsep}{self.directory}",
            }
        )

    @property
    def journal(self) -> str:
        """Where its jobs are kept."""
        if self.database is not None:
            return self.database.url()
        return str(self.directory / "lowtide.db")

    def strike(self) -> None:
        """Do one thing to the system."""
        self.continue_stopped()
        if self.system is not None and self.system.poll() is not None:
            self.start_system()
        what = self.chance.choice(self.options.nemesis)
        if what == "restart":
            self.stop_system()
            self.start_system()
        elif what == "main":
            self.kill_everything()
            self.start_system()
        elif what == HOOKS:
            for pid in self.processes(b"actors.hooks"):
                kill(int(pid), signal.SIGKILL)
        elif (status := self.status()) is None:
            return
        else:
            self.strike_stage(what, status)
        self.done_to_it[what] += 1
        self.struck[what] += 1
        self.last = what

    def strike_stage(self, what: str, status: dict[str, Any]) -> None:
        """Kill or stop one process below the main one."""
        fetchers = [each["pid"] for each in status["fetchers"] if each["pid"]]
        processors = [each["pid"] for each in status["processors"] if each["pid"]]
        victims = {"fetcher": fetchers, "processor": processors}
        root = parent(fetchers[0]) if fetchers else 0
        # Where one of them has just died, somebody else would be the parent.
        if root > 1 and (admin := parent(root)) > 1:
            victims |= {"root": [root], "admin": [admin]}
        if what == "pause" and (pids := self.may_be_stopped(victims)):
            pid = self.chance.choice(pids)
            kill(pid, signal.SIGSTOP)
            self.stopped[pid] = time.monotonic() + self.chance.uniform(0.1, 5.0)
        elif victims.get(what):
            kill(self.chance.choice(victims[what]), signal.SIGKILL)

    def may_be_stopped(self, victims: dict[str, list[int]]) -> list[int]:
        """Those below the main process; either admin or root, not both at once.

        Of these two one has to run to end all others when the main process is killed.
        """
        above = [*victims.get("root", ()), *victims.get("admin", ())]
        spared = above if self.stopped.keys() & set(above) else ()
        return [e for some in victims.values() for e in some if e not in spared]

    def continue_stopped(self) -> None:
        """Continue those that were stopped for long enough."""
        for pid, until in tuple(self.stopped.items()):
            if time.monotonic() >= until:
                kill(pid, signal.SIGCONT)
                del self.stopped[pid]

    def kill_everything(self) -> None:
        """Kill the main process; the kernel takes all others with it."""
        assert self.system is not None
        self.system.kill()
        self.system.wait()
        end = time.monotonic() + GONE_WITHIN_S
        while left := self.processes():
            if time.monotonic() > end:
                self.bad_ends.append(f"{len(left)} processes outlived the main one")
                return
            time.sleep(0.01)

    def processes(self, word: bytes | None = None) -> list[str]:
        """The processes of this run, the number server not among them.

        Args:
            word: In the command line of those that are meant.
        """
        mark = f"LOWTIDE_STATE_DIR={self.directory}/state".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                words = path.with_name("cmdline").read_bytes().split(b"\0")
                is_meant = word is None or word in words
                if is_meant and mark in path.read_bytes().split(b"\0"):
                    found.append(path.parent.name)
            except OSError:
                continue
        return found

    def stop_system(self) -> None:
        """Stop it in good order."""
        assert self.system is not None
        for pid in self.stopped:
            kill(pid, signal.SIGCONT)
        if self.system.poll() is not None:
            return  # what was done to it before has ended it
        self.system.terminate()
        code = self.system.wait(60)
        if code not in codes_explained(self.struck):
            what = f"stopped with exit code {code} after {self.last}"
            self.bad_ends.append("\n".join([what, *self.log_lines()[-8:]]))

    def settle(self) -> None:
        """Wait until every number that was served has come to its end."""
        self.options.every = 0
        for pid in self.stopped:
            kill(pid, signal.SIGCONT)
        self.stopped.clear()

        def settled() -> bool:
            if self.system is not None and self.system.poll() is not None:
                self.start_system()
            account = (self.status() or {}).get("accounting")
            if account is None or self.served()["waiting"] > 1:
                return False
            left = account["buffered"] + account["in_flight"] + account["retrying"]
            return bool(left <= 1)

        wait(settled, SETTLE_WITHIN_S, "every number at its end")

    def status(self) -> dict[str, Any] | None:
        """What the running system says of itself; None if it says nothing."""
        code, out = self.command("status", "--json")
        return json.loads(out) if code == 0 else None

    def command(self, *words: str) -> tuple[int, str]:
        """Run one of our commands."""
        done = subprocess.run(
            [sys.executable, "-m", "actors.main", *words],
            env=self.environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def served(self) -> dict[str, Any]:
        """What the number server says it did."""
        with urllib.request.urlopen(f"{self.url}/account", timeout=30) as answer:
            account: dict[str, Any] = json.load(answer)
            return account

    def account(self) -> dict[str, Any]:
        """Hold what was served against what became of it."""
        served = set(self.served()["served"])
        journal = {
            state: {each["id"] for each in self.jobs(state)}
            for state in ("done", "quarantined", "ready", "leased", "retrying")
        }
        ended = journal["done"] | journal["quarantined"]
        left = journal["ready"] | journal["leased"] | journal["retrying"]
        log = [json.loads(line) for line in self.log_lines() if line.startswith("{")]
        fetched = {e["job_id"] for e in log if e.get("event") == "job.fetched"}
        runs = Counter((self.directory / "effects").read_text().split())
        executions = sum(count - 1 for count in runs.values())
        observed = (
            {} if self.observers is None else self.observers.account(journal["done"])
        )
        return {
            "served": len(served),
            "done": len(journal["done"]),
            "quarantined": len(journal["quarantined"]),
            "left": len(left),
            "lost": sorted((fetched | ended) - ended - left),
            "in_hand": sorted(served - fetched - ended - left),
            "unexpected": sorted(ended - served),
            "executions_beyond_one": executions,
            "strikes": dict(self.done_to_it),
            "in_hand_allowed": sum(self.done_to_it[each] for each in DEADLY),
            "executions_allowed": self.executions_allowed(),
            "bad_ends": self.bad_ends,
        } | observed

    def executions_allowed(self) -> int:
        """How many second runs the strikes explain."""
        chosen = self.options.max_demand
        window = LARGEST_AUTO if chosen == "auto" else int(chosen)
        one = self.done_to_it["processor"]
        # A fetcher or a root that was stopped for long is killed as well.
        every = self.done_to_it["pause"] + sum(self.done_to_it[e] for e in DEADLY)
        return window * (one + PROCESSORS * every)

    def jobs(self, state: str) -> list[dict[str, Any]]:
        """The journal's jobs in a state."""
        words = ("jobs", "list", "--json", "--limit", "-1", "--state", state)
        code, out = self.command(*words)
        if code != 0:
            raise SystemExit(f"chaos: the journal cannot be read (exit {code})")
        listed: list[dict[str, Any]] = json.loads(out)
        return listed

    def log_lines(self) -> list[str]:
        """Everything that the system logged, over all its runs."""
        return (self.directory / "log").read_text(errors="replace").splitlines()

    def show(self, began: float) -> None:
        """Tell how far it is."""
        passed = time.monotonic() - began
        done = ", ".join(f"{n} {what}" for what, n in sorted(self.done_to_it.items()))
        print(f"\r{passed:5.0f} s: {done}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave no process."""
        print(file=sys.stderr)
        for process in (self.system, self.numbers):
            if process is not None:
                process.kill()
                process.wait()
        if self.numbers is not None and self.numbers.stdout is not None:
            self.numbers.stdout.close()
        if self.log is not None:
            self.log.close()
        if self.database is not None:
            self.database.remove()


def codes_explained(struck: Counter[str]) -> set[int]:
    """With which codes a system may end to which this was done since its start.

    Without its admin it ends with 1 by itself, and on a busy machine not before it
    was struck again. What dies four times in five seconds is given up, with 5; one
    that was stopped for long is killed as well.
    """
    codes = {0, 4}
    if struck["admin"]:
        # One that ends by itself has given its signals back before it is gone.
        codes |= {1, -signal.SIGTERM}
    most = max(struck[each] for each in ("processor", "fetcher", "root"))
    if most + struck["pause"] > RESTARTS:
        codes.add(5)
    return codes


def wait(condition: Any, within_s: float, what: str) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"chaos: {what}: not within {within_s:g} s")
        time.sleep(0.1)


def kill(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone already is as good."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def parent(pid: int) -> int:
    """The process that started this one; 0 if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


JOBS = """
import math, os, time

class Refused(Exception):
    permanent = True

def process(job):
    if job["id"] % 41 == 7:
        raise Refused(job["id"])
    with open(os.environ["CHAOS_EFFECTS"], "ab", buffering=0) as effects:
        effects.write(b"%d\\n" % job["id"])
    time.sleep(job["id"] % 7 / 100)
    return math.sqrt(job["number"])
"""


def main() -> int:
    """Parse, run, print the account; returns 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--strikes", type=int, help="instead of --minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--preload", type=int, default=0, help="numbers at the start")
    parser.add_argument("--every", type=float, default=0.05, help="a new number")
    parser.add_argument("--pace", type=float, default=1.0, help="of the nemesis")
    parser.add_argument("--max-demand", default="1", metavar="N|auto")
    stores = ("sqlite", "postgresql")
    parser.add_argument("--journal", choices=stores, default="sqlite", help="in what")
    parser.add_argument("--nemesis", nargs="+", choices=NEMESES, default=NEMESES)
    parser.add_argument(
        "--observed",
        action="store_true",
        help="with hooks, one of which fails and one hangs, traces and a reader of "
        "results; the process of hooks is killed as well",
    )
    options = parser.parse_args()
    if options.observed:
        options.nemesis = (*options.nemesis, HOOKS)
    options.port = free_port()
    with tempfile.TemporaryDirectory(prefix="lowtide-chaos-") as name:
        directory = Path(name)
        (directory / "chaos_jobs.py").write_text(JOBS)
        (directory / "effects").touch()
        chaos = Chaos(directory, options, random.Random(options.seed))
        if options.observed:
            chaos.observers = Observers(directory)
        account = chaos.run()
    print(json.dumps(account))
    return int(not is_good(account))


def is_good(account: dict[str, Any]) -> bool:
    """Whether the account is within what the strikes explain."""
    return not (
        account["lost"]
        or account["unexpected"]
        or account["bad_ends"]
        or account.get("results_lost")
        or account.get("results_beyond_one")
        or account.get("results_missed")
        or len(account["in_hand"]) > account["in_hand_allowed"]
        or account["executions_beyond_one"] > account["executions_allowed"]
    )


if __name__ == "__main__":
    sys.exit(main())
