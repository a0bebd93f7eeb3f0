"""The account of a run: what was served against what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest


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


@pytest.fixture
def account(runs: Callable[[], dict[int, int]]) -> Callable[[Any, Any], Account]:
    """Take the account of a system, whether it runs or not."""

    def take(numbers: Any, system: Any) -> Account:
        served = set(numbers.account()["served"])
        code, out, errors = system.command("jobs", "list", "--json", "--limit", "-1")
        assert code == 0, errors
        listed = json.loads(out)
        done = {
            each["id"]
            for each in json.loads(
                system.command(
                    "jobs", "list", "--json", "--limit", "-1", "--state", "done"
                )[1]
            )
        }
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
