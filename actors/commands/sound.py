"""Everything that is wrong with what ``run`` would be started with."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from actors.commands.options import read_asked
from actors.runtime import cluster, processes, redaction
from actors.runtime.config_functions import function_problems
from actors.runtime.config_show import config_rows, secrets_of

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
    origin = asked.values["bind"].origin
    name = origin if origin.startswith(("--", "LOWTIDE_")) else f"{origin}: bind"
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
    for place, problem in function_problems(asked.config, asked.unsound):
        origin = origins[place]
        if origin == "default":  # what does not fit it stands in its table
            origin = origins[f"{place.rpartition('.')[0]}.name"]
        yield f"{origin}: {problem}"


def _errors_apart(asked: Asked) -> list[str]:
    """The same from a process of its own.

    The user's modules may start threads, and the main process is still to fork;
    one that ends its process while it is imported ends a stage the same way, and
    is told then.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    try:
        child = os.fork()
    except BlockingIOError:  # no process more is allowed, which the start will tell
        os.close(reader)
        os.close(writer)
        return []
    if child == 0:
        with suppress(BaseException):
            processes.die_with_parent(parent)
            errors = json.dumps(list(function_errors(asked)))
            with open(writer, "w") as file:  # noqa: PTH123 - a descriptor
                file.write(errors)
        os._exit(0)
    os.close(writer)
    text = _said_by(child, reader)
    return json.loads(text) if text else []


def _said_by(child: int, reader: int) -> bytes:
    """What a process writes before it ends; nothing, if it does not end in time.

    A module may leave processes behind that hold the pipe open: it is the end of
    the child that counts.
    """
    said = b""
    end = time.monotonic() + _IMPORTED_WITHIN_S
    ended = os.pidfd_open(child)
    watched = [reader, ended]
    while True:
        left = max(0.0, end - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        if reader in ready:
            more = os.read(reader, 1 << 16)
            said += more
            if not more:
                watched = [ended]
        elif ready:
            break
        else:
            os.kill(child, signal.SIGKILL)
            said = b""
            break
    os.waitpid(child, 0)
    os.close(ended)
    os.close(reader)
    return said
