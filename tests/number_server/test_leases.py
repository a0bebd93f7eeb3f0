from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from number_server import LeasingSource

if TYPE_CHECKING:
    from tests.number_server.conftest import Run


@pytest.fixture
def source() -> LeasingSource:
    """Three numbers, lent for ten seconds."""
    return LeasingSource(random.Random(1), lease_s=10.0, every=0.0, preload=3)


def account(source: LeasingSource, now: float) -> tuple[int, list[int], list[int]]:
    told = source.account(now)
    assert told["generated"] == told["waiting"] + len(told["leased"] + told["acked"])
    return told["waiting"], told["leased"], told["acked"]


def test_a_number_is_lent_to_one_at_a_time(source: LeasingSource) -> None:
    taken = [source.take(0.0) for _ in range(4)]

    assert [each and each[0] for each in taken] == [1, 2, 3, None]
    assert account(source, 9.9) == (0, [1, 2, 3], [])


def test_an_acknowledged_number_comes_no_more(source: LeasingSource) -> None:
    source.take(0.0)

    known = [source.ack(1, 1.0), source.ack(1, 2.0)]

    assert known == [True, True]
    assert account(source, 99.0) == (2, [], [1])


def test_a_number_that_is_not_acknowledged_in_time_is_the_next_again(
    source: LeasingSource,
) -> None:
    first = source.take(0.0)
    source.take(1.0)

    again = source.take(10.0)

    assert again == first
    assert source.account(10.0)["served"] == [1, 2, 1]
    assert account(source, 11.0) == (2, [1], [])


def test_a_late_acknowledgement_ends_the_waiting(source: LeasingSource) -> None:
    source.take(0.0)

    known = source.ack(1, 20.0)

    assert known
    assert account(source, 20.0) == (2, [], [1])


def test_a_late_acknowledgement_ends_the_next_lease(source: LeasingSource) -> None:
    source.take(0.0)
    source.take(10.0)

    assert source.ack(1, 11.0)
    assert account(source, 99.0) == (2, [], [1])


@pytest.mark.parametrize("number_id", [2, 4, 0])
def test_what_was_never_lent_cannot_be_acknowledged(
    source: LeasingSource, number_id: int
) -> None:
    source.take(0.0)

    assert not source.ack(number_id, 1.0)
    assert account(source, 1.0) == (2, [1], [])


def test_claims_and_acknowledgements_go_over_the_wire(run: Run) -> None:
    server = run("--mode", "lease", "--lease", "60")
    server.ask("POST", "/numbers", b"[4, 9]")

    answers = [
        server.ask("POST", "/claim", b""),
        server.ask("POST", "/ack/1", b""),
        server.ask("POST", "/claim", b""),
        server.ask("POST", "/claim?wait_s=0.1", b""),
        server.ask("GET", "/account"),
    ]

    assert answers == [
        (200, {"id": 1, "number": 4}),
        (200, {"acked": 1}),
        (200, {"id": 2, "number": 9}),
        (204, None),
        (
            200,
            {
                "generated": 2,
                "waiting": 0,
                "served": [1, 2],
                "leased": [2],
                "acked": [1],
            },
        ),
    ]


def test_a_lease_ends_by_itself(run: Run) -> None:
    server = run("--mode", "lease", "--lease", "0.1", "--preload", "1")
    server.ask("POST", "/claim", b"")
    deadline = time.monotonic() + 30

    while (status := server.ask("POST", "/claim", b"")[0]) != 200:
        assert time.monotonic() < deadline

    assert status == 200
    assert server.ask("GET", "/account")[1]["served"] == [1, 1]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/number", 404),
        ("GET", "/claim", 405),
        ("POST", "/ack/7", 404),
        ("POST", "/ack/ID", 404),
        ("POST", "/ack/x", 404),
    ],
)
def test_a_wrong_request_for_a_lease_is_refused(
    run: Run, method: str, path: str, status: int
) -> None:
    server = run("--mode", "lease", "--preload", "1")

    got, payload = server.ask(method, path, b"")

    assert (got, list(payload)) == (status, ["error"])
