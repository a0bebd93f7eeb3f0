"""Who takes from whom: what may be joined, and what would never move."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Problem(NamedTuple):
    """What is wrong with the routes, at which processor, counted from 0."""

    at: int
    key: str
    text: str


def problems_of(
    fetchers: Sequence[str], processors: Mapping[str, Sequence[str]]
) -> Iterator[Problem]:
    """Find all that is wrong.

    Args:
        fetchers: Their names.
        processors: For each processor, in order, the names that it takes from.

    Yields:
        Nothing if every processor takes from others only, and none from itself by
        way of others, and no name means two stages.
    """
    for index, (name, sources) in enumerate(processors.items()):
        if (taken := _taken(name, fetchers)) is not None:
            text = f"processor {name!r} would have the name of fetcher {taken!r}"
            yield Problem(index, "name", text)
            continue
        for source in sources:
            if source not in fetchers and source not in processors:
                known = ", ".join((*fetchers, *(p for p in processors if p != name)))
                text = (
                    f"processor {name!r} takes from {source!r}, expected one of {known}"
                )
                yield Problem(index, "from", text)
        if name in _upstream(name, processors):
            yield Problem(index, "from", f"processor {name!r} takes from itself")


def _taken(name: str, fetchers: Sequence[str]) -> str | None:
    for fetcher in fetchers:
        base, _, number = fetcher.rpartition("-")
        if fetcher == name or (base == name and number.isdigit()):
            return fetcher
    return None


def _upstream(name: str, processors: Mapping[str, Sequence[str]]) -> Iterator[str]:
    left, seen = list(processors[name]), set()
    while left:
        source = left.pop()
        if source not in seen:
            seen.add(source)
            yield source
            left += processors.get(source, ())
