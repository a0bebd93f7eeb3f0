"""``check``: look at the configuration whole, and start nothing."""

from __future__ import annotations

import os
import sys
from itertools import product
from typing import TYPE_CHECKING, Any

from actors.commands.exit_codes import Exit
from actors.commands.options import add_settings, read_settings
from actors.commands.table import table
from actors.runtime.config import build
from actors.runtime.config_show import config_rows
from actors.runtime.functions import FunctionError, load
from actors.runtime.redaction import redact
from actors.runtime.settings import SETTINGS

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from actors.commands.options import Verbs

#: Variables of ours that are no settings.
_OTHER_VARIABLES = {"LOWTIDE_CONFIG", "LOWTIDE_STATE_DIR"}


#: Keys of either table whose value is, or may be, a function's name.
_FUNCTION_KEYS = ("fetch", "settle", "process", "selector", "partition_by", "demand")


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "check",
        help="check the configuration, start nothing",
        description="Check what run would be started with; takes the same options.",
    )
    parser.add_argument(
        "--show", action="store_true", help="print every value and where it is from"
    )
    parser.set_defaults(verb=check)
    add_settings(parser)


def check(arguments: Namespace) -> int:
    """Check the configuration and import its functions.

    Raises:
        ConfigError: It cannot be used.
    """
    values, file = read_settings(arguments)
    config = build(values, file)
    rows = config_rows(values, file, config)
    if arguments.show:
        print(table(rows, ("name", "value", "origin")))
    for variable in _unknown_variables():
        _say(f"warning: {variable} is set, and is no setting of ours")
    # The user's modules stand where the user does.
    sys.path.insert(0, "")
    errors = list(_function_errors(config, rows))
    for error in errors:
        _say(error)
    if errors:
        return Exit.USAGE
    if not arguments.show:
        fetchers = ", ".join(each.name for each in config.fetchers)
        processors = ", ".join(
            f"{each.name} x{each.count}" for each in config.processors
        )
        print(f"sound: fetchers {fetchers}; processors {processors}")
    return Exit.NOTHING_LEFT


def _function_errors(config: Any, rows: list[dict[str, str]]) -> Iterator[str]:
    origins = {row["name"]: row["origin"] for row in rows}
    for key, function in _functions(config):
        try:
            load(function)
        except FunctionError as error:
            yield f"{origins[key]}: {key.rpartition('.')[2]}: {error}"


def _functions(config: Any) -> Iterator[tuple[str, str]]:
    tables = {"fetcher": config.fetchers, "processor": config.processors}
    for table_name, stages in tables.items():
        for stage, key in product(stages, _FUNCTION_KEYS):
            value = getattr(stage, key, None)
            if value is not None and ":" in value:
                yield f"{table_name}.{stage.name}.{key}", value


def _unknown_variables() -> list[str]:
    known = {setting.variable for setting in SETTINGS} | _OTHER_VARIABLES
    return sorted(
        name for name in os.environ if name.startswith("LOWTIDE_") and name not in known
    )


def _say(text: str) -> None:
    print(f"lowtide: {redact(text)}", file=sys.stderr)
