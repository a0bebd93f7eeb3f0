"""Who may take from whom, and where a job is to go."""

from __future__ import annotations

import pytest

from actors.config.topology import Problem, problems_of
from actors.demand.job import Failure
from actors.demand.job_routing import Routes, Routing, key_reader


def describe(error: BaseException) -> Failure:
    return Failure(str(error))


EXPECTED = "expected one of one"
ITSELF = "processor {!r} takes from itself".format


def test_steps_and_several_sources_may_be_joined() -> None:
    takes = {"sqrt": ("one", "two"), "report": ("sqrt",), "audit": ("sqrt", "one")}

    assert list(problems_of(("one", "two"), takes)) == []


@pytest.mark.parametrize(
    ("takes", "problems"),
    [
        (
            {"sqrt": ("three", "four")},
            [
                Problem(
                    0, "from", f"processor 'sqrt' takes from {source!r}, {EXPECTED}"
                )
                for source in ("three", "four")
            ],
        ),
        (
            {"a": ("one", "c"), "b": ("a",), "c": ("b",)},
            [
                Problem(0, "from", f"{ITSELF('a')} by way of 'c' and 'b'"),
                Problem(1, "from", f"{ITSELF('b')} by way of 'a' and 'c'"),
                Problem(2, "from", f"{ITSELF('c')} by way of 'b' and 'a'"),
            ],
        ),
        (
            {"a": ("b", "one"), "b": ("c", "a"), "c": ("one",), "d": ("a",)},
            [
                Problem(0, "from", f"{ITSELF('a')} by way of 'b'"),
                Problem(1, "from", f"{ITSELF('b')} by way of 'a'"),
            ],
        ),
        (
            {"a": ("one",), "b": ("b",)},
            [Problem(1, "from", ITSELF("b"))],
        ),
        (
            {"one": ("one",)},
            [
                Problem(
                    0, "name", "processor 'one' would have the name of fetcher 'one'"
                )
            ],
        ),
    ],
    ids=["unknown", "circle", "each other", "itself", "name"],
)
def test_all_that_could_never_move_is_found(
    takes: dict[str, tuple[str, ...]], problems: list[Problem]
) -> None:
    assert list(problems_of(("one",), takes)) == problems


def test_the_name_of_a_process_to_come_is_taken_as_well() -> None:
    [problem] = problems_of(("sqrt-2",), {"sqrt": ("sqrt-2",)})

    assert problem.text == "processor 'sqrt' would have the name of fetcher 'sqrt-2'"


def test_without_any_choice_a_job_has_one_route_to_anybody() -> None:
    assert Routing().routes_of("job", describe) == Routes(("",))


def test_a_partition_s_route_is_its_key_as_text() -> None:
    routing = Routing(key_of=key_reader("customer"))

    routes = [routing.routes_of({"customer": each}, describe) for each in (7, "x")]

    assert [each.names for each in routes] == [("7",), ("x",)]
