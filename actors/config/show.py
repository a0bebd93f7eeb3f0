"""Every configured value with where it comes from, secrets masked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from actors.config.settings import BY_NAME
from actors.config.values import is_over_file
from actors.host.redaction import MASK, filled_in, secrets_in, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from actors.config.model import SystemConfig
    from actors.config.toml_file import ConfigFile
    from actors.config.values import Value

#: A processor's keys that go by another name than their setting.
_SETTING_OF = {"count": "processors"}
#: Keys that stand under another name in the file.
_KEY_OF = {"sources": "from"}


def config_rows(
    values: Mapping[str, Value], file: ConfigFile | None, config: SystemConfig
) -> list[dict[str, str]]:
    """One row for each value: ``name``, ``value``, ``origin``.

    Settings come first, then each table's keys as ``fetcher.NAME.KEY``.
    """
    rows = [
        _row(name, value.value, value.origin, secret=BY_NAME[name].secret)
        for name, value in values.items()
    ]
    tables: dict[str, tuple[Any, ...]] = {
        "fetcher": config.fetchers,
        "processor": config.processors,
    }
    for table, members in tables.items():
        for index, member in enumerate(members):
            origins = _Origins(values, file, table, index)
            rows += list(_table_rows(f"{table}.{member.name}", member, origins))
    return rows


def secrets_of(config: SystemConfig) -> Iterator[str]:
    """What nobody may see of a configuration and of the environment."""
    yield from secrets_in(os.environ)
    for fetcher in config.fetchers:
        yield from secrets_in(fetcher.options)
        yield from filled_in(fetcher.options, os.environ)
    if config.web_token is not None:
        yield config.web_token


def _table_rows(
    prefix: str, member: Any, origins: _Origins
) -> Iterator[dict[str, str]]:
    for field in member.__dataclass_fields__:
        key = _KEY_OF.get(field, field)
        value = getattr(member, field)
        if key == "subscriptions":
            yield from _source_rows(f"{prefix}.from", value, origins)
            continue
        if key != "options":
            yield _row(f"{prefix}.{key}", value, origins.of(key))
            continue
        for option, each in value.items():
            origin = origins.of_option(option)
            yield _row(f"{prefix}.options.{option}", each, origin)


def _source_rows(
    prefix: str, subscriptions: Mapping[str, Any], origins: _Origins
) -> Iterator[dict[str, str]]:
    for source, options in subscriptions.items():
        for key in options.__dataclass_fields__:
            if (value := getattr(options, key)) is not None:
                origin = origins.of_source(source, key)
                yield _row(f"{prefix}.{source}.{key}", value, origin)


class _Origins:
    def __init__(
        self,
        values: Mapping[str, Value],
        file: ConfigFile | None,
        table: str,
        index: int,
    ) -> None:
        self._values = values
        self._file = file
        self._table = table
        self._index = index
        tables = file.content.get(table) if file else None
        content = tables[index] if tables and isinstance(tables, list) else {}
        self._content: dict[str, Any] = content if isinstance(content, dict) else {}

    def of(self, key: str) -> str:
        setting = self._values.get(_SETTING_OF.get(key, key))
        in_table = key in self._content
        if setting is not None and (is_over_file(setting) or not in_table):
            return setting.origin
        return self._where(key) if in_table else "default"

    def of_source(self, source: str, key: str) -> str:
        entries = self._content["from"]
        names = [e["name"] if isinstance(e, dict) else e for e in entries]
        return self._where("from", names.index(source), key)

    def of_option(self, option: str) -> str:
        setting = self._values.get(option)
        if option == "url" and setting is not None and setting.value is not None:
            return setting.origin
        return self._where("options", option)

    def _where(self, *key: str | int) -> str:
        file = self._file
        return file.where(self._table, self._index, *key) if file else "default"


def _row(name: str, value: Any, origin: str, *, secret: bool = False) -> dict[str, str]:
    masked = MASK if secret and value else shown(name.rpartition(".")[2], value)
    text = "-" if masked is None else str(masked)
    return {"name": name, "value": text, "origin": origin}
