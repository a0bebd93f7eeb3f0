"""The functions that a configuration names: whether they fit, and a stage's routing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.config.model import FetcherConfig
from actors.demand.job_routing import Routing, key_reader
from actors.hooks.notify import sender_to
from actors.host.texts import line_of
from actors.user_code.functions import (
    FunctionError,
    check_call,
    check_fetch,
    is_async,
    load,
    load_beside,
    name_beside,
)
from actors.user_code.imports import shadowed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from actors.config.model import ProcessorConfig, SystemConfig


@dataclass(frozen=True, slots=True)
class NamedFunction:
    """One of them, and how it will be called.

    Attributes:
        key: Of its stage's table.
        name: ``MODULE:FUNCTION``.
        words: What each argument by place is.
        options: Names of arguments by name.
        is_fetch: Whether it is what a fetcher polls.
        awaits: Whether it may be an async function.
    """

    key: str
    name: str
    words: tuple[str, ...] = ("job",)
    options: tuple[str, ...] = field(default=())
    is_fetch: bool = False
    awaits: bool = False

    def check(self) -> None:
        """Import it.

        Raises:
            FunctionError: It is not there, takes other arguments, or is of a kind
                that cannot be called here.
        """
        function = load(self.name)
        if self.is_fetch:
            check_fetch(function, self.name, self.options)
        else:
            check_call(
                function,
                self.name,
                *self.words,
                options=self.options,
                awaits=self.awaits,
            )


class FunctionProblem(NamedTuple):
    """What is wrong with a function, or with the options that it is to have.

    Attributes:
        place: As ``fetcher.numbers.fetch``.
        text: What was expected.
        path: Of a fetcher's options: the keys, and numbers of elements, below them.
    """

    place: str
    text: str
    path: tuple[str | int, ...] = ()


def function_problems(
    config: SystemConfig, unsound: Collection[str] = ()
) -> Iterator[FunctionProblem]:
    """Import the functions, and tell what is wrong with them and their options.

    Args:
        config: Names them.
        unsound: Stages whose functions are not looked at.
    """
    stages: dict[str, Iterable[FetcherConfig | ProcessorConfig]] = {
        "fetcher": config.fetchers,
        "processor": config.processors,
    }
    for table, members in stages.items():
        for member in (each for each in members if each.name not in unsound):
            for function in _named_by(member):
                try:
                    function.check()
                except FunctionError as error:
                    place = f"{table}.{member.name}.{function.key}"
                    yield FunctionProblem(place, f"{function.key}: {error}")
            if isinstance(member, FetcherConfig):
                yield from _option_problems(member)


def hook_problems(config: SystemConfig) -> Iterator[tuple[str, str]]:
    """Import the hooks; each event with one that cannot be called, and why not."""
    for event, names in config.hooks.items():
        for name in names:
            if name.partition(":")[0] in ("__main__", "__mp_main__"):
                what = "which the process that calls hooks does not import"
                where = f"{name!r} is in the program itself, {what}"
                yield event, f"{event}: {where}: put it into a module"
                continue
            try:
                NamedFunction(event, name, ("event",)).check()
            except FunctionError as error:
                yield event, f"{event}: {error}"


def notify_problem(config: SystemConfig) -> str | None:
    """Why no message can be sent to where ``notify`` says, if none can."""
    if not config.notify:
        return None
    try:
        sender_to(config.notify)
    except ValueError as error:
        return str(error)
    return None


def hidden_functions(config: SystemConfig) -> Iterator[tuple[str, str]]:
    """The functions of ours that the user has a file of the same name for.

    Returns:
        Each name, and the file that is not used.
    """
    told = set()
    stages: tuple[FetcherConfig | ProcessorConfig, ...]
    stages = (*config.fetchers, *config.processors)
    for stage in stages:
        for function in _named_by(stage):
            file = shadowed(function.name.partition(":")[0])
            if file is not None and function.name not in told:
                told.add(function.name)
                yield function.name, file


def _option_problems(fetcher: FetcherConfig) -> Iterator[FunctionProblem]:
    """What the function ``check_options`` beside a fetch says of its options."""
    check = load_beside(fetcher.fetch, "check_options")
    if check is None:
        return
    place = f"fetcher.{fetcher.name}.options"
    try:
        for said in check(**fetcher.options):
            path, text = ((), said) if isinstance(said, str) else said
            path = (path,) if isinstance(path, str) else tuple(path)
            name = ".".join(str(each) for each in ("options", *path))
            yield FunctionProblem(place, f"{name}: {text}", path)
    except Exception as error:  # noqa: BLE001 - the user's function
        name = f"{fetcher.fetch.partition(':')[0]}:check_options"
        yield FunctionProblem(place, f"options: {name} failed: {line_of(error)}")


def _named_by(stage: FetcherConfig | ProcessorConfig) -> Iterator[NamedFunction]:
    if isinstance(stage, FetcherConfig):
        yield from _named_by_fetcher(stage)
    else:
        yield NamedFunction("process", stage.process, awaits=stage.executor is None)
        yield from _named_for_process(stage)
        if stage.selector is not None:
            yield NamedFunction("selector", stage.selector)
        for source, options in stage.subscriptions.items():
            if options.selector is not None:
                yield NamedFunction(f"from.{source}.selector", options.selector)
        if stage.demand_function is not None:
            yield NamedFunction("demand", stage.demand_function)
    if stage.partition_by is not None and ":" in stage.partition_by:
        yield NamedFunction("partition_by", stage.partition_by)


def _named_for_process(stage: ProcessorConfig) -> Iterator[NamedFunction]:
    if stage.executor is not None:
        yield NamedFunction("executor", stage.executor, ())
    if stage.setup is not None:
        yield NamedFunction("setup", stage.setup, (), awaits=_is_async(stage))


def _is_async(processor: ProcessorConfig) -> bool:
    try:
        return is_async(load(processor.process))
    except FunctionError:
        return True  # that is told of process


def _named_by_fetcher(fetcher: FetcherConfig) -> Iterator[NamedFunction]:
    options = (*fetcher.options, *(["url"] if fetcher.wants_url else []))
    yield NamedFunction("fetch", fetcher.fetch, (), options, is_fetch=True)
    words = ("job", "outcome")
    if fetcher.settle is not None:
        yield NamedFunction("settle", fetcher.settle, words, options)
    elif load_beside(fetcher.fetch, "settle") is not None:
        beside = name_beside(fetcher.fetch, "settle")
        yield NamedFunction("fetch", beside, words, options)
    if load_beside(fetcher.fetch, "hurry") is not None:
        yield NamedFunction("fetch", name_beside(fetcher.fetch, "hurry"), ())


def routing_of(
    config: FetcherConfig | ProcessorConfig,
    system: SystemConfig,
    load: Callable[[str], Callable[..., Any]],
) -> Routing:
    """How the jobs of a stage find those that take from it.

    Args:
        config: The stage's.
        system: Names those that take from it.
        load: Finds a function by its name.

    Raises:
        FunctionError: A function that the configuration names is not there, or
            cannot be called with a job.
    """

    def function(name: str) -> Callable[..., Any]:
        loaded = load(name)
        check_call(loaded, name, "job")
        return loaded

    if config.partition_by is not None:
        by = config.partition_by
        if ":" in by:
            return Routing(key_of=function(by), asks_user=True)
        return Routing(key_of=key_reader(by))
    if config.dispatcher != "broadcast":
        return Routing()
    names = system.selectors_of(config.name)
    return Routing(
        selectors={
            kind: None if name is None else function(name)
            for kind, name in names.items()
        },
        asks_user=any(names.values()),
    )
