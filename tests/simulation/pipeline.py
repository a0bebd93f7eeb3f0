"""Two fetchers, three processors, and jobs of every temper."""

from __future__ import annotations

import functools
import gc
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actors.config.build import build
from actors.config.values import resolve
from actors.testing.chaos import Profile
from actors.testing.invariants import Violation
from actors.testing.simulation import Account, Simulation

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from actors.config.model import SystemConfig

#: A schedule is short, so that thousands of them can be run.
SHORT = Profile(faults_s=16.0, jobs=5, troubles=2, shots=2, calm=0.1, call_s=2.0)

TEMPERS = ("good", "good", "good", "flaky", "flaky", "bad", "hopeless", "deadly")


#: In some schedules the second step follows when the first dies.
CANCELS = ("temporary", "temporary", "temporary", "transient", "temporary")
#: In those the first asks for what a function says.
MANUAL = 3
#: In those the second source has a state, and hands its jobs out page by page.
PAGED = 4


class HopelessError(Exception):
    permanent = True


class Pipeline:
    """One schedule, and what its jobs did."""

    def __init__(
        self,
        seed: int,
        profile: Profile = SHORT,
        max_demand: int | str | None = None,
        *,
        paged: bool = False,
        named: bool = True,
    ) -> None:
        # Whether jobs have ids of their own: else many are one row of the journal.
        self.named = named
        self.executions: Counter[int] = Counter()
        self.succeeded: Counter[int] = Counter()
        self.reported: Counter[int] = Counter()
        self.simulation = Simulation(
            seed,
            configure(
                max_demand=max_demand or 1 + seed % 3,
                buffer=(3, 5, 1000)[seed % 7 % 3],
                cancel=CANCELS[seed % 5],
                demand="tests:plenty" if seed % 5 == MANUAL else "automatic",
            ),
            {
                "tests:process": self.process,
                "tests:second": self.second,
                "tests:plenty": _ask_for_plenty,
            },
            self.make_job,
            profile,
            paged=("south",) if paged or (named and seed % 6 == PAGED) else (),
        )

    def run(self) -> Account:
        account = self.simulation.run()
        self._check(account)
        return account

    def process(self, job: Any) -> Any:
        number, temper = job["id" if self.named else "number"], job["temper"]
        self.executions[number] += 1
        if temper == "deadly":
            self.simulation.world.kill_running()
        if temper == "hopeless":
            raise HopelessError(number)
        if temper == "bad" or (temper == "flaky" and self.executions[number] < 3):
            raise ValueError(number)
        self.succeeded[number] += 1
        return number * 2

    def make_job(self, draw: Random, number: int) -> dict[str, Any]:
        # One that takes its process down may cost others a second run.
        tempers = TEMPERS if self.simulation.chaos.active else TEMPERS[:-1]
        name = "id" if self.named else "number"
        return {name: number, "temper": draw.choice(tempers)}

    def second(self, result: int) -> int:
        self.reported[result // 2] += 1
        return result + 1

    def _check(self, account: Account) -> None:
        rows = self.simulation.rows
        if not self.named:
            self._check_unnamed(rows, account)
            return
        for row in rows:
            number = int(row["id"])
            expected = self.succeeded[number] and self.reported[number]
            if row["state"] == "done" and not expected:
                raise Violation("every job ends", f"done without being run: {row}")
            if self.executions[number] > max(row["attempt"], 1):
                raise Violation("one lease", f"{self.executions[number]} runs: {row}")
        if len(rows) != account.accounting["fetched"]:
            raise Violation("account", f"{len(rows)} in the journal, {account}")
        if not self.simulation.chaos.active:
            self._check_calm(account)

    def _check_unnamed(self, rows: list[dict[str, Any]], account: Account) -> None:
        # Of a made-up id nothing is known once its job is done.
        if {row["state"] for row in rows} - {"quarantined"}:
            raise Violation("every job ends", f"there is left: {rows}")
        if sum(self.reported.values()) < account.accounting["done"]:
            raise Violation("every job ends", f"{self.reported}, {account}")

    def _check_calm(self, account: Account) -> None:
        if any(count > 1 for count in self.succeeded.values()) or account.lost:
            raise Violation("account", f"{self.succeeded} though nothing went wrong")


def _ask_for_plenty(ask: Callable[[int], None]) -> None:
    ask(1000)


@functools.cache
def configure(
    *, max_demand: int | str, buffer: int, cancel: str, demand: str
) -> SystemConfig:
    flags = {
        "process": "tests:process",
        "processors": "3",
        "every_s": "10",
        # As many as a flaky job needs: the fourth would only wait for a minute.
        "retries": "3",
        "max_demand": str(max_demand),
        "buffer": str(buffer),
    }
    config = build(resolve(flags, {}, None), None)
    [fetcher] = config.fetchers
    fetchers = (replace(fetcher, name="north"), replace(fetcher, name="south"))
    [processor] = config.processors
    first = replace(
        processor, name="first", sources=("north", "south"), count=2, demand=demand
    )
    second = replace(
        processor,
        name="second",
        process="tests:second",
        sources=("first",),
        count=1,
        cancel=cancel,
    )
    processors = (first, second)
    return replace(config, fetchers=fetchers, processors=processors)


def run_seeds(
    seeds: range,
    max_demand: int | str | None = None,
    *,
    paged: bool = False,
    named: bool = True,
) -> list[tuple[int, str]]:
    """Run schedules; returns those that broke, each with what did not hold."""
    # Worlds are full of cycles, and all else here stays: looked through in few
    # goes, and without what stays, they cost a fifth less.
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000)
    broken = []
    for seed in seeds:
        try:
            Pipeline(seed, max_demand=max_demand, paged=paged, named=named).run()
        except Violation as violation:
            broken.append((seed, str(violation)))
    return broken
