"""Rows 43 and 44 for long: three hosts, and whatever befalls the lines between them.

A quarter of an hour; TEST_ROUNDS says how many rounds, TEST_SEED which.
"""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import wait_until
from tests.support.hosts import Host, Network, run
from tests.support.relay import Relay

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.alone]

Start = Callable[..., Any]
Take = Callable[..., Any]

ROUNDS = int(os.environ.get("TEST_ROUNDS", "30"))
SEED = int(os.environ.get("TEST_SEED", "1"))
#: Which troubles, by their names; all of them where nothing is said.
KINDS = os.environ.get("TEST_KINDS", "")
#: A machine is back so long after its line is, in seconds.
BACK_S = 15.0
#: An answer of ``status`` takes so long at the most, in seconds; a core that has much
#: else to do gives it no more than once in a hundred.
STATUS_S = 1.0
PROCESSORS = {"alpha": 2, "beta": 2}
#: How long a silence each bears: the default, and one that is longer than ``BACK_S``.
LIMITS_S = {"alpha": "60", "beta": "5"}
NAME = "leader.lowtide.test"


@pytest.fixture(autouse=True)
def key(env: dict[str, str]) -> None:
    env["LOWTIDE_CLUSTER_KEY"] = "a key of all machines, 32 bytes or more"


@pytest.fixture
def names(network: Network) -> Iterator[Callable[[str], None]]:
    """Say where the leader's name leads, on every host."""
    made: list[Path] = []

    def lead_to(*addresses: str) -> None:
        for host in network.hosts:
            file = Path("/etc/netns") / host.space / "hosts"
            file.parent.mkdir(parents=True, exist_ok=True)
            made.append(file)
            lines = [f"{each} {NAME}\n" for each in ("198.19.255.1", *addresses)]
            # In place: what runs there has this very file mounted.
            file.write_text("127.0.0.1 localhost\n" + "".join(lines))

    yield lead_to
    for file in set(made):
        file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            file.parent.rmdir()


class Watch:
    """Asks for the status every half second, and notes how long that takes."""

    def __init__(self, system: Any) -> None:
        self.took_s: list[float] = []
        self.errors: list[str] = []
        self._system = system
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(0.5):
            began = time.monotonic()
            try:
                accounting = self._system.status(patient=False)["accounting"]
            except Exception as error:  # noqa: BLE001 - noted
                self.errors.append(str(error))
                continue
            self.took_s.append(time.monotonic() - began)
            fetched = accounting.pop("fetched")
            if fetched != sum(accounting.values()):
                self.errors.append(f"{fetched} fetched, {accounting}")

    def close(self) -> None:
        self._end.set()
        self._thread.join(30)


