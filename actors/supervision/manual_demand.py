"""The root's side of manual demand: a person's word on its way to processors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.supervision.children import StageState
from actors.supervision.messages import AskFor

if TYPE_CHECKING:
    from actors.config.model import ProcessorConfig
    from actors.host.control_socket import Request
    from actors.supervision.children import Member
    from actors.supervision.messages import Asked
    from actors.supervision.root import RootActor


class AskError(ValueError):
    """It cannot be asked for; the text says why."""


@dataclass(slots=True, eq=False)
class _Pending:
    request: Request
    shares: dict[str, int]
    missing: set[str]
    errors: list[str] = field(default_factory=list)


class Asks:
    """Tells processors what to ask for, and the person once they have heard.

    It travels as a running total for each run of a processor, so that a message
    that comes twice asks for nothing twice. What a processor was told ends with
    its process, as all demand does.
    """

    def __init__(self, root: RootActor) -> None:
        self._root = root
        self._totals: Counter[tuple[str, str | None]] = Counter()
        self._pending: dict[int, _Pending] = {}
        self._numbers = 0

    def run(self, request: Request) -> None:
        """Carry out ``ask``: a kind's processes share the jobs among them.

        Raises:
            AskError: There is no such processor, or the count is none.
        """
        count, source = request.command.get("count"), request.command.get("source")
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise AskError(f"count must be a whole number from 0, got {count!r}")
        members = self._members(request.command.get("name"))
        share, rest = divmod(count, len(members))
        shares = {
            each.name: share + (place < rest) for place, each in enumerate(members)
        }
        self._numbers += 1
        self._pending[self._numbers] = _Pending(request, shares, set(shares))
        for member in members:
            self._totals[member.run, source] += shares[member.name]
            total = self._totals[member.run, source]
            ask_for = AskFor(number=self._numbers, total=total, source=source)
            self._root.tell(member.name, ask_for)

    def heard(self, asked: Asked) -> None:
        """A processor has heard, or refused."""
        self._settle(asked.number, asked.name, asked.error)

    def stage_exited(self, name: str) -> None:
        """A processor has died, perhaps before it heard."""
        for number in tuple(self._pending):
            self._settle(number, name, "died before it heard")

    def _settle(self, number: int, name: str, error: str | None) -> None:
        pending = self._pending.get(number)
        if pending is None or name not in pending.missing:
            return
        pending.missing.discard(name)
        if error is not None:
            pending.errors.append(f"{name}: {error}")
        if pending.missing:
            return
        del self._pending[number]
        answer: dict[str, Any] = {"asked": pending.shares}
        if pending.errors:
            answer = {"error": "; ".join(pending.errors)}
        pending.request.answer(answer)

    def _members(self, name: Any) -> list[Member[ProcessorConfig]]:
        known = [
            each for each in self._root.processors if each.state is StageState.RUNNING
        ]
        named = [each for each in known if each.name == name]
        members = named or [each for each in known if each.config.name == name]
        if not members:
            names = ", ".join(each.name for each in known) or "none"
            raise AskError(f"no processor {name!r} is running, only: {names}")
        if not members[0].config.is_manual:
            raise AskError(
                f"{members[0].config.name} asks by itself: its table would have to "
                "say demand = 'manual'"
            )
        return members
