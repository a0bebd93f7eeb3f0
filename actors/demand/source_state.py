"""The state of a source: what its ``fetch`` told last, kept together with its jobs.

Rule 1: a state is kept in one transaction with the jobs that came before it.
Rule 2: a state follows from the one that ``fetch`` was given. If that is no longer
the state (a person has set another meanwhile), the jobs are kept and it is not.
Rule 3: it is a text of JSON from the moment when it is handed over, so nothing that
happens to the value later changes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from actors.demand.job import as_json

#: The longest state that is kept, in bytes of JSON.
MAX_STATE_BYTES = 64 * 1024
#: The state of a source that has told none.
NO_STATE = "null"

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class StateError(ValueError):
    """The value cannot be kept as a state; the text says why."""


class KeptState(NamedTuple):
    """A state as it is kept.

    Attributes:
        text: JSON.
        moved_at: When it last changed, monotonic seconds; None if it never did.
    """

    text: str = NO_STATE
    moved_at: float | None = None


def state_text(value: Any) -> str:
    """Return a state as JSON.

    Raises:
        StateError: It is no JSON value, or too large.
    """
    try:
        text = _encode(as_json(value))
    except (TypeError, ValueError) as error:
        raise StateError(f"the state must be a JSON value: {error}") from error
    if len(text) > MAX_STATE_BYTES:
        raise StateError(
            f"the state must have at most {MAX_STATE_BYTES} bytes of JSON, "
            f"got {len(text)}"
        )
    return text


@dataclass(slots=True)
class SourceState:
    """The state of one source, as its fetcher holds it.

    Attributes:
        kept: What a restart would find.
        told: The same, or what is on its way to the journal.
    """

    kept: KeptState
    told: str

    @classmethod
    def of(cls, kept: KeptState) -> SourceState:
        """The state that was found at the start."""
        return cls(kept, kept.text)

    @property
    def value(self) -> Any:
        """What ``fetch`` is given: a value of its own at each call."""
        return json.loads(self.kept.text)

    def age_s(self, now: float) -> float | None:
        """How long ago it last changed; None if it never did."""
        moved_at = self.kept.moved_at
        return None if moved_at is None else round(max(0.0, now - moved_at), 3)

    def follows(self, given: str) -> bool:
        """Whether a state that follows from ``given`` is the next."""
        return given == self.told

    def tell(self, text: str) -> bool:
        """Note what is to be kept; returns whether that changes anything."""
        changed = text != self.told
        self.told = text
        return changed

    def keep(self, text: str, now: float) -> None:
        """Note what is in the journal now."""
        self.kept = KeptState(text, now)