class Rounds:
    """One trouble after another, each undone before the next."""

    def __init__(
        self, network: Network, numbers: Any, leader: Any, join: Start, lead_to: Any
    ) -> None:
        self.draw = random.Random(SEED)
        self.network, self.numbers, self.leader = network, numbers, leader
        self.join, self.lead_to = join, lead_to
        self.members: dict[str, tuple[Any, Host]] = {}
        self.address = network.address
        self._addresses = itertools.count(200)
        self.killed = self.made = 0
        self.in_hand: list[slice] = []

    @property
    def kinds(self) -> list[Callable[[Host], None]]:
        if KINDS:
            return [getattr(self, each) for each in KINDS.split(",")]
        return [
            self.cut,
            self.flap,
            self.lose,
            self.slow,
            self.kill_processor,
            self.kill_machine,
            self.kill_here,
            self.kill_fetching,
            self.move,
        ]

    def cut(self, host: Host) -> None:
        host.cut()
        time.sleep(self.draw.choice((1.0, 3.0, 8.0, 15.0)))
        host.heal()

    def flap(self, host: Host) -> None:
        for _ in range(8):
            host.cut()
            time.sleep(self.draw.uniform(0.1, 0.6))
            host.heal()
            time.sleep(self.draw.uniform(0.1, 0.6))

    def lose(self, host: Host) -> None:
        host.lose(30)
        time.sleep(8.0)
        host.keep()

    def slow(self, host: Host) -> None:
        host.slow(64)
        time.sleep(15.0)
        host.fast()

    def kill_processor(self, host: Host) -> None:
        there = self.leader.status()["processors"]
        pids = [each["pid"] for each in there if each["host"] == host.name]
        self.killed += 1
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(self.draw.choice(pids), signal.SIGKILL)

    def kill_machine(self, host: Host) -> None:
        member, _ = self.members[host.name]
        self.killed += PROCESSORS[host.name]
        member.kill_all()
        self.start(host)

    def kill_here(self, host: Host) -> None:
        # The fetcher, with nothing in hand that this source would not give again:
        # what is out may be run again.
        def fetched() -> int:
            count: int = self.leader.status()["accounting"]["fetched"]
            return count

        wait_until(lambda: fetched() >= self.made - len(self.in_hand), "all is fetched")
        # One that is missing may have gone with an earlier hand, or be in this one.
        self.kill_fetcher(has_all=fetched() >= self.made)

    def kill_fetching(self, host: Host) -> None:
        """The fetcher, with a number in hand that its source has forgotten."""
        self.add(60)
        time.sleep(self.draw.uniform(0.0, 0.5))
        self.kill_fetcher(has_all=False)
        # So many take their time, which says nothing of lines.
        wait_until(self.are_back, "all is worked off", 60.0)

    def kill_fetcher(self, *, has_all: bool) -> None:
        [fetcher] = self.leader.status()["fetchers"]
        before = len(self.numbers.account()["served"])
        self.killed += sum(PROCESSORS.values())
        os.kill(fetcher["pid"], signal.SIGKILL)
        after = len(self.numbers.account()["served"])
        # The one that was served last when it died, or one that it had just asked for.
        if not has_all:
            self.in_hand.append(slice(max(0, before - 1), after + 1))

    def are_traced(self, lost: tuple[int, ...]) -> bool:
        """Whether each of them was in the hand of a fetcher that was killed."""
        left, served = set(lost), self.numbers.account()["served"]
        for hand in self.in_hand:
            left -= set(sorted(left & set(served[hand]))[:1])
        return not left

    def move(self, host: Host) -> None:
        """The leader's host gets another address."""
        former, number = self.address, next(self._addresses)
        self.address = f"{self.network.address.rpartition('.')[0]}.{number}"
        bridge = self.network.bridge
        run("ip", "addr", "add", f"{self.address}/24", "dev", bridge)
        run("ip", "addr", "del", f"{former}/24", "dev", bridge)
        # Deleting a first address takes those of its network along.
        with contextlib.suppress(Exception):
            run("ip", "addr", "add", f"{self.address}/24", "dev", bridge)
        self.lead_to(self.address)

    def start(self, host: Host, port: int | None = None) -> None:
        port = port or self.members_port[host.name]
        system = self.join(
            f"{NAME}:{port}",
            *("--name", host.name, "--processors", str(PROCESSORS[host.name])),
            *("--machine-timeout", LIMITS_S[host.name]),
            prefix=host.prefix,
            ready=False,
        )
        self.members[host.name] = (system, host)

    members_port: dict[str, int]

    def add(self, count: int) -> None:
        """Have the source hand out so many more."""
        self.numbers.add(*range(self.made, self.made + count))
        self.made += count

    def are_back(self) -> bool:
        """Whether all are there, and have nothing left to do."""
        status = self.leader.status(patient=False)
        there = status["processors"]
        works = [e["host"] for e in there if e["state"] not in {"away", "silent"}]
        if any(works.count(name) != n for name, n in PROCESSORS.items()):
            return False
        left = ("buffered", "in_flight", "retrying")
        return not any(status["accounting"][each] for each in left)

    def work_again(self) -> Callable[[], bool]:
        """Whether each machine has done a job that came after now, and nothing is left.

        A line that is dead looks like one that is quiet until something is to cross.
        """
        before = len(self.leader.all_of("job.done"))
        more = itertools.accumulate(itertools.repeat(2), operator.mul)

        def all_do() -> bool:
            done = self.leader.all_of("job.done")[before:]
            where = {each["processor"].partition("/")[0] for each in done}
            if where != set(PROCESSORS):
                # Whoever asks for the most is given all there is; where windows are
                # large, that is the same one for a while.
                if self.are_back():
                    self.add(next(more))
                return False
            return self.are_back()

        self.add(4 * len(PROCESSORS))
        return all_do


