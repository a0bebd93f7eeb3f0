"""One schedule from one seed: things go wrong for a while, then every job ends."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from actors.testing.chaos import Chaos, Profile
from actors.testing.invariants import Invariants, Violation
from actors.testing.source import Source
from actors.testing.troubles import Troubles
from actors.testing.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from random import Random

    from actors.config.model import SystemConfig
    from actors.testing.base import Node

#: How much virtual time the jobs get to end once nothing goes wrong, in seconds.
HEALED_WITHIN_S = 4 * 3600.0
#: More than this does not happen in one virtual second, unless something spins.
MOST_STEPS = 20_000
#: A system that has ended is started again after so long, in seconds.
RESTART_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How a schedule ended.

    Attributes:
        seed: What it was drawn from.
        handed_out: Jobs that the sources gave.
        duplicates: Those of them that had come before.
        kept: Those of them that came into the journal.
        lost: Those that a fetcher had not yet kept when it died.
        accounting: The system's own account of the others.
        runs: How often the system was started.
        troubles: What went wrong.
        virtual_s: How long it took, in virtual seconds.
        digest: Of all messages; the same seed gives the same.
    """

    seed: int
    handed_out: int
    duplicates: int
    kept: int
    lost: int
    accounting: dict[str, int]
    runs: int
    troubles: tuple[str, ...]
    virtual_s: float
    digest: int


class Simulation:
    """Runs a configuration through one schedule.

    Args:
        seed: Of everything that is left to chance.
        config: What to run; its fetchers' functions are not called.
        functions: In place of what the configuration names.
        make_job: From chance and a number to a job; numbers are not used twice.
        profile: How long and how hard.
        paged: Fetchers whose sources have a state: a list that grows, and is handed
            out page by page. Their jobs have an ``id``.

    Attributes:
        each_second: Called once in each virtual second in which something happens.
    """

    def __init__(
        self,
        seed: int,
        config: SystemConfig,
        functions: dict[str, Callable[..., Any]],
        make_job: Callable[[Random, int], Any],
        profile: Profile | None = None,
        paged: Collection[str] = (),
    ) -> None:
        self.seed = seed
        self.chaos = Chaos(seed, profile or Profile())
        self.watch = _Watch()
        self.sources: dict[str, Source] = {
            each.name: (_Paged if each.name in paged else _Watched)(
                each.name, self.watch
            )
            for each in config.fetchers
        }
        fetchers = tuple(
            replace(each, fetch=f"source:{each.name}") for each in config.fetchers
        )
        sources = {f"source:{name}": each for name, each in self.sources.items()}
        self.world = self.make_world(
            replace(config, fetchers=fetchers),
            {**functions, **sources},
            self.chaos,
            self.watch,
        )
        self.watch.world = self.world
        self._troubles = Troubles(self.world, self.chaos)
        self._make_job = make_job
        self._made = 0
        self._start_due = False
        self._second, self._steps = 0.0, 0
        self.each_second: Callable[[], None] = lambda: None
        self.rows: list[dict[str, Any]] = []

    def make_world(
        self,
        config: SystemConfig,
        functions: dict[str, Callable[..., Any]],
        faults: Chaos,
        observer: Invariants,
    ) -> World:
        """What the configuration runs in."""
        return World(config, functions, faults, observer)

    def run(self) -> Account:
        """Run it to its end.

        Raises:
            Violation: Something did not hold.
        """
        try:
            return self._run()
        finally:
            self.world.close()

    def _run(self) -> Account:
        profile = self.chaos.profile
        self.world.start()
        self._put_down_jobs(profile)
        self._troubles.put_down(profile.faults_s)
        end = self.world.agenda.now + profile.faults_s
        while self._step(end):
            self._look()
        self._heal()
        self._until(self._idle, "every job ends")
        accounting = self._ask({"verb": "stop"})["accounting"]
        self.rows = self.world.journal_rows()
        self._check_end(accounting)
        return self._account(accounting)

    def _put_down_jobs(self, profile: Profile) -> None:
        draw = self.chaos.random
        for _ in range(draw.randint(1, profile.jobs)):
            source = draw.choice(list(self.sources.values()))
            job = self._make_job(draw, self._made)
            self._made += 1
            copies = 2 if draw.random() < _REPEATED and _has_id(job) else 1
            at = draw.uniform(0.0, profile.faults_s)
            self.world.agenda.after(at, _pusher(source, [job] * copies))

    def _look(self) -> None:
        if self.watch.violation is not None:
            raise self.watch.violation
        if not self.world.running and not self._start_due:
            self._start_due = True
            self.world.agenda.after(RESTART_S, self._start)

    def _start(self) -> None:
        self._start_due = False
        self.world.kill()
        self.world.start()

    def _heal(self) -> None:
        self._troubles.heal()
        # Every processor may be detached or fatal: whoever runs such a system
        # would start it anew.
        if not self.world.working():
            self.world.kill()
        self.chaos.done.append("healed")

    def _idle(self) -> bool:
        # Asked after each step: what is cheap to see comes first.
        if self.world.base.in_flight or any(map(self._has_more, self.sources)):
            return False
        started = self.world.running and self.world.started
        return started and not self.watch.unkept() and self.world.at_rest()

    def _has_more(self, name: str) -> bool:
        if not self.sources[name]:
            return False
        # A full quarantine stops the polling until somebody decides.
        node = self.world.base.named(name)
        producer = getattr(node.stage, "producer", None) if node else None
        return producer is None or not producer.store.is_quarantine_full

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        request = self.world.command(command)
        self._until(lambda: request.reply is not None, "every command is answered")
        assert request.reply is not None  # noqa: S101 - it was waited for
        return request.reply

    def _step(self, until: float) -> bool:
        agenda = self.world.agenda
        self._steps += 1
        if agenda.now >= self._second + 1.0:
            self._second, self._steps = agenda.now, 0
            self.each_second()
        if self._steps > MOST_STEPS:
            raise Violation("rest", f"busy without end: {agenda.now - 1000:.3f} s")
        return agenda.step(until)

    def _until(self, reached: Callable[[], bool], invariant: str) -> None:
        agenda = self.world.agenda
        deadline = agenda.now + HEALED_WITHIN_S
        while not reached():
            if not self._step(deadline):
                raise Violation(invariant, f"not so: {self.world.left()}")
            self._look()

    def _check_end(self, accounting: dict[str, int]) -> None:
        watch = self.watch
        handed_out = sum(len(each.handed_out) for each in self.sources.values())
        known = watch.kept + watch.duplicates + len(watch.lost)
        # Without a journal the account is the last run's only.
        if self.world.config.journal is not None:
            if handed_out != known or accounting["fetched"] != watch.made:
                watch.fail(
                    "account",
                    (
                        f"{handed_out} handed out, {watch.kept} kept as {watch.made}, "
                        f"{accounting}, {watch.duplicates} duplicates, lost with a "
                        f"process: {watch.lost}"
                    ),
                )
            self._check_journal(accounting)
        if watch.violation is not None:
            raise watch.violation

    def _check_journal(self, accounting: dict[str, int]) -> None:
        rows = self.rows
        states = Counter(row["state"] for row in rows)
        if states["quarantined"] != accounting["quarantined"]:
            self.watch.fail("account", (f"{states} in the journal, {accounting}"))
        for row in rows:
            if row["state"] == "quarantined":
                handed_out = self.sources[row["fetcher"]].handed_out
                if not (
                    row["payload"] is not None
                    and json.loads(row["payload"]) in handed_out
                ):
                    self.watch.fail(
                        "every job ends",
                        (f"the payload of a quarantined job is not kept: {row}"),
                    )

    def _account(self, accounting: dict[str, int]) -> Account:
        return Account(
            seed=self.seed,
            handed_out=sum(len(each.handed_out) for each in self.sources.values()),
            duplicates=self.watch.duplicates,
            kept=self.watch.kept,
            lost=len(self.watch.lost),
            accounting=accounting,
            runs=self.world.runs,
            troubles=tuple(self.chaos.done),
            virtual_s=self.world.agenda.elapsed,
            digest=self.watch.digest,
        )


