"""A process that ends between two instructions of its own."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_ROOT = Path(__file__).parents[1]
#: What fetches and acknowledges, where that is ours as well.
_DOMAIN = _ROOT.parent / "domain"
#: Not instructions of the process: what stands for its world.
_WORLD = _ROOT / "testing"


class Killed(BaseException):
    """The process in which this is raised dies here."""


class Instructions:
    """Counts the instructions of one process, and ends it before one of them.

    Instructions of the interpreter, in code of ours; what the process would still
    do on its way out (``finally``, a rollback) is not done, as after SIGKILL.

    Attributes:
        name: Of the process.
        count: Those that it has gone through.
        struck: Whether it has come to its end.
    """

    def __init__(self, name: str, at: int | None, within: tuple[str, ...] = ()) -> None:
        """Make it.

        Args:
            name: Of the process.
            at: It ends before its instruction of this number, counted from 0; None
                lets it live.
            within: Count only those of modules of these names.
        """
        self.name = name
        self.count = 0
        self.struck = False
        self._at = at
        self._within = within
        self._known: dict[str, Any] = {}

    def run(self, act: Callable[[], None]) -> None:
        """Have the process do something.

        Raises:
            Killed: It ended in the middle of that.
        """
        before, tell = sys.gettrace(), sys.unraisablehook
        collects = gc.isenabled()

        def tell_others(unraisable: sys.UnraisableHookArgs) -> None:
            # A generator that nobody holds on to any more is closed on the way out,
            # and cannot do what it does at its end either; a file that is opened
            # just then is closed by nobody.
            left = (Killed, ResourceWarning) if self.struck else Killed
            if not issubclass(unraisable.exc_type, left):
                tell(unraisable)

        sys.unraisablehook = tell_others
        # CPython 3.12 tells of instructions only where a frame had asked for them
        # before the tracer was set: without this the first run of an interpreter
        # counts none.
        sys._getframe().f_trace_opcodes = True  # noqa: SLF001
        # What one that died before has left is closed by instructions of ours as well,
        # in whichever thread collects it: these are not this one's.
        gc.disable()
        sys.settrace(self._frame)
        try:
            act()
        except BaseException:
            # What its frames held goes with them here, where nobody is told.
            if not self.struck:
                raise
        finally:
            sys.settrace(before)
            sys.unraisablehook = tell
            if collects:
                gc.enable()
        if self.struck:
            raise Killed

    def _frame(self, frame: FrameType, event: str, _: Any) -> Any:  # noqa: ARG002
        file = frame.f_code.co_filename
        if file not in self._known:
            self._known[file] = self._tracer_of(Path(file))
        tracer = self._known[file]
        if tracer == self._instruction:
            # CPython 3.13 tells of a code's instructions once a frame of it that has
            # a tracer asks. This one gets its tracer when this returns, so that each
            # code's first call would count none.
            frame.f_trace = tracer
            frame.f_trace_opcodes = True
        return tracer

    def _tracer_of(self, path: Path) -> Any:
        is_ours = path.is_relative_to(_ROOT) or path.is_relative_to(_DOMAIN)
        if not is_ours or path.is_relative_to(_WORLD):
            return None
        counts = not self._within or path.stem in self._within
        return self._instruction if counts else self._line

    def _instruction(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            if self.count == self._at:
                self.struck = True
            self.count += 1
        return self._line(frame, event, _)

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:  # noqa: ARG002
        # Code that catches everything is not to go on after the end.
        if self.struck:
            raise Killed
        return self._known[frame.f_code.co_filename]