@pytest.mark.timeout(3000)
def test_43_rounds_of_everything_lose_nothing_and_all_come_back(
    network: Network,
    names: Callable[..., None],
    start_numbers: Start,
    start_system: Start,
    join_system: Start,
    settle: Take,
    window: Any,
) -> None:
    numbers = start_numbers("--every", "0")
    leader = start_system(
        *("--url", numbers.url, "--bind", "0.0.0.0", "--every", "0.2"),  # noqa: S104
        *("--process", "jobs:padded_root", "--processors", "0"),
    )
    rounds = Rounds(network, numbers, leader, join_system, names)
    # One of the two has 300 ms there and back.
    relay = Relay(lambda: (rounds.address, leader.port), delay_s=0.15)
    rounds.members_port = {"alpha": leader.port, "beta": relay.port}
    hosts = [network.host(name) for name in PROCESSORS]
    names(network.address)
    for host in hosts:
        rounds.start(host)
    wait_until(rounds.are_back, "all machines are in")
    watch, slowest_s = Watch(leader), 0.0
    for number in range(ROUNDS):
        rounds.add(20)
        kind = rounds.kinds[number % len(rounds.kinds)]
        kind(hosts[rounds.draw.randrange(len(hosts))])
        began = time.monotonic()
        wait_until(rounds.work_again(), f"all back after {kind.__name__}", 60.0)
        back_s = time.monotonic() - began
        slowest_s = max(slowest_s, back_s)
        sys.stderr.write(f"round {number} {kind.__name__}: back in {back_s:.1f} s\n")
        if kind != rounds.kill_machine:  # that one has to start first
            assert back_s <= BACK_S, kind.__name__

    taken = settle(numbers, leader, lost=len(rounds.in_hand))
    watch.close()
    relay.close()
    late = [each for each in watch.took_s if each > STATUS_S]
    sys.stderr.write(
        f"{rounds.made} jobs, {taken.lost} lost with {len(rounds.in_hand)} fetchers, "
        f"{taken.duplicated} second runs, "
        f"window {window.long}, back in {slowest_s:.1f} s at the most, "
        f"{len(watch.took_s)} times status in {max(watch.took_s):.2f} s at the most, "
        f"{len(late)} late, {watch.errors}\n"
    )
    assert (taken.unexpected, watch.errors) == ((), [])
    # A source that forgets what it hands out: at most one a crash, and the one in hand.
    assert rounds.are_traced(taken.lost)
    ends = len(leader.all_of("machine.lost"))
    assert taken.duplicated <= window.long * (rounds.killed + 2 * ends)
    assert len(late) <= len(watch.took_s) / 100


#: What one job, or its result, has beside little else; jobs that cross; bytes a second.
WIDE, CROSSING, BYTES_S = 20_480, 16, 8000


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["jobs", "results"])
def test_43_a_line_of_64_kbit_carries_most_of_what_it_can(
    network: Network,
    start_numbers: Start,
    start_system: Start,
    join_system: Start,
    way: str,
) -> None:
    numbers = start_numbers("--every", "0")
    source = ("--fetch", "jobs:fetch_wide") if way == "jobs" else ("--url", numbers.url)
    leader = start_system(
        *source,
        *("--bind", "0.0.0.0", "--every", "0.2"),  # noqa: S104
        *("--process", "jobs:wide", "--processors", "0"),
    )
    host = network.host("alpha")
    join_system(
        f"{network.address}:{leader.port}",
        *("--name", "alpha", "--processors", str(PROCESSORS["alpha"])),
        prefix=host.prefix,
    )
    leader.wait_for("processor.attached", count=PROCESSORS["alpha"])
    host.slow(64)
    # What crossed before does not count, nor what was about to.
    before = len(leader.all_of("job.done")) + PROCESSORS["alpha"]
    numbers.add(*range(2 * CROSSING))

    all_done = leader.wait_for("job.done", count=before + CROSSING, within_s=120)

    done = all_done[before:]
    first, last = (
        datetime.fromisoformat(each["timestamp"]) for each in (done[0], done[-1])
    )
    took_s = (last - first).total_seconds()
    share = (len(done) - 1) * WIDE / took_s / BYTES_S
    sys.stderr.write(f"{len(done)} {way} in {took_s:.1f} s: {share:.2f} of the line\n")
    assert share >= 0.8
    assert {each["attempt"] for each in all_done} == {1}
