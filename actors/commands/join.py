"""``join``: processors on this machine for a system on another one."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from actors.cluster import identity, keys
from actors.cluster.member import MachineActor
from actors.cluster.messages import StartMachine
from actors.commands.main_process import Main
from actors.commands.options import MACHINE_SETTINGS
from actors.commands.run import check_place, claim_number
from actors.config.build import build
from actors.config.errors import ConfigError
from actors.config.model import SETTINGS
from actors.config.option import FUNCTION
from actors.config.values import resolve
from actors.host import redaction
from actors.processor.actor import ProcessorActor
from actors.supervision.children import Role

if TYPE_CHECKING:
    from argparse import Namespace

    from actors.actor_system.stage import Stage
    from actors.config.model import SystemConfig
    from actors.config.values import Value


@dataclass(frozen=True, slots=True)
class Machine:
    """What is to join where.

    Attributes:
        leader: Its gate.
        others: Gates of those that may lead instead.
        kind: Of the processors; None for the only one there is.
        allow: Functions that may be run; empty for those that are here for it.
    """

    leader: identity.HostPort
    name: str
    kind: str | None
    count: int
    allow: tuple[str, ...] = ()
    others: tuple[identity.HostPort, ...] = ()


class JoinedMachineActor(MachineActor):
    """The root of a joined machine, with the stages that it starts."""

    stages = {Role.PROCESSOR: ProcessorActor}  # noqa: RUF012 - see the base


@dataclass(slots=True)
class _MachineMain(Main):
    """The process at the top, where what it starts works for another machine."""

    machine: Machine = field(kw_only=True)

    def root_stage(self, report_fd: int) -> tuple[type[Stage], Any]:
        machine = self.machine
        start = StartMachine(
            host=machine.leader.host,
            port=machine.leader.port,
            name=machine.name,
            kind=machine.kind,
            count=machine.count,
            allow=machine.allow,
            system=self.config,
            incarnation=secrets.token_hex(4),
            report_fd=report_fd,
            control_socket=str(self.files.socket),
            orders_fd=self.orders.fd,
            others=tuple((each.host, each.port) for each in machine.others),
        )
        return JoinedMachineActor, start

    def tell_started(self) -> None:
        self.log.info(
            "machine.started",
            machine=self.machine.name,
            leader=",".join(map(str, (self.machine.leader, *self.machine.others))),
            processors=self.machine.count,
            hint="Ctrl-C drains, a second one stops at once",
        )


def join(machine: Machine, config: SystemConfig, port: int | None) -> int:
    """Run processors until they are stopped; returns the exit code.

    Raises:
        ConfigError: There is no key.
        StartError: The leader refuses, or nothing can be started here.
    """
    check_place()
    redaction.install(redaction.secrets_of_environment(os.environ))
    keys.read_key(config.cluster_key_file)
    files, lock = claim_number(port or 0)
    with lock:
        config = config.with_port(files.port)
        main = _MachineMain(config, files, lock=lock, machine=machine)
        try:
            return main.run()
        finally:
            main.clean_up()


def run(arguments: Namespace) -> int:
    """The verb: read what is asked for, and join.

    Raises:
        ConfigError: It cannot be used.
    """
    names = (each.setting for each in MACHINE_SETTINGS)
    flags = {name: getattr(arguments, name) for name in names}
    values = resolve(flags, os.environ, None)
    leader, *others = (
        identity.read_host_port(each, None, "the leader")
        for each in arguments.leader.split(",")
    )
    config = _config(values)
    name = _name(arguments.name, config.cluster_key_file)
    machine = Machine(
        leader=leader,
        name=name,
        kind=arguments.processor,
        count=values["processors"].value,
        allow=_allowed(arguments.allow),
        others=tuple(others),
    )
    if machine.count < 1:
        raise ConfigError(f"--processors must be at least 1, got {machine.count}")
    port = arguments.port
    if port is not None:
        port = SETTINGS["port"].parse(port, "--port")
    return join(machine, config, port)


def _name(asked: str | None, key_file: str | None) -> str:
    own = keys.read_key(key_file).machine
    name = keys.checked_name(asked or own or socket.gethostname(), "--name")
    if own and name != own:
        raise ConfigError(f"--name must be {own!r}, whose key this is, got {name!r}")
    return name


def _allowed(words: list[str] | None) -> tuple[str, ...]:
    try:
        return tuple(str(FUNCTION.check(each)) for each in words or ())
    except ValueError:
        raise ConfigError(
            f"--allow must be {FUNCTION.expected}, got {' '.join(words or ())!r}"
        ) from None


def _config(values: dict[str, Value]) -> SystemConfig:
    # What only the leader's file can say comes from there.
    key_file = values["cluster_key_file"].value
    config = replace(build(values, None).for_machines(), processors=())
    return replace(config, cluster_key_file=key_file)
