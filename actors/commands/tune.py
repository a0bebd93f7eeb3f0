"""``pause``, ``resume``, ``set`` and ``ask``: change a system while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.commands.control import ANSWER_WITHIN_S, ask_system
from actors.commands.exit_codes import Exit
from actors.commands.options import add_verb
from actors.commands.terminal import say
from actors.config.model import LIVE_OPTIONS
from actors.status.commands import AskJobs, Pause, Resume, SetValues

if TYPE_CHECKING:
    from argparse import Namespace

    from actors.commands.options import Verbs


def register(verbs: Verbs) -> None:
    """Add the verbs to the command line."""
    pause = add_verb(
        verbs, "pause", _pause, "stop polling; jobs that were fetched are finished"
    )
    pause.add_argument(
        "--hold", action="store_true", help="send no jobs to processors either"
    )
    resume = add_verb(verbs, "resume", _resume, "go on after a pause")
    for parser in (pause, resume):
        parser.add_argument(
            "names",
            nargs="*",
            metavar="FETCHER",
            help="fetchers to pause or resume (default: all)",
        )
    change = add_verb(verbs, "set", _set, "change settings of a running system")
    change.add_argument(
        "names",
        nargs="*",
        metavar="STAGE",
        help="stages to change (default: all that have the setting)",
    )
    for name, option in LIVE_OPTIONS.items():
        change.add_argument(
            option.flag, dest=name, metavar=option.live_type.metavar, help=option.help
        )
    ask = add_verb(
        verbs, "ask", _ask, "have a processor with manual demand ask for jobs"
    )
    ask.add_argument("name", metavar="NAME", help="as status shows it, or its kind")
    ask.add_argument("count", type=int, metavar="N", help="how many more")
    ask.add_argument(
        "--from",
        dest="source",
        metavar="FETCHER",
        help="the fetcher to ask (default: each that it takes from)",
    )


def _pause(arguments: Namespace) -> int:
    command = Pause(names=arguments.names, hold=arguments.hold)
    answer = ask_system(arguments, command, ANSWER_WITHIN_S)
    return answer if isinstance(answer, int) else _tell("paused", answer["paused"])


def _resume(arguments: Namespace) -> int:
    command = Resume(names=arguments.names)
    answer = ask_system(arguments, command, ANSWER_WITHIN_S)
    return answer if isinstance(answer, int) else _tell("resumed", answer["resumed"])


def _set(arguments: Namespace) -> int:
    values = {
        name: option.parse_live(text)
        for name, option in LIVE_OPTIONS.items()
        if (text := getattr(arguments, name)) is not None
    }
    command = SetValues(names=arguments.names, values=values)
    answer = ask_system(arguments, command, ANSWER_WITHIN_S)
    return answer if isinstance(answer, int) else _tell("set", answer["set"])


def _ask(arguments: Namespace) -> int:
    command = AskJobs(
        name=arguments.name, count=arguments.count, source=arguments.source
    )
    answer = ask_system(arguments, command, ANSWER_WITHIN_S)
    if isinstance(answer, int):
        return answer
    shares = ", ".join(f"{name} {count}" for name, count in answer["asked"].items())
    say(f"asked {shares}")
    return Exit.NOTHING_LEFT


def _tell(word: str, names: list[str]) -> int:
    say(f"{word} {', '.join(names) or 'nothing'}")
    return Exit.NOTHING_LEFT
