"""``check``: look at the configuration whole, and start nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from actors.commands.exit_codes import Exit
from actors.commands.options import add_settings, read_given
from actors.commands.terminal import complain, say, say_text, table
from actors.commands.validated_config import function_errors, note_way_in
from actors.config.named_functions import hidden_functions
from actors.config.show import config_rows, secrets_of
from actors.config.values import unknown_variables
from actors.host import redaction
from actors.user_code.functions import find_last

if TYPE_CHECKING:
    from argparse import Namespace

    from actors.commands.options import Verbs


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
    """Check the configuration and import its functions; tell all that is wrong.

    Raises:
        ConfigError: It cannot be used.
    """
    given = read_given(arguments)
    config = given.config
    redaction.install(secrets_of(config))
    for variable in unknown_variables(os.environ):
        complain(f"warning: {variable} is set, and is no setting of ours")
    # The user's modules stand where the user does.
    find_last()
    for error in function_errors(given):
        given.problems.add(error)
    for name, file in hidden_functions(config):
        complain(f"warning: {name} is lowtide's own; {file} is not used for it")
    note_way_in(given)
    if arguments.show and not given.unsound:
        rows = config_rows(given.values, given.file, config)
        say_text(table(rows, ("name", "value", "origin")))
    given.problems.refuse()
    if not arguments.show:
        fetchers = ", ".join(each.name for each in config.fetchers)
        processors = ", ".join(
            f"{each.name} x{each.count}" for each in config.processors
        )
        say(f"sound: fetchers {fetchers}; processors {processors}")
    return Exit.NOTHING_LEFT
