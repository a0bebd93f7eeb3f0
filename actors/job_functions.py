"""What the functions of a pipeline look like to a type checker.

A fetch is called with its options by name. Beside them it may be given ``state`` and
``next_poll``, where it has such a parameter, and ``url``, where the pipeline says one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

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
