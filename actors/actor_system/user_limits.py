"""What a system of this many stages needs of the limits that its user has."""

from __future__ import annotations

from actors.host import linux

#: Files that the process with the most of them has open in a system without
#: stages, and more for each stage; measured (28 and 4), with some to spare.
FILES = 40
FILES_EACH = 5
#: Processes and threads of a system without stages, the number server included,
#: and more for each stage: its process, and the thread beside its mailbox.
TASKS = 8
TASKS_EACH = 2


class LimitError(Exception):
    """The user's limits allow less than a system of this many stages needs."""


def check_limits(stages: int) -> None:
    """Make sure that this many stages can be started, rather than half of them.

    Raises:
        LimitError: The processes may not open as many files as they need, or the user
            may not start as many processes and threads.
    """
    files = FILES + FILES_EACH * stages
    allowed = linux.allow_descriptors(files)
    if allowed < files:
        raise LimitError(
            f"{stages} stages need {files} open files in a process, {allowed} are "
            "allowed; raise that with ulimit -n"
        )
    tasks = TASKS + TASKS_EACH * stages
    more = linux.allow_tasks(tasks)
    if more is not None and more < tasks:
        raise LimitError(
            f"{stages} stages need {tasks} processes and threads, {max(0, more)} "
            "more are allowed to this user; raise that with ulimit -u"
        )
