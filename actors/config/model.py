"""What to run, as the rest of the program sees it: checked, complete, frozen.

Each option is declared here and nowhere else: a field with the type of its value, its
default and what it is. CONTRIBUTING.md says how one is added.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from actors.config.option import (
    AUTO,
    COUNT,
    COUNT_FROM_0,
    COUNT_OR_AUTO,
    FETCH,
    FUNCTION,
    MEBIBYTES,
    SECONDS,
    SECONDS_FROM_0,
    SOURCES,
    TABLE,
    TEXT,
    TRUE_OR_FALSE,
    URLS,
    Option,
    choice,
    count_from,
    described,
    option,
    options_of,
    seconds_from,
    secret_text,
    text_as,
    word_or,
)
from actors.demand.dispatchers import (
    BroadcastDispatcher,
    DemandDispatcher,
    PartitionDispatcher,
)
from actors.demand.seen_ids import WINDOW_S
from actors.demand.windows import MIB, Window
from actors.hooks.events import NOTIFIED, NOTIFIER, wanted_by
from actors.journal.journal import Keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.demand.dispatchers import Dispatcher
    from actors.demand.job import Job

#: What ``demand`` is where nothing else is said, of a fetcher and of a processor.
FORWARD, AUTOMATIC = "forward", "automatic"
#: The other words for it.
ACCUMULATE, MANUAL = "accumulate", "manual"
#: What a processor does when a stage that it takes from ends.
TEMPORARY, TRANSIENT, PERMANENT = CANCEL_MODES = "temporary", "transient", "permanent"

#: The dispatchers by the names that a configuration has for them.
DISPATCHERS: dict[str, Callable[[], Dispatcher[Job]]] = {
    "demand": DemandDispatcher,
    "broadcast": BroadcastDispatcher,
    "partition": PartitionDispatcher,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """What fetchers and processors have in common: how they serve those behind them."""

    buffer: int = option(
        COUNT,
        1000,
        "jobs that may wait in a fetcher before it stops polling, or results "
        "in a step before it asks for no more jobs",
        setting=True,
    )
    buffer_mib: int = option(
        MEBIBYTES,
        64,
        "MiB that the jobs of a buffer may come to, as JSON, before it is full",
        setting=True,
    )
    dispatcher: str = option(
        choice(*DISPATCHERS),
        "demand",
        "who gets the next job: the processor that asked for most, each kind "
        "of processor, or one processor for each key",
    )
    partition_by: str | None = option(
        TEXT,
        None,
        "with the dispatcher partition, a key of the job or MODULE:FUNCTION; jobs with "
        "the same value go to the same processor, in order",
    )

    def new_dispatcher(self) -> Dispatcher[Job]:
        """Make a dispatcher of the kind that is configured."""
        return DISPATCHERS[self.dispatcher]()


@dataclass(frozen=True, slots=True, kw_only=True)
class FetcherConfig(StageConfig):
    """One fetcher."""

    name: str = field(metadata=described(TEXT, "its name, unique in the system"))
    fetch: str = option(
        FETCH,
        "domain.numbers:fetch",
        "the function that returns one job, or None if there is none now; or "
        "the short name of a source: api, leases, numbers, or one that is "
        "installed",
        setting=True,
    )
    options: dict[str, Any] = field(
        default_factory=dict,
        metadata=described(TABLE, "keyword arguments of each call of fetch"),
    )
    every_s: float = option(
        SECONDS,
        2.0,
        "seconds from a poll that found no more jobs to the next poll",
        setting=True,
        live=True,
    )
    remember_s: float = option(
        SECONDS_FROM_0,
        WINDOW_S,
        "how long the id of an ended job is remembered, so that the job is "
        "not run again (7 days)",
        setting=True,
    )
    idle_cap_s: float | None = option(
        SECONDS,
        None,
        "how far the time between polls may grow while there is nothing to fetch (not "
        "at all)",
    )
    on_demand: bool = option(
        TRUE_OR_FALSE,
        False,  # noqa: FBT003 - its default
        "fetch no more jobs than processors have asked for, where machines share a "
        "source",
    )
    settle: str | None = option(
        FUNCTION,
        None,
        "acknowledges a job to its source when it has ended (the function settle "
        "beside fetch, if there is one)",
    )
    buffer_keep: str | None = option(
        choice("first", "last"),
        None,
        "when the buffer is full, go on polling and drop jobs: keep the "
        "first or the last ones",
    )
    rate_limit: int | None = option(
        COUNT, None, "send at most this many jobs in any rate_interval_s", live=True
    )
    rate_interval_s: float = option(
        SECONDS, 1.0, "the seconds in which rate_limit jobs may be sent", live=True
    )
    demand: str = option(
        choice(ACCUMULATE, FORWARD),
        FORWARD,
        "accumulate: fetch jobs and send none; forward: send what processors ask for",
        live=True,
    )

    @property
    def wants_url(self) -> bool:
        """Whether it is the demo's source, and was left without a URL."""
        return self.fetch == DEMO_FETCH and "url" not in self.options


