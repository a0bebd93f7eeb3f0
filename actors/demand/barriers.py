"""Barriers behind the jobs that are here: each passes when those have ended.

GenStage's ``sync_info``, with jobs' ends in place of their dispatch: a barrier tells
"all that was fetched before is done", which is what one waits for.

Rule 1: a barrier stands behind every job whose end is still to come, wherever it
is: buffered, in a processor's hands, waiting for a retry, or in the journal.
Rule 2: nothing that comes later holds it up, and it holds up nothing.
Rule 3: barriers pass in the order in which they were set.
Rule 4: setting one again changes nothing; one that has passed passes again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.demand.job_store import JobStore

#: Barriers that have passed are remembered, to answer a question that is repeated.
FORMER = 64


@dataclass(slots=True)
class _Barrier:
    number: int
    place: int | None


class Barriers:
    """The barriers that were set and have not passed, oldest first."""

    def __init__(self) -> None:
        self._set: deque[_Barrier] = deque()
        self._former: deque[int] = deque(maxlen=FORMER)
        self._repeated: list[int] = []
        self.are_set = False

    def __len__(self) -> int:
        return len(self._set)

    def put(self, number: int, store: JobStore) -> None:
        """Set a barrier behind all jobs that are there now."""
        self.are_set = True
        if number in self._former:
            self._repeated.append(number)
        elif all(each.number != number for each in self._set):
            # What is still in the journal was fetched before as well: the place is
            # known once all of it is here, and nothing new comes in between.
            self._set.append(_Barrier(number, None if store.backlog else store.place))

    def passed(self, store: JobStore) -> list[int]:
        """Take the barriers that pass now, in order."""
        self._find_places(store)
        passing, self._repeated = self._repeated, []
        while self._set and self._passes(self._set[0], store):
            barrier = self._set.popleft()
            self._former.append(barrier.number)
            passing.append(barrier.number)
        self.are_set = bool(self._set)
        return passing

    def _find_places(self, store: JobStore) -> None:
        if not store.backlog:
            for barrier in self._set:
                barrier.place = store.place if barrier.place is None else barrier.place

    def _passes(self, barrier: _Barrier, store: JobStore) -> bool:
        return barrier.place is not None and not store.holds_before(barrier.place)
