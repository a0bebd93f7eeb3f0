"""``key``: one machine's key, made of the cluster's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from actors.cluster.keys import checked_name, read_cluster_key
from actors.commands.exit_codes import Exit
from actors.commands.options import add_setting
from actors.commands.terminal import say
from actors.config.model import SETTINGS
from actors.config.values import resolve

if TYPE_CHECKING:
    from argparse import Namespace

    from actors.commands.options import Verbs

_FILE = SETTINGS["cluster_key_file"]


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    text = "print a key with which one machine may join, and nobody may lead"
    parser = verbs.add_parser("key", help=text, description=f"{text.capitalize()}.")
    parser.set_defaults(verb=_key)
    parser.add_argument("name", metavar="NAME", help="the machine's, as join --name")
    add_setting(parser, _FILE)


def _key(arguments: Namespace) -> int:
    flags = {_FILE.setting: getattr(arguments, _FILE.setting)}
    file = resolve(flags, os.environ, None)[_FILE.setting].value
    name = checked_name(arguments.name, "NAME")
    say(read_cluster_key(file).of(name).text())
    return Exit.NOTHING_LEFT
