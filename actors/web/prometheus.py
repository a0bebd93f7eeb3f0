"""A status as Prometheus reads it.

The labels have few values each: never a job's id, nor a pid. Counters start at
nothing with their fetcher's process, as counters may.
"""

from __future__ import annotations

import time
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from actors.journal.postgres_database import is_postgres
from actors.status import reasons
from actors.status.counters import BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

    from actors.status.model import (
        FetcherStatus,
        FetcherTally,
        HistogramCounts,
        ProcessorStatus,
        SystemStatus,
    )

    _Of = TypeVar("_Of")
    _Value = TypeVar("_Value")
    _Family: TypeAlias = tuple[str, str, Callable[[_Of], _Value]]

#: Name, text, value of a fetcher's status.
_GAUGES: tuple[_Family[FetcherStatus, float | None], ...] = (
    (
        "buffer_items",
        "Jobs that are here and wait for demand",
        lambda it: it["buffered"],
    ),
    (
        "buffer_capacity",
        "Jobs that are held before polling stops",
        lambda it: it["capacity"],
    ),
    ("demand_pending", "Jobs asked for and not yet sent", lambda it: it["demand"]),
    ("leases_active", "Jobs in a processor's hands", lambda it: it["in_flight"]),
    (
        "retrying_items",
        "Jobs that failed and wait for another attempt",
        lambda it: it["retrying"],
    ),
    ("quarantined_items", "Jobs that were set aside", lambda it: it["quarantined"]),
    (
        "oldest_item_age_seconds",
        "Age of the oldest unfinished job",
        lambda it: it["oldest_job_age_s"],
    ),
)
#: Name, text, count of a fetcher's tally.
_COUNTERS: tuple[_Family[FetcherTally, int], ...] = (
    ("items_fetched", "Jobs taken from the source", lambda it: it["fetched"]),
    (
        "items_dispatched",
        "Jobs sent to processors, repeated ones too",
        lambda it: it["dispatched"],
    ),
    (
        "stale_acks",
        "Outcomes of attempts that no longer counted",
        lambda it: it["stale"],
    ),
    ("duplicates", "Jobs that the source sent again", lambda it: it["duplicates"]),
)
#: Name, text, label, counts of a fetcher's tally.
_LABELLED: tuple[
    tuple[str, str, str, Callable[[FetcherTally], dict[str, int]]], ...
] = (
    ("polls", "Polls, by how they ended", "outcome", lambda it: it["polls"]),
    (
        "polls_skipped",
        "Polls that were due and not made",
        "reason",
        lambda it: it["skipped"],
    ),
    (
        "items_finished",
        "Attempts and jobs, by their end",
        "outcome",
        lambda it: it["finished"],
    ),
    (
        "redeliveries",
        "Jobs that had to be sent again",
        "reason",
        lambda it: it["redelivered"],
    ),
)
#: Name, text, histogram of a fetcher's tally.
_HISTOGRAMS: tuple[_Family[FetcherTally, HistogramCounts], ...] = (
    ("poll_duration_seconds", "How long polls took", lambda it: it["poll_s"]),
    (
        "item_duration_seconds",
        "How long processors took over a job",
        lambda it: it["job_s"],
    ),
    (
        "item_wait_seconds",
        "From a job's fetch to its first attempt",
        lambda it: it["wait_s"],
    ),
    (
        "journal_commit_seconds",
        "How long commits to the journal took",
        lambda it: it["commit_s"],
    ),
)


