"""``journal``: the journal as a whole, backed up while its system runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from actors.commands.exit_codes import Exit
from actors.commands.jobs import JobsError, journal_of
from actors.commands.options import add_journal, add_verb
from actors.commands.terminal import complain, say
from actors.host.control_socket import ControlError
from actors.status.commands import RefusedError

if TYPE_CHECKING:
    from argparse import Namespace

    from actors.commands.options import Verbs


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    text = "back up the journal, while its system runs or not"
    parser = add_verb(verbs, "journal", journal, text)
    parser.add_argument("action", choices=("backup",))
    parser.add_argument(
        "file", metavar="FILE", help="a new file, which stands alone as a journal"
    )
    add_journal(parser)


def journal(arguments: Namespace) -> int:
    """Carry out ``journal backup``."""
    from actors.journal.backup import BackupError, backup  # noqa: PLC0415
    from actors.journal.file import JournalDamagedError  # noqa: PLC0415

    target = Path(arguments.file)
    try:
        size = backup(_file_of(arguments), target)
    except ControlError as error:
        complain(str(error))
        return Exit.FAILURE
    except (JobsError, RefusedError, BackupError, JournalDamagedError) as error:
        complain(str(error))
        return Exit.USAGE
    say(f"{target}: {size} bytes, a journal that stands alone")
    return Exit.NOTHING_LEFT


def _file_of(arguments: Namespace) -> Path:
    from actors.journal.postgres_database import is_postgres  # noqa: PLC0415

    if is_postgres(journal := journal_of(arguments)):
        raise JobsError(
            "the journal is in PostgreSQL: back up its database with pg_dump, or as "
            "the others there are backed up"
        )
    return Path(journal)
