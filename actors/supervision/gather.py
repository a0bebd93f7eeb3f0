"""Asking several stages how they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.supervision.messages import StatusAnswer


@dataclass(slots=True, eq=False)
class StatusRound:
    """One question to all stages, and who has answered.

    Attributes:
        deadline: When to do without the rest, monotonic seconds.
        missing: Names of those that have not answered.
        then: What to do with the answers.
    """

    deadline: float
    missing: set[str]
    then: Callable[[dict[str, StatusAnswer]], None]
    answers: dict[str, StatusAnswer] = field(default_factory=dict)

    def answered(self, answer: StatusAnswer) -> None:
        """Note an answer."""
        self.answers[answer.name] = answer
        self.missing.discard(answer.name)
