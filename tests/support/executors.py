"""Executors for a processor's jobs, and what runs in them."""

import os
import signal
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from importlib import import_module
from typing import Any

from tests.support.jobs import _note


def threads() -> Executor:
    """Four threads."""
    return ThreadPoolExecutor(4)


def processes() -> Executor:
    """Four processes."""
    return ProcessPoolExecutor(4)


def reusable() -> Any:
    """Four processes of loky's."""
    return import_module("loky").ProcessPoolExecutor(4)


def cluster() -> Any:
    """The Dask cluster whose scheduler the environment names."""
    client = import_module("distributed").Client(os.environ["SCHEDULER"], timeout="10s")
    return client.get_executor(pure=False, retries=0)


def work(job: Any) -> Any:
    """Note, and take a while."""
    _note(job)
    time.sleep(0.2)
    return job["id"]


def kills_pool(job: Any) -> Any:
    """Kill the pool's process, at job 3."""
    work(job)
    if job["id"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return job["id"]
