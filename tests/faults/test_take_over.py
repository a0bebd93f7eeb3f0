"""Machines and their database, each a host of its own, and what comes between.

TEST_ROUNDS says how many rounds at random, TEST_SEED which.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.host.ports import free_port
from actors.journal.stores import look_into
from actors.testing.processes import DeadlineError, wait_until
from tests.support.postgres import Server, pool_or_skip, server_or_skip

if TYPE_CHECKING:
    from tests.support.hosts import Host, Network

Start = Callable[..., Any]
Runs = Callable[[], dict[int, int]]

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(7200)]

ROUNDS = int(os.environ.get("TEST_ROUNDS", "3"))
SEED = int(os.environ.get("TEST_SEED", "1"))
#: Of each machine, each of which runs a job at a time.
PROCESSORS = 2
#: Of a leader's death, in seconds.
TAKEN_WITHIN_S = 15.0
#: Longer than a term, in seconds.
LONG_S = 12.0

#: Which host wrote in which term, by the database's own account.
_AUDIT = """
CREATE TABLE public.wrote (term bigint, host inet, UNIQUE (term, host));
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.wrote SELECT term, inet_client_addr() FROM lowtide.leader
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON lowtide.fetcher
    FOR EACH ROW EXECUTE FUNCTION public.note();
