"""What the functions of a pipeline look like to a type checker.

A fetch is called with its options by name. Beside them it may be given ``state`` and
``next_poll``, where it has such a parameter, and ``url``, where the pipeline says one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NotRequired, Protocol, TypeAlias, TypedDict, TypeVar

#: What a job and a result may be: what JSON has, or becomes it. No promise of one
#: (a coroutine), and no generator.
Json: TypeAlias = (
    bool | int | float | str | list[Any] | tuple[Any, ...] | Mapping[str, Any] | None
)

Job = TypeVar("Job", bound=Json)
Result = TypeVar("Result", bound=Json)
Answer_co = TypeVar("Answer_co", covariant=True)

#: What a fetch with a parameter ``state`` answers: jobs, and its source's next state.
Pages: TypeAlias = tuple[Iterable[Job], Any] | Iterator[tuple[Iterable[Job], Any]]


class OfUrl(Protocol[Answer_co]):
    """A fetch that needs ``url``."""

    def __call__(self, *, url: Any) -> Answer_co:
        """Poll once."""


class OfState(Protocol[Answer_co]):
    """A fetch that needs ``state``."""

    def __call__(self, *, state: Any) -> Answer_co:
        """Poll once."""


class OfUrlAndState(Protocol[Answer_co]):
    """A fetch that needs both."""

    def __call__(self, *, url: Any, state: Any) -> Answer_co:
        """Poll once."""


class OfNextPoll(Protocol[Answer_co]):
    """A fetch that says itself when the next poll is due."""

    def __call__(self, *, next_poll: Any) -> Answer_co:
        """Poll once."""


class OfUrlAndNextPoll(Protocol[Answer_co]):
    """The same of a URL."""

    def __call__(self, *, url: Any, next_poll: Any) -> Answer_co:
        """Poll once."""


class _JobEvent(TypedDict):
    """What every event of a job tells, to hooks and callbacks alike.

    ``at`` is in seconds since the epoch; ``key`` is the fetcher's own number for the
    job. Of an event that is too long, ``job``, ``result`` and ``trace`` are None, and
    ``too_long`` is there.
    """

    at: float
    fetcher: str
    key: int
    job_id: Any
    job: Any
    attempt: int
    too_long: NotRequired[bool]


class DoneEvent(_JobEvent):
    """A job is done."""

    event: Literal["done"]
    result: Any
    duration_s: float
    processor: str
    pid: int


class FailedEvent(_JobEvent):
    """An attempt has failed, and another one follows."""

    event: Literal["failed"]
    error: str
    trace: str | None
    retry_in_s: float
    processor: str
    pid: int


class QuarantinedEvent(_JobEvent):
    """A job is set aside: no attempt follows."""

    event: Literal["quarantined"]
    error: str
    trace: str | None
    processor: NotRequired[str]
    pid: NotRequired[int]