DEMO_FETCH = "domain.numbers:fetch"
DEMO_PROCESS = "domain.numbers:process"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """What a processor's subscription to one source has of its own.

    What is None is as for the processor's other sources.
    """

    max_demand: int | None = option(
        COUNT,
        None,
        "jobs of this source that the processor may have asked for and not finished",
    )
    min_demand: int | None = option(
        COUNT_FROM_0,
        None,
        "ask this source for more when this many of its jobs are left",
    )
    cancel: str | None = option(
        choice(*CANCEL_MODES),
        None,
        "what becomes of the processor when this source ends",
    )
    selector: str | None = option(
        FUNCTION, None, "says which jobs of this source's broadcast the processor takes"
    )

    @property
    def window(self) -> Window | None:
        """How much to ask for, where that is its own.

        Raises:
            ValueError: It could never ask again.
        """
        if self.max_demand is None:
            return None
        return Window(max_demand=self.max_demand, min_demand=self.min_demand)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorConfig(StageConfig):
    """One kind of processor, of which ``count`` are started.

    Attributes:
        subscriptions: What is otherwise for one of its sources, by name.
    """

    name: str = field(
        metadata=described(
            TEXT,
            "its name, unique in the system; its processes have a number behind it",
        )
    )
    process: str = option(
        FUNCTION,
        "domain.numbers:process",
        "the function that takes a job and returns its result",
        setting=True,
    )
    executor: str | None = option(
        FUNCTION,
        None,
        "returns a concurrent.futures.Executor, which runs process: concurrency jobs "
        "at a time (threads, or an event loop, of the process)",
    )
    setup: str | None = option(
        FUNCTION,
        None,
        "called once in each process, before its first job; a context manager that it "
        "returns is left when the process ends",
    )
    sources: tuple[str, ...] = option(
        SOURCES,
        (),
        "fetchers and processors to take jobs from; a table in place of a "
        "name sets options for that source alone (all fetchers)",
        key="from",
    )
    count: int = option(
        count_from(0, 256),
        2,
        "processes to start",
        setting="processors",
        on_machines=True,
    )
    concurrency: int = option(
        count_from(1, 10_000),
        1,
        "jobs that a process runs at the same time: in threads, or as tasks on one "
        "event loop if process is an async def",
        setting=True,
    )
    max_demand: int | str = option(
        COUNT_OR_AUTO,
        1,
        "jobs a processor may have asked for and not finished (concurrency); "
        "auto adapts to how long jobs take",
        setting=True,
        live=True,
    )
    min_demand: int | None = option(
        COUNT_FROM_0,
        None,
        "a processor asks for more when this many jobs are left (half of max_demand)",
        setting=True,
    )
    selector: str | None = option(
        FUNCTION, None, "says which jobs of a broadcast the processor takes"
    )
    batch_size: int | None = option(
        COUNT,
        None,
        "process gets lists of at most this many jobs and returns a list; an "
        "exception in that list fails its job alone",
    )
    batch_timeout_s: float = option(
        SECONDS, 1.0, "the longest that a job waits for its list to fill"
    )
    demand: str = option(
        word_or(
            (AUTOMATIC, MANUAL),
            FUNCTION,
            f"{AUTOMATIC}, {MANUAL}, or {FUNCTION.expected}",
        ),
        AUTOMATIC,
        "when the processor asks for jobs: by itself, when lowtide ask says "
        "so, or when a function does",
    )
    cancel: str = option(
        choice(*CANCEL_MODES),
        TEMPORARY,
        "what becomes of it when a source ends; temporary: nothing; transient: it is "
        "restarted if the source died; permanent: as transient, and it leaves with a "
        "source that leaves",
    )
    subscriptions: dict[str, SubscriptionOptions] = field(default_factory=dict)

    @property
    def is_set_up(self) -> bool:
        """Whether a function of the user's is called before the first job."""
        return self.setup is not None or self.executor is not None

    @property
    def is_manual(self) -> bool:
        """Whether it asks for jobs only when somebody says so."""
        return self.demand != AUTOMATIC

    @property
    def demand_function(self) -> str | None:
        """The function that says when, if there is one."""
        return self.demand if ":" in self.demand else None

    @property
    def window(self) -> Window:
        """What it asks for, where it is not to find out by itself.

        One whose demand is manual asks for what it is told to, in no window.
        """
        if self.max_demand == AUTO:
            return Window(max_demand=self.concurrency, concurrency=self.concurrency)
        window = Window(max_demand=int(self.max_demand), min_demand=self.min_demand)
        return replace(window, concurrency=self.concurrency)

    @property
    def windows(self) -> dict[str, Window]:
        """What it asks single sources for, where that is otherwise."""
        windows = {name: each.window for name, each in self.subscriptions.items()}
        return {
            name: replace(each, concurrency=self.concurrency)
            for name, each in windows.items()
            if each is not None
        }

    def options_of(self, source: str) -> SubscriptionOptions:
        """What its subscription to a source has of its own."""
        return self.subscriptions.get(source) or SubscriptionOptions()

    def cancel_of(self, source: str) -> str:
        """What becomes of it when this source ends."""
        return self.options_of(source).cancel or self.cancel

    def selector_of(self, source: str) -> str | None:
        """The function that says which jobs of this source's broadcast it takes."""
        return self.options_of(source).selector or self.selector


