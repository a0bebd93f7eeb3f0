from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from number_server import (
    Api,
    NumberSource,
    RefusedError,
    Request,
    parse_numbers,
)


def source(*, seed: int = 1, every: float = 0, preload: int = 0) -> NumberSource:
    return NumberSource(random.Random(seed), every=every, preload=preload)


def taken(numbers: NumberSource, now: float) -> list[tuple[int, float]]:
    return list(iter(lambda: numbers.take(now), None))


def test_numbers_are_served_in_the_order_in_which_they_came() -> None:
    numbers = source()
    ids = numbers.add([4, 2.5, -1], now=0)

    served = taken(numbers, now=0)

    assert ids == [1, 2, 3]
    assert served == [(1, 4), (2, 2.5), (3, -1)]


def test_a_number_once_served_is_forgotten() -> None:
    numbers = source(preload=1)
    numbers.take(0)

    again = numbers.take(0)

    assert again is None
    assert numbers.account(0) == {"generated": 1, "waiting": 0, "served": [1]}


def test_nothing_comes_before_its_time() -> None:
    numbers = source(every=2)

    waiting = numbers.account(0)["waiting"]

    assert waiting == 0


def test_nothing_comes_by_itself_when_told_so() -> None:
    numbers = source(every=0)

    account = numbers.account(1e9)

    assert account == {"generated": 0, "waiting": 0, "served": []}


def test_one_number_comes_in_each_period_on_average() -> None:
    numbers = source(every=2)

    generated = numbers.account(20_000)["generated"]

    assert math.isclose(generated, 10_000, rel_tol=0.05)


def test_looking_often_changes_nothing() -> None:
    seldom, often = source(every=2), source(every=2)

    for now in range(100):
        often.account(now)

    assert taken(often, 100) == taken(seldom, 100)


def test_numbers_that_were_due_come_before_those_added_now() -> None:
    numbers = source(every=1)

    [added] = numbers.add([7], now=100)

    assert taken(numbers, 100)[-1] == (added, 7)
    assert added > 50


@pytest.mark.parametrize(("every", "preload"), [(0.5, 0), (2, 5), (7, 20), (0, 30)])
def test_a_seed_gives_the_same_numbers_however_they_come(
    every: float, preload: int
) -> None:
    expected = taken(source(seed=5, preload=20), now=0)

    got = taken(source(seed=5, every=every, preload=preload), now=1000)[:20]

    assert got == expected


def test_another_seed_gives_other_numbers() -> None:
    one, other = (taken(source(seed=n, preload=20), 0) for n in (1, 2))

    assert one != other


def test_numbers_have_a_root_and_some_a_whole_one() -> None:
    values = [number for _, number in taken(source(preload=200), 0)]

    squares = [value for value in values if math.isqrt(int(value)) ** 2 == value]
    assert all(isinstance(value, int) and 0 <= value < 10_000 for value in values)
    assert 50 < len(squares) < 150


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.sampled_from(["take", "add", "account"])),
        max_size=50,
    )
)
def test_the_account_always_balances(steps: list[tuple[float, str]]) -> None:
    numbers, now = source(every=3, preload=2), 0.0

    for wait, step in steps:
        now += wait
        match step:
            case "take":
                numbers.take(now)
            case "add":
                numbers.add([1, 2], now)
            case _:
                numbers.account(now)
        account = numbers.account(now)
        assert account["generated"] == account["waiting"] + len(account["served"])
        assert account["served"] == list(range(1, len(account["served"]) + 1))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[1", "not JSON"),
        (b"[NaN]", "not JSON: NaN is not a JSON number"),
        (b"[-Infinity]", "not JSON: -Infinity is not a JSON number"),
        (b"[" * 100_000, "not JSON"),
        (b"[" + b"9" * 5000 + b"]", "not JSON"),
        (b"7", "expected a JSON array of numbers, got a number"),
        (b"{}", "expected a JSON array of numbers, got an object"),
        (b"[1, true]", "expected a finite number at index 1, got true or false"),
        (b'["4"]', "expected a finite number at index 0, got a string"),
        (b"[null]", "expected a finite number at index 0, got null"),
        (b"[[1]]", "expected a finite number at index 0, got an array"),
        (b"[1e999]", "expected a finite number at index 0, got infinity"),
        (b"[-1e999]", "expected a finite number at index 0, got infinity"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as caught:
        parse_numbers(body)

    assert caught.value.reply.status == 400


@pytest.mark.parametrize(
    ("body", "numbers"),
    [(b"[]", []), (b"[1, 2.5, -3]", [1, 2.5, -3]), (b"[1e42]", [1e42])],
)
def test_any_finite_numbers_are_taken(body: bytes, numbers: list[Any]) -> None:
    assert parse_numbers(body) == numbers


def test_nothing_is_added_when_one_number_is_bad() -> None:
    numbers = source()
    add = Api(numbers, clock=lambda: 0.0).find("POST", "/numbers")

    with pytest.raises(RefusedError):
        add(Request("/numbers", b"[1, 2, null]", 0.0, lambda _: False))

    assert numbers.account(0)["generated"] == 0
