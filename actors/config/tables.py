"""The tables of the file, read one by one.

Apart from what is built of them, since a table is read without a thought to the
settings or to its neighbours; here it is known, too, which of them are not as they
were meant, so that nobody complains of them twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.config.errors import ConfigError, Problems, near
from actors.config.model import (
    SOURCE_OPTIONS,
    STAGE_OPTIONS,
    SubscriptionOptions,
    belongs,
)
from actors.config.toml_file import lacks
from actors.hooks.events import NAMES as EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeVar

    from actors.config.model import FetcherConfig, ProcessorConfig
    from actors.config.option import Option
    from actors.config.toml_file import ConfigFile

    Stage = TypeVar("Stage", FetcherConfig, ProcessorConfig)


@dataclass(frozen=True, slots=True)
class Tables:
    """The file's tables, and what is wrong with them.

    Attributes:
        file: If there is one.
        problems: Where what is wrong is noted.
        unsound: Tables that are not as they were meant, by kind and number: a
            second complaint would mislead.
        nameless: Tables of which nobody knows what they were to be called.
    """

    file: ConfigFile | None
    problems: Problems
    unsound: set[tuple[str, int]] = field(default_factory=set)
    nameless: set[tuple[str, int]] = field(default_factory=set)

    def read(self, table: str) -> list[dict[str, Any]]:
        """The values of each table of a kind, and a name in any case.

        What cannot be used is noted, and left out.
        """
        if self.file is None or table not in self.file.content:
            return []
        tables = self.file.content[table]
        if not isinstance(tables, list):
            self.problems.add(f"{self.file.where(table)}: expected [[{table}]] tables")
            self.nameless.add((table, 0))
            return []
        read = []
        for index, each in enumerate(tables):
            before = len(self.problems)
            read.append(self._read_one(each, table, index))
            if len(self.problems) > before:
                self.unsound.add((table, index))
        names = [each["name"] for each in read]
        for index, name in enumerate(names):
            if name in names[:index]:
                where = self.where("name", table, index)
                self.problems.add(f"{where}: {table} {name!r} is there already")
                self.nameless.add((table, index))
        return read

    def _read_one(self, content: Any, table: str, index: int) -> dict[str, Any]:
        read: dict[str, Any] = {}
        where = self.where("", table, index)
        if not isinstance(content, dict):
            self.problems.add(f"{where}: expected [[{table}]]")
        elif lacks("name", content):
            self.problems.add(f"{where}: a name is missing")
        for key, value in content.items() if isinstance(content, dict) else ():
            with self.problems.noted():
                place = self.where(key, table, index)
                read[key] = _checked(
                    STAGE_OPTIONS[table], key, value, f"[[{table}]]", place
                )
        if "name" not in read:
            self.nameless.add((table, index))
        return {"name": f"[[{table}]] {index + 1}"} | read

    def check_sound(
        self, table: str, stages: Iterable[Stage], check: Callable[[int, Stage], None]
    ) -> None:
        """Check the stages whose tables are sound, and note what does not fit."""
        for index, each in enumerate(stages):
            if (table, index) not in self.unsound:
                with self.problems.noted():
                    check(index, each)

    def unsound_names(
        self,
        fetchers: tuple[FetcherConfig, ...],
        processors: tuple[ProcessorConfig, ...],
    ) -> frozenset[str]:
        """The stages that are not as they were meant."""
        names = {("fetcher", i): each.name for i, each in enumerate(fetchers)}
        names |= {("processor", i): each.name for i, each in enumerate(processors)}
        return frozenset(names[each] for each in self.unsound | self.nameless)

    def where_from(self, index: int, *place: str | int) -> str:
        """``file:line`` of what stands at a place below a processor's ``from``."""
        file = self.file
        return file.where("processor", index, "from", *place) if file else "default"

    def where(self, key: str, table: str, index: int) -> str:
        """``file:line`` of a table's key."""
        return self.file.where(table, index, key) if self.file else "default"


def read_hooks(tables: Tables) -> dict[str, tuple[str, ...]]:
    """The functions of the table ``[hooks]``, by event; what cannot be is noted."""
    file = tables.file
    if file is None or "hooks" not in file.content:
        return {}
    content = file.content["hooks"]
    if not isinstance(content, dict):
        tables.problems.add(f"{file.where('hooks')}: expected a table [hooks]")
        return {}
    read = {}
    for event, value in content.items():
        where = file.where("hooks", event)
        names = [value] if isinstance(value, str) else value
        if event not in EVENTS:
            tables.problems.add(
                f"{where}: unknown event {event!r} in [hooks], expected one of "
                f"{', '.join(EVENTS)}{near(event, EVENTS)}"
            )
        elif not isinstance(names, list | tuple) or not all(
            isinstance(each, str) and ":" in each for each in names
        ):
            tables.problems.add(
                f"{where}: {event}: expected MODULE:FUNCTION or a list of them, "
                f"got {value!r}"
            )
        else:
            read[event] = tuple(names)
    return read


def read_sources(
    entries: Sequence[Any], where: Callable[..., str]
) -> tuple[tuple[str, ...], dict[str, SubscriptionOptions]]:
    """The names, and the options of those that have some of their own.

    Args:
        entries: A list of names and tables.
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
                table = _read_source(entry, partial(where, index))
            name = table.pop("name")
            if name in names:
                raise ConfigError(f"{where(index)}: {name!r} is in from already")
            names.append(name)
            if isinstance(entry, dict):
                options[name] = SubscriptionOptions(**table)
    problems.refuse()
    return tuple(names), options


def _read_source(entry: Mapping[str, Any], where: Callable[..., str]) -> dict[str, Any]:
    problems = Problems()
    read: dict[str, Any] = {}
    if lacks("name", entry):
        problems.add(f"{where()}: a name is missing in from")
    for key, value in entry.items():
        with problems.noted():
            read[key] = _checked(SOURCE_OPTIONS, key, value, "from", where(key))
    problems.refuse()
    return read


def _checked(
    options: Mapping[str, Option], key: str, value: Any, table: str, where: str
) -> Any:
    if key not in options:
        raise ConfigError(
            f"{where}: unknown key {key!r} in {table}, expected one of "
            f"{', '.join(options)}{belongs(key) or near(key, options)}"
        )
    return options[key].check(value, key, where)