def render(status: SystemStatus, journal: str | None) -> bytes:
    """The text that Prometheus scrapes.

    Args:
        status: As ``status --json`` prints it.
        journal: The journal's file, if there is one.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(status, journal))
    text: bytes = generate_latest(registry)
    return text


def _size(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError:
        return 0


class _Snapshot(Collector):
    def __init__(self, status: SystemStatus, journal: str | None) -> None:
        self._status = status
        self._journal = journal
        self._fetchers = [each for each in status["fetchers"] if "tally" in each]

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield self._build_info()
        for name, text, value in _GAUGES:
            yield self._gauge(name, text, value)
        yield self._gauge(
            "backpressure_active",
            "1 while the fetcher does not poll because there is no room for a job",
            lambda each: each["waiting_for"] == reasons.ROOM,
        )
        yield self._last_poll()
        yield self._state_moved()
        yield self._unknown_outcomes()
        yield from self._counters()
        yield from self._histograms()
        yield from self._stages()
        if self._journal and not is_postgres(self._journal):
            text = "Size of the journal, with what is not merged into its file yet"
            size = sum(map(_size, (self._journal, f"{self._journal}-wal")))
            yield GaugeMetricFamily("lowtide_journal_bytes", text, value=size)

    def _last_poll(self) -> Metric:
        family = GaugeMetricFamily(
            "lowtide_last_poll_timestamp_seconds",
            "When the source was last polled",
            labels=["source"],
        )
        for each in self._fetchers:
            if (age_s := each["last_poll_age_s"]) is not None:
                family.add_metric([each["name"]], time.time() - age_s)
        return family

    def _state_moved(self) -> Metric:
        family = GaugeMetricFamily(
            "lowtide_state_timestamp_seconds",
            "When the state of the source last changed",
            labels=["source"],
        )
        for each in self._fetchers:
            if (age_s := each.get("state_age_s")) is not None:
                family.add_metric([each["name"]], time.time() - age_s)
        return family

    def _unknown_outcomes(self) -> Metric:
        family = CounterMetricFamily(
            "lowtide_unknown_outcomes",
            "Answers that never arrived whole, each of which may have held a job",
            labels=["source"],
        )
        for each in self._fetchers:
            family.add_metric([each["name"]], each["unknown_outcomes"])
        return family

    def _build_info(self) -> Metric:
        info = GaugeMetricFamily(
            "lowtide_build_info", "Which version runs", labels=["version"]
        )
        try:
            info.add_metric([version("lowtide")], 1)
        except PackageNotFoundError:
            info.add_metric(["unknown"], 1)
        return info

    def _gauge(
        self, name: str, text: str, value: Callable[[FetcherStatus], float | None]
    ) -> Metric:
        family = GaugeMetricFamily(f"lowtide_{name}", text, labels=["source"])
        for each in self._fetchers:
            family.add_metric([each["name"]], float(value(each) or 0))
        return family

    def _counters(self) -> Iterator[Metric]:
        for name, text, count_of in _COUNTERS:
            family = CounterMetricFamily(f"lowtide_{name}", text, labels=["source"])
            for each in self._fetchers:
                family.add_metric([each["name"]], count_of(each["tally"]))
            yield family
        for name, text, label, counts_of in _LABELLED:
            labels = ["source", label]
            family = CounterMetricFamily(f"lowtide_{name}", text, labels=labels)
            for each in self._fetchers:
                for value, count in sorted(counts_of(each["tally"]).items()):
                    family.add_metric([each["name"], value], count)
            yield family

    def _histograms(self) -> Iterator[Metric]:
        bounds = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]
        for name, text, histogram_of in _HISTOGRAMS:
            family = HistogramMetricFamily(f"lowtide_{name}", text, labels=["source"])
            for each in self._fetchers:
                histogram = histogram_of(each["tally"])
                buckets = list(zip(bounds, histogram["counts"], strict=True))
                family.add_metric([each["name"]], buckets, histogram["sum_s"])
            yield family

    def _stages(self) -> Iterator[Metric]:
        states: Counter[tuple[str, str]] = Counter()
        restarts: Counter[str] = Counter(fetcher=0, processor=0)
        stages: list[tuple[str, FetcherStatus | ProcessorStatus]] = [
            ("fetcher", each) for each in self._status["fetchers"]
        ]
        stages += [("processor", each) for each in self._status["processors"]]
        for role, each in stages:
            states[role, each["state"]] += 1
            restarts[role] += each["restarts"]
        actors = GaugeMetricFamily(
            "lowtide_actors", "Stages, by their state", labels=["role", "state"]
        )
        for (role, state), count in sorted(states.items()):
            actors.add_metric([role, state], count)
        yield actors
        family = CounterMetricFamily(
            "lowtide_actor_restarts",
            "Stages started again",
            labels=["role", "reason"],
        )
        for role, count in sorted(restarts.items()):
            family.add_metric([role, "exit"], count)
        yield family
