"""The root's side of marks: who waits until all that was fetched has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.supervision.messages import SetMark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.host.control_socket import Request
    from actors.supervision.messages import MarkPassed
    from actors.supervision.root import RootActor


@dataclass(slots=True, eq=False)
class _Pending:
    request: Request
    names: list[str]
    missing: set[str]


class Waits:
    """Sets a mark in fetchers, and answers once it has passed in each.

    A fetcher that is restarted is told again: its mark then stands behind all
    that the journal has, so it never passes too early.
    """

    def __init__(self, root: RootActor) -> None:
        self._root = root
        self._pending: dict[int, _Pending] = {}
        self._numbers = 0

    def run(self, request: Request, names: Iterable[str]) -> None:
        """Carry out ``wait``.

        Raises:
            TuningError: There is no such fetcher.
        """
        chosen = self._root.tuning.fetchers(names)
        self._numbers += 1
        self._pending[self._numbers] = _Pending(request, chosen, set(chosen))
        self._root.log.info("mark.set", number=self._numbers, fetchers=chosen)
        for name in chosen:
            self._root.tell(name, SetMark(number=self._numbers))

    def stage_started(self, name: str) -> None:
        """Tell a restarted fetcher what it cannot know."""
        for number, pending in self._pending.items():
            if name in pending.missing:
                self._root.tell(name, SetMark(number=number))

    def passed(self, message: MarkPassed) -> None:
        """A mark has passed in one fetcher."""
        pending = self._pending.get(message.number)
        if pending is None:
            return
        pending.missing.discard(message.name)
        if not pending.missing:
            del self._pending[message.number]
            self._root.log.info("mark.passed", number=message.number)
            pending.request.answer({"passed": pending.names})