"""


@pytest.fixture
def server(network: Network) -> Iterator[Server]:
    made = server_or_skip(free_port(), network.address)
    yield made
    made.remove()


class Machines:
    """Hosts, each of which runs the same command, again where it ended.

    Args:
        hosts: Where.
        url: Of their journal.
        source: The words that name it.
        start: Starts a system.
    """

    def __init__(
        self, hosts: list[Host], url: str, source: tuple[str, ...], start: Start
    ) -> None:
        self.url = url
        self._words = (*source, "--journal", url, "--standby", "--every", "0.05")
        self._words += ("--process", "jobs:root", "--processors", str(PROCESSORS))
        self._start = start
        self.hosts = hosts
        self.systems: dict[str, Any] = {}

    def begin(self) -> None:
        """Have the first one lead, and the others wait."""
        first, *others = self.hosts
        self.run(first)
        wait_until(self._leads, "the first one leads", 40)
        self.wait_for_jobs()
        self.ask(_AUDIT)
        for each in others:
            self.run(each)
        self.wait_for_waiting()

    def run(self, host: Host) -> None:
        system = self._start(*self._words, prefix=host.prefix, ready=False)
        self.systems[host.name] = system

    def _leads(self) -> bool:
        import psycopg  # noqa: PLC0415

        with contextlib.suppress(psycopg.Error):
            return self.leader()[0] > 0
        return False

    def ask(self, sql: str) -> list[Any]:
        import psycopg  # noqa: PLC0415

        # Behind a pool, what was prepared is another session's.
        words: dict[str, Any] = {"autocommit": True, "prepare_threshold": None}
        with psycopg.connect(self.url, **words) as db:
            cursor = db.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def leader(self) -> tuple[int, str]:
        """The term, and the host that leads."""
        [(term, place)] = self.ask("SELECT term, place FROM lowtide.leader")
        return term, place.partition(",")[0]

    def done(self) -> int:
        return int(self.ask("SELECT coalesce(sum(done), 0) FROM lowtide.fetcher")[0][0])

    def wait_for_jobs(self, count: int = 3) -> None:
        before = self.done()
        wait_until(lambda: self.done() >= before + count, "jobs are done", 60)

    def wait_for_waiting(self) -> None:
        """Wait until one leads and the others wait."""

        def waits() -> bool:
            query = (
                "SELECT count(*) FROM lowtide.waiting "
                "WHERE at > clock_timestamp() - interval '3 s'"
            )
            return bool(self.ask(query)[0][0] >= len(self.hosts) - 1)

        try:
            wait_until(waits, "the others wait", 60)
        except DeadlineError as error:
            raise DeadlineError(f"{error}\n{self._told()}") from error

    def _told(self) -> str:
        """What is known of who should wait."""
        told = [repr(self.ask("SELECT *, clock_timestamp() FROM lowtide.waiting"))]
        for name, system in self.systems.items():
            code = system.program.process.poll()
            lines = "\n".join(system.program.lines[-8:])
            told.append(f"{name}: ended with {code}, and said last:\n{lines}")
        return "\n".join(told)

    def taken_over(self, term: int) -> float:
        """How long it took until another term began."""
        began = time.monotonic()
        wait_until(lambda: self.leader()[0] > term, "another one leads", 40)
        return time.monotonic() - began

    def restart_ended(self) -> None:
        for host in self.hosts:
            if self.systems[host.name].program.process.poll() is not None:
                self.run(host)


@pytest.fixture
def numbers(network: Network, start_numbers: Start) -> Any:
    return start_numbers("--host", network.address, "--every", "0.05")


def two_of(network: Network) -> list[Host]:
    return [network.host("one"), network.host("two")]


@pytest.fixture
def machines(
    network: Network, server: Server, numbers: Any, start_system: Start
) -> Machines:
    source = ("--url", numbers.url)
    made = Machines(two_of(network), server.url(), source, start_system)
    made.begin()
    return made


def one_round(machines: Machines, fault: str) -> float | None:
    """Do one thing, and let it be whole again; returns how long no one led."""
    machines.restart_ended()
    machines.wait_for_waiting()
    machines.wait_for_jobs()
    _, name = machines.leader()
    leads, *waits = sorted(machines.hosts, key=lambda each: each.name != name)
    took = FAULTS[fault](machines, leads, waits)
    machines.wait_for_jobs()
    return took


def _kill(machines: Machines, leads: Host, _: list[Host]) -> float:
    term, _name = machines.leader()
    for pid in leads.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return machines.taken_over(term)


def _pause(machines: Machines, leads: Host, _: list[Host]) -> float:
    term, _name = machines.leader()
    pids = leads.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        return machines.taken_over(term)
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _cut_leader(machines: Machines, leads: Host, _: list[Host]) -> float:
    term, _name = machines.leader()
    with _refused(machines, [leads]):
        took = machines.taken_over(term)
        machines.wait_for_jobs()
    return took


def _cut_standby(machines: Machines, _: Host, waits: list[Host]) -> None:
    before = machines.leader()
    with _refused(machines, waits):
        time.sleep(LONG_S)
        assert machines.leader() == before


def _cut_all(machines: Machines, leads: Host, waits: list[Host]) -> None:
    with _refused(machines, [leads, *waits]):
        time.sleep(LONG_S)
    # Whoever is faster goes on: the term is over, and nobody has taken it.


@contextlib.contextmanager
def _refused(machines: Machines, hosts: list[Host]) -> Iterator[None]:
    port = int(machines.url.rpartition(":")[2].partition("/")[0])
    for each in hosts:
        each.refuse(port)
    try:
        yield
    finally:
        for each in hosts:
            each.admit()


FAULTS: dict[str, Callable[[Machines, Host, list[Host]], float | None]] = {
    "killed": _kill,
    "paused": _pause,
    "leader cut": _cut_leader,
    "standby cut": _cut_standby,
    "both cut": _cut_all,
}


def check(
    machines: Machines,
    numbers: Any,
    runs: Runs,
    *,
    more: int = 0,
    lends: bool = False,
) -> dict[str, Any]:
    """Wait until all that was served is at its end, and hold the account.

    Args:
        machines: All of them.
        numbers: The source.
        runs: How often each job was begun.
        more: How often the server crashed, beside those who led.
        lends: Whether the source forgets nothing that was not acknowledged.
    """
    machines.restart_ended()
    machines.wait_for_waiting()
    served = set(numbers.account()["served"])
    crashes = machines.leader()[0] - 1 + more
    may_lose = 0 if lends else crashes

    def lost() -> set[int]:
        with contextlib.closing(look_into(machines.url)) as view:
            kept = {each["id"] for each in view.jobs(None, -1)}
            done = {each["id"] for each in view.jobs("done", -1)}
        return served - kept - done

    with contextlib.suppress(DeadlineError):
        wait_until(lambda: len(lost()) <= may_lose, "all is kept", 30)
    two = machines.ask(
        "SELECT term, count(*) FROM public.wrote GROUP BY term HAVING count(*) > 1"
    )
    gone = sorted(lost())
    begun = runs()
    again = sum(begun.values()) - len(begun)
    account = {
        "served": len(served),
        "lost": gone,
        "crashes": crashes,
        "two in a term": two,
        "second runs": again,
    }
    assert len(gone) <= may_lose, account
    assert two == [], account
    assert again <= PROCESSORS * crashes, account  # what was out runs again
    return account


@pytest.mark.parametrize("fault", FAULTS)
def test_another_machine_goes_on(
    machines: Machines, numbers: Any, runs: Runs, fault: str
) -> None:
    took = one_round(machines, fault)

    assert took is None or took <= TAKEN_WITHIN_S
    check(machines, numbers, runs)


def strike_at_random(machines: Machines) -> str:
    """Do so many rounds; returns what was done."""
    chance = random.Random(SEED)
    took: list[float] = []
    struck: Counter[str] = Counter()
    for number in range(ROUNDS):
        fault = chance.choice([*FAULTS])
        struck[fault] += 1
        if (seconds := one_round(machines, fault)) is not None:
            took.append(seconds)
            assert seconds <= TAKEN_WITHIN_S, (number, fault)
        sys.stdout.write(f"{number} {fault}: {seconds}, {machines.leader()}\n")
    return f"{struck}, {max(took, default=0):.1f} s at the most"


def test_rounds_at_random(machines: Machines, numbers: Any, runs: Runs) -> None:
    struck = strike_at_random(machines)

    account = check(machines, numbers, runs)
    sys.stdout.write(f"{account} {struck}\n")


def test_rounds_behind_a_pool(
    network: Network, server: Server, numbers: Any, start_system: Start, runs: Runs
) -> None:
    pool = pool_or_skip(server, free_port())
    with contextlib.closing(pool):
        source = ("--url", numbers.url)
        url = pool.url(server.url())
        machines = Machines(two_of(network), url, source, start_system)
        machines.begin()

        struck = strike_at_random(machines)

        account = check(machines, numbers, runs)
    sys.stdout.write(f"{account} {struck}\n")


def test_rounds_of_three_machines_and_a_source_that_lends(
    network: Network,
    server: Server,
    start_numbers: Start,
    start_system: Start,
    runs: Runs,
    tmp_path: Path,
) -> None:
    words = ("--every", "0.05", "--mode", "lease", "--lease", "5")
    numbers = start_numbers("--host", network.address, *words)
    path = tmp_path / "lends.toml"
    path.write_text(
        '[[fetcher]]\nname = "numbers"\nfetch = "domain.leases:fetch"\n'
        f'options = {{ url = "{numbers.url}" }}\n'
    )
    hosts = [*two_of(network), network.host("three")]
    source = ("--config", str(path))
    machines = Machines(hosts, server.url(), source, start_system)
    machines.begin()

    struck = strike_at_random(machines)

    account = check(machines, numbers, runs, lends=True)
    sys.stdout.write(f"{account} {struck}\n")


def test_rounds_of_a_replica_that_is_promoted(
    network: Network, numbers: Any, start_system: Start, runs: Runs
) -> None:
    with contextlib.ExitStack() as stack:

        def started(port: int, of: Server | None = None) -> Server:
            made = (
                server_or_skip(port, network.address)
                if of is None
                else Server(port, network.address, of)
            )
            stack.callback(made.remove)
            return made

        primary = started(free_port())
        replica = started(free_port(), primary)
        primary.wait_for_replicas()
        places = ",".join(f"{network.address}:{e.port}" for e in (primary, replica))
        url = f"postgresql://lowtide@{places}/postgres?target_session_attrs=read-write"
        source = ("--url", numbers.url)
        machines = Machines(two_of(network), url, source, start_system)
        machines.begin()
        rounds = max(1, ROUNDS // 5)
        for number in range(rounds):
            machines.restart_ended()
            machines.wait_for_waiting()
            machines.wait_for_jobs()
            before = machines.done()
            began = time.monotonic()
            primary.stop("immediate")
            replica.promote()

            machines.wait_for_jobs()

            took = time.monotonic() - began
            sys.stdout.write(f"{number}: {took:.1f} s, {machines.leader()}\n")
            assert machines.done() > before
            assert took <= TAKEN_WITHIN_S, number
            port = primary.port
            primary.remove()
            primary, replica = replica, started(port, replica)
            primary.wait_for_replicas()

        # A server that crashed forgets a lease, for which nobody waits; the fetcher
        # then begins anew, with a job in hand perhaps, of whoever goes on to lead.
        account = check(machines, numbers, runs, more=rounds)
        sys.stdout.write(f"{account}\n")
