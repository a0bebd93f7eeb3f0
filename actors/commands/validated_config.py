"""Everything that is wrong with what ``run`` would be started with."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from actors.cluster import identity, keys
from actors.commands.options import read_given
from actors.config.named_functions import (
    function_problems,
    hook_problems,
    notify_problem,
)
from actors.config.show import config_rows, secrets_of
from actors.config.values import is_over_file
from actors.host import forked_call, redaction

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from actors.commands.options import GivenConfig
    from actors.config.model import SystemConfig

#: How long the user's modules may take to be imported before the start goes on
#: without having looked at them, in seconds: a stage that hangs there is told later.
_IMPORTED_WITHIN_S = 20.0
#: How long they are waited for before anything is started, in seconds.
_HEAD_START_S = 0.5


class Looking:
    """A look at the user's functions, in a process of its own.

    The user's modules may start threads, and the main process is still to fork;
    one that ends its process while it is imported ends a stage the same way, and
    is told then, as is one that hangs.
    """

    def __init__(self, given: GivenConfig) -> None:
        self._call: forked_call.Call | None = None
        # Without a process more, the start tells how many are allowed.
        with contextlib.suppress(OSError):
            self._call = forked_call.Call(
                lambda: json.dumps(list(function_errors(given))), _IMPORTED_WITHIN_S
            )

    @property
    def fds(self) -> list[int]:
        """What can be read when there is something to see."""
        return [] if self._call is None else self._call.fds

    @property
    def ends_at(self) -> float | None:
        """When it is given up, in monotonic seconds."""
        return None if self._call is None else self._call.ends_at

    def errors(self, within_s: float) -> list[str] | None:
        """What is wrong with them; None if that is not known in this many seconds."""
        text = "" if self._call is None else self._call.wait(within_s)
        if text is None:
            return None
        self._call = None
        return json.loads(text) if text else []

    def close(self) -> None:
        """Look no more."""
        if self._call is not None:
            self._call.close()
        self._call = None


def read_sound(arguments: Namespace) -> tuple[SystemConfig, Looking | None]:
    """The configuration, if everything about it can be used, as far as is known.

    Modules that take long are imported beside the start of the system, which imports
    them as well: what is wrong with their functions is told once that is known.

    Raises:
        ConfigError: It cannot; with all that is wrong, the functions' too.
    """
    given = read_given(arguments)
    redaction.install(secrets_of(given.config))
    looking = Looking(given)
    errors = looking.errors(_HEAD_START_S)
    note_way_in(given)
    if given.problems and errors is None:
        errors = looking.errors(_IMPORTED_WITHIN_S)
    for error in errors or []:
        given.problems.add(error)
    given.problems.refuse()
    return given.config, looking if errors is None else None


def note_way_in(given: GivenConfig) -> None:
    """Note what is wrong with how other machines are to join."""
    config = given.config
    if config.bind is None:
        return
    bind = given.values["bind"]
    name = bind.origin if is_over_file(bind) else f"{bind.origin}: bind"
    with given.problems.noted():
        keys.read_cluster_key(config.cluster_key_file)
    with given.problems.noted():
        identity.read_host_port(config.bind, config.port or None, name)


def function_errors(given: GivenConfig) -> Iterator[str]:
    """Import the functions; what is wrong with them, each with its place.

    Those of a stage that is not as it was meant are left out: what was meant is
    not known.
    """
    for event, problem in hook_problems(given.config):
        where = given.file.where("hooks", event) if given.file else "hooks"
        yield f"{where}: {problem}"
    if (nowhere := notify_problem(given.config)) is not None:
        yield f"{given.values['notify'].origin}: {nowhere}"
    rows = config_rows(given.values, given.file, given.config)
    origins = {row["name"]: row["origin"] for row in rows}
    for place, problem, path in function_problems(given.config, given.unsound):
        if place not in origins:
            yield f"{_option_origin(given, place, path, origins)}: {problem}"
            continue
        origin = origins[place]
        if origin == "default":  # what does not fit it stands in its table
            origin = origins[f"{place.rpartition('.')[0]}.name"]
        yield f"{origin}: {problem}"


def _option_origin(
    given: GivenConfig, place: str, path: tuple[str | int, ...], origins: dict[str, str]
) -> str:
    """``file:line`` of an option, or of something within it."""
    option = origins.get(f"{place}.{path[0]}") if path else None
    names = [f"fetcher.{each.name}.options" for each in given.config.fetchers]
    fetcher = place.rpartition(".")[0]
    if given.file is None or (option and not option.startswith(str(given.file.path))):
        return option or origins[f"{fetcher}.fetch"]
    return given.file.where("fetcher", names.index(place), "options", *path)
