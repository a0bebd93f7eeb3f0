"""Demand-driven job polling on actors."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.commands.main_process import StartError
    from actors.pipeline import ConfigError, Exit, Fetcher, Pipeline, Processor

__all__ = ["ConfigError", "Exit", "Fetcher", "Pipeline", "Processor", "StartError"]

_WHERE = dict.fromkeys(__all__, "actors.pipeline") | {
    "StartError": "actors.commands.main_process"
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    # Late, so that a part of the package does not import all of it.
    if name not in _WHERE:
        raise AttributeError(f"module 'actors' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
