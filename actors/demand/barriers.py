"""Marks behind the jobs that are here: each passes when those have ended.

GenStage's ``sync_info``, with jobs' ends in place of their dispatch: a mark tells
"all that was fetched before is done", which is what one waits for.

Rule 1: a mark stands behind every job whose end is still to come, wherever it
is: buffered, in a processor's hands, waiting for a retry, or in the journal.
Rule 2: nothing that comes later holds it up, and it holds up nothing.
Rule 3: marks pass in the order in which they were set.
Rule 4: setting one again changes nothing; one that has passed passes again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.demand.job_store import JobStore

#: Marks that have passed are remembered, to answer a question that is repeated.
FORMER = 64


@dataclass(slots=True)
class _Mark:
    number: int
    place: int | None


class Marks:
    """The marks that were set and have not passed, oldest first."""

    def __init__(self) -> None:
        self._set: deque[_Mark] = deque()
        self._former: deque[int] = deque(maxlen=FORMER)
        self._repeated: list[int] = []

    def __len__(self) -> int:
        return len(self._set)

    def put(self, number: int, store: JobStore) -> None:
        """Set a mark behind all jobs that are there now."""
        if number in self._former:
            self._repeated.append(number)
        elif all(each.number != number for each in self._set):
            # What is still in the journal was fetched before as well: the place is
            # known once all of it is here, and nothing new comes in between.
            self._set.append(_Mark(number, None if store.backlog else store.place))

    def passed(self, store: JobStore) -> list[int]:
        """Take the marks that pass now, in order."""
        self._find_places(store)
        passing, self._repeated = self._repeated, []
        while self._set and self._passes(self._set[0], store):
            mark = self._set.popleft()
            self._former.append(mark.number)
            passing.append(mark.number)
        return passing

    def _find_places(self, store: JobStore) -> None:
        if not store.backlog:
            for mark in self._set:
                mark.place = store.place if mark.place is None else mark.place

    def _passes(self, mark: _Mark, store: JobStore) -> bool:
        return mark.place is not None and not store.holds_before(mark.place)
