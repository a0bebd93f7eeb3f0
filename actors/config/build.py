"""The whole configuration, from the settings and the tables of the file.

Apart from the configuration itself, since the rest of the program only reads it,
and apart from the tables, since only here it is known which of the two counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.config.checks import check_demand, check_dispatching
from actors.config.errors import ConfigError, Problems
from actors.config.model import FetcherConfig, ProcessorConfig, SystemConfig
from actors.config.sources import read_sources
from actors.config.tables import FETCHER_KEYS, PROCESSOR_KEYS, Tables
from actors.config.topology import problems_of
from actors.config.values import is_over_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.config.subscriptions import SubscriptionOptions
    from actors.config.toml_file import ConfigFile
    from actors.config.values import Value

_AS_THEY_ARE = (
    "port",
    "job_timeout_s",
    "lease_s",
    "retries",
    "quarantine",
    "quarantine_mib",
    "journal_mib",
    "drain_timeout_s",
    "log_format",
    "log_level",
    "web",
    "web_token",
    "bind",
    "cluster_key_file",
    "machine_timeout_s",
)
_DISPATCHING = ("dispatcher", "partition_by")
_TAKING = ("selector", "batch_size", "batch_timeout_s", "demand", "cancel")
_LIMITS = ("on_demand", "buffer_keep", "rate_limit", "rate_interval_s", "demand")


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
    chosen = {name: values[name].value for name in _AS_THEY_ARE}
    config = SystemConfig(
        fetchers=fetchers,
        processors=processors,
        journal=journal_path(values["journal"].value),
        run_for_s=values["for_s"].value,
        until_idle_s=values["until_idle_s"].value,
        **chosen,
    )
    return config, tables.unsound_names(fetchers, processors)


def journal_path(value: str) -> str | None:
    """The journal's path from anywhere, or None where none is wanted."""
    return None if value == "none" else str(Path(value).absolute())


@dataclass(frozen=True, slots=True)
class _Stages:
    values: Mapping[str, Value]
    tables: Tables

    def fetchers(self) -> tuple[FetcherConfig, ...]:
        tables = self.tables.read("fetcher", FETCHER_KEYS)
        if not tables:
            fetch = self.values["fetch"].value
            tables = [{"name": fetch.partition(":")[0].rpartition(".")[2]}]
        self._refuse_ambiguous(len(tables), "fetcher", ("url", "fetch"))
        return tuple(self._fetcher(table) for table in tables)

    def processors(self, sources: tuple[str, ...]) -> tuple[ProcessorConfig, ...]:
        tables = self.tables.read("processor", PROCESSOR_KEYS) or [
            {"name": "processor"}
        ]
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
        return FetcherConfig(
            name=table["name"],
            fetch=self._choose("fetch", table, "fetch"),
            options=options,
            every_s=self._choose("every_s", table, "every_s"),
            buffer=self._choose("buffer", table, "buffer"),
            buffer_mib=self._choose("buffer_mib", table, "buffer_mib"),
            remember_s=self._choose("remember_s", table, "remember_s"),
            idle_cap_s=table.get("idle_cap_s"),
            settle=table.get("settle"),
            **_given(table, *_DISPATCHING, *_LIMITS),
        )

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
        return ProcessorConfig(
            name=table["name"],
            process=self._choose("process", table, "process"),
            sources=names,
            subscriptions=options,
            count=self._choose("processors", table, "count"),
            max_demand=self._choose("max_demand", table, "max_demand"),
            min_demand=self._choose("min_demand", table, "min_demand"),
            buffer=self._choose("buffer", table, "buffer"),
            buffer_mib=self._choose("buffer_mib", table, "buffer_mib"),
            **_given(table, *_DISPATCHING, *_TAKING),
        )

    def _choose(self, setting: str, table: dict[str, Any], key: str) -> Any:
        value = self.values[setting]
        over = is_over_file(value) or key not in table
        return value.value if over else table[key]

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


def _given(table: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: table[key] for key in keys if key in table}
