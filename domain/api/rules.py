"""What an answer means: the rules of the options first, then those of HTTP."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .expressions import Expression, Path
from .rate_headers import UNKNOWN_WAIT_S, Budget, budget_of

__all__ = ["MEANINGS", "Heard", "Meaning", "Rule", "meaning_of"]

#: What a rule may make of an answer.
MEANINGS = ("none", "wait", "error", "fault", "take")

_MAX_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, as far as rules look at it.

    Attributes:
        status: Of HTTP.
        headers: Likewise.
        value: The body as JSON, None if it is none.
        now: Our time.
    """

    status: int
    headers: Mapping[str, str]
    value: Any
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: it applies where everything that it names is so.

    Attributes:
        do: One of `MEANINGS`.
        status: Statuses, any of them.
        header: A header that is there.
        equals: What it is.
        when: Where the body has something that is neither null, false nor empty.
        message: Where the body says what is wrong, for ``error`` and ``fault``.
        wait_s: How long to ``wait``, where no header says so.
    """

    do: str
    status: Collection[int] = ()
    header: str | None = None
    equals: str | None = None
    when: Path | Expression | None = None
    message: Path | Expression | None = None
    wait_s: float | None = None

    def applies(self, heard: Heard) -> bool:
        """Whether it is about this answer."""
        if self.status and heard.status not in self.status:
            return False
        if self.header is not None:
            value = heard.headers.get(self.header)
            if value is None or self.equals not in (None, value.strip()):
                return False
        if self.when is None:
            return True
        found = self.when.find(heard.value)[1]
        return found is not None and found is not False and found not in ("", [], {})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an answer means.

    Attributes:
        do: One of `MEANINGS`, or ``refused`` for a status that is none of ours.
        text: What is to be said of it.
        wait_s: With ``wait``, for how long.
    """

    do: str
    text: str = ""
    wait_s: float | None = None


def meaning_of(
    rules: Sequence[Rule], heard: Heard, none_status: Collection[int]
) -> Meaning:
    """Judge an answer; the first rule that applies says what it means.

    Raises:
        BadAnswerError: A rule does not fit it.
    """
    budget = budget_of(heard.headers, heard.status, heard.now)
    for number, rule in enumerate(rules, start=1):
        if rule.applies(heard):
            return _by_rule(rule, number, heard, budget)
    if heard.status in none_status:
        return Meaning("none")
    if 200 <= heard.status <= 299:  # noqa: PLR2004
        return Meaning("take")
    if heard.status in (403, 429, 503) and budget.used_up:
        return Meaning("wait", f"status {heard.status}", budget.wait_s)
    return Meaning("refused")


def _by_rule(rule: Rule, number: int, heard: Heard, budget: Budget) -> Meaning:
    text = f"rules: number {number} says so of status {heard.status}"
    if rule.message is not None:
        said = rule.message.find(heard.value)[1]
        text = f"{text}: {' '.join(str(said).split())[:_MAX_MESSAGE]}"
    wait_s = None
    if rule.do == "wait":
        wait_s = next(
            each
            for each in (budget.wait_s, rule.wait_s, UNKNOWN_WAIT_S)
            if each is not None
        )
    return Meaning(rule.do, text, wait_s)
