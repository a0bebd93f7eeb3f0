"""Who takes from whom, and whether the stages fit one another once each has been read.

All of it looks at several options, or several stages, at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.config.errors import ConfigError, Problems
from actors.config.values import is_over_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from actors.config.model import FetcherConfig, ProcessorConfig, SubscriptionOptions
    from actors.config.tables import Tables
    from actors.config.values import Value


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
        if (between := _way_round(name, processors)) is not None:
            by_way = f" by way of {' and '.join(map(repr, between))}" if between else ""
            text = f"processor {name!r} takes from itself{by_way}"
            yield Problem(index, "from", text)


def _taken(name: str, fetchers: Sequence[str]) -> str | None:
    for fetcher in fetchers:
        base, _, number = fetcher.rpartition("-")
        if fetcher == name or (base == name and number.isdigit()):
            return fetcher
    return None


def _way_round(
    name: str, processors: Mapping[str, Sequence[str]]
) -> tuple[str, ...] | None:
    """The names between a processor and itself, if what it takes comes from it."""
    ways: list[tuple[str, ...]] = [()]
    seen: set[str] = set()
    for way in ways:  # which grows: the shortest comes first
        for source in processors.get(way[-1] if way else name, ()):
            if source == name:
                return way
            if source not in seen:
                seen.add(source)
                ways.append((*way, source))
    return None


def check_demand(
    tables: Tables, processors: tuple[ProcessorConfig, ...], window: Value
) -> None:
    """Refuse windows that could never open, or not as they are asked to.

    Args:
        tables: Where the processors stand, and where problems are noted.
        processors: All of them.
        window: The setting ``max_demand``, which may have beaten theirs.
    """

    def check(index: int, each: ProcessorConfig) -> None:
        if each.is_manual:
            _check_manual(tables, index, each)
        else:
            _check_window(tables, index, each, window)

    tables.check_sound("processor", processors, check)


def _check_window(
    tables: Tables, index: int, each: ProcessorConfig, window: Value
) -> None:
    least = each.batch_size or 1
    if isinstance(each.max_demand, str):
        if each.min_demand is None and least == 1:
            return
        problem = "goes with neither min_demand nor batch_size"
    elif each.max_demand < least:
        problem = f"must be at least batch_size ({least})"
    elif each.min_demand is not None and each.min_demand >= each.max_demand:
        problem = f"must be above min_demand ({each.min_demand})"
    else:
        return
    table = _table_of(tables, "processor", index)
    is_own = "max_demand" in table and not is_over_file(window)
    where = window.origin
    if is_own or where == "default":
        where = tables.where("max_demand", "processor", index)
    raise ConfigError(
        f"{where}: max_demand {problem} for processor {each.name!r}, "
        f"got {each.max_demand}"
    )


def _check_manual(tables: Tables, index: int, manual: ProcessorConfig) -> None:
    table = _table_of(tables, "processor", index)
    for key in ("max_demand", "min_demand"):
        if key in table:
            raise ConfigError(
                f"{tables.where(key, 'processor', index)}: {key} does nothing for "
                f"processor {manual.name!r}, whose demand is {manual.demand!r}"
            )


def _table_of(tables: Tables, table: str, index: int) -> Mapping[str, Any]:
    # Where the file has none, or something else by that name, it is one by default.
    written: Any = tables.file.content.get(table) if tables.file else None
    is_there = isinstance(written, list) and index < len(written)
    return written[index] if is_there and isinstance(written[index], dict) else {}


def check_dispatching(
    tables: Tables,
    fetchers: tuple[FetcherConfig, ...],
    processors: tuple[ProcessorConfig, ...],
) -> None:
    """Refuse keys that would do nothing for want of another.

    Args:
        tables: Where the stages stand, and where problems are noted.
        fetchers: All of them.
        processors: All of them.
    """
    tables.check_sound(
        "fetcher", fetchers, partial(_check_partition, tables, "fetcher")
    )
    tables.check_sound(
        "processor", processors, partial(_check_partition, tables, "processor")
    )
    tables.check_sound("processor", processors, partial(_check_batches, tables))
    both: tuple[FetcherConfig | ProcessorConfig, ...] = (*fetchers, *processors)
    broadcasts = {each.name for each in both if each.dispatcher == "broadcast"}
    if tables.unsound:
        return  # one of them, perhaps, was meant to broadcast
    for index, taker in enumerate(processors):
        with tables.problems.noted():
            _check_sources(taker, broadcasts, partial(tables.where_from, index))
        if taker.selector and not broadcasts.intersection(taker.sources):
            tables.problems.add(
                f"{tables.where('selector', 'processor', index)}: nothing that "
                f"processor {taker.name!r} takes from has dispatcher = 'broadcast'"
            )


def _check_partition(
    tables: Tables, table: str, index: int, stage: FetcherConfig | ProcessorConfig
) -> None:
    if (stage.dispatcher == "partition") != (stage.partition_by is not None):
        written = "dispatcher" in _table_of(tables, table, index)
        key = "dispatcher" if written else "partition_by"
        raise ConfigError(
            f"{tables.where(key, table, index)}: dispatcher = 'partition' and "
            f"partition_by go together, got {stage.dispatcher!r} and "
            f"{stage.partition_by!r}"
        )


def _check_batches(tables: Tables, index: int, processor: ProcessorConfig) -> None:
    key = "batch_timeout_s"
    table = _table_of(tables, "processor", index)
    if processor.batch_size is None and key in table:
        raise ConfigError(
            f"{tables.where(key, 'processor', index)}: {key} does nothing for "
            f"processor {processor.name!r} without batch_size"
        )


def _check_sources(
    processor: ProcessorConfig, broadcasts: set[str], where: Callable[..., str]
) -> None:
    problems = Problems()
    for name, options in processor.subscriptions.items():
        found = option_conflicts(
            options,
            is_manual=processor.is_manual,
            batch_size=processor.batch_size or 1,
            broadcasts=name in broadcasts,
        )
        for misfit in found:
            place = where(processor.sources.index(name), misfit.key)
            problems.add(
                f"{place}: {misfit.text}, for what processor {processor.name!r} "
                f"takes from {name!r}"
            )
    problems.refuse()


class OptionConflict(NamedTuple):
    """A key that cannot be as it is, and why."""

    key: str
    text: str


def option_conflicts(
    options: SubscriptionOptions, *, is_manual: bool, batch_size: int, broadcasts: bool
) -> Iterator[OptionConflict]:
    """Find what does not fit the processor, or the source.

    Args:
        options: Of the subscription.
        is_manual: Whether the processor asks only when somebody says so.
        batch_size: How many jobs it takes at a time, at the most.
        broadcasts: Whether the source sends each job to every kind of processor.
    """
    most, least = options.max_demand, options.min_demand
    for key, value in (("max_demand", most), ("min_demand", least)):
        if is_manual and value is not None:
            yield OptionConflict(key, f"{key} does nothing where demand is manual")
    if least is not None and most is None:
        yield OptionConflict("min_demand", "min_demand goes with max_demand beside it")
    elif least is not None and most is not None and least >= most:
        text = f"max_demand must be above min_demand ({least}), got {most}"
        yield OptionConflict("max_demand", text)
    elif most is not None and most < batch_size:
        text = f"max_demand must be at least batch_size ({batch_size}), got {most}"
        yield OptionConflict("max_demand", text)
    if options.selector is not None and not broadcasts:
        text = "selector needs a source whose dispatcher is 'broadcast'"
        yield OptionConflict("selector", text)
