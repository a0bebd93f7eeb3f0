"""Whether the stages fit one another, once each of them has been read.

Apart from the reading, since these look at several keys, or several stages, at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from actors.config.errors import ConfigError
from actors.config.sources import check_sources
from actors.config.values import is_over_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.config.model import FetcherConfig, ProcessorConfig
    from actors.config.tables import Tables
    from actors.config.values import Value


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
    is_own = "max_demand" in _table_of(tables, index) and not is_over_file(window)
    where = window.origin
    if is_own or where == "default":
        where = tables.where("max_demand", "processor", index)
    raise ConfigError(
        f"{where}: max_demand {problem} for processor {each.name!r}, "
        f"got {each.max_demand}"
    )


def _check_manual(tables: Tables, index: int, manual: ProcessorConfig) -> None:
    table = _table_of(tables, index)
    for key in ("max_demand", "min_demand"):
        if key in table:
            raise ConfigError(
                f"{tables.where(key, 'processor', index)}: {key} does nothing for "
                f"processor {manual.name!r}, whose demand is {manual.demand!r}"
            )


def _table_of(tables: Tables, index: int) -> Mapping[str, Any]:
    # Where the file has no processor, there is one by default, with no table.
    written = tables.file.content.get("processor", []) if tables.file else []
    return written[index] if index < len(written) else {}


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
    both: tuple[FetcherConfig | ProcessorConfig, ...] = (*fetchers, *processors)
    broadcasts = {each.name for each in both if each.dispatcher == "broadcast"}
    if tables.unsound:
        return  # one of them, perhaps, was meant to broadcast
    for index, taker in enumerate(processors):
        with tables.problems.noted():
            check_sources(taker, broadcasts, partial(tables.where_from, index))
        if taker.selector and not broadcasts.intersection(taker.sources):
            tables.problems.add(
                f"{tables.where('selector', 'processor', index)}: nothing that "
                f"processor {taker.name!r} takes from has dispatcher = 'broadcast'"
            )


def _check_partition(
    tables: Tables, table: str, index: int, stage: FetcherConfig | ProcessorConfig
) -> None:
    if (stage.dispatcher == "partition") != (stage.partition_by is not None):
        where = tables.where("dispatcher", table, index)
        raise ConfigError(
            f"{where}: dispatcher = 'partition' and partition_by go "
            f"together, got {stage.dispatcher!r} and {stage.partition_by!r}"
        )
