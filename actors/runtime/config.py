"""What to run, as the rest of the program sees it: checked, complete, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from actors.flow.cancels import MODES, TEMPORARY
from actors.flow.routes import problems_of
from actors.flow.subscriptions import SubscriptionOptions
from actors.runtime.config_file import lacks
from actors.runtime.config_sources import SOURCES, check_sources, read_sources
from actors.runtime.kinds import (
    COUNT,
    COUNT_FROM_0,
    COUNT_OR_AUTO,
    FUNCTION,
    GATE,
    PROCESSES,
    SECONDS,
    TABLE,
    TEXT,
    TRUE_OR_FALSE,
    Kind,
    checked,
    choice,
)
from actors.runtime.problems import ConfigError, Problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from actors.runtime.config_file import ConfigFile
    from actors.runtime.settings import Value

    Stage = TypeVar("Stage", "FetcherConfig", "ProcessorConfig")

#: What ``demand`` is where nothing else is said, of a fetcher and of a processor.
FORWARD, AUTOMATIC = "forward", "automatic"
#: The other words for it.
ACCUMULATE, MANUAL = "accumulate", "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetcherConfig:
    """One fetcher.

    Attributes:
        name: Unique in the system.
        fetch: ``MODULE:FUNCTION``.
        options: Keyword arguments of each call.
        every_s: Between a poll that found nothing more and the next.
        buffer: Jobs to hold before polling stops.
        idle_cap_s: How far ``every_s`` may grow while there is nothing to fetch;
            None for not at all.
        on_demand: Fetch no more than what processors asked for.
        settle: ``MODULE:FUNCTION``; None for ``settle`` beside ``fetch``, if it
            is there.
        buffer_keep: Drop jobs instead, ``first`` the new ones, ``last`` the old.
        dispatcher: ``demand``, ``broadcast`` or ``partition``.
        partition_by: With ``partition``, a key of the job or ``MODULE:FUNCTION``.
        rate_limit: Jobs to send in any ``rate_interval_s`` at most.
        demand: ``forward``, or ``accumulate`` to send nothing until it is set so.
    """

    name: str
    fetch: str
    options: dict[str, Any] = field(default_factory=dict)
    every_s: float
    buffer: int
    idle_cap_s: float | None = None
    on_demand: bool = False
    settle: str | None = None
    buffer_keep: str | None = None
    dispatcher: str = "demand"
    partition_by: str | None = None
    rate_limit: int | None = None
    rate_interval_s: float = 1.0
    demand: str = FORWARD


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorConfig:
    """One kind of processor, of which ``count`` are started.

    Attributes:
        name: Unique in the system; each process's has a number behind it.
        process: ``MODULE:FUNCTION``.
        sources: Names of the fetchers and processors it subscribes to.
        max_demand: Jobs it may have asked for and not worked off, or ``auto``.
        min_demand: It asks again when it is down to this; None for half.
        buffer: Results that may wait for the next step before it stops.
        dispatcher: Towards the next step, as a fetcher's.
        partition_by: As a fetcher's.
        selector: ``MODULE:FUNCTION`` that says which jobs of a broadcast it takes.
        batch_size: Hand jobs over as lists of so many at most, if it is given.
        batch_timeout_s: The longest that a job waits for company in its list.
        demand: ``automatic``; ``manual``, to ask for jobs only when somebody says
            so; or the ``MODULE:FUNCTION`` that does.
        cancel: What becomes of it when a stage that it takes from ends; see
            ``actors.flow.cancels``.
        subscriptions: What is otherwise for one of its sources, by name.
    """

    name: str
    process: str
    sources: tuple[str, ...]
    count: int
    max_demand: int | str
    min_demand: int | None
    buffer: int
    dispatcher: str = "demand"
    partition_by: str | None = None
    selector: str | None = None
    batch_size: int | None = None
    batch_timeout_s: float = 1.0
    demand: str = AUTOMATIC
    cancel: str = TEMPORARY
    subscriptions: dict[str, SubscriptionOptions] = field(default_factory=dict)

    @property
    def is_manual(self) -> bool:
        """Whether it asks for jobs only when somebody says so."""
        return self.demand != AUTOMATIC

    @property
    def asking(self) -> str | None:
        """The function that says when, if there is one."""
        return self.demand if ":" in self.demand else None

    def options_of(self, source: str) -> SubscriptionOptions:
        """What its subscription to a source has of its own."""
        return self.subscriptions.get(source) or SubscriptionOptions()

    def cancel_of(self, source: str) -> str:
        """What becomes of it when this source ends."""
        return self.options_of(source).cancel or self.cancel

    def selector_of(self, source: str) -> str | None:
        """The function that says which jobs of this source's broadcast it takes."""
        return self.options_of(source).selector or self.selector


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemConfig:
    """A whole system.

    Attributes:
        journal: File, or None to keep jobs in memory only.
        job_timeout_s: How long one attempt may run; None for any time.
        lease_s: How long a processor that holds jobs may give no sign.
        retries: Attempts a job has in all.
        quarantine: Jobs a fetcher may have set aside before it polls no more.
        quarantine_mib: What their payloads may come to.
        journal_mib: What the journal may come to; None for any size.
        log_format: ``console``, ``json``, or None for what suits the reader.
        run_for_s: Stop after so long.
        until_idle_s: Stop when there was nothing left to do for so long.
        web: Port of the web page on loopback, or None for none.
        web_token: Who has it may act on the page.
        bind: Where other machines may join, ``HOST[:PORT]``, or None for nowhere.
        cluster_key_file: Holds the key that they share.
        machine_timeout_s: How long another machine may give no sign.
    """

    fetchers: tuple[FetcherConfig, ...]
    processors: tuple[ProcessorConfig, ...]
    port: int
    journal: str | None
    job_timeout_s: float | None
    lease_s: float
    retries: int
    quarantine: int
    quarantine_mib: int
    journal_mib: int | None
    drain_timeout_s: float
    log_format: str | None
    log_level: str
    run_for_s: float | None
    until_idle_s: float | None
    web: int | None = None
    web_token: str | None = field(default=None, repr=False)
    bind: str | None = None
    cluster_key_file: str | None = None
    machine_timeout_s: float = 5.0

    def for_machines(self) -> SystemConfig:
        """What other machines need of it: nothing of its sources and secrets."""
        nothing = {"journal": None, "web": None, "web_token": None}
        nothing |= {"bind": None, "cluster_key_file": None}
        return replace(self, fetchers=(), **nothing)  # type: ignore[arg-type]

    def with_port(self, port: int) -> SystemConfig:
        """The same system at another port."""
        return replace(self, port=port)

    @property
    def steps(self) -> frozenset[str]:
        """Names of the processors that other processors take from."""
        names = {each.name for each in self.processors}
        return frozenset(
            source
            for each in self.processors
            for source in each.sources
            if source in names
        )

    @property
    def needs_number_server(self) -> bool:
        """Whether the demo's source was left without a URL."""
        return any(wants_url(each) for each in self.fetchers)

    def with_url(self, url: str) -> SystemConfig:
        """The same system with the demo's source at ``url``."""
        fetchers = tuple(
            replace(each, options={**each.options, "url": url})
            if wants_url(each)
            else each
            for each in self.fetchers
        )
        return replace(self, fetchers=fetchers)


