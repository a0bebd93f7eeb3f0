"""Asking several stages how they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


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
    then: Callable[[dict[str, dict[str, Any]]], None]
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answered(self, name: str, status: dict[str, Any]) -> None:
        """Note an answer."""
        self.answers[name] = status
        self.missing.discard(name)
