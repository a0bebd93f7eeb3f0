"""Who may take from whom, and where a job is to go."""

from __future__ import annotations

import pytest

from actors.flow.routes import Problem, problem_of
from actors.flow.routing import Incoming, Routing, key_reader


def test_steps_and_several_sources_may_be_joined() -> None:
    takes = {"sqrt": ("one", "two"), "report": ("sqrt",), "audit": ("sqrt", "one")}

    assert problem_of(("one", "two"), takes) is None


@pytest.mark.parametrize(
    ("takes", "problem"),
    [
        (
            {"sqrt": ("three",)},
            Problem(
                0, "from", "processor 'sqrt' takes from 'three', expected one of one"
            ),
        ),
        (
            {"a": ("one", "c"), "b": ("a",), "c": ("b",)},
            Problem(0, "from", "processor 'a' takes from itself"),
        ),
        (
            {"a": ("one",), "b": ("b",)},
            Problem(1, "from", "processor 'b' takes from itself"),
        ),
        (
            {"one": ("one",)},
            Problem(0, "name", "processor 'one' would have the name of fetcher 'one'"),
        ),
    ],
    ids=["unknown", "circle", "itself", "name"],
)
def test_what_could_never_move_is_found(
    takes: dict[str, tuple[str, ...]], problem: Problem
) -> None:
    assert problem_of(("one",), takes) == problem


def test_the_name_of_a_process_to_come_is_taken_as_well() -> None:
    problem = problem_of(("sqrt-2",), {"sqrt": ("sqrt-2",)})

    assert problem is not None
    assert problem.text == "processor 'sqrt' would have the name of fetcher 'sqrt-2'"


def test_without_any_choice_a_job_has_one_route_to_anybody() -> None:
    assert Routing().incoming(7, "job") == Incoming(7, "job", ("",))


def test_a_partition_s_route_is_its_key_as_text() -> None:
    routing = Routing(key_of=key_reader("customer"))

    routes = [routing.incoming(None, {"customer": each}).routes for each in (7, "x")]

    assert routes == [("7",), ("x",)]
