"""A program that starts a pipeline of its own, and goes on beside it."""

import os
import signal
import sys
from typing import Any

from actors import Fetcher, Pipeline, Processor, RunningError

_left = [{"id": number, "side": number} for number in (1, 2, 3)]


def squares_to_take() -> Any:
    """One job, until there are none."""
    return _left.pop(0) if _left else None


def area(job: Any) -> int:
    """The area of a square."""
    return int(job["side"]) ** 2


pipeline = Pipeline(
    [Fetcher(squares_to_take, name="squares"), Processor(area, count=1)],
    every_s=0.1,
    port=0,
    log_format="json",
)


def fork() -> None:
    """Have a fork leave the system alone, whatever it calls."""
    child = os.fork()
    if not child:
        for ask in (pipeline.stop, pipeline.wait, pipeline.results):
            try:
                ask()
            except RunningError:
                continue
            os._exit(1)
        pipeline.__exit__()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert pipeline.status()["state"] == "running"


if "unguarded" in sys.argv:
    pipeline.start()

if __name__ == "__main__":
    pipeline.start()
    if "killed" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    if "forked" in sys.argv:
        fork()
    # It ends with the program, which does not stop it.
