from __future__ import annotations

from typing import Any

import pytest

from domain.api.expressions import Path, compiled
from domain.errors import BadAnswerError


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("", {"a": 1}, (True, {"a": 1})),
        ("a.b", {"a": {"b": None}}, (True, None)),
        ("a.b", {"a": {}}, (False, None)),
        ("a.1", {"a": [5, 6]}, (True, 6)),
        ("order-no", {"order-no": 7}, (True, 7)),
        ("@id", {"@id": 7}, (True, 7)),
        ("@", [1], (True, [1])),
        ("a[?b > `1`].b", {"a": [{"b": 1}, {"b": 2}]}, (True, [2])),
        ("a || b", {"b": 3}, (True, 3)),
        ("a || b", {}, (False, None)),
        ("!end", {"end": False}, (True, True)),
    ],
)
def test_what_is_where(text: str, value: Any, found: Any) -> None:
    assert compiled(text, "job").find(value) == found


@pytest.mark.parametrize("text", ["a[?b", "a..b", "a[", "'x", "a b"])
def test_what_is_no_expression_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match="expected a JMESPath expression") as caught:
        compiled(text, "items")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["sum(a)", "nothing(a)", "max_by(a, &b)"])
def test_a_function_that_does_not_fit_the_answer_names_its_option(text: str) -> None:
    with pytest.raises(BadAnswerError, match=r"^items: '.*' does not fit the answer"):
        compiled(text, "items").find({"a": "x"})


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("a", [{"b": 1}, {"b": 2}]),
        ("a[?b == `9`]", [{"b": 1}, {"b": 2}]),
        ("a[?b == `9`].b", []),
        ("a[].b", [1, 2]),
    ],
)
def test_a_filter_does_not_hide_that_the_page_has_something(
    text: str, before: Any
) -> None:
    assert compiled(text, "items").elements({"a": [{"b": 1}, {"b": 2}]}) == before


def test_a_plain_path_is_told_from_an_expression() -> None:
    assert isinstance(compiled("a.0.b", "job"), Path)
    assert not isinstance(compiled("a[0].b", "job"), Path)
