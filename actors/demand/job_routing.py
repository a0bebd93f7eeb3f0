"""Where jobs go that a source hands out: to anyone, to each kind, or by a key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job import as_json, pending
from actors.host.texts import class_name, encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.demand.job import Failure, JobId

_NONE: Mapping[str, Failure] = MappingProxyType({})


class RouteError(ValueError):
    """What a user's function returned does not say where a job goes."""

    permanent = True


class Routes(NamedTuple):
    """Where one job goes.

    Attributes:
        names: One job is made for each; none at all means that nobody wants it.
        failures: Of those of them that could not be found out about, why.
    """

    names: tuple[str, ...] = ("",)
    failures: Mapping[str, Failure] = _NONE


#: To any processor.
ANYWHERE = Routes()


class Incoming(NamedTuple):
    """A job as its source hands it out.

    Attributes:
        id: The source's own, or None.
        payload: Any JSON value.
        routes: Where it goes; None where that is not known yet.
    """

    id: JobId | None
    payload: Any
    routes: Routes | None = ANYWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """How a source's jobs find their way; as it stands, any processor gets any.

    Attributes:
        key_of: Says a job's partition; anything that can be shown as text.
        selectors: With broadcast, for each kind whether a job is for it; None is
            for all.
        asks_user: Whether it takes a function of the user's to say where a job
            goes: such a job has to be kept before, and its mailbox is not the place
            to ask.
    """

    key_of: Callable[[Any], Any] | None = None
    selectors: Mapping[str, Callable[[Any], Any] | None] = field(default_factory=dict)
    asks_user: bool = False

    @property
    def is_open(self) -> bool:
        """Whether any processor gets any job."""
        return self.key_of is None and not self.selectors

    def routes_of(
        self, payload: Any, describe: Callable[[BaseException], Failure]
    ) -> Routes:
        """Find a job's routes; what a user's function raises is the job's failure.

        Args:
            payload: The job; a user's function gets a copy.
            describe: Says what an exception comes to.
        """
        if self.key_of is not None:
            try:
                return Routes((partition_of(self.key_of(self._own(payload))),))
            except BaseException as error:  # noqa: BLE001 - sys.exit() too
                return Routes(("",), {"": _failure(error, describe)})
        if not self.selectors:
            return ANYWHERE
        names, failures = [], {}
        for kind, selects in self.selectors.items():
            try:
                if selects is None or _says_yes(selects(self._own(payload))):
                    names.append(kind)
            except BaseException as error:  # noqa: BLE001 - likewise
                # A job for this kind, and that one's failure: the others get theirs.
                names.append(kind)
                failures[kind] = _failure(error, describe)
        return Routes(tuple(names), failures)

    def _own(self, payload: Any) -> Any:
        return as_json(payload) if self.asks_user else payload


def key_reader(key: str) -> Callable[[Any], Any]:
    """A function that reads one key of a job that is a JSON object."""

    def read(payload: Any) -> Any:
        return payload[key]

    return read


def _failure(
    error: BaseException, describe: Callable[[BaseException], Failure]
) -> Failure:
    failure = describe(error)
    # What says where a job goes is asked once.
    return failure._replace(error=f"{failure.error} (where it goes)", permanent=True)


def _says_yes(answer: Any) -> bool:
    if what := pending(answer):
        raise RouteError(f"a selector must return True or False, got {what}")
    return bool(answer)


#: Types whose text says all about a value.
_PLAIN = (str, int, float, bool, type(None))
_ADDRESS = re.compile(r"\bat 0x[0-9A-Fa-f]+")


def partition_of(key: Any) -> str:
    """A partition's name: the key as text.

    Raises:
        RouteError: It has no text that is the same each time.
    """
    if what := pending(key):
        raise RouteError(f"partition_by must return a job's key, got {what}")
    text = encodable(str(key))
    kind = type(key)
    if kind not in _PLAIN:
        why = None
        if _ADDRESS.search(text):
            why = "its text is an address, another one each time"
        elif issubclass(kind, set | frozenset):
            why = "its text is in no certain order"
        if why:
            raise RouteError(
                f"partition_by must return a key with a text of its own, as a name or "
                f"a number is, got {class_name(key)}: {why}"
            )
    return text
