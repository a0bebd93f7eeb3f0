"""How a stage serves those that take from it: its dispatcher, and its routing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.config.value_types import AUTO
from actors.demand.consumer_subscription import Window
from actors.demand.dispatchers import DemandDispatcher, Dispatcher
from actors.demand.job_routing import Routing, key_reader
from actors.demand.route_dispatchers import BroadcastDispatcher, PartitionDispatcher
from actors.user_code.functions import check_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.config.model import FetcherConfig, ProcessorConfig, SystemConfig
    from actors.demand.job_events import Job

DISPATCHERS: dict[str, Callable[[], Dispatcher[Job]]] = {
    "demand": DemandDispatcher,
    "broadcast": BroadcastDispatcher,
    "partition": PartitionDispatcher,
}


def dispatcher_of(config: FetcherConfig | ProcessorConfig) -> Dispatcher[Job]:
    """The dispatcher that the configuration names."""
    return DISPATCHERS[config.dispatcher]()


def window_of(config: ProcessorConfig) -> Window:
    """What a processor asks for, where it is not to find out by itself.

    One whose demand is manual asks for what it is told to, in no window.
    """
    if config.max_demand == AUTO:
        return Window()
    return Window(max_demand=int(config.max_demand), min_demand=config.min_demand)


def windows_of(config: ProcessorConfig) -> dict[str, Window]:
    """What a processor asks single sources for, where that is otherwise."""
    windows = {name: each.window for name, each in config.subscriptions.items()}
    return {name: each for name, each in windows.items() if each is not None}


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
    names = {
        each.name: each.selector_of(config.name)
        for each in system.processors
        if config.name in each.sources
    }
    return Routing(
        selectors={
            kind: None if name is None else function(name)
            for kind, name in names.items()
        },
        asks_user=any(names.values()),
    )
