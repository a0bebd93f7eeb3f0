"""What an expression says of jobs whose results are of all kinds."""

from __future__ import annotations

from typing import Any

import pytest

from actors.journal.selection import Selection, SelectionError, compiled

pytest.importorskip("jmespath")

RESULTS: list[Any] = [150, 50, "a long text", None, {"total": 150}, [150], True]


def chosen(expression: str) -> list[Any]:
    selection = Selection(where=compiled(expression))
    jobs = ({"id": n, "fetcher": "f", "result": it} for n, it in enumerate(RESULTS))
    return [each["result"] for each in jobs if selection.is_true_of(each)]


@pytest.mark.parametrize(
    ("expression", "results"),
    [
        ("result > `100`", [150]),
        ("result < `100`", [50]),
        ("result >= 'a'", ["a long text"]),
        ("result > `100` || result == 'a long text'", [150, "a long text"]),
        ("result.total > `100`", [{"total": 150}]),
    ],
)
def test_what_cannot_be_compared_is_neither_below_nor_above(
    expression: str, results: list[Any]
) -> None:
    assert chosen(expression) == results


def test_what_the_library_cannot_do_is_said_of_the_job() -> None:
    with pytest.raises(SelectionError, match="cannot be said of job 0 of f"):
        chosen('sort(`[1, "a"]`) || length(result)')
