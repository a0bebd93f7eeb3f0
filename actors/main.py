"""The command line: parse, hand over to the verb, exit."""

from __future__ import annotations

import argparse
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from actors.commands.exit_codes import Exit
from actors.commands.options import (
    MACHINE_SETTINGS,
    Parser,
    add_setting,
    add_settings,
    find_system,
    hide_secrets_from_ps,
)
from actors.commands.start_error import StartError, check_platform
from actors.commands.terminal import complain
from actors.config.errors import ConfigError
from actors.host.state_dir import StateDirError
from actors.user_code.functions import find_last

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.commands.options import Verbs


#: Words that stand where a verb would.
_OF_NO_VERB = ("-h", "--help", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    try:
        if getattr(arguments, "finds_system", False):
            find_system(arguments)
        runs = verb in (_run, _join)
        return int(verb(arguments)) if runs else _answer(verb, arguments)
    except ConfigError as error:
        for problem in error.problems:
            complain(problem)
        return Exit.USAGE
    except StateDirError as error:
        complain(str(error))
        return Exit.USAGE
    except KeyboardInterrupt:
        return Exit.FORCED


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; one that names no verb means ``run``."""
    words = list(words)
    if not words or (words[0].startswith("-") and words[0] not in _OF_NO_VERB):
        words.insert(0, "run")
    parser, verbs = _parser(words[0])
    if words[0] in verbs.choices:
        return verbs.choices[words[0]].parse_in_any_order(words[1:])
    return parser.parse_args(words)


def _answer(
    verb: Callable[[argparse.Namespace], int], arguments: argparse.Namespace
) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A job may hold characters that the terminal's encoding has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = int(verb(arguments))
        print(end="", flush=True)
    except BrokenPipeError:
        # Who reads the answer has seen enough, as ``head`` has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.NOTHING_LEFT
    return code


def _run(arguments: argparse.Namespace) -> int:
    def begin() -> int:
        # Imported here: only a system of its own needs Thespian.
        from actors.commands.run import run  # noqa: PLC0415
        from actors.commands.validated_config import read_sound  # noqa: PLC0415

        return run(*read_sound(arguments), standby=arguments.standby)

    return _start("lowtide run", begin, arguments)


def _join(arguments: argparse.Namespace) -> int:
    def begin() -> int:
        from actors.commands.join import run  # noqa: PLC0415

        return run(arguments)

    return _start("lowtide join", begin, arguments)


def _start(what: str, begin: Callable[[], int], arguments: argparse.Namespace) -> int:
    # The user's modules stand where the user does.
    find_last()
    hide_secrets_from_ps(arguments)
    try:
        check_platform(what)
        return begin()
    except StartError as error:
        complain(str(error))
        return Exit.USAGE


def _parser(word: str) -> tuple[Parser, Verbs]:
    parser = Parser(prog="lowtide", description="Demand-driven job polling on actors.")
    parser.add_argument("--version", action=_Version, help="show the version")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    if word in _STARTS:
        _STARTS[word](verbs)
    else:
        _add_all(verbs)
    return parser, verbs


def _add_all(verbs: Verbs) -> None:
    # Not for what starts a system, all of whose processes would carry them along.
    from actors.commands import (  # noqa: PLC0415
        check,
        control,
        hand_over,
        jobs,
        journal,
        key,
        simulate,
        state,
        top,
        try_source,
        tune,
    )

    for add in _STARTS.values():
        add(verbs)
    control.register(verbs)
    jobs.register(verbs)
    journal.register(verbs)
    hand_over.register(verbs)
    key.register(verbs)
    state.register(verbs)
    check.register(verbs)
    tune.register(verbs)
    top.register(verbs)
    simulate.register(verbs)
    try_source.register(verbs)


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **more)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        # Not at every start: it reads all sources for its digest.
        from actors.cluster.identity import own_version  # noqa: PLC0415

        print(f"lowtide {own_version()}")
        parser.exit()


def _add_run(verbs: Verbs) -> None:
    run = verbs.add_parser(
        "run",
        help="run a system on this machine (the default)",
        description="Run fetchers and processors on this machine until stopped.",
        epilog="A flag beats the environment, which beats the file.",
    )
    run.set_defaults(verb=_run)
    add_settings(run)
    run.add_argument(
        "--standby",
        action="store_true",
        help="wait while another system leads, and take over from it (a journal in "
        "PostgreSQL)",
    )


def _add_join(verbs: Verbs) -> None:
    text = "run processors on this machine for a system on another one"
    join = verbs.add_parser("join", help=text, description=f"{text.capitalize()}.")
    join.set_defaults(verb=_join)
    join.add_argument(
        "leader",
        metavar="HOST:PORT",
        help="the address at which that machine lets others join (its --bind); several "
        "with commas between them where any of these may lead",
    )
    for option in MACHINE_SETTINGS:
        add_setting(join, option)
    join.add_argument(
        "--processor",
        metavar="NAME",
        help="which kind of processor, if there are several",
    )
    join.add_argument(
        "--allow",
        action="append",
        metavar="MODULE:FUNCTION",
        help="a function that the leader may have run here; may be repeated (default: "
        "those of the working directory and of PYTHONPATH)",
    )
    join.add_argument(
        "--name", metavar="NAME", help="name of this machine (default: its host name)"
    )
    join.add_argument(
        "--port",
        metavar="N",
        help="the number that names this machine's system here (default: a free one)",
    )


#: What starts a system, and how each is added.
_STARTS = {"run": _add_run, "join": _add_join}


if __name__ == "__main__":
    sys.exit(main())
