"""Hosts on one machine: network namespaces, each with a line to a bridge.

The test's own namespace is the first host. It needs root and iproute2, nftables
for packet loss; where the machine does not let it, the text says why.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import uuid
from dataclasses import dataclass


class NotPossibleError(RuntimeError):
    """This machine does not let us; the text says why."""


def run(*words: str) -> str:
    """Run a command as the machine's owner; returns what it says."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPossibleError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Host:
    """One of them.

    Attributes:
        space: Its namespace.
        line: The bridge's end of its line.
        prefix: What a command is run by to run there.
    """

    name: str
    space: str
    line: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        inner = f'hostname {self.name} && exec "$@"'
        space = ("ip", "netns", "exec", self.space)
        return (*space, "unshare", "--uts", "sh", "-c", inner, "sh")

    def cut(self) -> None:
        """Nothing goes through its line from now on."""
        run("ip", "link", "set", self.line, "down")

    def heal(self) -> None:
        """All goes through again."""
        run("ip", "link", "set", self.line, "up")

    def refuse(self, port: int) -> None:
        """Nothing goes to this port of other hosts, nor comes from it."""
        nft = ("ip", "netns", "exec", self.space, "nft")
        run(*nft, "add", "table", "inet", "refused")
        for hook, way in (("input", "sport"), ("output", "dport")):
            kind = f"{{ type filter hook {hook} priority 0 ; }}"
            run(*nft, "add", "chain", "inet", "refused", hook, kind)
            run(
                *nft,
                "add",
                "rule",
                "inet",
                "refused",
                hook,
                "tcp",
                way,
                str(port),
                "drop",
            )

    def admit(self) -> None:
        """All of them again."""
        nft = ("ip", "netns", "exec", self.space, "nft")
        run(*nft, "delete", "table", "inet", "refused")

    def pids(self) -> list[int]:
        """All processes there."""
        return [*map(int, run("ip", "netns", "pids", self.space).split())]

    def lose(self, percent: int) -> None:
        """Of what arrives and of what leaves, so much gets lost."""
        nft = ("ip", "netns", "exec", self.space, "nft")
        run(*nft, "add", "table", "inet", "loss")
        for hook in ("input", "output"):
            kind = f"{{ type filter hook {hook} priority 0 ; }}"
            run(*nft, "add", "chain", "inet", "loss", hook, kind)
            chance = ("numgen", "random", "mod", "100", "<", str(percent))
            way = "oifname" if hook == "output" else "iifname"
            rule = (way, "line", *chance, "counter", "drop")
            run(*nft, "add", "rule", "inet", "loss", hook, *rule)

    def keep(self) -> None:
        """Nothing gets lost any more."""
        run("ip", "netns", "exec", self.space, "nft", "delete", "table", "inet", "loss")

    def slow(self, kbit: int) -> None:
        """Let so many kilobits through in a second, each way."""
        shape = ("tbf", "rate", f"{kbit}kbit", "burst", "4kb", "latency", "400ms")
        run("tc", "qdisc", "replace", "dev", self.line, "root", *shape)
        inside = ("tc", "-n", self.space, "qdisc", "replace", "dev", "line", "root")
        run(*inside, *shape)

    def fast(self) -> None:
        """Let as much through as there is."""
        run("tc", "qdisc", "del", "dev", self.line, "root")
        run("tc", "-n", self.space, "qdisc", "del", "dev", "line", "root")

    def lost(self) -> int:
        """How many packets got lost so far."""
        rules = run("ip", "netns", "exec", self.space, "nft", "list", "ruleset")
        return sum(map(int, re.findall(r"counter packets (\d+)", rules)))


class Network:
    """A bridge, and the hosts at it."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise NotPossibleError("network namespaces need root")
        for needed in ("ip", "unshare"):
            if shutil.which(needed) is None:
                raise NotPossibleError(f"there is no {needed} (iproute2, util-linux)")
        self._id = uuid.uuid4().hex[:6]
        # 198.18.0.0/15 is set aside for tests (RFC 2544).
        self._net, self._kept = _free_net()
        self.bridge = f"lt{self._id}"
        self.hosts: list[Host] = []
        self.address = f"{self._net}.1"
        try:
            run("ip", "link", "add", self.bridge, "type", "bridge")
            run("ip", "addr", "add", f"{self.address}/24", "dev", self.bridge)
            run("ip", "link", "set", self.bridge, "up")
        except NotPossibleError:
            self.close()
            raise

    def host(self, name: str) -> Host:
        """Add a host."""
        number = len(self.hosts) + 2
        space, line = f"lt-{self._id}-{number}", f"lt{self._id}-{number}"
        host = Host(name, space, line, f"{self._net}.{number}")
        self.hosts.append(host)
        run("ip", "netns", "add", space)
        pair = ("type", "veth", "peer", "name", "line", "netns", space)
        run("ip", "link", "add", line, *pair)
        run("ip", "link", "set", line, "master", self.bridge, "up")
        inside = ("ip", "-n", space)
        run(*inside, "addr", "add", f"{host.address}/24", "dev", "line")
        run(*inside, "link", "set", "line", "up")
        run(*inside, "link", "set", "lo", "up")
        return host

    def close(self) -> None:
        """Remove all of it."""
        for host in self.hosts:
            with contextlib.suppress(NotPossibleError):
                run("ip", "netns", "del", host.space)
        with contextlib.suppress(NotPossibleError):
            run("ip", "link", "del", self.bridge)
        self._kept.close()


def _free_net() -> tuple[str, socket.socket]:
    """A network that no other test has, for as long as the socket is open."""
    for number in random.sample(range(1, 255), 254):
        keeper = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            keeper.bind(f"\0lowtide-test-net-{number}")
            return f"198.18.{number}", keeper
        keeper.close()
    raise NotPossibleError("all networks for tests are in use")
