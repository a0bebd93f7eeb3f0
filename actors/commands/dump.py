"""On SIGUSR1: the state of the system, and where each of its processes stands."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from actors.host import stack_dumps
from actors.host.control_socket import ControlError
from actors.host.redaction import redact
from actors.status.commands import AskStatus, ask

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from actors.host.state_dir import SystemFiles
    from actors.status.commands import Refusal
    from actors.status.model import MemberStatus, SystemStatus

#: How long the root may take to tell its state, in seconds.
ANSWER_WITHIN_S = 3.0

_one_at_a_time = threading.Lock()


def dump(files: SystemFiles, root_pid: int | None, log: FilteringBoundLogger) -> None:
    """Write everything to the system's dump file, beside the main process's work."""

    def run() -> None:
        with _one_at_a_time:
            _dump(files, root_pid, log)

    threading.Thread(target=run, name="dump", daemon=True).start()


def _dump(files: SystemFiles, root_pid: int | None, log: FilteringBoundLogger) -> None:
    status = _status(files)
    stack_dumps.start_anew()
    stack_dumps.write(redact(json.dumps(status, indent=1)) + "\n")
    stack_dumps.write("\n== main\n")
    stack_dumps.write_own_stacks()
    pids = [root_pid, *stack_dumps.children(root_pid)] if root_pid is not None else []
    names: dict[int | None, str] = {}
    if "error" not in status:
        stages = (*status["fetchers"], *status["processors"])
        names = {each["pid"]: each["name"] for each in stages}
    names[root_pid] = "root"
    silent = []
    for pid in pids:
        stack_dumps.write(f"\n== {names.get(pid, 'stage')}, pid {pid}\n")
        if not stack_dumps.write_stacks(pid):
            silent.append(pid)
            stack_dumps.write("it does not answer to signals now\n")
    log.warning(
        "system.dumped",
        file=str(files.dump),
        why=status["error"] if "error" in status else status["why"],
        accounting=None if "error" in status else status["accounting"],
        silent=silent,
    )


def _status(files: SystemFiles) -> SystemStatus | MemberStatus | Refusal:
    try:
        return ask(files.socket, AskStatus(), ANSWER_WITHIN_S)
    except ControlError as error:
        return {"error": f"the root does not answer: {error}"}
