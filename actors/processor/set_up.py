"""What a processor's process keeps over its jobs: made once, and given back at its end.

The function is the user's. What it returns may be a context manager, which is entered
here, and left when the process ends; where ``process`` is async, an async one as well.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job import pending
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.demand.job import Failure

#: How long what was set up may take to be given back, in seconds.
TEAR_DOWN_S = 1.5


class IsSetUp(NamedTuple):
    """The function has returned, or failed."""

    failure: Failure | None = None


class SetUpError(TypeError):
    """What ``setup`` returned needs an event loop, and there is none."""


class SetUp:
    """Calls the function, and keeps what it returned."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._exit: Callable[..., Any] | None = None

    def run(self) -> Iterator[IsSetUp]:
        """Set up in a thread."""
        made = self._function()
        what = pending(made)
        if what is None and hasattr(type(made), "__aenter__"):
            what = "an async context manager"
        if what is not None:
            raise SetUpError(f"setup returned {what}, which goes with an async process")
        self._enter(made)
        yield IsSetUp()

    def failed(self, error: BaseException) -> Iterator[IsSetUp]:
        """Say that it failed."""
        yield IsSetUp(describe(error))

    def tear_down(self) -> Iterator[IsSetUp]:
        """Give it back, in a thread."""
        if self._exit is not None:
            self._exit(None, None, None)
        yield IsSetUp()

    async def run_later(self) -> list[IsSetUp]:
        """Set up on an event loop."""
        made = self._function()
        if inspect.isawaitable(made):
            made = await made
        if hasattr(type(made), "__aenter__"):
            await made.__aenter__()
            self._exit = made.__aexit__
        else:
            self._enter(made)
        return [IsSetUp()]

    async def tear_down_later(self) -> list[IsSetUp]:
        """Give it back, on an event loop."""
        if self._exit is not None:
            left = self._exit(None, None, None)
            if inspect.isawaitable(left):
                await left
        return [IsSetUp()]

    def _enter(self, made: Any) -> None:
        if hasattr(type(made), "__enter__"):
            made.__enter__()
            self._exit = made.__exit__
