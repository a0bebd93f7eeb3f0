"""What lets machines find and trust one another: key, address, version of the code."""

from __future__ import annotations

import functools
import itertools
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from actors.config.errors import ConfigError
from actors.host.frames import MIN_KEY
from actors.user_code import versions as code_versions

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The variable that holds the key.
VARIABLE = "LOWTIDE_CLUSTER_KEY"


class HostPort(NamedTuple):
    """Where machines meet."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def read_host_port(text: str, port: int | None, origin: str) -> HostPort:
    """Read ``HOST:PORT``; the port may be left out where one is given.

    Raises:
        ConfigError: It has another form.
    """
    if text.startswith("["):
        host, _, number = text[1:].partition("]")
        number = number.removeprefix(":")
    elif text.count(":") > 1:
        host, number = text, ""
    else:
        host, _, number = text.partition(":")
    if not number and port is not None:
        number = str(port)
    if not host or not number.isascii() or not number.isdigit():
        raise ConfigError(f"{origin} must be HOST:PORT, got {text!r}")
    if not 1 <= int(number) <= 65535:  # noqa: PLR2004 - as TCP has it
        raise ConfigError(f"{origin} must have a port from 1 to 65535, got {text!r}")
    return HostPort(host, int(number))


def read_key(file: str | None) -> bytes:
    """The key that all machines of a system share.

    Args:
        file: Where it is, if the variable does not hold it.

    Raises:
        ConfigError: There is none, it is too short, or others can read the file.
    """
    if (text := os.environ.get(VARIABLE)) is not None:
        return _checked(text.strip().encode(), VARIABLE)
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
    return _checked(content.strip(), str(path))


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


def versions(functions: Iterable[str]) -> dict[str, str]:
    """The version of the code behind each function, as it was asked for first."""
    return {each: version_of(each.partition(":")[0]) for each in functions}


def own_version() -> str:
    """The version of lowtide."""
    return version_of("actors")


@functools.cache
def version_of(module: str) -> str:
    """The version of the code that a module belongs to, for as long as this runs."""
    return code_versions.version_of(module)