DEMO_FETCH = "domain.numbers:fetch"

_DEMAND = Kind(
    f"{AUTOMATIC}, {MANUAL}, or {FUNCTION.expected}",
    str,
    lambda value: value if value in (AUTOMATIC, MANUAL) else FUNCTION.check(value),
)

FETCHER_KEYS: dict[str, Kind] = {
    "name": TEXT,
    "fetch": FUNCTION,
    "options": TABLE,
    "every_s": SECONDS,
    "buffer": COUNT,
    "idle_cap_s": SECONDS,
    "on_demand": TRUE_OR_FALSE,
    "settle": FUNCTION,
    "buffer_keep": choice("first", "last"),
    "dispatcher": choice("demand", "broadcast", "partition"),
    "partition_by": TEXT,
    "rate_limit": COUNT,
    "rate_interval_s": SECONDS,
    "demand": GATE,
}
PROCESSOR_KEYS: dict[str, Kind] = {
    "name": TEXT,
    "process": FUNCTION,
    "from": SOURCES,
    "count": PROCESSES,
    "max_demand": COUNT_OR_AUTO,
    "min_demand": COUNT_FROM_0,
    "buffer": COUNT,
    "dispatcher": choice("demand", "broadcast", "partition"),
    "partition_by": TEXT,
    "selector": FUNCTION,
    "batch_size": COUNT,
    "batch_timeout_s": SECONDS,
    "demand": _DEMAND,
    "cancel": choice(*MODES),
}


