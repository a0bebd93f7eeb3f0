"""The keys that machines show one another, and where they are read from.

There is one key of the cluster. Who leads has it. A machine that joins has the same,
or a key of its own, which is made of that one and of its name, and from which there
is no way back: it opens lines as that machine, and nobody believes it more. A member
takes for its leader only who can open that member's line, so a machine with a key of
its own can lead no other one.
"""

from __future__ import annotations

import itertools
import os
import stat
from pathlib import Path
from typing import NamedTuple

from actors.config.errors import ConfigError
from actors.host.frames import MIN_KEY, derive

#: The variable that holds the key.
VARIABLE = "LOWTIDE_CLUSTER_KEY"
#: A machine's name goes into those of its processors, as in ``status``.
MAX_NAME = 64

#: Bytes of a name on a line, whose length is one byte.
_MOST_BYTES = 255
_OF_MACHINE = b"lowtide-join:"


class Key(NamedTuple):
    """What opens a line.

    Attributes:
        machine: Who may join with it, and lead nobody; empty for the cluster's.
    """

    secret: bytes
    machine: str = ""

    def of(self, machine: str) -> Key:
        """The key of one machine, made of the cluster's."""
        joining = derive(self.secret, b"lowtide joining")
        return Key(derive(joining + machine.encode(), b"lowtide machine"), machine)

    def text(self) -> str:
        """A machine's key as it is read again."""
        return f"{_OF_MACHINE.decode()}{self.secret.hex()}:{self.machine}"


def checked_name(name: str, origin: str) -> str:
    """A machine's name, if it can be one.

    Raises:
        ConfigError: It cannot.
    """
    is_text = name.isprintable() and "/" not in name
    if not is_text or not 0 < len(name) <= MAX_NAME or len(name.encode()) > _MOST_BYTES:
        raise ConfigError(
            f"{origin} must be of 1 to {MAX_NAME} characters without /, got {name!r}"
        )
    return name


def read_key(file: str | None) -> Key:
    """The key with which this machine joins others, or leads them.

    Args:
        file: Where it is, if the variable does not hold it.

    Raises:
        ConfigError: There is none, it is too short, or others can read the file.
    """
    return _read(file)[0]


def read_cluster_key(file: str | None) -> Key:
    """The key with which this machine leads.

    Raises:
        ConfigError: As for ``read_key``, or it is only a machine's.
    """
    key, origin = _read(file)
    if key.machine:
        raise ConfigError(
            f"{origin} holds the key of machine {key.machine!r}, with which that may "
            "join and nobody may lead: expected the cluster's key, of which it was made"
        )
    return key


def _read(file: str | None) -> tuple[Key, str]:
    if (text := os.environ.get(VARIABLE)) is not None:
        return _parsed(text.strip().encode(), VARIABLE), VARIABLE
    if file is None:
        raise ConfigError(
            f"other machines are let in with a key only: {VARIABLE} or a file "
            f"(--cluster-key-file) of mode 0600 with at least {MIN_KEY} bytes"
        )
    path = Path(file)
    try:
        content = _read_of_owner(path)
    except OSError as error:
        raise ConfigError(f"cannot read the cluster's key: {error}") from error
    return _parsed(content.strip(), str(path)), str(path)


def _read_of_owner(path: Path) -> bytes:
    # The open file is asked, not what its name leads to by then.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if problem := _untrusted(os.fstat(descriptor)):
            raise ConfigError(f"{path} {problem}")
        return os.read(descriptor, _LONGEST_KEY)
    finally:
        os.close(descriptor)


def _untrusted(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "must be a file, with the cluster's key in it"
    if status.st_uid not in (os.geteuid(), 0):
        return (
            f"must belong to the user with id {os.geteuid()}, or to root; it belongs "
            f"to {status.st_uid}, who chose the key in it"
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return (
            "must be readable by its owner only (chmod 600), "
            f"its mode is {stat.S_IMODE(status.st_mode):04o}"
        )
    return None


#: Bytes; what is behind them in a file is not looked at.
_LONGEST_KEY = 4096
#: Different bytes that a key has at least, however long it is.
_LEAST_VARIED = 8


def _parsed(text: bytes, origin: str) -> Key:
    if text.startswith(_OF_MACHINE):
        return _of_machine(text.removeprefix(_OF_MACHINE), origin)
    return Key(_checked(text, origin))


def _of_machine(text: bytes, origin: str) -> Key:
    digits, _, name = text.partition(b":")
    try:
        machine = checked_name(name.decode(), origin)
        secret = bytes.fromhex(digits.decode())
    except ValueError:
        machine, secret = "", b""
    if len(secret) != MIN_KEY:
        raise ConfigError(
            f"{origin} must hold a whole line of lowtide key NAME; this one begins "
            "and ends otherwise"
        )
    return Key(secret, machine)


def _checked(key: bytes, origin: str) -> bytes:
    if len(key) < MIN_KEY:
        raise ConfigError(
            f"{origin} must hold a key of at least {MIN_KEY} bytes, got {len(key)}"
        )
    if _is_weak(key):
        raise ConfigError(
            f"{origin} must hold a key that nobody guesses, as openssl rand -hex 32 "
            "makes it; this one repeats or counts"
        )
    return key


def _is_weak(key: bytes) -> bool:
    steps = [(after - before) % 256 for before, after in itertools.pairwise(key)]
    most = max(map(steps.count, set(steps)))
    repeats = (key + key).find(key, 1) < len(key)
    return len(set(key)) < _LEAST_VARIED or repeats or most > len(steps) // 2
