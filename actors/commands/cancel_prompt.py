"""The questions that ``top`` asks before it cancels a job: which, and whether.

Rules only: what is found, and what comes of the answer, is its caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.commands.jobs import JobsError
from actors.demand.job import word_of
from actors.host.control_socket import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: No id that somebody types is longer.
LONGEST = 200


class CancelPrompt:
    """Asks for a job's id, then whether to cancel it.

    Attributes:
        text: What is asked now; what was wrong once it is over.
        is_over: Whether no further key is its.
        meant: The jobs to cancel, once that is confirmed.
    """

    def __init__(self, find: Callable[[str], Sequence[dict[str, Any]]]) -> None:
        self.is_over = False
        self.meant: Sequence[dict[str, Any]] = ()
        self._find = find
        self._typed = ""
        self._found: Sequence[dict[str, Any]] = ()
        self.text = self._question()

    def press(self, key: str) -> None:
        """Take a key."""
        if key == "\x1b":
            self._end("")
        elif self._found:
            self._end("" if key in "yY" else "nothing cancelled")
            self.meant = self._found if key in "yY" else ()
        elif key in "\r\n":
            self._look()
        elif key == "\x7f":
            self._typed = self._typed[:-1]
            self.text = self._question()
        elif key.isprintable():
            self._typed = (self._typed + key)[:LONGEST]
            self.text = self._question()

    @property
    def wants_yes(self) -> bool:
        """Whether the next key is the answer to whether."""
        return bool(self._found) and not self.is_over

    def _look(self) -> None:
        job_id = self._typed.strip()
        if not job_id:
            self._end("")
            return
        try:
            self._found = self._find(job_id)
        except (JobsError, ControlError) as error:
            self._end(str(error))
            return
        first = self._found[0]
        what = f"{word_of(first['id'])} of {first['fetcher']}, {first['state']}"
        self.text = f"cancel job {what}? [y]es, any other key: no"

    def _question(self) -> str:
        return f"cancel the job with the id: {self._typed}_  (Enter, or Esc to leave)"

    def _end(self, text: str) -> None:
        self.text, self.is_over = text, True
