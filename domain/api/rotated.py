"""A refresh token that was rotated between polls, until a poll takes it into the state.

An acknowledgement needs a token while its fetcher is paused or drained, when there is
no poll that could tell a state. So what the token endpoint gives in the place of the
refresh token is in a file, synced, before it is used. The file says which one it takes
the place of: a state that knows that one, and no other, goes on with it.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadAnswerError
from .budgets import state_folder

__all__ = ["Rotated", "rotated_of"]

Kept = dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Rotated:
    """The file.

    Attributes:
        path: Where it is; None where there can be none.
    """

    path: Path | None

    def newest(self, kept: Kept, configured: str | None) -> Kept:
        """What takes the place of ``kept``, if something does."""
        told = self._read()
        if told is None:
            return kept
        if kept is not None and told["token"] == kept.get("token"):
            self._remove()
        if told["after"] != _name_of(kept, configured):
            return kept
        return {"token": told["token"], "of": told["of"]}

    def probe(self) -> None:
        """See that it can be written, before the refresh token is used up.

        Raises:
            BadAnswerError: It cannot.
        """
        try:
            self._write(self._read() or {})
        except OSError as error:
            raise _unkept(error) from None

    def keep(self, kept: Kept, configured: str | None, rotated: Kept) -> None:
        """Note what takes the place of ``kept``.

        Raises:
            BadAnswerError: It is not kept.
        """
        try:
            self._write({**(rotated or {}), "after": _name_of(kept, configured)})
        except OSError as error:
            raise _unkept(error) from None

    def _read(self) -> dict[str, str] | None:
        if self.path is None:
            return None
        with suppress(OSError, ValueError):
            value = json.loads(self.path.read_text())
            names = ("after", "token", "of")
            if isinstance(value, dict) and all(
                isinstance(value.get(name), str) for name in names
            ):
                return value
        return None

    def _remove(self) -> None:
        # The state has it.
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()

    def _write(self, value: dict[str, str]) -> None:
        if self.path is None:
            raise FileNotFoundError("there is no directory for it")
        new = self.path.with_suffix(f".{os.getpid()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, 0o600), "w") as file:
            file.write(json.dumps(value))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        # Without this, a power cut brings back the token that is used up.
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def rotated_of(*who: str) -> Rotated:
    """Return the file of a client.

    Args:
        who: Its token endpoint, its name and the refresh token in its options.
    """
    try:
        folder = state_folder()
    except OSError:
        return Rotated(None)
    return Rotated(folder / f"token-{_digest(repr(who))}.json")


def _name_of(kept: Kept, configured: str | None) -> str:
    of = "" if configured is None else _digest(configured)
    # What was rotated from another one in the options does not count.
    if kept is not None and kept.get("of") == of:
        return _digest(kept.get("token", ""))
    return of


def _unkept(error: OSError) -> BadAnswerError:
    return BadAnswerError(
        "ack: expected to keep the next refresh token in the state directory until "
        f"the next poll, got {type(error).__name__}: {error}"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
