"""One question to several stages, and its end."""

from __future__ import annotations

from actors.supervision.gather import Gather, Question


def asked(gather: Gather, *names: str, until: float | None = None) -> list[Question]:
    """Ask; returns where the question is once it is over."""
    over: list[Question] = []
    gather.ask(names, over.append, until=until)
    return over


def test_it_is_over_when_each_has_answered() -> None:
    gather = Gather()
    over = asked(gather, "a", "b")

    gather.answered(1, "a", 1)
    before = list(over)
    gather.answered(1, "b", 2)

    assert before == []
    assert [each.answers for each in over] == [{"a": 1, "b": 2}]
    assert over[0].reply({"fine": True}) == {"fine": True}


def test_where_there_is_nobody_to_ask_it_is_over_at_once() -> None:
    assert len(asked(Gather())) == 1


def test_an_answer_that_comes_twice_late_or_unasked_changes_nothing() -> None:
    gather = Gather()
    over = asked(gather, "a", "b")
    for _ in range(2):
        gather.answered(1, "a", 1)
    gather.answered(1, "c", 3)
    gather.answered(9, "b", 9)
    before = list(over)

    gather.answered(1, "b", 2)
    gather.answered(1, "b", 7)

    assert before == []
    assert [each.answers for each in over] == [{"a": 1, "b": 2}]


def test_it_does_without_those_that_are_late() -> None:
    gather = Gather()
    over = asked(gather, "a", "b", until=10.0)
    gather.answered(1, "a", 1)

    assert gather.next_tick() == 10.0
    gather.tick(9.9)
    before = list(over)
    gather.tick(10.0)

    assert before == []
    assert (over[0].answers, over[0].missing) == ({"a": 1}, {"b"})
    assert over[0].reply({}) == {"error": "b: no answer"}
    assert gather.next_tick() is None


def test_the_death_of_a_stage_answers_whatever_it_was_asked() -> None:
    gather = Gather()
    one, two, other = asked(gather, "a"), asked(gather, "a", "b"), asked(gather, "b")
    assert gather.waiting_for("a") == [1, 2]

    gather.answered_to_all("a", error="died")
    gather.answered(2, "b")

    assert one[0].reply({}) == two[0].reply({}) == {"error": "a: died"}
    assert other == []
    assert gather.waiting_for("a") == []
