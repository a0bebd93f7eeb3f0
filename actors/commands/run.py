"""``run``: take what the system needs for itself, and run its main process."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from actors.commands.main_process import Main, StartError
from actors.runtime import cluster, redaction
from actors.runtime.config_show import secrets_of
from actors.runtime.control import ControlError, check_proc
from actors.runtime.journal_file import (
    JournalDamagedError,
    JournalFile,
    JournalInUseError,
)
from actors.runtime.ports import free_port
from actors.runtime.state_dir import AlreadyRunningError, SystemFiles, state_dir
from actors.runtime.system import (
    PortInUseError,
    TooFewFilesError,
    TooFewProcessesError,
    check_files,
    check_port,
    check_tasks,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.commands.sound import Looking
    from actors.runtime.config import SystemConfig


def run(config: SystemConfig, looking: Looking | None = None) -> int:
    """Run a system until it is stopped; returns the exit code.

    Args:
        config: Sound, but for what a look at its functions that is not over may find.
        looking: That look; nothing is fetched before its end.

    Raises:
        StartError: It cannot be started as it is asked for; nothing is left of it.
        ConfigError: The functions that it names cannot be used.
    """
    try:
        return _run(config, looking)
    finally:
        if looking is not None:
            looking.close()


def _run(config: SystemConfig, looking: Looking | None) -> int:
    check_place()
    redaction.install(secrets_of(config))
    _check_way_in(config)
    stages = len(config.fetchers) + sum(each.count for each in config.processors)
    try:
        check_files(stages)
        check_tasks(stages)
    except (TooFewFilesError, TooFewProcessesError) as error:
        raise StartError(str(error)) from error
    port = config.port or free_port()
    files = SystemFiles(state_dir(), port)
    with claim_port(files) as lock, _claim_journal(config):
        main = Main(config.with_port(port), files, lock=lock, looking=looking)
        try:
            return main.run()
        finally:
            main.clean_up()


def check_place() -> None:
    """Make sure that a main process can be what calls this, where it runs.

    Raises:
        StartError: It cannot.
    """
    if threading.current_thread() is not threading.main_thread():
        raise StartError(
            "a system is run from the main thread only, since only there Python takes "
            "signals; call this there, and give another thread what else is to be done"
        )
    try:
        check_proc()
    except ControlError as error:
        raise StartError(str(error)) from error


def _check_way_in(config: SystemConfig) -> None:
    if config.bind is not None:
        cluster.read_key(config.cluster_key_file)
        cluster.place(config.bind, config.port or None, "--bind")


def claim_port(files: SystemFiles) -> IO[str]:
    """Take the port for this system; the lock is held while the file is open.

    Raises:
        StartError: Somebody else has it.
    """
    try:
        lock = files.claim()
        try:
            check_port(files.port)
        except PortInUseError:
            lock.close()
            raise
    except (AlreadyRunningError, PortInUseError) as error:
        raise StartError(f"{error}; choose another with --port") from error
    return lock


@contextlib.contextmanager
def _claim_journal(config: SystemConfig) -> Iterator[None]:
    if config.journal is None:
        yield
        return
    journal = JournalFile(Path(config.journal))
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(journal.claimed())
            journal.prepare()
        except (JournalInUseError, JournalDamagedError) as error:
            raise StartError(str(error)) from error
        yield
