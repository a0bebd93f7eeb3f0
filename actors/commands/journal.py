"""``journal``: the journal as a whole, backed up, or copied to another store."""

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
    text = "back up the journal, whether its system runs or not, or copy it"
    parser = add_verb(verbs, "journal", journal, text)
    parser.add_argument("action", choices=("backup", "copy"))
    parser.add_argument(
        "names",
        metavar="NAME",
        nargs="+",
        help="backup FILE: a new file, which stands alone as a journal; copy FROM TO: "
        "journals that no system has, each a file or postgresql://..., TO empty",
    )
    add_journal(parser)


def journal(arguments: Namespace) -> int:
    """Carry out ``journal backup`` or ``journal copy``."""
    words = {"backup": ("FILE",), "copy": ("FROM", "TO")}[arguments.action]
    if len(arguments.names) != len(words):
        expected = " ".join(("journal", arguments.action, *words))
        complain(f"expected {expected}, got {len(arguments.names)} names")
        return Exit.USAGE
    if arguments.action == "copy":
        return _copy(*arguments.names)
    return _backup(arguments)


def _copy(source: str, target: str) -> int:
    from actors.journal.copying import CopyError, copy  # noqa: PLC0415
    from actors.journal.file import (  # noqa: PLC0415
        JournalDamagedError,
        JournalInUseError,
    )
    from actors.journal.stores import shown  # noqa: PLC0415

    try:
        copied = copy(source, target)
    except (CopyError, JournalDamagedError, JournalInUseError) as error:
        complain(str(error))
        return Exit.USAGE
    say(
        f"{shown(target)}: {copied.jobs} jobs and remembered ids, "
        f"{copied.quarantined} of them quarantined, {copied.states} states; counts and "
        f"digests are those of {shown(source)}"
    )
    return Exit.NOTHING_LEFT


def _backup(arguments: Namespace) -> int:
    from actors.journal.backup import BackupError, backup  # noqa: PLC0415
    from actors.journal.file import JournalDamagedError  # noqa: PLC0415

    target = Path(arguments.names[0])
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
