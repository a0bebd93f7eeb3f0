"""The tables of the file: which keys they have, and what they come to, read one by one.

Apart from what is built of them, since a table is read without a thought to the
settings or to its neighbours; here it is known, too, which of them are not as they
were meant, so that nobody complains of them twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.config.errors import ConfigError, near
from actors.config.model import AUTOMATIC, MANUAL
from actors.config.sources import SOURCES
from actors.config.toml_file import lacks
from actors.config.value_types import (
    COUNT,
    COUNT_FROM_0,
    COUNT_OR_AUTO,
    FUNCTION,
    GATE,
    PROCESSES,
    SECONDS,
    TABLE,
    TEXT,
    TRUE_OR_FALSE,
    Kind,
    checked,
    choice,
    seconds,
)
from actors.demand.cancel_modes import MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeVar

    from actors.config.errors import Problems
    from actors.config.model import FetcherConfig, ProcessorConfig
    from actors.config.toml_file import ConfigFile

    Stage = TypeVar("Stage", FetcherConfig, ProcessorConfig)

_DEMAND = Kind(
    f"{AUTOMATIC}, {MANUAL}, or {FUNCTION.expected}",
    str,
    lambda value: value if value in (AUTOMATIC, MANUAL) else FUNCTION.check(value),
)

FETCHER_KEYS: dict[str, Kind] = {
    "name": TEXT,
    "fetch": FUNCTION,
    "options": TABLE,
    "every_s": SECONDS,
    "buffer": COUNT,
    "buffer_mib": COUNT,
    "remember_s": seconds(0.0),
    "idle_cap_s": SECONDS,
    "on_demand": TRUE_OR_FALSE,
    "settle": FUNCTION,
    "buffer_keep": choice("first", "last"),
    "dispatcher": choice("demand", "broadcast", "partition"),
    "partition_by": TEXT,
    "rate_limit": COUNT,
    "rate_interval_s": SECONDS,
    "demand": GATE,
}
PROCESSOR_KEYS: dict[str, Kind] = {
    "name": TEXT,
    "process": FUNCTION,
    "from": SOURCES,
    "count": PROCESSES,
    "max_demand": COUNT_OR_AUTO,
    "min_demand": COUNT_FROM_0,
    "buffer": COUNT,
    "buffer_mib": COUNT,
    "dispatcher": choice("demand", "broadcast", "partition"),
    "partition_by": TEXT,
    "selector": FUNCTION,
    "batch_size": COUNT,
    "batch_timeout_s": SECONDS,
    "demand": _DEMAND,
    "cancel": choice(*MODES),
}


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

    def read(self, table: str, keys: Mapping[str, Kind]) -> list[dict[str, Any]]:
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
            read.append(self._read_one(each, table, index, keys))
            if len(self.problems) > before:
                self.unsound.add((table, index))
        names = [each["name"] for each in read]
        for index, name in enumerate(names):
            if name in names[:index]:
                where = self.where("name", table, index)
                self.problems.add(f"{where}: {table} {name!r} is there already")
                self.nameless.add((table, index))
        return read

    def _read_one(
        self, content: Any, table: str, index: int, keys: Mapping[str, Kind]
    ) -> dict[str, Any]:
        read: dict[str, Any] = {}
        where = self.where("", table, index)
        if not isinstance(content, dict):
            self.problems.add(f"{where}: expected [[{table}]]")
        elif lacks("name", content):
            self.problems.add(f"{where}: a name is missing")
        for key, value in content.items() if isinstance(content, dict) else ():
            with self.problems.noted():
                kind, place = keys.get(key), self.where(key, table, index)
                if kind is None:
                    raise ConfigError(
                        f"{place}: unknown key {key!r} in [[{table}]], "
                        f"expected one of {', '.join(keys)}{near(key, keys)}"
                    )
                read[key] = checked(kind, value, key, place)
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