_AS_THEY_ARE = (
    "port",
    "job_timeout_s",
    "lease_s",
    "retries",
    "quarantine",
    "quarantine_mib",
    "journal_mib",
    "drain_timeout_s",
    "log_format",
    "log_level",
    "web",
    "web_token",
    "bind",
    "cluster_key_file",
    "machine_timeout_s",
)
_DISPATCHING = ("dispatcher", "partition_by")
_TAKING = ("selector", "batch_size", "batch_timeout_s", "demand", "cancel")
_LIMITS = ("on_demand", "buffer_keep", "rate_limit", "rate_interval_s", "demand")


def build(values: Mapping[str, Value], file: ConfigFile | None) -> SystemConfig:
    """Put the settings and the file's tables together.

    Raises:
        ConfigError: They do not fit one another.
    """
    problems = Problems()
    config, _ = build_noting(values, file, problems)
    problems.refuse()
    return config


def build_noting(
    values: Mapping[str, Value], file: ConfigFile | None, problems: Problems
) -> tuple[SystemConfig, frozenset[str]]:
    """As ``build``; what cannot be used is noted, and left out.

    Returns:
        What there is, and the names of the stages that are not as they were meant.
    """
    tables = _Tables(values, file, problems)
    fetchers = tables.fetchers()
    processors = tables.processors(tuple(each.name for each in fetchers))
    tables.check_demand(processors)
    tables.check_dispatching(fetchers, processors)
    chosen = {name: values[name].value for name in _AS_THEY_ARE}
    config = SystemConfig(
        fetchers=fetchers,
        processors=processors,
        journal=journal_path(values["journal"].value),
        run_for_s=values["for_s"].value,
        until_idle_s=values["until_idle_s"].value,
        **chosen,
    )
    return config, tables.unsound_names(fetchers, processors)


def is_over_file(value: Value) -> bool:
    """Whether a value comes from where it beats the file."""
    return value.origin.startswith(("--", "LOWTIDE_"))


def journal_path(value: str) -> str | None:
    """The journal's path from anywhere, or None where none is wanted."""
    return None if value == "none" else str(Path(value).absolute())


