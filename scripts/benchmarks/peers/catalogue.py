"""The peers: what is installed, what is run, and what each promises that way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """One of them.

    Attributes:
        name: Its key.
        configuration: What is measured, for people.
        requirements: For pip.
        worker: The words that start its workers; the first is a program of its
            environment.
        processes: How often they are started.
        prepare: What is run before them, if anything is.
        environment: Beside ours.
        promise: What it guarantees in this configuration.
        is_safe: Whether a job outlives the worker that had it, and runs again.
    """

    name: str
    configuration: str
    requirements: tuple[str, ...]
    app: str
    worker: tuple[str, ...]
    promise: str
    processes: int = 1
    prepare: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    is_safe: bool = False


_AT_MOST_ONCE = "at most once: a job that a killed worker had is lost"
_AT_LEAST_ONCE = "at least once: acknowledged after it ran"

PEERS = (
    Peer(
        name="celery",
        configuration="Celery, prefork, 2 processes",
        requirements=("celery[redis]>=5.4",),
        app="celery_app",
        worker=(
            *("celery", "-A", "benchmarks.peers.apps.celery_app", "worker"),
            *("--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ),
        promise=f"{_AT_MOST_ONCE} (acknowledged before it runs)",
    ),
    Peer(
        name="dramatiq",
        configuration="Dramatiq, 2 processes of 8 threads",
        requirements=("dramatiq[redis]>=1.17",),
        app="dramatiq_app",
        worker=("dramatiq", "benchmarks.peers.apps.dramatiq_app", "--processes", "2"),
        promise=_AT_LEAST_ONCE,
        is_safe=True,
    ),
    Peer(
        name="rq",
        configuration="RQ, 2 workers, a fork a job",
        requirements=("rq>=2",),
        app="rq_app",
        worker=("rq", "worker", "--quiet", "--url", "{redis}", "bench"),
        processes=2,
        promise="at most once: a job that a killed worker had is listed as failed",
    ),
    Peer(
        name="huey",
        configuration="huey, 2 worker processes",
        requirements=("huey[redis]>=2.5",),
        app="huey_app",
        worker=(
            *("huey_consumer", "benchmarks.peers.apps.huey_app.huey"),
            *("-w", "2", "-k", "process", "--quiet"),
        ),
        promise=_AT_MOST_ONCE,
    ),
    *(
        Peer(
            name=name,
            configuration=f"taskiq, {kind} broker, 2 processes",
            requirements=("taskiq>=0.11", "taskiq-redis>=1"),
            app="taskiq_app",
            worker=(
                *("taskiq", "worker", "benchmarks.peers.apps.taskiq_app:broker"),
                *("--workers", "2", "--log-level", "WARNING"),
            ),
            environment=(("BENCH_TASKIQ", kind),),
            promise=_AT_LEAST_ONCE if is_safe else _AT_MOST_ONCE,
            is_safe=is_safe,
        )
        for name, kind, is_safe in (
            ("taskiq", "list", False),
            ("taskiq_stream", "stream", True),
        )
    ),
)

_PROCRASTINATE_APP = "--app=benchmarks.peers.apps.procrastinate_app.app"

#: On PostgreSQL, beside a journal of ours there.
PROCRASTINATE = Peer(
    name="procrastinate",
    configuration="procrastinate, 2 workers, 10 jobs at a time each",
    requirements=("procrastinate>=3", "psycopg[binary]>=3.1"),
    app="procrastinate_app",
    worker=("procrastinate", _PROCRASTINATE_APP, "worker", "--concurrency", "10"),
    processes=2,
    prepare=("procrastinate", _PROCRASTINATE_APP, "schema", "--apply"),
    promise="a job that a killed worker had stays marked as running",
)
