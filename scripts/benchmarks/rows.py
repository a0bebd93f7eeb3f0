"""The table: every figure, what it is held against, and its bar."""

from __future__ import annotations

from benchmarks import (
    auto,
    growth,
    idle,
    latency,
    references,
    start,
    throughput,
    waiting,
)
from benchmarks.model import Row, at_most, ratio_at_least, ratio_at_most
from benchmarks.peers.rows import BESIDE_PEERS

MEASUREMENTS = (
    *references.MEASUREMENTS,
    *throughput.MEASUREMENTS,
    *latency.MEASUREMENTS,
    *waiting.MEASUREMENTS,
    *idle.MEASUREMENTS,
    *start.MEASUREMENTS,
    *auto.MEASUREMENTS,
    *growth.MEASUREMENTS,
)

_KEPT = "at least once; synced to the disk before it is sent"
_IN_MEMORY = "at least once while the fetcher lives; in memory only"

ROWS = (
    Row("pipe", "reference: pickled through a pipe", "pipe", "jobs/s"),
    Row("pipe_bare", "reference: the same, bare", "pipe_bare", "jobs/s"),
    Row("pool", "reference: multiprocessing.Pool", "pool", "jobs/s"),
    Row("round_trip", "reference: a message there and back", "round_trip", "ms"),
    Row("commit", "reference: a job kept, synced", "commit", "ms"),
    Row(
        "throughput_auto_memory",
        "throughput, auto, no journal",
        "throughput_auto_memory",
        "jobs/s",
        "pipe",
        ratio_at_least(0.15),
        _IN_MEMORY,
    ),
    Row(
        "throughput_auto_memory_vs_pool",
        "the same, beside pool",
        "throughput_auto_memory",
        "jobs/s",
        "pool",
        ratio_at_least(2.0),
    ),
    Row(
        "throughput_auto_journal",
        "throughput, auto, journal",
        "throughput_auto_journal",
        "jobs/s",
        "pipe",
        ratio_at_least(0.03),
        _KEPT,
    ),
    Row(
        "throughput_auto_journal_own_ids",
        "the same, jobs with ids of their own",
        "throughput_auto_journal_own_ids",
        "jobs/s",
        "pipe",
    ),
    Row(
        "throughput_1_journal",
        "throughput, max_demand 1, journal",
        "throughput_1_journal",
        "jobs/s",
        "a_round_trip",
        ratio_at_least(0.9),
        _KEPT,
    ),
    Row(
        "pick_up",
        "fetched to begun, a job every 50 ms, median",
        "pick_up",
        "ms",
        "round_trip",
        ratio_at_most(3.0),
    ),
    Row(
        "pick_up_99",
        "the same, 99 %",
        "pick_up_99",
        "ms",
        "round_trip",
        ratio_at_most(10.0),
    ),
    Row(
        "delivery",
        "demand to delivery, jobs in the buffer, journal",
        "delivery",
        "ms",
        "round_trip",
        ratio_at_most(1.5),
    ),
    Row(
        "delivery_memory",
        "the same, no journal",
        "delivery_memory",
        "ms",
        "round_trip",
        ratio_at_most(1.5),
    ),
    Row(
        "in_flight",
        "jobs out at the most, of 200,000 of 1 ms",
        "in_flight",
        "jobs",
        "max_demand_sum",
        ratio_at_most(1.0),
    ),
    Row(
        "waiting_memory",
        "the fetcher's memory, 1,000,000 waiting",
        "waiting_memory",
        "MB",
        "waiting_memory_10k",
        ratio_at_most(1.1),
    ),
    Row("idle_cpu", "idle: CPU of all processes", "idle_cpu", "%", bar=at_most(0.5)),
    Row(
        "idle_wakes",
        "idle: wake-ups of all but the fetcher",
        "idle_wakes",
        "wakes",
        bar=at_most(0),
    ),
    Row(
        "idle_memory",
        "idle: memory without the main process",
        "idle_memory",
        "MB",
        bar=at_most(60),
    ),
    Row(
        "idle_memory_with_main",
        "idle: memory with it",
        "idle_memory_with_main",
        "MB",
    ),
    Row(
        "memory_further_processor",
        "idle: memory of a further processor",
        "memory_further_processor",
        "MB",
        bar=at_most(8),
    ),
    Row("start", "start: command to first job done", "start", "s", bar=at_most(1.0)),
    Row(
        "start_further",
        "start: a further processor",
        "start_further",
        "ms",
        bar=at_most(30),
    ),
    *(
        Row(
            f"auto_{kind}",
            f"auto, jobs of {text}",
            f"auto_{kind}",
            "jobs/s",
            f"auto_{kind}_fixed",
            ratio_at_least(0.9),
        )
        for kind, text in (
            ("10us", "10 µs"),
            ("1ms", "1 ms"),
            ("50ms", "50 ms"),
            ("mix", "a mix"),
        )
    ),
    Row(
        "auto_kept_waiting",
        "auto: a job waits while a processor is idle",
        "auto_kept_waiting",
        "ms",
        bar=at_most(50),
    ),
    Row(
        "cost_32_processors",
        "CPU of a job, 32 processors",
        "cost_32_processors",
        "µs",
        "cost_1_processors",
        ratio_at_most(1.3),
    ),
    Row(
        "cost_1m_buffered",
        "CPU of a job, 1,000,000 buffered",
        "cost_1m_buffered",
        "µs",
        "cost_10_buffered",
        ratio_at_most(1.3),
    ),
    Row(
        "restart",
        "restart with 1,000,000 jobs: first job done",
        "restart",
        "s",
        bar=at_most(3),
    ),
    *BESIDE_PEERS,
)