@dataclass(frozen=True, slots=True)
class _Tables:
    values: Mapping[str, Value]
    file: ConfigFile | None
    problems: Problems
    #: Tables that are not as they were meant: a second complaint would mislead.
    unsound: set[tuple[str, int]] = field(default_factory=set)
    #: Tables of which nobody knows what they were to be called.
    nameless: set[tuple[str, int]] = field(default_factory=set)

    def fetchers(self) -> tuple[FetcherConfig, ...]:
        tables = self._read("fetcher", FETCHER_KEYS)
        if not tables:
            fetch = self.values["fetch"].value
            tables = [{"name": fetch.partition(":")[0].rpartition(".")[2]}]
        self._refuse_ambiguous(len(tables), "fetcher", ("url", "fetch"))
        return tuple(self._fetcher(table) for table in tables)

    def processors(self, sources: tuple[str, ...]) -> tuple[ProcessorConfig, ...]:
        tables = self._read("processor", PROCESSOR_KEYS) or [{"name": "processor"}]
        self._refuse_ambiguous(len(tables), "processor", ("process", "processors"))
        processors = tuple(
            self._processor(index, table, sources) for index, table in enumerate(tables)
        )
        if not self.nameless:
            takes = {each.name: each.sources for each in processors}
            for problem in problems_of(sources, takes):
                where = self._where(problem.key, "processor", problem.at)
                self.problems.add(f"{where}: {problem.text}")
        return processors

    def check_demand(self, processors: tuple[ProcessorConfig, ...]) -> None:
        """Refuse windows that could never open, or not as they are asked to."""

        def check(index: int, each: ProcessorConfig) -> None:
            if each.is_manual:
                self._check_manual(index, each)
            else:
                self._check_window(index, each)

        self._check_sound("processor", processors, check)

    def _check_window(self, index: int, each: ProcessorConfig) -> None:
        least = each.batch_size or 1
        if isinstance(each.max_demand, str):
            if each.min_demand is None and least == 1:
                return
            problem = "goes with neither min_demand nor batch_size"
        elif each.max_demand < least:
            problem = f"must be at least batch_size ({least})"
        elif each.min_demand is not None and each.min_demand >= each.max_demand:
            problem = f"must be above min_demand ({each.min_demand})"
        else:
            return
        where = self.values["max_demand"].origin
        if where == "default":
            where = self._where("max_demand", "processor", index)
        raise ConfigError(
            f"{where}: max_demand {problem} for processor {each.name!r}, "
            f"got {each.max_demand}"
        )

    def _check_manual(self, index: int, manual: ProcessorConfig) -> None:
        table = self.file.content["processor"][index] if self.file else {}
        for key in ("max_demand", "min_demand"):
            if key in table:
                raise ConfigError(
                    f"{self._where(key, 'processor', index)}: {key} does nothing for "
                    f"processor {manual.name!r}, whose demand is {manual.demand!r}"
                )

    def check_dispatching(
        self,
        fetchers: tuple[FetcherConfig, ...],
        processors: tuple[ProcessorConfig, ...],
    ) -> None:
        """Refuse keys that would do nothing for want of another."""
        partition = self._check_partition
        self._check_sound("fetcher", fetchers, partial(partition, "fetcher"))
        self._check_sound("processor", processors, partial(partition, "processor"))
        both: tuple[FetcherConfig | ProcessorConfig, ...] = (*fetchers, *processors)
        broadcasts = {each.name for each in both if each.dispatcher == "broadcast"}
        if self.unsound:
            return  # one of them, perhaps, was meant to broadcast
        for index, taker in enumerate(processors):
            with self.problems.noted():
                check_sources(taker, broadcasts, partial(self._where_from, index))
            if taker.selector and not broadcasts.intersection(taker.sources):
                self.problems.add(
                    f"{self._where('selector', 'processor', index)}: nothing that "
                    f"processor {taker.name!r} takes from has dispatcher = 'broadcast'"
                )

    def _check_partition(
        self, table: str, index: int, stage: FetcherConfig | ProcessorConfig
    ) -> None:
        if (stage.dispatcher == "partition") != (stage.partition_by is not None):
            where = self._where("dispatcher", table, index)
            raise ConfigError(
                f"{where}: dispatcher = 'partition' and partition_by go "
                f"together, got {stage.dispatcher!r} and {stage.partition_by!r}"
            )

    def unsound_names(
        self,
        fetchers: tuple[FetcherConfig, ...],
        processors: tuple[ProcessorConfig, ...],
    ) -> frozenset[str]:
        """The stages that are not as they were meant."""
        names = {("fetcher", i): each.name for i, each in enumerate(fetchers)}
        names |= {("processor", i): each.name for i, each in enumerate(processors)}
        return frozenset(names[each] for each in self.unsound | self.nameless)

    def _check_sound(
        self, table: str, stages: Iterable[Stage], check: Callable[[int, Stage], None]
    ) -> None:
        for index, each in enumerate(stages):
            if (table, index) not in self.unsound:
                with self.problems.noted():
                    check(index, each)

    def _fetcher(self, table: dict[str, Any]) -> FetcherConfig:
        options = dict(table.get("options", {}))
        if self.values["url"].value is not None:
            options["url"] = self.values["url"].value
        return FetcherConfig(
            name=table["name"],
            fetch=self._choose("fetch", table, "fetch"),
            options=options,
            every_s=self._choose("every_s", table, "every_s"),
            buffer=self._choose("buffer", table, "buffer"),
            idle_cap_s=table.get("idle_cap_s"),
            settle=table.get("settle"),
            **_given(table, *_DISPATCHING, *_LIMITS),
        )

    def _processor(
        self, index: int, table: dict[str, Any], fetchers: tuple[str, ...]
    ) -> ProcessorConfig:
        # Of two fetchers with one name it was told already.
        entries = table.get("from", tuple(dict.fromkeys(fetchers)))
        names: tuple[str, ...] = ()
        options: dict[str, SubscriptionOptions] = {}
        try:
            names, options = read_sources(entries, partial(self._where_from, index))
        except ConfigError as error:
            self.unsound.add(("processor", index))
            self.problems.add(*error.problems)
        return ProcessorConfig(
            name=table["name"],
            process=self._choose("process", table, "process"),
            sources=names,
            subscriptions=options,
            count=self._choose("processors", table, "count"),
            max_demand=self._choose("max_demand", table, "max_demand"),
            min_demand=self._choose("min_demand", table, "min_demand"),
            buffer=self._choose("buffer", table, "buffer"),
            **_given(table, *_DISPATCHING, *_TAKING),
        )

    def _choose(self, setting: str, table: dict[str, Any], key: str) -> Any:
        value = self.values[setting]
        over = is_over_file(value) or key not in table
        return value.value if over else table[key]

    def _read(self, table: str, keys: Mapping[str, Kind]) -> list[dict[str, Any]]:
        if self.file is None or table not in self.file.content:
            return []
        tables = self.file.content[table]
        if not isinstance(tables, list):
            self.problems.add(f"{self.file.where(table)}: expected [[{table}]] tables")
            self.nameless.add((table, 0))
            return []
        read = []
        for index, each in enumerate(tables):
            before = len(self.problems)
            read.append(self._read_one(each, table, index, keys))
            if len(self.problems) > before:
                self.unsound.add((table, index))
        names = [each["name"] for each in read]
        for index, name in enumerate(names):
            if name in names[:index]:
                where = self._where("name", table, index)
                self.problems.add(f"{where}: {table} {name!r} is there already")
                self.nameless.add((table, index))
        return read

    def _read_one(
        self, content: Any, table: str, index: int, keys: Mapping[str, Kind]
    ) -> dict[str, Any]:
        read: dict[str, Any] = {}
        where = self._where("", table, index)
        if not isinstance(content, dict):
            self.problems.add(f"{where}: expected [[{table}]]")
        elif lacks("name", content):
            self.problems.add(f"{where}: a name is missing")
        for key, value in content.items() if isinstance(content, dict) else ():
            with self.problems.noted():
                kind, place = keys.get(key), self._where(key, table, index)
                if kind is None:
                    raise ConfigError(
                        f"{place}: unknown key {key!r} in [[{table}]], "
                        f"expected one of {', '.join(keys)}"
                    )
                read[key] = checked(kind, value, key, place)
        if "name" not in read:
            self.nameless.add((table, index))
        return {"name": f"[[{table}]] {index + 1}"} | read

    def _refuse_ambiguous(
        self, tables: int, table: str, names: tuple[str, ...]
    ) -> None:
        for name in names:
            origin = self.values[name].origin
            if tables > 1 and origin != "default":
                self.problems.add(
                    f"{origin}: {name} cannot say which of the {tables} "
                    f"[[{table}]] tables it is for"
                )

    def _where_from(self, index: int, *place: str | int) -> str:
        file = self.file
        return file.where("processor", index, "from", *place) if file else "default"

    def _where(self, key: str, table: str, index: int) -> str:
        return self.file.where(table, index, key) if self.file else "default"


def _given(table: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: table[key] for key in keys if key in table}


def wants_url(fetcher: FetcherConfig) -> bool:
    """Whether it is the demo's source, and was left without a URL."""
    return fetcher.fetch == DEMO_FETCH and "url" not in fetcher.options
