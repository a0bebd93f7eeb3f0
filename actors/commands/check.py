"""``check``: look at the configuration whole, and start nothing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from actors.commands.exit_codes import Exit
from actors.commands.options import add_settings, read_settings
from actors.commands.table import table
from actors.runtime.config import build
from actors.runtime.config_functions import function_problems
from actors.runtime.config_show import config_rows
from actors.runtime.redaction import redact
from actors.runtime.settings import unknown_variables

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from actors.commands.options import Verbs
    from actors.runtime.config import SystemConfig


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
    for variable in unknown_variables(os.environ):
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


def _function_errors(config: SystemConfig, rows: list[dict[str, str]]) -> Iterator[str]:
    origins = {row["name"]: row["origin"] for row in rows}
    for place, problem in function_problems(config):
        origin = origins[place]
        if origin == "default":  # what does not fit it stands in its table
            origin = origins[f"{place.rpartition('.')[0]}.name"]
        yield f"{origin}: {problem}"


def _say(text: str) -> None:
    print(f"lowtide: {redact(text)}", file=sys.stderr)
