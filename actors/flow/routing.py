"""Where jobs go that a source hands out: to anyone, to each kind, or by a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.flow.messages import Failure
from actors.flow.texts import encodable, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.flow.messages import JobId


class Incoming(NamedTuple):
    """A job as its source hands it out.

    Attributes:
        id: The source's own, or None.
        payload: Any JSON value.
        routes: One job is made for each; none at all means that nobody wants it.
        failure: Why no route could be found, if so.
        first: No other was made of it before.
    """

    id: JobId | None
    payload: Any
    routes: tuple[str, ...] = ("",)
    failure: Failure | None = None
    first: bool = True

    @property
    def is_wanted(self) -> bool:
        """Whether there is somewhere for it to go."""
        return bool(self.routes) and self.failure is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """How a source's jobs find their way; as it stands, any processor gets any.

    Attributes:
        key_of: Says a job's partition; anything that can be shown as text.
        selectors: With broadcast, for each kind whether a job is for it; None is
            for all.
    """

    key_of: Callable[[Any], Any] | None = None
    selectors: Mapping[str, Callable[[Any], bool] | None] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether any processor gets any job."""
        return self.key_of is None and not self.selectors

    def incoming(self, job_id: JobId | None, payload: Any) -> Incoming:
        """Find a job's routes; what a user's function raises is the job's failure."""
        if self.is_open:
            return Incoming(job_id, payload)
        try:
            return Incoming(job_id, payload, self._routes(payload))
        except Exception as error:  # noqa: BLE001 - the user's function
            text = f"{line_of(error)} (where it goes)"
            return Incoming(job_id, payload, failure=Failure(text, permanent=True))

    def _routes(self, payload: Any) -> tuple[str, ...]:
        if self.key_of is not None:
            return (encodable(str(self.key_of(payload))),)
        return tuple(
            kind
            for kind, selects in self.selectors.items()
            if selects is None or selects(payload)
        )


def key_reader(key: str) -> Callable[[Any], Any]:
    """A function that reads one key of a job that is a JSON object."""

    def read(payload: Any) -> Any:
        return payload[key]

    return read
