"""What is used and overridden of Thespian is what it was, each by its name.

One that fails says what another Thespian has changed: read the change, mend the
room if it is concerned, then write the new digest here.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.actor_system import system_base, transport

if TYPE_CHECKING:
    from actors.actor_system.sockets import Directory

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"

USED = {
    "actors:Actor": "4981d7eba557",
    "actors:ActorAddress": "e90d2c6cb1d8",
    "actors:ActorExitRequest": "f19145ccf97e",
    "actors:ActorSystemMessage": "db2760b5f9b2",
    "actors:ChildActorExited": "d3632d79791d",
    "actors:ThespianWatch": "a4904b25a620",
    "actors:WakeupMessage": "a6464727c75c",
    "actors:WatchMessage": "48a3247f4683",
    "multiprocCommon:multiprocessCommon.__init__": "a2abcca21a8e",
    "multiprocCommon:get_multiproc_context": "cd86f4f24b8e",
    "multiprocCommon:detach_child": "d390091fffa9",
    "multiprocCommon:ChildInfo": "209508661b58",
    "multiprocCommon:MultiProcReplicator._checkChildLiveness": "1008a7333ee6",
    "multiprocCommon:MultiProcReplicator._childExited": "fa6be9eeb5f0",
    "multiprocCommon:MultiProcReplicator._handleReplicatorMessages": "dd4da5c2d48b",
    "multiprocCommon:MultiProcReplicator.h_EndpointConnected": "a2d2c06f9e8f",
    "multiprocCommon:MultiProcReplicator.init_replicator": "df3927433ed3",
    "multiprocCommon:MultiProcReplicator.signalChildDied": "a6a853202850",
    "multiprocCommon:MultiProcAdmin": "685e16c20af8",
    "multiprocCommon:MultiProcManager": "62feda5b6184",
    "systemBase:ExternalOpsToActors": "631f00c923b2",
    "systemBase:NewActorResponse": "2ca02ab49a4c",
    "systemBase:TransmitTrack": "028570e62f27",
    "systemBase:systemBase.__init__": "b8a39e062821",
    "systemBase:systemBase._verifyAdminRunning": "ec2a3c0a9b1f",
    "systemCommon:systemCommonBase": "42994cacfa25",
    "systemCommon:actorStartupFailed": "790c90e4997d",
    "actorManager:ActorManager": "20d0bbcf3dc8",
    "admin.adminCore:AdminCore": "c9e87786c3f7",
    "admin.convention:ConventioneerAdmin": "30b17658bd93",
    "admin.globalNames:GlobalNamesAdmin": "6f74b409172b",
    "addressManager:ActorAddressManager": "aca1ebee3759",
    "addressManager:ActorLocalAddress": "6589ce17dc06",
    "addressManager:CannotPickleAddress": "a6f68a96b01c",
    "transport:ReceiveEnvelope": "43ff9fdbda90",
    "transport:ResultCallback": "6eb53cbf43a8",
    "transport:SendStatus": "bbf4af5c8433",
    "transport:TransmitIntent": "8082720a6cee",
    "transport:TransmitOnly": "45aa5eb887f4",
    "transport:Thespian__Run_Expired": "b98a97047b34",
    "transport:Thespian__Run_HandlerResult": "462aa352f73f",
    "transport:Thespian__Run_Terminated": "2bec6464a53c",
    "messages.admin:PendingActor": "ab9d0a5c4364",
    "messages.admin:PendingActorResponse": "af89e0247239",
    "messages.admin:QueryAck": "bf791775297e",
    "messages.admin:QueryExists": "7bb9bc03fd4f",
    "messages.multiproc:ChildMayHaveDied": "fe15fb8ab733",
    "messages.multiproc:EndpointConnected": "28af3f10b910",
    "utilis:actualActorClass": "d8e414a1cab5",
    "utilis:setProcName": "cb5d51e02f20",
    "utilis:withPossibleInitArgs": "c0d95505031c",
}

OVERRIDDEN = {
    "multiprocCommon:multiprocessCommon._startAdmin": "6a2fd0735541",
    "multiprocCommon:startAdmin": "f86a3fa58d3d",
    "multiprocCommon:startChild": "8b7c64c2172c",
    "multiprocCommon:MultiProcReplicator._startChildActor": "d417e3aba3c3",
    "multiprocCommon:MultiProcReplicator._cleanupAdmin": "945704fea79a",
    "multiprocCommon:MultiProcReplicator.childDied": "511a1044989a",
    "actorManager:ActorManager.handleMessages": "3e7d7eea1342",
    "actorManager:ActorManager.actor_send": "bd3ee36f4495",
}


def found(name: str) -> Any:
    module, _, path = name.partition(":")
    room = "thespian" if module == "actors" else "thespian.system"
    value = importlib.import_module(f"{room}.{module}")
    for each in path.split("."):
        value = inspect.getattr_static(value, each)
    return value


def digest(name: str) -> str:
    """Of its source, blanks and comments left out."""
    value = found(name)
    value = getattr(value, "__func__", value)
    lines = inspect.getsource(getattr(value, "fget", None) or value).splitlines()
    code = [each.partition("#")[0].rstrip() for each in lines]
    text = textwrap.dedent("\n".join(filter(None, code)))
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


@pytest.mark.parametrize(("name", "expected"), {**USED, **OVERRIDDEN}.items())
def test_thespian_has_what_is_used_of_it_unchanged(name: str, expected: str) -> None:
    assert digest(name) == expected


@pytest.mark.parametrize("name", [*USED, *OVERRIDDEN])
def test_the_architecture_names_it(name: str) -> None:
    assert f"`{name.partition(':')[2]}`" in ARCHITECTURE.read_text()


def test_every_method_that_stands_for_one_of_thespians_is_among_these() -> None:
    ours = {
        f"{kind.__name__}.{name}"
        for kind in (system_base.Base, system_base.Admin, system_base.Manager)
        for ancestor in kind.__mro__
        if ancestor.__module__ == system_base.__name__
        for name in vars(ancestor)
        if any(
            name in vars(each)
            for each in kind.__mro__
            if each.__module__.startswith("thespian.")
        )
        and not name.startswith("__")
    }

    assert ours == {
        "Base._startAdmin",
        "Admin._startChildActor",
        "Admin._cleanupAdmin",
        "Admin.childDied",
        "Manager._startChildActor",
        "Manager.handleMessages",
        "Manager.actor_send",
    }


def test_a_transport_has_all_that_thespians_managers_call(
    directory: Directory,
) -> None:
    # Read off the sources of the modules that are used, not off a list.
    called = set()
    for module in ("systemBase", "systemCommon", "actorManager", "multiprocCommon"):
        source = inspect.getsource(importlib.import_module(f"thespian.system.{module}"))
        called |= set(re.findall(r"\btransport\.(\w+)\b(?! import)", source))
    unused = {
        *("prepEndpoint", "connectEndpoint", "childResetFileNumList"),
        *("enableRXPauseFlowControl", "getAddressFromString", "protectedFileNumList"),
    }

    one = transport.Transport(transport.Endpoint(directory, "one", "admin"))
    ours = {*dir(one)}
    one.close()
    assert called - unused - ours == set()
    assert unused <= called