#: The share of jobs that a source hands out twice.
_REPEATED = 0.05
#: Jobs that a source with a state hands out together, at the most.
_PAGE = 3


class _Watch(Invariants):
    digest = 0

    def sent(self, sender: Node, receiver: Node | None, message: Any) -> None:
        super().sent(sender, receiver, message)
        line = f"{self.world.agenda.now:.6f} {sender.name} {type(message).__name__}"
        self.digest = zlib.crc32(line.encode(), self.digest)


class _Watched(Source):
    def __init__(self, name: str, watch: Invariants) -> None:
        super().__init__()
        self._name = name
        self._watch = watch

    def __call__(self, **options: Any) -> Any:
        job = super().__call__(**options)
        if job is not None:
            self._watch.fetched(self._name, job)
        return job


class _Paged(Source):
    """A list that only grows; its state is how much of it was handed out."""

    def __init__(self, name: str, watch: Invariants) -> None:
        super().__init__()
        self._name = name
        self._watch = watch
        self._list: list[Any] = []
        watch.paged(name, self._list)

    def __len__(self) -> int:
        return len(self._list) - self._watch.positions[self._name]

    def __call__(self, state: int | None = None, **_: Any) -> Any:
        """The page after a position."""
        at = state or 0
        jobs = self._list[at : at + _PAGE]
        if not jobs:
            self.emptied += 1
        self.handed_out += jobs
        self._watch.page(self._name, jobs)
        return jobs, at + len(jobs)

    def push(self, jobs: Iterable[Any]) -> None:
        """Let the list grow."""
        self._list += jobs


def _pusher(source: Source, jobs: list[Any]) -> Callable[[], None]:
    return lambda: source.push(jobs)


def _has_id(job: Any) -> bool:
    return isinstance(job, dict) and "id" in job
