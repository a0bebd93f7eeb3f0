"""The words that several verbs share, and the configuration they come to."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actors.config.build import build_noting
from actors.config.errors import ConfigError, Problems, near
from actors.config.model import SETTINGS
from actors.config.toml_file import ConfigFile
from actors.config.values import find, resolve_noting
from actors.host import redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn, TypeAlias

    from actors.config.model import SystemConfig
    from actors.config.option import Option
    from actors.config.values import Value

    Verbs: TypeAlias = argparse._SubParsersAction["Parser"]  # noqa: SLF001


#: The settings that mean something where only processors run.
MACHINE_SETTINGS = tuple(each for each in SETTINGS.values() if each.on_machines)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` and a flag for each setting."""
    parser.add_argument(
        "--config", metavar="FILE", help="a TOML file (environment: LOWTIDE_CONFIG)"
    )
    for option in SETTINGS.values():
        add_setting(parser, option)


def add_setting(parser: argparse.ArgumentParser, option: Option) -> None:
    """Add the flag of one setting."""
    default = "" if option.default is None else f"; default {option.default}"
    parser.add_argument(
        option.flag,
        dest=option.setting,
        metavar=option.type.metavar,
        help=f"{option.help} (environment: {option.variable}{default})",
    )


def add_verb(
    verbs: Verbs, name: str, verb: Callable[[argparse.Namespace], int], text: str
) -> Parser:
    """Add a verb for a running system, with the options that say which."""
    parser = verbs.add_parser(name, help=text, description=f"{text.capitalize()}.")
    parser.set_defaults(verb=verb, finds_system=True)
    port = SETTINGS["port"]
    parser.add_argument(
        port.flag,
        metavar="N",
        help=f"number of the running system (environment: {port.variable}; default "
        f"{port.default})",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the file it was started with, which names its port and its journal "
        "(environment: LOWTIDE_CONFIG)",
    )
    return parser


def add_journal(parser: argparse.ArgumentParser) -> None:
    """Add the flag that names the journal of a system that does not run."""
    journal = SETTINGS["journal"]
    parser.add_argument(
        journal.flag,
        metavar="FILE",
        help="where to look if no system runs (environment: "
        f"{journal.variable}; default {journal.default})",
    )


def find_system(arguments: argparse.Namespace) -> None:
    """Fill in the port and the journal of the system that a verb is for.

    They are found as ``run`` finds them, so that a verb that is given the same
    file, or runs in the same environment, means the same system. Whatever else is
    in the file is not looked at: a verb has to work when the file has an error.

    Raises:
        ConfigError: One of them cannot be used, or the file cannot be read.
    """
    file: ConfigFile | None = None
    for name in ("port", "journal"):
        if not hasattr(arguments, name):
            continue
        setting = SETTINGS[name]
        given = getattr(arguments, name) is not None or setting.variable in os.environ
        if not given and file is None:
            file = _file_of(arguments)
        flags = {name: getattr(arguments, name)}
        value = find(setting, flags, os.environ, file)
        if name == "port" and not value.value:
            raise ConfigError(
                f"{value.origin}: port 0 lets a system pick one: --port must be the "
                "one that system.started in its log tells"
            )
        setattr(arguments, name, value.value)
    _know_secrets(arguments, file)


def _know_secrets(arguments: argparse.Namespace, file: ConfigFile | None) -> None:
    """Have what is not to be shown masked, as far as it is known here."""
    known = [*redaction.secrets_of_environment(os.environ)]
    with contextlib.suppress(ConfigError):
        file = file or _file_of(arguments)
    if file is not None:
        known += redaction.secrets_in(file.content)
        known += redaction.filled_in(file.content, os.environ)
    redaction.install(known)


class Parser(argparse.ArgumentParser):
    """A parser that names the word that was meant."""

    def error(self, message: str) -> NoReturn:
        """End with a usage message, and what was meant by a word."""
        message = message.replace(_MARK, "").replace(repr(_MARK)[1:-1], "")
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if choice is not None:
            message += near(choice[1], re.findall(r"[\w-]+", choice[2]))
        super().error(message)

    def parse_in_any_order(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse options and other words however they are mixed.

        Behind ``--`` are other words only, and they may begin with a dash.
        """
        words, others = list(words), list[str]()
        if "--" in words:
            at = words.index("--")
            words, others = words[:at], words[at + 1 :]
            last = self._option_string_actions.get(words[-1]) if words else None
            if last is not None and last.nargs is None:
                self.error(f"argument {words[-1]}: expected one argument")
        # argparse mixes them only where nothing looks like an option that is none.
        words += [_no_option(each) for each in others]
        arguments, rest = self.parse_known_intermixed_args(words)
        for name, value in vars(arguments).items():
            setattr(arguments, name, _as_given(value))
        if rest:
            known = [each for action in self._actions for each in action.option_strings]
            unknown = [each.partition("=")[0] for each in rest if each[:1] == "-"]
            meant = near(unknown[0], known) if unknown else ""
            self.error(f"unrecognized arguments: {' '.join(rest)}{meant}")
        return arguments


#: What stands before a word that begins with a dash; no word of a command line has it.
_MARK = "\0"


def _no_option(word: str) -> str:
    return _MARK + word if re.match(r"-(?!\d+$)", word) else word


def _as_given(value: object) -> object:
    if isinstance(value, list):
        return [_as_given(each) for each in value]
    return value.removeprefix(_MARK) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class GivenConfig:
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


def read_given(arguments: argparse.Namespace) -> GivenConfig:
    """Read all of it, and note everything that is wrong.

    Raises:
        ConfigError: The file cannot be read at all.
    """
    file = _file_of(arguments)
    flags = {name: getattr(arguments, name) for name in SETTINGS}
    problems = Problems()
    values = resolve_noting(flags, os.environ, file, problems)
    config, unsound = build_noting(values, file, problems)
    return GivenConfig(values, file, config, problems, unsound)


def _file_of(arguments: argparse.Namespace) -> ConfigFile | None:
    path = arguments.config or os.environ.get("LOWTIDE_CONFIG")
    return ConfigFile.read(Path(path)) if path else None


def read_config(arguments: argparse.Namespace) -> SystemConfig:
    """The configuration that flags, environment and file come to.

    Raises:
        ConfigError: It cannot be used.
    """
    given = read_given(arguments)
    given.problems.refuse()
    return given.config


def hide_secrets_from_ps(arguments: argparse.Namespace) -> None:
    """Start this program anew without the secrets among its words.

    A process's words can be read by everybody on the machine, its environment
    by its owner only; so that is where they go.
    """
    secret = {
        option: value
        for name, option in SETTINGS.items()
        if isinstance(value := getattr(arguments, name, None), str)
        and _is_secret(option, value)
    }
    if not secret:
        return
    words = list(sys.orig_argv)
    for option, value in secret.items():
        os.environ[option.variable] = value
        words = _without(words, value)
    if len(words) < len(sys.orig_argv):  # else they are not there to be hidden
        os.execv(sys.executable, words)  # noqa: S606 - the very words we were given


def _is_secret(option: Option, value: str) -> bool:
    return option.secret or redaction.redact(value) != value


def _without(words: Sequence[str], value: str) -> list[str]:
    """Leave out a flag and its value, written as two words or as one."""
    kept: list[str] = []
    for word in words:
        if word == value and kept and kept[-1].startswith("--"):
            kept.pop()
        elif not (word.startswith("--") and word.endswith(f"={value}")):
            kept.append(word)
    return kept
