"""One question to several stages, and what is made of their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(slots=True, eq=False)
class Question:
    """A question that was put.

    Attributes:
        names: The stages that were asked.
        then: What to do once each has answered, or the time is over.
        until: When to do without the rest, monotonic seconds; None to wait.
        missing: Those of whom nothing was heard yet.
        answers: What the others said, by name.
        errors: What went wrong with some of them, each beginning with the name.
    """

    names: tuple[str, ...]
    then: Callable[[Question], None]
    until: float | None
    missing: set[str]
    answers: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def reply(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """What to tell the person who asked: ``answer``, unless something failed."""
        errors = [
            *self.errors,
            *(f"{name}: no answer" for name in sorted(self.missing)),
        ]
        return {"error": "; ".join(errors)} if errors else answer


class Gather:
    """The questions that are open, each under a number of its own.

    Rule 1: a question ends once: when every stage has answered or failed, or when
    its time is over.
    Rule 2: an answer that comes twice, late or unasked changes nothing.
    """

    def __init__(self) -> None:
        self._open: dict[int, Question] = {}
        self._count = 0

    def ask(
        self,
        names: Iterable[str],
        then: Callable[[Question], None],
        *,
        until: float | None = None,
    ) -> int:
        """Open a question; returns its number, to be sent along with it.

        The question is over at once where there is nobody to ask.
        """
        self._count += 1
        asked = tuple(names)
        self._open[self._count] = Question(asked, then, until, set(asked))
        self._end_if_over(self._count)
        return self._count

    def answered(
        self, number: int, name: str, answer: Any = None, error: str | None = None
    ) -> None:
        """Note what a stage answers to a question, or why it cannot."""
        question = self._open.get(number)
        if question is None or name not in question.missing:
            return
        question.missing.discard(name)
        if error is None:
            question.answers[name] = answer
        else:
            question.errors.append(f"{name}: {error}")
        self._end_if_over(number)

    def answered_to_all(
        self, name: str, answer: Any = None, error: str | None = None
    ) -> None:
        """Note what goes for every question that waits for a stage."""
        for number in self.waiting_for(name):
            self.answered(number, name, answer, error)

    def waiting_for(self, name: str) -> list[int]:
        """The open questions that this stage has not answered."""
        return [n for n, each in self._open.items() if name in each.missing]

    def tick(self, now: float) -> None:
        """End the questions whose time is over."""
        for number, each in tuple(self._open.items()):
            if each.until is not None and now >= each.until:
                self._end(number)

    def next_tick(self) -> float | None:
        """When the time of the next question is over, in monotonic seconds."""
        times = [e.until for e in self._open.values() if e.until is not None]
        return min(times, default=None)

    def _end_if_over(self, number: int) -> None:
        if not self._open[number].missing:
            self._end(number)

    def _end(self, number: int) -> None:
        question = self._open.pop(number)
        question.then(question)
