"""``run``: take what the system needs for itself, and run its main process."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from actors.actor_system import sockets
from actors.actor_system.user_limits import LimitError, check_limits
from actors.cluster import identity, keys
from actors.commands.exit_codes import Exit
from actors.commands.main_process import Main
from actors.commands.standby import STOPPED, Standby, StoppedError
from actors.commands.start_error import StartError
from actors.commands.terminal import note
from actors.config.errors import ConfigError
from actors.config.overrides import Changes
from actors.config.show import secrets_of
from actors.host import native, redaction
from actors.host.control_socket import ControlError, check_proc
from actors.host.ports import free_port
from actors.host.state_dir import AlreadyRunningError, SystemFiles, state_dir
from actors.journal.file import JournalDamagedError, JournalFile, JournalInUseError
from actors.journal.postgres_database import is_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.commands.owner import Owner
    from actors.commands.validated_config import Looking
    from actors.config.model import SystemConfig
    from actors.journal.leadership import Leader, Leadership


def run(
    config: SystemConfig,
    looking: Looking | None = None,
    owner: Owner | None = None,
    *,
    standby: bool = False,
) -> int:
    """Run a system until it is stopped; returns the exit code.

    Args:
        config: Sound, but for what a look at its functions that is not over may find.
        looking: That look; nothing is fetched before its end.
        owner: The program that it works for, if there is one.
        standby: Wait while another system leads, and do so again after one took over.

    Raises:
        StartError: It cannot be started as it is asked for; nothing is left of it.
        ConfigError: The functions that it names cannot be used.
    """
    try:
        lost, code = _run(config, looking, owner, standby=standby)
    finally:
        if looking is not None:
            looking.close()
    if lost and standby:
        # Anew from the beginning, as who waits: nothing is left of who led.
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the very same words
    return code


def _run(
    config: SystemConfig, looking: Looking | None, owner: Owner | None, *, standby: bool
) -> tuple[bool, int]:
    check_place()
    redaction.install(secrets_of(config))
    _check_way_in(config)
    stages = len(config.fetchers) + sum(each.count for each in config.processors)
    try:
        check_limits(stages)
    except LimitError as error:
        raise StartError(str(error)) from error
    files, lock = claim_number(config.port)
    if standby and not (config.journal and is_postgres(config.journal)):
        raise StartError(
            "--standby takes over a journal in PostgreSQL: expected --journal "
            f"postgresql://..., got {config.journal or 'none'}"
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock)
        try:
            waits = Standby(config, files, _look_at(looking)) if standby else None
            leadership = stack.enter_context(_claim_journal(config, waits))
        except StoppedError:
            return False, STOPPED
        changes = Changes()
        if leadership is not None:
            config = config.with_journal(leadership.journal)
            if standby:
                changes = Changes.of(leadership.changes, config)
            leadership.keep_changes(changes.as_text())
        main = Main(
            config.with_port(files.port),
            files,
            lock=lock,
            looking=looking,
            owner=owner,
            leadership=leadership,
            changes=changes,
        )
        try:
            code = main.run()
            lost = main.lost
            if leadership is not None:
                leadership.ends = main.changes.draining
                # What ends it may be that it was followed, before it was told so.
                has_failed = code in (Exit.FAILURE, Exit.RESTARTS_EXCEEDED)
                lost = lost or (has_failed and leadership.is_followed())
            return lost, code
        finally:
            main.clean_up()


def check_place() -> None:
    """Make sure that a main process can be what calls this, where it runs.

    Raises:
        StartError: It cannot.
    """
    # First, since elsewhere than on Linux a thread has a number of another kind.
    try:
        check_proc()
    except ControlError as error:
        raise StartError(str(error)) from error
    if not native.is_main_thread():
        raise StartError(
            "run() takes signals, which Python does in the main thread only; call "
            "start() here, which runs the system in a process of its own"
        )


def _check_way_in(config: SystemConfig) -> None:
    if config.bind is not None:
        keys.read_cluster_key(config.cluster_key_file)
        identity.read_host_port(config.bind, config.port or None, "--bind")


def claim_number(port: int) -> tuple[SystemFiles, IO[str]]:
    """Take a number for a system; 0 is for one that nobody has.

    Returns:
        Its files, and the lock, which is held while it is open.

    Raises:
        StartError: Another system has it.
    """
    directory = state_dir()
    while True:
        # Free as a port as well: a gate may listen there.
        files = SystemFiles(directory, port or free_port())
        try:
            lock = files.claim()
        except AlreadyRunningError as error:
            if port:
                raise StartError(f"{error}; choose another with --port") from error
            continue
        for path in files.left_over():
            sockets.remove(path)
        return files, lock


def _look_at(looking: Looking | None) -> Callable[[], None]:
    def look() -> None:
        if looking is not None and (errors := looking.errors(0.0)):
            raise ConfigError(*errors)

    return look


@contextlib.contextmanager
def _claim_journal(
    config: SystemConfig, standby: Standby | None
) -> Iterator[Leadership | None]:
    if config.journal is None:
        yield None
        return
    if is_postgres(config.journal):
        with _leading(config, config.journal, standby) as leadership:
            yield leadership
        return
    journal = JournalFile(Path(config.journal))
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(journal.claimed())
            journal.prepare()
        except (JournalInUseError, JournalDamagedError) as error:
            raise StartError(str(error)) from error
        yield None


@contextlib.contextmanager
def _leading(
    config: SystemConfig, url: str, standby: Standby | None
) -> Iterator[Leadership]:
    from actors.journal.leadership import leading, wait_to_lead  # noqa: PLC0415

    if config.journal_mib is not None:
        raise StartError(
            "--journal-mib bounds a file, and the journal is in PostgreSQL: leave it "
            "out, and bound what the database may take there"
        )
    with contextlib.ExitStack() as stack:
        try:
            if standby is None:
                leads = leading(url, _note_waiting)
            else:
                with standby:
                    leads = leading(url, wait=wait_to_lead(standby.wait))
                    leadership = stack.enter_context(leads)
                yield leadership
                return
            leadership = stack.enter_context(leads)
        except (JournalInUseError, JournalDamagedError) as error:
            raise StartError(str(error)) from error
        yield leadership


def _note_waiting(leader: Leader) -> None:
    text = f"the term of {leader.place} ends in {leader.left_s:.0f} s, or it goes on"
    note(f"lowtide: waiting for the journal: {text}")
