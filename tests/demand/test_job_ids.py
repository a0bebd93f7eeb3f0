"""What an id is, and the words that name one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand.job import id_of, named_by, odd_id_of, word_of


@pytest.mark.parametrize("job_id", [0, -7, 10**30, "", "a", "17", " "])
def test_an_id_is_an_integer_or_a_text_and_keeps_its_type(job_id: Any) -> None:
    payload = {"id": job_id}

    assert (id_of(payload), type(id_of(payload))) == (job_id, type(job_id))
    assert odd_id_of(payload) is None


@pytest.mark.parametrize(
    ("job_id", "odd"),
    [
        (1.0, "a number with a point"),
        (True, "true or false"),
        ([1], "an array"),
        ({"a": 1}, "an object"),
        (None, None),
    ],
)
def test_anything_else_is_none_and_can_be_told(job_id: Any, odd: str | None) -> None:
    assert (id_of({"id": job_id}), odd_id_of({"id": job_id})) == (None, odd)


@pytest.mark.parametrize("payload", [7, "text", None, [], {}, {"ID": 1}])
def test_what_has_no_id_has_none(payload: Any) -> None:
    assert (id_of(payload), odd_id_of(payload)) == (None, None)


@given(st.one_of(st.integers(-(10**40), 10**40), st.text(), st.from_regex(r"-?\d+")))
def test_the_word_of_an_id_names_it_first(job_id: int | str) -> None:
    first = named_by(word_of(job_id))[0]

    assert (first, type(first)) == (job_id, type(job_id))


@pytest.mark.parametrize(
    ("word", "ids"),
    [
        ("17", [17, "17"]),
        ('"17"', ["17", '"17"']),
        ("017", ["017"]),
        ('"', ['"']),
        ("#7", ["#7"]),
    ],
)
def test_a_word_may_name_one_of_several(word: str, ids: list[Any]) -> None:
    assert named_by(word) == ids
