"""What a value is on both sides of JSON."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand.job import MAX_DEPTH, as_json

ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.tuples(inner, inner)
    ),
)


@given(VALUES)
def test_a_value_is_what_json_gives_back_or_is_refused(value: Any) -> None:
    try:
        expected = json.loads(json.dumps(value, allow_nan=False))
    except ValueError:
        with pytest.raises(ValueError, match=r"JSON|digits"):
            as_json(value)
    else:
        assert repr(as_json(value)) == repr(expected)


def test_a_value_is_taken_as_it_is_at_the_moment() -> None:
    job: dict[str, Any] = {"id": 7, "lines": [1.5, None, {"a": "b"}]}

    taken = as_json(job)
    job["lines"][2]["a"] = "c"
    job["lines"].append(8)
    job["id"] = 8

    assert taken == {"id": 7, "lines": [1.5, None, {"a": "b"}]}


@pytest.mark.parametrize(
    ("job", "twice"),
    [
        ({1: "a", "1": "b"}, '"1"'),
        ({None: "a", "null": "b"}, '"null"'),
        ({"deep": [{True: "a", "true": "b"}]}, '"true"'),
        ({1.0: "a", "1.0": "b"}, '"1.0"'),
    ],
)
def test_keys_that_are_one_in_json_are_refused(job: Any, twice: str) -> None:
    with pytest.raises(ValueError, match=f"two of its keys are {twice} in JSON"):
        as_json(job)


def test_what_holds_itself_twice_is_refused_at_once() -> None:
    value: list[Any] = []
    value += [value, value]

    with pytest.raises(ValueError, match=r"Circular|deep"):
        as_json({"a": value, "b": value})


@pytest.mark.parametrize(
    "value", [object(), {"a": {1, 2}}, b"x", {(1, 2): 3}, [float("nan")], [10**5000]]
)
def test_what_json_has_not_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        as_json(value)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_the_deepest_value_is_taken_and_one_deeper_is_refused() -> None:
    assert as_json(nested(MAX_DEPTH)) == nested(MAX_DEPTH)

    for depth in (MAX_DEPTH + 1, 960, 5000):
        with pytest.raises(ValueError, match="nested more than 200 deep"):
            as_json(nested(depth))


def test_a_wide_value_is_not_taken_for_a_deep_one() -> None:
    wide: tuple[Any, ...] = ([[]] * 5000,)

    assert as_json(wide) == [[[]] * 5000]


def test_what_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(ValueError, match=r"Circular|deep"):
        as_json(value)


def test_a_subclass_becomes_plain() -> None:
    assert type(as_json(OrderedDict(a=1))) is dict
