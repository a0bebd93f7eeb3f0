"""The words that several verbs share, and the configuration they come to."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actors.runtime import redaction
from actors.runtime.config_build import build_noting
from actors.runtime.config_file import ConfigFile
from actors.runtime.problems import Problems
from actors.runtime.setting_values import resolve_noting
from actors.runtime.settings import BY_NAME, SETTINGS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from actors.runtime.config import SystemConfig
    from actors.runtime.setting_values import Value
    from actors.runtime.settings import Setting

    Verbs: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001


#: The settings that mean something where only processors run.
MACHINE_SETTINGS = (
    "processors",
    "drain_timeout_s",
    "machine_timeout_s",
    "cluster_key_file",
    "log_format",
    "log_level",
)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` and a flag for each setting."""
    parser.add_argument(
        "--config", metavar="FILE", help="a TOML file (environment: LOWTIDE_CONFIG)"
    )
    for setting in SETTINGS:
        add_setting(parser, setting)


def add_setting(parser: argparse.ArgumentParser, setting: Setting) -> None:
    """Add the flag of one setting."""
    default = "" if setting.default is None else f"; default {setting.default}"
    parser.add_argument(
        setting.flag,
        dest=setting.name,
        metavar=setting.metavar,
        help=f"{setting.help} (environment: {setting.variable}{default})",
    )


def add_verb(
    verbs: Verbs, name: str, verb: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    """Add a verb for a running system, with its ``--port``."""
    parser = verbs.add_parser(name, help=text, description=f"{text.capitalize()}.")
    parser.set_defaults(verb=verb)
    port = BY_NAME["port"]
    parser.add_argument(
        port.flag,
        type=int,
        default=os.environ.get(port.variable, port.default),
        metavar="N",
        help=f"the running system's (environment: {port.variable}; {port.default})",
    )
    return parser


@dataclass(frozen=True, slots=True)
class Asked:
    """What flags, environment and file come to.

    Attributes:
        values: The settings, each with its origin.
        config: As far as it can be used.
        problems: Where it cannot.
        unsound: Names of the stages that have one.
    """

    values: dict[str, Value]
    file: ConfigFile | None
    config: SystemConfig
    problems: Problems
    unsound: frozenset[str]


def read_asked(arguments: argparse.Namespace) -> Asked:
    """Read all of it, and note everything that is wrong.

    Raises:
        ConfigError: The file cannot be read at all.
    """
    path = arguments.config or os.environ.get("LOWTIDE_CONFIG")
    file = ConfigFile.read(Path(path)) if path else None
    flags = {setting.name: getattr(arguments, setting.name) for setting in SETTINGS}
    problems = Problems()
    values = resolve_noting(flags, os.environ, file, problems)
    config, unsound = build_noting(values, file, problems)
    return Asked(values, file, config, problems, unsound)


def read_config(arguments: argparse.Namespace) -> SystemConfig:
    """The configuration that flags, environment and file come to.

    Raises:
        ConfigError: It cannot be used.
    """
    asked = read_asked(arguments)
    asked.problems.refuse()
    return asked.config


def hide_secrets_from_ps(arguments: argparse.Namespace) -> None:
    """Start this program anew without the secrets among its words.

    A process's words can be read by everybody on the machine, its environment
    by its owner only; so that is where they go.
    """
    secret = {
        setting: value
        for setting in SETTINGS
        if isinstance(value := getattr(arguments, setting.name, None), str)
        and _is_secret(setting, value)
    }
    if not secret:
        return
    words = list(sys.orig_argv)
    for setting, value in secret.items():
        os.environ[setting.variable] = value
        words = _without(words, value)
    if len(words) < len(sys.orig_argv):  # else they are not there to be hidden
        os.execv(sys.executable, words)  # noqa: S606 - the very words we were given


def _is_secret(setting: Setting, value: str) -> bool:
    return setting.secret or redaction.redact(value) != value


def _without(words: Sequence[str], value: str) -> list[str]:
    """Leave out a flag and its value, written as two words or as one."""
    kept: list[str] = []
    for word in words:
        if word == value and kept and kept[-1].startswith("--"):
            kept.pop()
        elif not (word.startswith("--") and word.endswith(f"={value}")):
            kept.append(word)
    return kept
