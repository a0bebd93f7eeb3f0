"""What stands in a processor's ``from``: names, or tables of a source each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from actors.config.errors import ConfigError, Problems, near
from actors.config.subscriptions import SubscriptionOptions, misfits
from actors.config.toml_file import lacks
from actors.config.value_types import (
    COUNT,
    COUNT_FROM_0,
    FUNCTION,
    TEXT,
    Kind,
    checked,
    choice,
)
from actors.demand.cancel_modes import MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.config.model import ProcessorConfig

SOURCE_KEYS: dict[str, Kind] = {
    "name": TEXT,
    "max_demand": COUNT,
    "min_demand": COUNT_FROM_0,
    "cancel": choice(*MODES),
    "selector": FUNCTION,
}


def _is_sources(value: Any) -> bool:
    is_list = isinstance(value, list) and bool(value)
    return is_list and all(
        isinstance(each, dict) or (isinstance(each, str) and each) for each in value
    )


def _check(value: Any) -> Any:
    if not _is_sources(value):
        raise ValueError(value)
    return value


SOURCES = Kind("a list of names, or tables, of sources, at least one", str, _check)


def read_sources(
    entries: Sequence[Any], where: Callable[..., str]
) -> tuple[tuple[str, ...], dict[str, SubscriptionOptions]]:
    """The names, and the options of those that have some of their own.

    Args:
        entries: As ``SOURCES`` lets through.
        where: ``file:line`` of what stands at a place below ``from``.

    Raises:
        ConfigError: A table has a key or a value that cannot be, or a source is
            there twice.
    """
    names: list[str] = []
    options: dict[str, SubscriptionOptions] = {}
    problems = Problems()
    for index, entry in enumerate(entries):
        with problems.noted():
            table = {"name": entry}
            if isinstance(entry, dict):
                table = _read_one(entry, partial(where, index))
            name = table.pop("name")
            if name in names:
                raise ConfigError(f"{where(index)}: {name!r} is in from already")
            names.append(name)
            if isinstance(entry, dict):
                options[name] = SubscriptionOptions(**table)
    problems.refuse()
    return tuple(names), options


def check_sources(
    processor: ProcessorConfig, broadcasts: set[str], where: Callable[..., str]
) -> None:
    """Refuse options that do not fit the processor or the source.

    Args:
        processor: Whose they are.
        broadcasts: Names of the stages that broadcast.
        where: ``file:line`` of what stands at a place below ``from``.

    Raises:
        ConfigError: One does not fit.
    """
    problems = Problems()
    for name, options in processor.subscriptions.items():
        found = misfits(
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


def _read_one(entry: Mapping[str, Any], where: Callable[..., str]) -> dict[str, Any]:
    problems = Problems()
    read: dict[str, Any] = {}
    if lacks("name", entry):
        problems.add(f"{where()}: a name is missing in from")
    for key, value in entry.items():
        if key not in SOURCE_KEYS:
            problems.add(
                f"{where(key)}: unknown key {key!r} in from, expected one of "
                f"{', '.join(SOURCE_KEYS)}{near(key, SOURCE_KEYS)}"
            )
            continue
        with problems.noted():
            read[key] = checked(SOURCE_KEYS[key], value, key, where(key))
    problems.refuse()
    return read
