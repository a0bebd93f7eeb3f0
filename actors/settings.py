"""The settings by name and type, for editors and type checkers.

``scripts/settings_types > actors/settings.py`` writes this file from the options that
``actors/config/model.py`` declares.
"""

from __future__ import annotations

import os  # noqa: TC003 - who asks for the types finds it
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

#: A function of a module, or its name as ``MODULE:FUNCTION``.
Function: TypeAlias = Callable[..., Any] | str


class PipelineSettings(TypedDict, total=False):
    """What may stand at the top of a file: keywords of ``Pipeline``."""

    url: str | None
    fetch: Function | None
    every_s: float | None
    remember_s: float | None
    buffer: int | None
    buffer_mib: int | None
    process: Function | None
    processors: int | None
    concurrency: int | None
    max_demand: int | str | None
    min_demand: int | None
    journal: str | os.PathLike[str] | None
    job_timeout_s: float | None
    lease_s: float | None
    retries: int | None
    quarantine: int | None
    quarantine_mib: int | None
    journal_mib: int | None
    keep_s: float | str | None
    keep_mib: int | None
    drain_timeout_s: float | None
    port: int | None
    bind: str | None
    cluster_key_file: str | os.PathLike[str] | None
    machine_timeout_s: float | None
    log_format: Literal["console", "json"] | None
    log_level: Literal["debug", "info", "warning", "error"] | None
    for_s: float | None
    until_idle_s: float | None
    web: int | None
    web_token: str | None
    notify: Sequence[str] | None
    hooks: Mapping[str, Function | Sequence[Function]] | None


class FetcherSettings(TypedDict, total=False):
    """The keys of a ``[[fetcher]]`` table."""

    every_s: float
    remember_s: float
    idle_cap_s: float
    on_demand: bool
    settle: Function
    buffer_keep: Literal["first", "last"]
    rate_limit: int
    rate_interval_s: float
    demand: Literal["accumulate", "forward"]
    buffer: int
    buffer_mib: int
    dispatcher: Literal["demand", "broadcast", "partition"]
    partition_by: Function


class ProcessorSettings(TypedDict, total=False):
    """The keys of a ``[[processor]]`` table."""

    executor: Function
    setup: Function
    concurrency: int
    max_demand: int | str
    min_demand: int
    selector: Function
    batch_size: int
    batch_timeout_s: float
    demand: Function
    cancel: Literal["temporary", "transient", "permanent"]
    buffer: int
    buffer_mib: int
    dispatcher: Literal["demand", "broadcast", "partition"]
    partition_by: Function


class SourceSettings(TypedDict, total=False):
    """The keys of a table in a processor's ``from``."""

    name: Required[str]
    max_demand: int
    min_demand: int
    cancel: Literal["temporary", "transient", "permanent"]
    selector: Function
