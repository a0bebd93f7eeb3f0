"""Everything that is wrong with what ``run`` would be started with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from actors.commands.options import read_asked
from actors.runtime import apart, cluster, redaction
from actors.runtime.config_functions import function_problems
from actors.runtime.config_show import config_rows, secrets_of
from actors.runtime.setting_values import is_over_file

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from actors.commands.options import Asked
    from actors.runtime.config import SystemConfig

#: How long the user's modules may take to be imported before the start goes on
#: without having looked at them, in seconds: a stage that hangs there is told later.
_IMPORTED_WITHIN_S = 20.0


def read_sound(arguments: Namespace) -> SystemConfig:
    """The configuration, if everything about it can be used.

    Raises:
        ConfigError: It cannot; with all that is wrong, the functions' too.
    """
    asked = read_asked(arguments)
    redaction.install(secrets_of(asked.config))
    for error in _errors_apart(asked):
        asked.problems.add(error)
    note_way_in(asked)
    asked.problems.refuse()
    return asked.config


def note_way_in(asked: Asked) -> None:
    """Note what is wrong with how other machines are to join."""
    config = asked.config
    if config.bind is None:
        return
    bind = asked.values["bind"]
    name = bind.origin if is_over_file(bind) else f"{bind.origin}: bind"
    with asked.problems.noted():
        cluster.read_key(config.cluster_key_file)
    with asked.problems.noted():
        cluster.place(config.bind, config.port or None, name)


def function_errors(asked: Asked) -> Iterator[str]:
    """Import the functions; what is wrong with them, each with its place.

    Those of a stage that is not as it was meant are left out: what was meant is
    not known.
    """
    rows = config_rows(asked.values, asked.file, asked.config)
    origins = {row["name"]: row["origin"] for row in rows}
    for place, problem, path in function_problems(asked.config, asked.unsound):
        if place not in origins:
            yield f"{_option_origin(asked, place, path, origins)}: {problem}"
            continue
        origin = origins[place]
        if origin == "default":  # what does not fit it stands in its table
            origin = origins[f"{place.rpartition('.')[0]}.name"]
        yield f"{origin}: {problem}"


def _option_origin(
    asked: Asked, place: str, path: tuple[str | int, ...], origins: dict[str, str]
) -> str:
    """``file:line`` of an option, or of something within it."""
    option = origins.get(f"{place}.{path[0]}") if path else None
    names = [f"fetcher.{each.name}.options" for each in asked.config.fetchers]
    fetcher = place.rpartition(".")[0]
    if asked.file is None or (option and not option.startswith(str(asked.file.path))):
        return option or origins[f"{fetcher}.fetch"]
    return asked.file.where("fetcher", names.index(place), "options", *path)


def _errors_apart(asked: Asked) -> list[str]:
    """The same from a process of its own.

    The user's modules may start threads, and the main process is still to fork;
    one that ends its process while it is imported ends a stage the same way, and
    is told then, as is one that hangs.
    """
    try:
        text = apart.answer_of(
            lambda: json.dumps(list(function_errors(asked))), _IMPORTED_WITHIN_S
        )
    except OSError:  # no process more: the start tells how many are allowed
        return []
    return json.loads(text) if text else []
