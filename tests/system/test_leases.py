"""A source that lends its jobs, and takes back what is not acknowledged."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import wait_until

pytestmark = pytest.mark.system

Start = Callable[..., Any]


@pytest.fixture
def start(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> Callable[..., tuple[Any, Any]]:
    """Start a lending server and a system that claims from it."""

    def start(
        lease_s: float = 60, settle: str | None = None, *words: str
    ) -> tuple[Any, Any]:
        lend = ("--mode", "lease", "--lease", str(lease_s))
        numbers = start_numbers("--every", "0", *lend)
        path = tmp_path / "lowtide.toml"
        path.write_text(
            "every_s = 0.1\n"
            '[[fetcher]]\nname = "numbers"\nfetch = "domain.leases:fetch"\n'
            f'options = {{ url = "{numbers.url}" }}\n'
            + (f'settle = "{settle}"\n' if settle else "")
        )
        return numbers, start_system("--config", str(path), *words)

    return start


def acked(numbers: Any) -> list[int]:
    ids: list[int] = numbers.account()["acked"]
    return ids


def test_a_job_is_acknowledged_once_it_is_done(start: Start) -> None:
    numbers, system = start()

    numbers.add(*range(20))

    wait_until(lambda: len(acked(numbers)) == 20, "20 acknowledged")
    account = numbers.account()
    done = [each["job"]["id"] for each in system.wait_for("job.done", count=20)]
    assert sorted(done) == sorted(account["acked"]) == account["served"]
    assert (account["leased"], account["waiting"]) == ([], 0)
    assert system.all_of("job.unsettled") == []


def test_a_job_in_quarantine_is_acknowledged_too(start: Start) -> None:
    numbers, system = start()

    numbers.add(-1)

    system.wait_for("job.quarantined")
    wait_until(lambda: acked(numbers) == [1], "acknowledged")


def test_an_acknowledgement_that_fails_is_repeated(start: Start) -> None:
    numbers, system = start(60, "settlers:late")

    numbers.add(4)

    wait_until(lambda: acked(numbers) == [1], "acknowledged")
    unsettled = system.wait_for("job.unsettled", count=2)
    errors = [(each["job_id"], each["error"], each["level"]) for each in unsettled]
    assert errors == [(1, "ConnectionError: not yet", "warning")] * 2


def test_a_stuck_acknowledgement_holds_nothing_up_and_is_made_up_for(
    start: Start,
) -> None:
    numbers, system = start(3, "settlers:stuck")
    numbers.add(1, 4)
    system.wait_for("job.done", count=2)
    [fetcher] = system.status()["fetchers"]

    os.kill(fetcher["pid"], signal.SIGKILL)

    wait_until(
        lambda: sum(e["count"] for e in system.all_of("job.duplicate")) == 2,
        "both known when they come again",
    )
    wait_until(lambda: sorted(acked(numbers)) == [1, 2], "both acknowledged")
    done = Counter(each["job"]["id"] for each in system.wait_for("job.done", count=2))
    assert done == {1: 1, 2: 1}


def test_without_a_journal_a_job_whose_fetcher_died_comes_again(
    start: Start,
) -> None:
    numbers, system = start(2, None, "--journal", "none", "--processors", "0")
    numbers.add(4)
    system.wait_for("job.fetched")
    [fetcher] = system.status()["fetchers"]

    os.kill(fetcher["pid"], signal.SIGKILL)
    system.wait_for("stage.restarted")
    system.command("attach")

    wait_until(lambda: acked(numbers) == [1], "acknowledged")
    assert [each["job"]["id"] for each in system.wait_for("job.done")] == [1]


def test_a_job_that_outlasts_its_lease_is_done_once_and_acknowledged(
    start: Start,
) -> None:
    numbers, system = start(0.5, None, "--processors", "0")
    numbers.add(4)
    system.wait_for("job.duplicate")

    system.command("attach")

    wait_until(lambda: acked(numbers) == [1], "acknowledged")
    assert len(system.wait_for("job.done")) == 1


def test_a_drain_waits_for_acknowledgements(start: Start) -> None:
    numbers, system = start()
    numbers.add(*range(50))
    system.wait_for("job.done", count=5)

    system.command("stop")

    system.wait()
    done = {each["job"]["id"] for each in system.all_of("job.done")}
    assert set(acked(numbers)) == done


def test_a_drain_does_not_wait_for_a_source_that_is_down(start: Start) -> None:
    numbers, system = start(60, "settlers:never")
    numbers.add(4)
    system.wait_for("job.unsettled")

    # It would take all the time that a drain may take, 25 seconds.
    code, _, _ = system.command("stop", within_s=20)

    assert (code, system.wait()) == (0, 0)


def test_a_settle_function_that_is_not_there_is_told_at_the_start(
    start_system: Start, tmp_path: Path
) -> None:
    path = tmp_path / "lowtide.toml"
    path.write_text(
        '[[fetcher]]\nname = "numbers"\nfetch = "domain.leases:fetch"\n'
        'settle = "settlers:nothing"\noptions = { url = "http://127.0.0.1:9" }\n'
    )

    system = start_system("--config", str(path), ready=False)

    assert system.wait() in (1, 2)
    assert "'nothing' is not there in module 'settlers'" in "".join(
        system.program.lines
    )
