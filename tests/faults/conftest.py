"""The account of a run: what was served against what became of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from actors.journal.stores import look_into


@dataclass(frozen=True, slots=True)
class Account:
    """Jepsen's words for what a run did with the numbers that were served.

    Attributes:
        lost: Served, and neither done nor quarantined nor in the journal.
        unexpected: Done, and never served.
        duplicated: Executions beyond the first of each job.
        left: In the journal, and not come to their end.
    """

    lost: tuple[int, ...]
    unexpected: tuple[int, ...]
    duplicated: int
    left: int


@dataclass(frozen=True, slots=True)
class Windows:
    """How many jobs one processor holds at the most, at this run's ``--max-demand``.

    Attributes:
        long: Of jobs that take a tenth of a second or more.
        short: Of jobs that take no time.
        at_once: How many of them it runs at the same time.
    """

    long: int
    short: int
    at_once: int


@pytest.fixture(scope="session")
def window(pytestconfig: pytest.Config) -> Windows:
    """By what a processor may hold, a test reckons what its death may cost."""
    places = int(pytestconfig.getoption("--concurrency") or "1")
    chosen = pytestconfig.getoption("--max-demand") or str(places)
    if chosen == "auto":
        return Windows(long=places, short=1024, at_once=places)
    return Windows(long=int(chosen), short=int(chosen), at_once=places)


@pytest.fixture
def asked(eventually: Callable[..., Any]) -> Callable[[Any, int], None]:
    """Wait until the fetcher has been asked for so many jobs more than it sent.

    A processor that is there has not asked yet, and where windows are large, who
    asks first gets all there is.
    """

    def wait(system: Any, least: int) -> None:
        def enough() -> bool:
            [fetcher] = system.status()["fetchers"]
            return bool(fetcher["demand"] >= least)

        eventually(enough, f"{least} jobs asked for")

    return wait


@pytest.fixture
def out(env: dict[str, str]) -> Callable[[], int]:
    """How many jobs a killed system had out, once all of its processes are gone."""

    def count() -> int:
        with closing(look_into(env["LOWTIDE_JOURNAL"])) as view:
            return len(view.jobs("leased", -1))

    return count


@pytest.fixture
def account(runs: Callable[[], dict[int, int]]) -> Callable[[Any, Any], Account]:
    """Take the account of a system, whether it runs or not."""

    def take(numbers: Any, system: Any) -> Account:
        served = set(numbers.account()["served"])
        with closing(look_into(system.env["LOWTIDE_JOURNAL"])) as view:
            listed = view.jobs(None, -1)
            done = {each["id"] for each in view.jobs("done", -1)}
        kept = {each["id"] for each in listed}
        # More may have been served, and be done, since the first look.
        served_by_now = set(numbers.account()["served"])
        return Account(
            lost=tuple(sorted(served - done - kept)),
            unexpected=tuple(sorted(done - served_by_now)),
            duplicated=sum(count - 1 for count in runs().values()),
            left=sum(each["state"] != "quarantined" for each in listed),
        )

    return take


@pytest.fixture
def settle(
    account: Callable[[Any, Any], Account], eventually: Callable[..., Any]
) -> Callable[..., Account]:
    """Wait until all that was served has come to its end, then take the account.

    The log is no account: a process that is killed between a commit and its line
    has done the job and not told.
    """

    def wait(numbers: Any, system: Any, *, lost: int = 0) -> Account:
        def settled() -> Account | None:
            if numbers.account()["waiting"]:
                return None
            taken = account(numbers, system)
            return taken if not taken.left and len(taken.lost) <= lost else None

        taken: Account = eventually(settled, "every served number at its end", 60)
        return taken

    return wait
