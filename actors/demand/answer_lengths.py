"""Whether a source has more, by the lengths of its answers.

A ``fetch`` that returns what there is cannot say whether there is more. Asking until
nothing comes costs a request for nothing at each poll that brings something; waiting
for the next poll costs time where there is a lot. How long the answers were that
something followed, and those that nothing did, tells which it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: An answer that is taken for the last is doubted once so many polls in a row have
#: ended with one; and after that once twice as many have, up to the most.
FIRST_DOUBT = 5
MOST_DOUBT = 80


@dataclass(slots=True)
class Lengths:
    """What was seen of one source's answers.

    Rule 1: an answer as long as any that something followed may have more behind it.
    Rule 2: while there is none, so may one longer than each that nothing followed.
    Rule 3: any other is taken for the last, but not for ever.
    """

    _longest_last: int = 0
    _shortest_full: float = math.inf
    _trusted: int = 0
    _doubt: int = FIRST_DOUBT
    _asked_after: int = 0

    def begin(self) -> None:
        """A poll begins."""
        self._asked_after = 0

    def may_have_more(self, length: int) -> bool:
        """Note an answer that brought something; returns whether to ask again."""
        if self._asked_after:
            self._shortest_full = min(self._shortest_full, self._asked_after)
            self._trusted, self._doubt = 0, FIRST_DOUBT
        self._asked_after = length
        is_known = self._shortest_full < math.inf
        least = self._shortest_full if is_known else self._longest_last + 1
        if length >= least:
            return True
        self._trusted += 1
        return self._trusted >= self._doubt

    def nothing(self) -> None:
        """Note an answer that brought nothing new."""
        if self._asked_after:
            self._longest_last = max(self._longest_last, self._asked_after)
            if self._trusted >= self._doubt:
                self._doubt = min(MOST_DOUBT, self._doubt * 2)
        self._trusted = self._asked_after = 0
