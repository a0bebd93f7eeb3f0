"""``try``: ask a source once, and show what would come of it."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from actors.commands.exit_codes import Exit
from actors.commands.options import add_settings, read_given
from actors.commands.terminal import say, say_json
from actors.commands.validated_config import function_errors
from actors.config.errors import ConfigError
from actors.config.show import secrets_of
from actors.demand.source_state import NO_STATE
from actors.fetcher.fetch_call import Fetched, item_of
from actors.host import redaction
from actors.host.redaction import masked, redact
from actors.user_code.failures import describe
from actors.user_code.functions import check_fetch, find_last, load, load_beside

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from actors.commands.options import GivenConfig, Verbs
    from actors.config.model import FetcherConfig

#: Jobs that are shown, and characters of each.
SHOWN = 10
_WIDTH = 200
#: Characters of an answer that went wrong.
_BODY = 400
#: Jobs of a generator that are waited for.
_AT_MOST = 1000


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "try",
        help="ask a source once, show what would become jobs, keep nothing",
        description="Call a fetcher's fetch once, with the state that the journal "
        "has, and show what would become jobs. Nothing is kept or acknowledged: what "
        "a source hands out for good is gone.",
    )
    parser.set_defaults(verb=try_source)
    parser.add_argument(
        "fetcher",
        nargs="?",
        metavar="FETCHER",
        help="the fetcher's name, if there are several",
    )
    parser.add_argument(
        "--state", metavar="JSON", help="the state to use instead of the journal's"
    )
    parser.add_argument("--json", action="store_true", help="as JSON on one line")
    add_settings(parser)


def try_source(arguments: Namespace) -> int:
    """Ask once; print what came.

    Raises:
        ConfigError: The configuration cannot be used.
    """
    given = read_given(arguments)
    redaction.install(secrets_of(given.config))
    find_last()
    fetcher = _chosen(given, arguments.fetcher)
    for error in function_errors(given):
        given.problems.add(error)
    given.problems.refuse()
    told = _told_by(fetcher, _state(arguments, given, fetcher.name))
    items = [item_of(each) for each in told.pop("jobs") if each is not None]
    told["jobs"] = [each.payload for each in items if isinstance(each, Fetched)]
    bad = [each for each in items if not isinstance(each, Fetched)]
    if "body" in told:
        told["body"] = _shown(str(told["body"]))
    told["unusable"] = [each.failure.error for each in bad]
    if arguments.json:
        say_json(told)
    else:
        say(*_lines(told))
    return Exit.FAILURE if "error" in told else Exit.NOTHING_LEFT


def _chosen(given: GivenConfig, name: str | None) -> FetcherConfig:
    names = [each.name for each in given.config.fetchers]
    if name is None and len(names) > 1:
        raise ConfigError(f"try: say which fetcher: {', '.join(names)}")
    for each in given.config.fetchers:
        if name in (None, each.name):
            return each
    raise ConfigError(f"try: there is no fetcher {name!r}, only {', '.join(names)}")


def _state(arguments: Namespace, given: GivenConfig, name: str) -> Any:
    if arguments.state is not None:
        try:
            return json.loads(arguments.state)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"--state: expected JSON, {error}") from None
    journal = given.config.journal
    from actors.journal.stores import is_there, look_into  # noqa: PLC0415

    if journal is None or not is_there(journal):
        return None
    with contextlib.closing(look_into(journal)) as view:
        text, _ = view.states().get(name, (NO_STATE, None))
    return json.loads(text)


def _told_by(fetcher: FetcherConfig, state: Any) -> dict[str, Any]:
    fetch = load(fetcher.fetch)
    preview = load_beside(fetcher.fetch, "preview")
    given = check_fetch(fetch, fetcher.fetch, fetcher.options)
    options: dict[str, Any] = dict(fetcher.options)
    if "state" in given:
        options["state"] = state
    told: dict[str, Any] = {"jobs": []}
    try:
        if preview is not None:
            return dict(preview(**options))
        if "next_poll" in given:
            options["next_poll"] = lambda seconds: told.update(next_poll_s=seconds)
        _take(fetch(**options), told, with_state="state" in given)
    except Exception as error:  # noqa: BLE001 - the user's function
        told["error"] = describe(error).error
    return told


def _shown(body: str) -> str:
    # Cut last: half a secret is not known as one.
    with contextlib.suppress(ValueError, RecursionError):
        body = json.dumps(masked(json.loads(body)), ensure_ascii=False)
    text = " ".join(redact(body).split())
    return text if len(text) <= _BODY else text[:_BODY] + "..."


def _take(answer: Any, told: dict[str, Any], *, with_state: bool) -> None:
    if with_state:
        page = next(answer, None) if isinstance(answer, Iterator) else answer
        if page is not None:
            told["jobs"], told["state"] = page
    elif isinstance(answer, Iterator):
        told["jobs"] = list(itertools.islice(answer, _AT_MOST))
    else:
        told["jobs"] = [answer]


def _lines(  # noqa: C901 - one line a thing
    told: dict[str, Any],
) -> Iterable[str]:
    jobs = told["jobs"]
    if "request" in told:
        yield f"{told['request']}: {told.get('status', 'no answer')}"
    if "body" in told:
        yield f"the answer begins: {told['body']}"
    yield f"{len(jobs)} would become jobs" + (":" if jobs else "")
    for each in jobs[:SHOWN]:
        text = json.dumps(masked(each), ensure_ascii=False)
        yield f"  {text if len(text) <= _WIDTH else text[:_WIDTH] + '...'}"
    if len(jobs) > SHOWN:
        yield f"  ... and {len(jobs) - SHOWN} more"
    for each in told["unusable"][:SHOWN]:
        yield f"cannot be used: {each}"
    names = {"next": "the next page", "state": "the next state"}
    names |= {"left": "requests left", "next_poll_s": "ask next in seconds"}
    for name, what in names.items():
        if told.get(name) is not None:
            yield f"{what}: {json.dumps(masked(told[name]))}"
    if "error" in told:
        yield f"error: {told['error']}"
