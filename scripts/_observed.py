"""Who looks on while ``scripts/chaos --observed`` runs: hooks, a collector, results."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks.collector import Collector

from actors.journal.file import JournalDamagedError
from actors.journal.follow import MissedError
from actors.journal.stores import follower_of, position_of

if TYPE_CHECKING:
    from pathlib import Path

    from actors.journal.follow import Follower

#: How often to look for more results, in seconds.
LOOK_S = 0.2
CONFIG = """
[hooks]
all = ["chaos_hooks:note", "actors.hooks.otel:tell"]
done = "chaos_hooks:fails"
leased = "chaos_hooks:hangs"
"""
HOOKS = """
import json, os, time

def note(event):
    with open(os.environ["CHAOS_TOLD"], "a") as told:
        told.write(json.dumps([event["event"], event.get("job_id")]) + "\\n")

def fails(event):
    raise ValueError("a hook that fails")

def hangs(event):
    time.sleep(3600)
"""


class Observers:
    """A collector of traces, and a reader of results, beside a system under chaos."""

    def __init__(self, directory: Path) -> None:
        """Write what the system is to be started with."""
        self.config = directory / "observed.toml"
        self.config.write_text(CONFIG)
        (directory / "chaos_hooks.py").write_text(HOOKS)
        self._told = directory / "told"
        self._told.touch()
        self._results: Counter[Any] = Counter()
        self._missed = 0
        self._over = threading.Event()
        self._collector = Collector()
        self._reader: threading.Thread | None = None

    def follow(self, journal: str) -> None:
        """Read results from here on, before the system starts."""
        words = (journal, position_of(journal))
        self._reader = threading.Thread(target=self._read, args=words, daemon=True)
        self._reader.start()

    def environment(self) -> dict[str, str]:
        """What the system has in its environment for them."""
        url = self._collector.url
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "CHAOS_TOLD": str(self._told)}

    def account(self, done: set[Any]) -> dict[str, Any]:
        """Hold what each has seen against the jobs that are done."""
        self._over.set()
        assert self._reader is not None
        self._reader.join()
        self._collector.close()
        hooks = set(self._told.read_text().splitlines())
        told = sum(f'["done", {number}]' in hooks for number in done)
        return {
            "results": len(self._results),
            "results_lost": sorted(done - self._results.keys()),
            "results_beyond_one": self._results.total() - len(self._results),
            "results_missed": self._missed,
            "hook_told_of_done": told,
            "exports_of_traces": self._collector.exports,
        }

    def _read(self, journal: str, place: Any) -> None:
        follower: Follower | None = None
        over = False
        while not over:
            # What is there at the end is read after it.
            over = self._over.wait(LOOK_S)
            try:
                follower = follower or follower_of(journal, place)
                while ends := follower.ends():
                    done = (each.id for each in ends if each.state == "done")
                    self._results.update(done)
            except MissedError as error:
                self._missed += error.count
            except JournalDamagedError:
                continue  # it is not there yet
        if follower is not None:
            follower.close()
