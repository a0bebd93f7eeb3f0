"""How far a source has been read: the state that is kept with its jobs."""

from dataclasses import dataclass, replace
from typing import Any

from ..errors import BadAnswerError, short
from .cursors import Scalar
from .paging import Position

__all__ = ["Bookmark"]

#: How many pages back one that comes again is recognised.
MAX_TRAIL = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """How far a source has been read.

    A *round* is all pages from the first to the last one; it may take several
    polls. What is learnt on the way (``pending``, ``changed``) counts only once the
    round has come to its end, since only then all pages are kept.

    Attributes:
        cursor: All that comes before it has been kept.
        pending: What the cursor is to be at the end of the round.
        position: The page to ask for next; None for the first of a round.
        asks: A digest of the options that the position, and what is unchanged, go
            with.
        trail: Digests of the last pages of the round.
        changed: ``etag``, ``modified`` and ``of`` (a digest of the request), of the
            first page of the round, and ``front``, its own digest.
        unchanged: The same of the round before: what is asked for is what changed.
        refresh: A refresh token that was rotated, and a digest of the one before it
            that stands in the options.
    """

    cursor: Scalar | None = None
    pending: Scalar | None = None
    position: Position | None = None
    asks: str | None = None
    trail: tuple[str, ...] = ()
    changed: dict[str, str] | None = None
    unchanged: dict[str, str] | None = None
    refresh: dict[str, str] | None = None

    @classmethod
    def of(cls, state: Any, asks: str) -> "Bookmark":
        """Read a state.

        Args:
            state: As it was told, or None. A text or number is a cursor that a
                person has set.
            asks: What the options ask for: a position that goes with others is left.

        Raises:
            BadAnswerError: It is none that was told here.
        """
        if state is None:
            return cls(asks=asks)
        if isinstance(state, str | int | float) and not isinstance(state, bool):
            return cls(asks=asks, cursor=state)
        if not isinstance(state, dict) or not _fits(state):
            raise BadAnswerError(
                f"state: expected what domain.api has told, or a cursor, got "
                f"{short(state)}"
            )
        place = cls(**{**state, "trail": tuple(state.get("trail", ()))})
        if place.asks == asks:
            return place
        return replace(place.afresh(), asks=asks, unchanged=None)

    def told(self) -> dict[str, Any]:
        """The state, a JSON value; what is not there is left out."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        state = {name: value for name, value in fields.items() if value is not None}
        state["trail"] = list(self.trail)
        return {name: value for name, value in state.items() if value != []}

    def afresh(self) -> "Bookmark":
        """The same at the beginning of a round; what it learnt does not count."""
        return replace(self, pending=None, position=None, trail=(), changed=None)

    def finished(self) -> "Bookmark":
        """The same at the end of a round."""
        cursor = self.cursor if self.pending is None else self.pending
        unchanged = self.changed or self.unchanged
        return replace(self.afresh(), cursor=cursor, unchanged=unchanged)

    def passed(self, digest: str) -> "Bookmark":
        """The same with one page more on the trail."""
        return replace(self, trail=(*self.trail, digest)[-MAX_TRAIL:])


_TABLES = ("position", "changed", "unchanged", "refresh")
_SCALARS = ("cursor", "pending")


def _fits(state: dict[str, Any]) -> bool:
    known = set(Bookmark.__slots__)
    tables = (state.get(name, {}) for name in _TABLES)
    scalars = (state.get(name, "") for name in _SCALARS)
    trail = state.get("trail", [])
    return (
        set(state) <= known
        and all(isinstance(each, dict) for each in tables)
        and all(
            isinstance(each, str | int | float) and not isinstance(each, bool)
            for each in scalars
        )
        and isinstance(trail, list)
        and isinstance(state.get("asks", ""), str)
    )
