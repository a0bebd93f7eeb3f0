"""The whole configuration, from the settings and the tables of the file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.config.errors import ConfigError, Problems
from actors.config.model import (
    STAGE_OPTIONS,
    SYSTEM_OPTIONS,
    FetcherConfig,
    ProcessorConfig,
    SystemConfig,
)
from actors.config.tables import Tables, read_hooks, read_sources
from actors.config.topology import check_demand, check_dispatching, problems_of
from actors.config.values import is_over_file
from actors.journal.postgres_database import is_postgres

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.config.model import SubscriptionOptions
    from actors.config.toml_file import ConfigFile
    from actors.config.values import Value


def build(values: Mapping[str, Value], file: ConfigFile | None) -> SystemConfig:
    """Put the settings and the file's tables together.

    Raises:
        ConfigError: They do not fit one another.
    """
    problems = Problems()
    config, _ = build_noting(values, file, problems)
    problems.refuse()
    return config


def build_noting(
    values: Mapping[str, Value], file: ConfigFile | None, problems: Problems
) -> tuple[SystemConfig, frozenset[str]]:
    """As ``build``; what cannot be used is noted, and left out.

    Returns:
        What there is, and the names of the stages that are not as they were meant.
    """
    tables = Tables(file, problems)
    stages = _Stages(values, tables)
    fetchers = stages.fetchers()
    processors = stages.processors(tuple(each.name for each in fetchers))
    check_demand(tables, processors, values["max_demand"])
    check_dispatching(tables, fetchers, processors)
    chosen = {each.field: values[each.setting].value for each in SYSTEM_OPTIONS}
    chosen["journal"] = journal_path(chosen["journal"])
    config = SystemConfig(
        fetchers=fetchers, processors=processors, hooks=read_hooks(tables), **chosen
    )
    return config, tables.unsound_names(fetchers, processors)


def journal_path(value: str) -> str | None:
    """The journal's path from anywhere or its URL, or None where none is wanted."""
    if value == "none" or is_postgres(value):
        return None if value == "none" else value
    return str(Path(value).absolute())


@dataclass(frozen=True, slots=True)
class _Stages:
    values: Mapping[str, Value]
    tables: Tables

    def fetchers(self) -> tuple[FetcherConfig, ...]:
        tables = self.tables.read("fetcher")
        if not tables:
            fetch = self.values["fetch"].value
            tables = [{"name": fetch.partition(":")[0].rpartition(".")[2]}]
        self._refuse_ambiguous(len(tables), "fetcher", ("url", "fetch"))
        return tuple(self._fetcher(table) for table in tables)

    def processors(self, sources: tuple[str, ...]) -> tuple[ProcessorConfig, ...]:
        tables = self.tables.read("processor") or [{"name": "processor"}]
        self._refuse_ambiguous(len(tables), "processor", ("process", "processors"))
        processors = tuple(
            self._processor(index, table, sources) for index, table in enumerate(tables)
        )
        if not self.tables.nameless:
            takes = {each.name: each.sources for each in processors}
            for problem in problems_of(sources, takes):
                where = self.tables.where(problem.key, "processor", problem.at)
                self.tables.problems.add(f"{where}: {problem.text}")
        return processors

    def _fetcher(self, table: dict[str, Any]) -> FetcherConfig:
        options = dict(table.get("options", {}))
        if self.values["url"].value is not None:
            options["url"] = self.values["url"].value
        return FetcherConfig(**self._chosen("fetcher", table | {"options": options}))

    def _processor(
        self, index: int, table: dict[str, Any], fetchers: tuple[str, ...]
    ) -> ProcessorConfig:
        # Of two fetchers with one name it was told already.
        entries = table.get("from", tuple(dict.fromkeys(fetchers)))
        names: tuple[str, ...] = ()
        options: dict[str, SubscriptionOptions] = {}
        try:
            names, options = read_sources(
                entries, partial(self.tables.where_from, index)
            )
        except ConfigError as error:
            self.tables.unsound.add(("processor", index))
            self.tables.problems.add(*error.problems)
        chosen = self._chosen("processor", table | {"from": names})
        if "max_demand" not in table and self.values["max_demand"].origin == "default":
            chosen["max_demand"] = chosen["concurrency"]
        return ProcessorConfig(**chosen, subscriptions=options)

    def _chosen(self, table: str, given: dict[str, Any]) -> dict[str, Any]:
        """The values of a stage by field; what is not given has its own default."""
        chosen = {}
        for key, option in STAGE_OPTIONS[table].items():
            setting = self.values.get(option.setting)
            if setting is not None and (is_over_file(setting) or key not in given):
                chosen[option.field] = setting.value
            elif key in given:
                chosen[option.field] = given[key]
        return chosen

    def _refuse_ambiguous(
        self, tables: int, table: str, names: tuple[str, ...]
    ) -> None:
        for name in names:
            origin = self.values[name].origin
            if tables > 1 and origin != "default":
                self.tables.problems.add(
                    f"{origin}: {name} cannot say which of the {tables} "
                    f"[[{table}]] tables it is for"
                )
