"""The table: every figure, what it is held against, and its bar."""

from __future__ import annotations

from benchmarks import latency, references, throughput
from benchmarks.model import Row, ratio_at_least, ratio_at_most

MEASUREMENTS = (
    *references.MEASUREMENTS,
    *throughput.MEASUREMENTS,
    *latency.MEASUREMENTS,
)

ROWS = (
    Row("pipe", "reference: pickled through a pipe", "pipe", "jobs/s"),
    Row("pipe_bare", "reference: the same, bare", "pipe_bare", "jobs/s"),
    Row("pool", "reference: multiprocessing.Pool", "pool", "jobs/s"),
    Row("round_trip", "reference: a message there and back", "round_trip", "ms"),
    Row(
        "throughput_auto_memory",
        "throughput, auto, no journal",
        "throughput_auto_memory",
        "jobs/s",
        "pipe",
        ratio_at_least(0.15),
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
)
