"""A program that runs a pipeline of its own, as a user would write it."""

import signal
import sys
from typing import Any

from actors import Fetcher, Pipeline, Processor

_left = [{"id": number, "side": number} for number in (1, 2, 3)]


def squares_to_take() -> Any:
    """One job, until there are none."""
    return _left.pop(0) if _left else None


def area(job: Any) -> int:
    """The area of a square."""
    return int(job["side"]) ** 2


if __name__ == "__main__":
    pipeline = Pipeline(
        [Fetcher(squares_to_take, name="squares"), Processor(area, count=1)],
        every_s=0.1,
        until_idle_s=0.3,
        port=int(sys.argv[1]),
        log_format="json",
    )
    code: int = pipeline.run()
    if "ctrl-c" in sys.argv:
        # It is the program's own again.
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            code = 42
    sys.exit(code)
