"""Every configured value with where it comes from, secrets masked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from actors.config.model import (
    SETTINGS,
    SOURCE_OPTIONS,
    STAGE_OPTIONS,
    SYSTEM_OPTIONS,
    URL,
    ProcessorConfig,
)
from actors.config.values import is_over_file
from actors.host.redaction import (
    MASK,
    filled_in,
    passwords_in,
    secrets_in,
    secrets_of_environment,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from actors.config.model import FetcherConfig, SystemConfig
    from actors.config.option import Option
    from actors.config.toml_file import ConfigFile
    from actors.config.values import Value


def config_rows(
    values: Mapping[str, Value], file: ConfigFile | None, config: SystemConfig
) -> list[dict[str, str]]:
    """One row for each value: ``name``, ``value``, ``origin``.

    Settings come first, then each table's keys as ``fetcher.NAME.KEY``. The default of
    a setting is left out where every stage has a value of its own.
    """
    tables: dict[str, tuple[FetcherConfig | ProcessorConfig, ...]] = {
        "fetcher": config.fetchers,
        "processor": config.processors,
    }
    stages = [
        _Stage(values, file, table, index, member)
        for table, members in tables.items()
        for index, member in enumerate(members)
    ]
    taken = {name for stage in stages for name in stage.settings()}
    taken |= {option.setting for option in SYSTEM_OPTIONS}
    if config.needs_number_server:
        taken.add(URL.setting)
    rows = [
        _row(name, value.value, value.origin, secret=SETTINGS[name].secret)
        for name, value in values.items()
        if name in taken or value.origin != "default"
    ]
    return rows + [row for stage in stages for row in stage.rows()]


def secrets_of(config: SystemConfig) -> Iterator[str]:
    """What nobody may see of a configuration and of the environment."""
    yield from secrets_of_environment(os.environ)
    if (password := os.environ.get("PGPASSWORD")) is not None:
        yield password
    if config.journal is not None:
        yield from passwords_in(config.journal)
    for fetcher in config.fetchers:
        yield from secrets_in(fetcher.options)
        yield from filled_in(fetcher.options, os.environ)
    for option in SYSTEM_OPTIONS:
        if option.secret and (value := getattr(config, option.field)) is not None:
            yield from (value,) if isinstance(value, str) else value


class _Stage:
    """One stage, and where each of its values comes from."""

    def __init__(
        self,
        values: Mapping[str, Value],
        file: ConfigFile | None,
        table: str,
        index: int,
        config: FetcherConfig | ProcessorConfig,
    ) -> None:
        self._values = values
        self._file = file
        self._table = table
        self._index = index
        self._config = config
        tables = file.content.get(table) if file else None
        content = tables[index] if tables and isinstance(tables, list) else {}
        self._content: dict[str, Any] = content if isinstance(content, dict) else {}

    def settings(self) -> Iterator[str]:
        """The settings that its table leaves to others."""
        for key, option in STAGE_OPTIONS[self._table].items():
            if option.setting and key not in self._content:
                yield option.setting

    def rows(self) -> Iterator[dict[str, str]]:
        """One for each of its values."""
        prefix = f"{self._table}.{self._config.name}"
        for key, option in STAGE_OPTIONS[self._table].items():
            value = getattr(self._config, option.field)
            if key == "options":
                for name, each in value.items():
                    origin = self._origin_of_argument(name)
                    yield _row(f"{prefix}.options.{name}", each, origin)
                continue
            yield _row(
                f"{prefix}.{key}", value, self._origin(option), secret=option.secret
            )
        if isinstance(self._config, ProcessorConfig):
            yield from self._source_rows(f"{prefix}.from", self._config)

    def _source_rows(
        self, prefix: str, config: ProcessorConfig
    ) -> Iterator[dict[str, str]]:
        for source, options in config.subscriptions.items():
            for key, option in SOURCE_OPTIONS.items():
                value = getattr(options, option.field) if option.field else None
                if value is not None:
                    place = config.sources.index(source)
                    origin = self._where("from", place, key)
                    yield _row(f"{prefix}.{source}.{key}", value, origin)

    def _origin(self, option: Option) -> str:
        setting = self._values.get(option.setting)
        in_table = option.key in self._content
        if setting is not None and (is_over_file(setting) or not in_table):
            return setting.origin
        return self._where(option.key) if in_table else "default"

    def _origin_of_argument(self, name: str) -> str:
        setting = self._values.get(name)
        if name == "url" and setting is not None and setting.value is not None:
            return setting.origin
        return self._where("options", name)

    def _where(self, *key: str | int) -> str:
        file = self._file
        return file.where(self._table, self._index, *key) if file else "default"


def _row(name: str, value: Any, origin: str, *, secret: bool = False) -> dict[str, str]:
    masked = MASK if secret and value else shown(name.rpartition(".")[2], value)
    text = "-" if masked is None else str(masked)
    return {"name": name, "value": text, "origin": origin}
