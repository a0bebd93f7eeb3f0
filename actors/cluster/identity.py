"""What lets machines find one another: their address, and the version of the code."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from actors.config.errors import ConfigError
from actors.user_code import versions as code_versions

if TYPE_CHECKING:
    from collections.abc import Iterable


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
