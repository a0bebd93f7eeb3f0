"""Ways of acknowledging that go wrong, each on its own."""

import itertools
import os
import time
from pathlib import Path
from typing import Any

from domain import leases

_calls = itertools.count(1)


def late(job: Any, outcome: Any, /, **options: Any) -> None:
    """Fail twice, then acknowledge."""
    if next(_calls) <= 2:
        raise ConnectionError("not yet")
    leases.settle(job, outcome, **options)


def any_option(job: Any, outcome: Any, **options: Any) -> None:
    """Take options of any name, with parameters that have names themselves."""


def never(job: Any, outcome: Any, /, **options: Any) -> None:
    """Fail, always."""
    raise ConnectionError("down")


def stuck(job: Any, outcome: Any, /, **options: Any) -> None:
    """Hang in the first process that comes here, then acknowledge."""
    mark = Path(os.environ["LOWTIDE_STATE_DIR"], "stuck")
    if not mark.exists() or mark.read_text() == str(os.getpid()):
        mark.write_text(str(os.getpid()))
        time.sleep(60)
    leases.settle(job, outcome, **options)
