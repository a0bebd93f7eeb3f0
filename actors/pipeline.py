"""Running a system from a program of one's own, instead of the command.

    from actors import Fetcher, Pipeline, Processor

    Pipeline([Fetcher(fetch, options={"url": url}), Processor(process)]).run()

``run`` does what ``lowtide run`` does, with the same checks and the same errors: the
program that calls it becomes the main process until the system has ended. ``start``,
or ``with``, has a process of its own for that, and the program goes on beside it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, overload

from actors.commands.background import Run, RunningError, check_importing, start
from actors.commands.exit_codes import Exit
from actors.commands.start_error import check_platform
from actors.config.build import build_noting
from actors.config.errors import ConfigError, Problems, near
from actors.config.named_functions import (
    function_problems,
    hook_problems,
    notify_problem,
)
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve_noting
from actors.hooks.callbacks import Callbacks, hooks_with
from actors.job_functions import Job, Result
from actors.user_code.functions import FunctionError, check_call

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
    from typing import Unpack

    from actors.config.model import SystemConfig
    from actors.job_functions import (
        DoneEvent,
        FailedEvent,
        OfNextPoll,
        OfState,
        OfUrl,
        OfUrlAndNextPoll,
        OfUrlAndState,
        Pages,
        QuarantinedEvent,
    )
    from actors.journal.follow import EndedJob
    from actors.settings import (
        FetcherSettings,
        Function,
        PipelineSettings,
        ProcessorSettings,
        SourceSettings,
    )
    from actors.status.model import SystemStatus

__all__ = ["ConfigError", "Exit", "Fetcher", "Pipeline", "Processor", "RunningError"]


class Fetcher(Generic[Job]):
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

    __slots__ = ("fetch", "name", "options", "settings")

    # Without options a fetch has to be one that can be called as it is: with nothing,
    # or with what it is given. With options, a type checker cannot tell.
    @overload
    def __init__(
        self: Fetcher[Any],
        fetch: str,
        name: str = "",
        options: Mapping[str, Any] = ...,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: Callable[[], Iterator[Job | None]],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: Callable[[], Job | None],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: Callable[[], Pages[Job] | None],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: OfUrl[Iterator[Job | None]],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: OfUrl[Job | None],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: OfUrl[Pages[Job] | None],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: OfState[Pages[Job] | None],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: OfUrlAndState[Pages[Job] | None],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: OfNextPoll[Job | None],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: OfNextPoll[Iterator[Job | None]],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: OfUrlAndNextPoll[Job | None],
        name: str = "",
        *,
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: Callable[..., Iterator[Job | None]],
        name: str = "",
        *,
        options: Mapping[str, Any],
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: Callable[..., Job | None],
        name: str = "",
        *,
        options: Mapping[str, Any],
        settings: FetcherSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        fetch: Callable[..., Pages[Job] | None],
        name: str = "",
        *,
        options: Mapping[str, Any],
        settings: FetcherSettings = ...,
    ) -> None: ...
    def __init__(
        self,
        fetch: Function,
        name: str = "",
        options: Mapping[str, Any] | None = None,
        settings: Any = None,
        **unknown: object,
    ) -> None:
        """Nothing else is checked yet; see the class."""
        _refuse(self, unknown)
        self.fetch = fetch
        self.name = name
        self.options = options or {}
        self.settings: Mapping[str, Any] = settings or {}

    def __repr__(self) -> str:
        return f"Fetcher({self.fetch!r}, name={self.name!r})"

    def table(self) -> dict[str, Any]:
        """What stands in a configuration file for this."""
        fetch = _name_of(self.fetch)
        table = {"name": self.name or fetch.rpartition(":")[2], "fetch": fetch}
        return table | {"options": dict(self.options)} | _plain(self.settings)


class Processor(Generic[Job, Result]):
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

    __slots__ = ("count", "name", "process", "settings", "sources")

    @overload
    def __init__(
        self: Processor[Any, Any],
        process: str,
        name: str = "",
        sources: Sequence[str | SourceSettings] = ...,
        count: int | None = None,
        settings: ProcessorSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        process: Callable[[Job], Coroutine[Any, Any, Result]],
        name: str = "",
        sources: Sequence[str | SourceSettings] = ...,
        count: int | None = None,
        settings: ProcessorSettings = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        process: Callable[[Job], Result],
        name: str = "",
        sources: Sequence[str | SourceSettings] = ...,
        count: int | None = None,
        settings: ProcessorSettings = ...,
    ) -> None: ...
    def __init__(
        self,
        process: Function,
        name: str = "",
        sources: Sequence[Any] = (),
        count: int | None = None,
        settings: Any = None,
        **unknown: object,
    ) -> None:
        """Nothing else is checked yet; see the class."""
        _refuse(self, unknown)
        self.process = process
        self.name = name
        self.sources = tuple(sources)
        self.count = count
        self.settings: Mapping[str, Any] = settings or {}

    def __repr__(self) -> str:
        return f"Processor({self.process!r}, name={self.name!r})"

    def table(self) -> dict[str, Any]:
        """What stands in a configuration file for this."""
        process = _name_of(self.process)
        table: dict[str, Any] = {
            "name": self.name or process.rpartition(":")[2],
            "process": process,
        }
        if self.sources:
            table["from"] = [
                each if isinstance(each, str) else _plain(each) for each in self.sources
            ]
        if self.count is not None:
            table["count"] = self.count
        return table | _plain(self.settings)


def _refuse(stage: object, unknown: Iterable[str]) -> None:
    for name in unknown:
        kind = type(stage).__name__
        raise TypeError(
            f"{kind} has no argument {name!r}; what a [[{kind.lower()}]] table has "
            f"goes into settings={{{name!r}: ...}}"
        )


class Pipeline:
    """Fetchers and processors that run as one system on this machine.

    As a context manager, ``with`` or ``async with``, it is started at the beginning
    and stopped at the end. Its methods may be called from any thread, but for ``run``.
    """

    def __init__(
        self,
        stages: Iterable[Fetcher[Any] | Processor[Any, Any]],
        *,
        on_done: Callable[[DoneEvent], None] | None = None,
        on_failed: Callable[[FailedEvent], None] | None = None,
        on_quarantined: Callable[[QuarantinedEvent], None] | None = None,
        **settings: Unpack[PipelineSettings],
    ) -> None:
        """Check everything; nothing is started.

        The callbacks are called in this program, in one thread of their own, one
        after another; docs/hooks.md says what they may miss.

        Args:
            stages: At least one fetcher, any number of processors.
            on_done: Called with each job that is done.
            on_failed: Called with each attempt that failed and that another follows.
            on_quarantined: Called with each job that is set aside.
            settings: As at the top of a configuration file: ``every_s``,
                ``journal``, ``port``, ``web`` ... The environment
                (``LOWTIDE_...``) beats them, as it does a file.

        Raises:
            ConfigError: Something cannot be used; ``problems`` says all that is.
        """
        content = {
            name: each for name, each in _plain(settings).items() if each is not None
        }
        if stages_again := content.keys() & {"fetcher", "processor"}:
            raise ConfigError(f"Pipeline: {stages_again.pop()} belongs into its list")
        callbacks = {
            "on_done": on_done,
            "on_failed": on_failed,
            "on_quarantined": on_quarantined,
        }
        for name in content:
            if name.startswith("on_") and (meant := near(name, callbacks)):
                raise ConfigError(f"Pipeline: there is no {name}{meant}")
        content |= _tables(stages)
        # What is wrong is told as in a file, with this as the place.
        file = ConfigFile(Path("Pipeline"), content, "")
        problems = Problems()
        values = resolve_noting({}, os.environ, file, problems)
        config, unsound = build_noting(values, file, problems)
        for place, problem, _ in function_problems(config, unsound):
            problems.add(f"Pipeline, {place.rpartition('.')[0]}: {problem}")
        for _, problem in hook_problems(config):
            problems.add(f"Pipeline, hooks: {problem}")
        if (nowhere := notify_problem(config)) is not None:
            problems.add(f"Pipeline: {nowhere}")
        self._callbacks = {
            name.removeprefix("on_"): it
            for name, it in callbacks.items()
            if it is not None
        }
        for name, function in self._callbacks.items():
            with problems.noted():
                _check_callback(f"on_{name}", function)
        problems.refuse()
        hooks = hooks_with(config.hooks, self._callbacks)
        self.config: SystemConfig = replace(config, hooks=hooks)
        self._run: Run | None = None
        #: Of two threads that start it one does, and the other hears that it runs.
        self._starting = threading.Lock()

    def run(self) -> Exit:
        """Run until Ctrl-C, SIGTERM, ``lowtide stop`` or the end that was set.

        To be called from the main thread, and not while it runs; put it under ``if
        __name__ == "__main__"``. What is called from other threads meanwhile, as
        ``status`` and ``stop``, works as after ``start``.

        Returns:
            What ``lowtide run`` would exit with.

        Raises:
            StartError: It cannot be started as it is asked for: the port or the
                journal is taken, or this is no Linux. Nothing is left.
        """
        check_platform("Pipeline.run")
        # Imported here: only a system of its own needs Thespian.
        from actors.commands.run import run  # noqa: PLC0415

        check_importing()
        made = self._new_run()
        with made.here() as owner:
            made.end(Exit(run(self.config, owner=owner)))
        return made.wait()

    def start(self) -> Self:
        """Start it in a process of its own, and return once it runs.

        The program goes on beside it. Where the program ends, however it does, the
        system drains and ends as well. A program whose functions are in the file that
        is run has to have this under ``if __name__ == "__main__"``, as for
        ``multiprocessing``: the other process imports that file.

        Raises:
            StartError: It cannot be started; nothing is left of it.
        """
        check_platform("Pipeline.start")
        start(self._new_run(), self.config)
        return self

    def stop(self, *, now: bool = False, within_s: float | None = None) -> Exit:
        """Let processors finish what they have, end it, and wait for that.

        What was stopped before, or has ended by itself, is left as it is.

        Args:
            now: Do not wait for jobs that run; they are run again at the next start.
            within_s: How long to wait (as long as it takes: ``drain_timeout_s`` bounds
                it).

        Returns:
            What ``lowtide run`` would have exited with.

        Raises:
            RunningError: It was never started.
            TimeoutError: It takes longer, and goes on draining.
        """
        return self._of_now().stop(now=now, within_s=within_s)

    def wait(self, within_s: float | None = None) -> Exit:
        """Wait until it has ended: it was stopped, or the end came that was set.

        Returns:
            What ``lowtide run`` would have exited with.

        Raises:
            RunningError: It was never started.
            TimeoutError: It has not ended in this many seconds.
        """
        return self._of_now().wait(within_s)

    def status(self) -> SystemStatus:
        """What ``lowtide status --json`` prints: every stage, and why it waits.

        Raises:
            RunningError: It does not run, or does not answer.
        """
        return self._of_now().status()

    def attach(self, count: int = 1, *, processor: str | None = None) -> list[str]:
        """Add processors of a kind, which need not be said if there is one.

        Returns:
            Their names.

        Raises:
            RunningError: It does not run, or refuses.
        """
        return self._of_now().attach(count, processor)

    def detach(self, *names: str, count: int | None = None) -> list[str]:
        """Remove processors, those named or the last ``count``, once they finished.

        Returns:
            Their names.

        Raises:
            RunningError: It does not run, or refuses.
        """
        return self._of_now().detach(names, count)

    def wait_for_jobs(self, *fetchers: str, within_s: float | None = None) -> None:
        """Wait until all jobs have ended that were fetched before now.

        Args:
            fetchers: Whose (all).
            within_s: How long (a day).

        Raises:
            RunningError: It does not run, or it did not come to that in time.
        """
        self._of_now().wait_for_jobs(fetchers, within_s)

    def results(self) -> Iterator[EndedJob]:
        """Each job that is done in this run, with what ``process`` returned, in order.

        It waits for the next one, and ends when the system has. Each iterator begins
        with the first. Where jobs were forgotten before it came to them, since
        ``keep_mib`` or ``keep_s`` had no more room, it raises MissedError with their
        count, once; ``next()`` goes on behind them.

        Raises:
            RunningError: It was not started, or jobs are not kept.
        """
        return self._of_now().results()

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._run is not None and not self._run.has_ended

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        run = self._of_now()
        if not run.is_forked:  # a fork that ends leaves the system to its program
            run.stop()

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if starting.exception() is None:
                await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.__exit__)

    def _of_now(self) -> Run:
        if self._run is None:
            raise RunningError("this pipeline was not started: call start(), or run()")
        return self._run

    def _new_run(self) -> Run:
        with self._starting:
            if self.is_running:
                raise RunningError("this pipeline runs already: stop() it first")
            config, journal = self.config, self.config.journal
            kept = journal is not None and config.keep is not None
            callbacks = Callbacks(self._callbacks) if self._callbacks else None
            self._run = Run(str(journal) if kept else None, callbacks)
            return self._run


def _check_callback(name: str, function: Any) -> None:
    if not callable(function):
        raise ConfigError(f"Pipeline: {name} must be a function, got {function!r}")
    try:
        check_call(function, name, "event")
    except FunctionError as error:
        raise ConfigError(f"Pipeline: {error}") from error


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a file would say: names for functions, text for paths."""
    return {key: _as_in_file(value) for key, value in settings.items()}


def _as_in_file(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: _as_in_file(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_in_file(each) for each in value]
    return _name_of(value) if callable(value) else value


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