#: Instead of a time: not at all.
NONE = "none"
LOG_LEVELS = ("debug", "info", "warning", "error")
_FILE = text_as("a file", "FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemConfig:
    """A whole system; a value of None is for none, or for no limit.

    Attributes:
        fetchers: At least one, but on a joined machine.
        processors: The kinds of them.
        hooks: Names of functions, ``MODULE:FUNCTION``, by the event they are for.
    """

    fetchers: tuple[FetcherConfig, ...]
    processors: tuple[ProcessorConfig, ...]
    hooks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    journal: str | None = option(
        text_as("a file, a URL of PostgreSQL, or none", "FILE|URL|none"),
        "lowtide.db",
        "where jobs are kept until they are done: a file, or postgresql://... (extra "
        "postgres)",
        leader_only=True,
    )
    job_timeout_s: float | None = option(
        SECONDS, None, "how long one attempt may run before its process is replaced"
    )
    lease_s: float = option(
        seconds_from(0.1),
        60.0,
        "how long a processor that holds jobs may be silent before it is "
        "killed; a stage that does not answer is killed after the same time, "
        "but not before 15 seconds",
    )
    retries: int = option(COUNT, 5, "attempts a job has in all")
    quarantine: int = option(
        COUNT, 1000, "jobs a fetcher may have set aside before it stops polling"
    )
    quarantine_mib: int = option(
        MEBIBYTES,
        64,
        "MiB that jobs set aside may take before their fetcher stops polling",
    )
    journal_mib: int | None = option(
        MEBIBYTES,
        None,
        "MiB that the journal may take before fetchers stop polling (any size)",
    )
    keep_s: float | str = option(
        word_or((NONE,), SECONDS, f"{SECONDS.expected}, or {NONE}"),
        WINDOW_S,
        "how long a job is kept after its end, with its payload and result (7 days)",
    )
    keep_mib: int = option(
        MEBIBYTES,
        64,
        "MiB that the ended jobs of one fetcher may take before the oldest "
        "are forgotten; no more than half of journal_mib for all fetchers",
    )
    drain_timeout_s: float = option(
        SECONDS_FROM_0,
        25.0,
        "how long a stop may take to finish the jobs that processors have",
        on_machines=True,
    )
    port: int = option(
        count_from(0, 65535),
        4570,
        "the number that names the system; 0 picks a free one",
    )
    bind: str | None = option(
        text_as("HOST or HOST:PORT", "HOST[:PORT]"),
        None,
        "let other machines with the key join at this address, and at the port of "
        "--port if it names none (no machine can join)",
        leader_only=True,
    )
    cluster_key_file: str | None = option(
        _FILE,
        None,
        "a file of mode 0600 with the cluster's key, at least 32 bytes, or where a "
        "machine joins with that machine's (lowtide key); LOWTIDE_CLUSTER_KEY beats it",
        on_machines=True,
        leader_only=True,
    )
    machine_timeout_s: float = option(
        seconds_from(0.5),
        5.0,
        "how long another machine may be silent before its jobs are done elsewhere",
        on_machines=True,
    )
    log_format: str | None = option(
        choice("console", "json"),
        None,
        "how the log is written (console on a terminal, else json)",
        on_machines=True,
    )
    log_level: str = option(
        choice(*LOG_LEVELS),
        "info",
        "the lowest level of what is logged",
        on_machines=True,
    )
    run_for_s: float | None = option(
        SECONDS, None, "stop after this many seconds", setting="for_s"
    )
    until_idle_s: float | None = option(
        SECONDS, None, "stop when there was nothing left to do for this many seconds"
    )
    web: int | None = option(
        count_from(1, 65535, "PORT"),
        None,
        "serve a page, /metrics, /readyz and the like at this port on loopback",
        leader_only=True,
    )
    web_token: str | None = option(
        secret_text(16, "TOKEN"),
        None,
        "the token with which the page may pause, attach, retry ... (without "
        "one the page is read-only)",
        secret=True,
        leader_only=True,
    )

    notify: tuple[str, ...] | None = option(
        URLS,
        None,
        "where to send a message when a job is set aside, a source refuses a fetcher "
        "or a stage is given up: URLs as the library apprise has them (nowhere)",
        secret=True,
        leader_only=True,
    )

    @property
    def all_hooks(self) -> dict[str, tuple[str, ...]]:
        """The hooks, with those of ours that settings ask for."""
        hooks = dict(self.hooks)
        for event in NOTIFIED if self.notify else ():
            hooks[event] = (*hooks.get(event, ()), NOTIFIER)
        return hooks

    @property
    def hooked(self) -> frozenset[str]:
        """The events that a hook is for."""
        return wanted_by(self.all_hooks)

    @property
    def keep(self) -> Keep | None:
        """How a fetcher keeps its jobs that have ended, if it does."""
        if self.keep_s == NONE:
            return None
        most_bytes = self.keep_mib * MIB
        if self.journal_mib is not None:
            # What is not at its end has to find room beside what is.
            half = self.journal_mib * MIB // 2 // max(1, len(self.fetchers))
            most_bytes = min(most_bytes, half)
        return Keep(float(self.keep_s), most_bytes)

    def for_machines(self) -> SystemConfig:
        """What other machines need of it: nothing of its sources and secrets."""
        nothing = {each.field: None for each in SYSTEM_OPTIONS if each.leader_only}
        return replace(self, fetchers=(), **nothing)  # type: ignore[arg-type]

    def with_journal(self, journal: str) -> SystemConfig:
        """The same system with its journal named otherwise."""
        return replace(self, journal=journal)

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
        return any(each.wants_url for each in self.fetchers)

    def with_url(self, url: str) -> SystemConfig:
        """The same system with the demo's source at ``url``."""
        fetchers = tuple(
            replace(each, options={**each.options, "url": url})
            if each.wants_url
            else each
            for each in self.fetchers
        )
        return replace(self, fetchers=fetchers)

    def selectors_of(self, stage: str) -> dict[str, str | None]:
        """The selectors of a stage's broadcast, by the processor that has one."""
        return {
            each.name: each.selector_of(stage)
            for each in self.processors
            if stage in each.sources
        }

    def functions_of(self, processor: ProcessorConfig) -> Iterator[str]:
        """Names, ``MODULE:FUNCTION``, that a processor of this kind loads."""
        yield processor.process
        if processor.setup is not None:
            yield processor.setup
        if processor.executor is not None:
            yield processor.executor
        if processor.demand_function is not None:
            yield processor.demand_function
        if processor.partition_by is not None and ":" in processor.partition_by:
            yield processor.partition_by
        if processor.dispatcher == "broadcast":
            selectors = self.selectors_of(processor.name).values()
            yield from (each for each in selectors if each is not None)


#: The fetcher's option ``url`` as a setting; it is for a system with one fetcher.
URL = Option(
    setting="url",
    type=text_as("a URL", "URL"),
    help="the API to poll; without it the bundled number server is started",
)


def _by_key(*options: Option) -> dict[str, Option]:
    return {each.key: each for each in options}


FETCHER_OPTIONS = _by_key(*options_of(FetcherConfig))
PROCESSOR_OPTIONS = _by_key(*options_of(ProcessorConfig))
#: Of a table in a processor's ``from``.
SOURCE_OPTIONS = _by_key(
    Option(key="name", type=TEXT, required=True, help="the source"),
    *options_of(SubscriptionOptions),
)
SYSTEM_OPTIONS = tuple(options_of(SystemConfig, is_system=True))
#: The options of stages, by the name of their tables.
STAGE_OPTIONS = {"fetcher": FETCHER_OPTIONS, "processor": PROCESSOR_OPTIONS}
#: What has a flag, a variable and a key at the top of the file, by that key.
SETTINGS = {
    each.setting: each
    for each in (
        URL,
        *FETCHER_OPTIONS.values(),
        *PROCESSOR_OPTIONS.values(),
        *SYSTEM_OPTIONS,
    )
    if each.setting
}
#: What ``set`` may change while a system runs, by the tables of its stages.
LIVE = {
    table: {key: each for key, each in options.items() if each.live}
    for table, options in STAGE_OPTIONS.items()
}
#: The same of all stages, those first that are settings.
LIVE_OPTIONS = dict(
    sorted(
        (LIVE["fetcher"] | LIVE["processor"]).items(),
        key=lambda each: not each[1].setting,
    )
)


def belongs(key: str) -> str:
    """Say where a key that is known belongs, to be put at a message's end."""
    places = [f"[[{table}]]" for table, known in STAGE_OPTIONS.items() if key in known]
    if key in SETTINGS:
        places.append("the top of the file")
    return f"; {key} belongs into {' or '.join(places)}" if places else ""
