"""What to run, as the rest of the program sees it: checked, complete, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from actors.config.subscriptions import SubscriptionOptions
from actors.demand.cancel_modes import TEMPORARY
from actors.demand.dedup import WINDOW_S

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
        buffer_mib: What they may come to.
        remember_s: How long after a job's end its id is known.
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
    buffer_mib: int = 64
    remember_s: float = WINDOW_S
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
        buffer_mib: What they may come to.
        dispatcher: Towards the next step, as a fetcher's.
        partition_by: As a fetcher's.
        selector: ``MODULE:FUNCTION`` that says which jobs of a broadcast it takes.
        batch_size: Hand jobs over as lists of so many at most, if it is given.
        batch_timeout_s: The longest that a job waits for company in its list.
        demand: ``automatic``; ``manual``, to ask for jobs only when somebody says
            so; or the ``MODULE:FUNCTION`` that does.
        cancel: What becomes of it when a stage that it takes from ends; see
            ``actors.demand.cancel_modes``.
        subscriptions: What is otherwise for one of its sources, by name.
    """

    name: str
    process: str
    sources: tuple[str, ...]
    count: int
    max_demand: int | str
    min_demand: int | None
    buffer: int
    buffer_mib: int = 64
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


def wants_url(fetcher: FetcherConfig) -> bool:
    """Whether it is the demo's source, and was left without a URL."""
    return fetcher.fetch == DEMO_FETCH and "url" not in fetcher.options
