"""The web process: ``python -m actors.web``, started by the main process."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path

from actors.host import logs, redaction
from actors.host.listening import with_holder
from actors.web.answers import Answers
from actors.web.sampler import Sampler
from actors.web.server import Server


def main() -> int:
    """Serve until the main process ends; says on standard output where."""
    parser = argparse.ArgumentParser(prog="lowtide-web")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--log-fd", type=int, required=True)
    parser.add_argument("--log-level", required=True)
    parser.add_argument("--secrets-fd", type=int, required=True)
    arguments = parser.parse_args()
    with os.fdopen(arguments.secrets_fd, encoding="utf-8") as file:
        redaction.install(json.load(file))
    logs.join_pipe(arguments.log_fd)
    log = logs.configure(arguments.log_level, stage="web")
    sampler = Sampler(arguments.socket)
    answers = Answers(sampler, os.environ.get("LOWTIDE_WEB_TOKEN") or None, log)
    try:
        server = Server(arguments.port, answers, sampler, log)
    except OSError as error:
        print(f"error: {with_holder(error, arguments.port)}", flush=True)
        return 1
    threading.Thread(target=sampler.run, name="sampler", daemon=True).start()
    print(f"serving at http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
