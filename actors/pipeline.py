"""Running a system from a program of one's own, instead of the command.

    from actors import Fetcher, Pipeline, Processor

    Pipeline([Fetcher(fetch, options={"url": url}), Processor(process)]).run()

It does what ``lowtide run`` does, with the same checks and the same errors: the
program that calls ``run`` becomes the main process until the system has ended.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from actors.commands.exit_codes import Exit
from actors.commands.start_error import check_platform
from actors.config.build import build_noting
from actors.config.errors import ConfigError, Problems
from actors.config.functions import function_problems
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve_noting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from actors.config.model import SystemConfig

__all__ = ["ConfigError", "Exit", "Fetcher", "Pipeline", "Processor"]

#: A function of a module, or its name as ``MODULE:FUNCTION``.
Function: TypeAlias = "Callable[..., Any] | str"


@dataclass(frozen=True, slots=True)
class Fetcher:
    """A source of jobs.

    Attributes:
        fetch: Returns one job (any JSON value), or None for none now. A function
            of a module, since other processes have to find it: neither a lambda
            nor one that is defined within another.
        name: Unique in the pipeline; that of the function if none is given.
        options: Keyword arguments of each call of ``fetch``.
        settings: As in a ``[[fetcher]]`` table: ``every_s``, ``buffer`` ...; what
            is not given is as for the whole pipeline.
    """

    fetch: Function
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """What stands in a configuration file for this."""
        fetch = _name_of(self.fetch)
        table = {"name": self.name or fetch.rpartition(":")[2], "fetch": fetch}
        return table | {"options": dict(self.options)} | _named(self.settings)


@dataclass(frozen=True, slots=True)
class Processor:
    """A kind of processor, of which ``count`` processes are started.

    Attributes:
        process: Takes a job, returns a JSON value; see ``Fetcher.fetch``.
        name: Unique in the pipeline; that of the function if none is given.
        sources: Names of what it takes jobs from, or tables of what is otherwise
            for one, as in ``from``; all fetchers if none is given.
        count: How many processes; as for the whole pipeline if it is None.
        settings: As in a ``[[processor]]`` table: ``max_demand`` ...; a function
            may stand for its name.
    """

    process: Function
    name: str = ""
    sources: tuple[str | Mapping[str, Any], ...] = ()
    count: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """What stands in a configuration file for this."""
        process = _name_of(self.process)
        table: dict[str, Any] = {
            "name": self.name or process.rpartition(":")[2],
            "process": process,
        }
        if self.sources:
            table["from"] = [
                each if isinstance(each, str) else _named(each) for each in self.sources
            ]
        if self.count is not None:
            table["count"] = self.count
        return table | _named(self.settings)


class Pipeline:
    """Fetchers and processors that run as one system on this machine."""

    def __init__(self, stages: Iterable[Fetcher | Processor], **settings: Any) -> None:
        """Check everything; nothing is started.

        Args:
            stages: At least one fetcher, any number of processors.
            settings: As at the top of a configuration file: ``every_s``,
                ``journal``, ``port``, ``web`` ... The environment
                (``LOWTIDE_...``) beats them, as it does a file.

        Raises:
            ConfigError: Something cannot be used; ``problems`` says all that is.
        """
        content = {name: each for name, each in settings.items() if each is not None}
        if stages_again := content.keys() & {"fetcher", "processor"}:
            raise ConfigError(f"Pipeline: {stages_again.pop()} belongs into its list")
        content |= _tables(stages)
        # What is wrong is told as in a file, with this as the place.
        file = ConfigFile(Path("Pipeline"), content, "")
        problems = Problems()
        values = resolve_noting({}, os.environ, file, problems)
        config, unsound = build_noting(values, file, problems)
        for place, problem, _ in function_problems(config, unsound):
            problems.add(f"Pipeline, {place.rpartition('.')[0]}: {problem}")
        problems.refuse()
        self.config: SystemConfig = config

    def run(self) -> Exit:
        """Run until Ctrl-C, SIGTERM, ``lowtide stop`` or the end that was set.

        To be called from the main thread, once; put it under ``if __name__ ==
        "__main__"``.

        Returns:
            What ``lowtide run`` would exit with.

        Raises:
            StartError: It cannot be started as it is asked for: the port or the
                journal is taken, or this is no Linux. Nothing is left.
        """
        check_platform("Pipeline.run")
        # Imported here: only a system of its own needs Thespian.
        from actors.commands.run import run  # noqa: PLC0415

        return Exit(run(self.config))


def _named(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _name_of(value) if callable(value) else value
        for key, value in settings.items()
    }


def _tables(stages: Any) -> dict[str, Any]:
    expected = "expected a list of Fetcher and Processor, at least one Fetcher"
    if isinstance(stages, Fetcher | Processor):
        raise ConfigError(f"{expected}, got one {type(stages).__name__}")
    stages = tuple(stages)
    fetchers = [each.table() for each in stages if isinstance(each, Fetcher)]
    processors = [each.table() for each in stages if isinstance(each, Processor)]
    if not fetchers or len(fetchers) + len(processors) < len(stages):
        raise ConfigError(expected)
    return {"fetcher": fetchers} | ({"processor": processors} if processors else {})


def _name_of(function: Function) -> str:
    if isinstance(function, str):
        return function
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", "")
    found = getattr(sys.modules.get(module), name, None)
    if found is not function or not callable(function):
        raise ConfigError(
            f"expected a function of a module, or MODULE:FUNCTION, got {function!r}: "
            "other processes could not find it"
        )
    return f"{module}:{name}"
