"""Who looks on: sees every message and every handler, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.job_events import Fact
    from actors.testing.base import Node


class Observer:
    """Looks away; what there is to see is named by the methods."""

    def before(self, node: Node, message: Any) -> None:
        """A stage is about to handle a message."""

    def after(self, node: Node, message: Any) -> None:
        """A stage has handled a message; nothing of it has been sent yet."""

    def sent(self, sender: Node, receiver: Node | None, message: Any) -> None:
        """A message was put on the wire; None where nobody is at its end."""

    def committed(self, node: Node, facts: Iterable[Fact]) -> None:
        """A fetcher's facts are in its journal."""

    def killed(self, node: Node) -> None:
        """A process is no more."""

    def stopped(self) -> None:
        """The root reported that the drain is over."""

    def told(self, node: Node, level: str, event: str, fields: dict[str, Any]) -> None:
        """A process wrote a line to its log."""
