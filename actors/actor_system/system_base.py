"""A Thespian system base of our own: who starts whom, and over which transport.

Thespian lets a base be handed in, and its managers be subclassed. What is used of
it, and what is overridden, stands in docs/architecture.md; a test fails by name
where another Thespian has changed one of these.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import multiprocessing
import os
import signal
import sys
import traceback
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from thespian import actors
from thespian.actors import ActorAddress, ActorSystemMessage, ThespianWatch
from thespian.system import multiprocCommon
from thespian.system.messages import admin as admin_messages
from thespian.system.messages.multiproc import EndpointConnected
from thespian.system.systemCommon import actorStartupFailed
from thespian.system.transport import ReceiveEnvelope, TransmitIntent

from actors.actor_system.sockets import Directory, new_name
from actors.actor_system.transport import Endpoint, Transport
from actors.host import crash_signals, descendants, keeper, process_end, unpickling
from actors.host.linux import die_with_parent, kill

with contextlib.suppress(ModuleNotFoundError):
    # Not on Windows; only a process of ours needs it.
    import resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

VERSION = "4.0.1"
#: How long the processes of a system may take to be gone once killed, in seconds.
GONE_WITHIN_S = 2.0
#: What Thespian's own processes say to one another in a system of one machine.
THESPIANS: tuple[type, ...] = (
    actors.ActorAddress,
    actors.ActorExitRequest,
    actors.ChildActorExited,
    actors.DeadEnvelope,
    actors.PoisonMessage,
    admin_messages.QueryExists,
    admin_messages.QueryAck,
    admin_messages.PendingActor,
    admin_messages.PendingActorResponse,
    admin_messages.HandleDeadLetters,
    admin_messages.NewCapabilities,
    admin_messages.SystemShutdown,
    admin_messages.SystemShutdownCompleted,
    EndpointConnected,
)
#: What ends an actor in an orderly way; the rest of what can be caught is ignored.
_ENDING = frozenset({signal.SIGTERM, signal.SIGQUIT})
_LEFT_ALONE = frozenset(
    {signal.SIGCONT, signal.SIGPIPE, signal.SIGKILL, signal.SIGSTOP}
)
#: Once for all processes: an enumeration makes its members of numbers one by one.
_CAUGHT = tuple(signal.valid_signals() - _LEFT_ALONE)


class SystemStartError(RuntimeError):
    """There is no actor system."""


def check_version() -> None:
    """Make sure that it is the Thespian that this was made for.

    Raises:
        SystemStartError: It is another one.
    """
    found = importlib.metadata.version("thespian")
    if found != VERSION:
        raise SystemStartError(f"thespian {VERSION} is needed, found {found}")


class Base(multiprocCommon.multiprocessCommon):  # type: ignore[misc]
    """The main process's way to its actors.

    Attributes:
        keeper: The process that all the others run under, once it is started.
    """

    def __init__(
        self, directory: Directory, admitted: Iterable[Callable[..., Any]]
    ) -> None:
        check_version()
        unpickling.admit(THESPIANS)
        unpickling.admit(admitted)
        self.keeper: multiprocessing.Process | None = None
        self._endpoint = Endpoint(directory, new_name("main"), new_name("admin"))
        self.transportType = lambda *_: Transport(self._endpoint)
        capabilities = {"Process Startup Method": "fork"}
        try:
            super().__init__(SimpleNamespace(capabilities=capabilities))
        except BaseException:
            self.end()
            raise

    def _startAdmin(
        self,
        adminAddr: ActorAddress,
        addrOfStarter: ActorAddress,
        capabilities: dict[str, Any],
        logDefs: Any,  # noqa: ARG002 - there is no logger
    ) -> None:
        endpoint = replace(self._endpoint, name=adminAddr.addressDetails)
        self.keeper = _start(
            self.mpcontext, _run_admin, endpoint, addrOfStarter, capabilities
        )
        told = self.transport.run(None, multiprocCommon.MAX_ADMIN_STARTUP_DELAY)
        if not isinstance(told, ReceiveEnvelope):
            raise actors.InvalidActorAddress(adminAddr, "not there in time")

    def end(self) -> None:
        """End all processes of the system at once, whatever they have started."""
        top = self.keeper
        if top is not None and top.pid is not None:
            # It ends all that is below it first.
            with contextlib.suppress(ProcessLookupError):
                os.kill(top.pid, signal.SIGTERM)
            top.join(GONE_WITHIN_S)
            if top.is_alive():
                descendants.end_all(top.pid)
                kill(top.pid)
                top.join(GONE_WITHIN_S)
            descendants.end_kept(top.pid)
        if hasattr(self, "transport"):
            self.transport.close()


def _start(context: Any, run: Callable[..., None], *args: Any) -> Any:
    # Processes that are joined at the end of this one would keep it from ending.
    process = context.Process(target=_run, args=(run, *args))
    process.start()
    multiprocCommon.detach_child(process)
    return process


def _run(run: Callable[..., None], *args: Any) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - it was just started
    assert parent.pid is not None  # noqa: S101
    die_with_parent(parent.pid)
    run(*args)


def _run_admin(
    endpoint: Endpoint,
    starter: ActorAddress,
    capabilities: dict[str, Any],
) -> None:
    # In a session of its own, it hears of no Ctrl-C; what ends it, ends all below it.
    os.setsid()
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keeper.keep()
    try:
        _serve(endpoint, starter, capabilities)
    except BaseException:  # noqa: BLE001 - it is written where it can be seen
        traceback.print_exc()
    finally:
        keeper.end()


def _serve(
    endpoint: Endpoint, starter: ActorAddress, capabilities: dict[str, Any]
) -> None:
    _log_nothing()
    transport = Transport(endpoint)
    multiprocCommon.setProcName("Admin", transport.myAddress)
    context = multiprocCommon.get_multiproc_context(capabilities)
    admin = Admin(transport, transport.myAddress, capabilities, None, context)
    crash_signals.set_handler(signal.SIGCHLD, admin.signalChildDied)
    crash_signals.set_handler(signal.SIGUSR1, _ignore)
    transport.scheduleTransmit(None, TransmitIntent(starter, EndpointConnected(0)))
    admin._activate()  # noqa: SLF001 - as its logger would do, if it had one
    admin.run()


def _run_actor(*args: Any) -> None:
    # As it comes, an actor ends without ``atexit``, in the group of all others.
    os.setpgid(0, 0)
    os.environ[descendants.STAGE] = str(os.getpid())
    process_end.begin()
    try:
        _act(*args)
    except BaseException:  # noqa: BLE001 - it is written where it can be seen
        traceback.print_exc()
    finally:
        # Whatever comes: what called this is the stage that this was forked from.
        process_end.finish()


def _act(
    endpoint: Endpoint,
    stage_class: str,
    global_name: str | None,
    parent: ActorAddress,
    capabilities: dict[str, Any],
    requirements: Any,
) -> None:
    transport = Transport(endpoint)
    context = multiprocCommon.get_multiproc_context(capabilities)
    manager = Manager(
        *(stage_class, global_name, transport, None, None, parent),
        *(transport.getAdminAddr(capabilities),),
        *(requirements, capabilities, context, None),
    )
    manager.asLogger = transport.myAddress  # there is none; it asks whether there is
    connected = TransmitIntent(parent, EndpointConnected(endpoint.number))
    transport.scheduleTransmit(
        None, connected.addCallback(onFailure=actorStartupFailed)
    )
    multiprocCommon.setProcName(stage_class.rpartition(".")[2], transport.myAddress)
    _catch_signals(manager)
    manager.run()


def _catch_signals(manager: Manager) -> None:
    def end(*_: Any) -> None:
        manager.transport.interrupt_wait(signal_shutdown=True)

    for number in _CAUGHT:
        # The handler of libraries for a thread's own cannot be replaced.
        with contextlib.suppress(OSError, ValueError):
            if number == signal.SIGCHLD:
                crash_signals.set_handler(number, manager.signalChildDied)
            else:
                crash_signals.set_handler(number, end if number in _ENDING else _ignore)


def _ignore(*_: Any) -> None:
    """Do nothing; unlike ``SIG_IGN``, programs that are started do not inherit it."""


def _log_nothing() -> None:
    # What Thespian's admin tells is for whoever looks into it; the rest is ours.
    root = logging.RootLogger(logging.WARNING)
    root.addHandler(logging.NullHandler())
    logging.root = root
    logging.Logger.root = root
    logging.Logger.manager = logging.Manager(root)


class _Starts:
    """How both of Thespian's managers start a process for an actor."""

    def _startChildActor(  # noqa: PLR0913, PLR0917 - Thespian's
        self: Any,
        childAddr: ActorAddress,
        childClass: Any,
        globalName: str | None,
        parentAddr: ActorAddress,
        notifyAddr: ActorAddress,  # noqa: ARG002 - the parent, always
        childRequirements: Any = None,
        sourceHash: Any = None,  # noqa: ARG002 - no source is ever sent
        sourceToLoad: Any = None,  # noqa: ARG002
    ) -> None:
        number = childAddr.addressDetails.addressInstanceNum
        name = getattr(childClass, "__name__", str(childClass).rpartition(".")[2])
        stage_class = childClass
        if not isinstance(stage_class, str):
            stage_class = f"{sys.modules[stage_class.__module__].__name__}.{name}"
        endpoint = self.transport.endpoint.another(name, number)
        process = _start(
            *(self.mpcontext, _run_actor, endpoint, stage_class, globalName),
            *(parentAddr, self.capabilities, childRequirements),
        )
        if not hasattr(self, "_child_procs"):
            self._child_procs = []
        self._child_procs.append(
            multiprocCommon.ChildInfo(childAddr, childClass, process, number)
        )


class Admin(_Starts, multiprocCommon.MultiProcAdmin):  # type: ignore[misc]
    """The process at the top, which starts the root and keeps all; it has no logger."""

    def __init__(self, transport: Transport, *args: Any) -> None:
        super().__init__(transport, *args)
        self.asLogger = transport.myAddress

    def childDied(self) -> Any:
        """Hear that a process has ended: the root, or what has lost its parent."""
        goes_on = super().childDied()
        keeper.forget_orphans([each.childProc.pid for each in self._child_procs])
        return goes_on

    def _cleanupAdmin(self, finish_cleanup: Callable[[], None]) -> None:
        finish_cleanup()


class Manager(_Starts, multiprocCommon.MultiProcManager):  # type: ignore[misc]
    """One actor's process: what is not Thespian's own goes straight through.

    Thespian would describe each message for a log that is off, count it by name,
    and hold up whoever sends more than 4,480 in a second.
    """

    def handleMessages(self, envelope: ReceiveEnvelope) -> Any:
        """Handle one message; falsy ends it."""
        message = envelope.message
        if isinstance(message, ActorSystemMessage) and not isinstance(
            message, (actors.WakeupMessage, actors.WatchMessage)
        ):
            return super().handleMessages(envelope)
        if getattr(self, "_exiting", False):
            return True
        watch = self.actorInst.receiveMessage(message, envelope.sender)
        fds = watch.filenos if isinstance(watch, ThespianWatch) else []
        self.transport.set_watch(fds)
        while self._receiveQueue:
            if not super().handleMessages(self._receiveQueue.pop(0)):
                return False
        return True

    def actor_send(self, targetAddr: ActorAddress, msg: Any) -> None:
        """Send a message; to one whose address is not known yet, once it is."""
        address = self._addrManager.exportAddr(targetAddr)
        if address is not None:
            try:
                self.transport.send(address.addressDetails, msg)
            except Exception:  # noqa: BLE001 - Thespian waits, or says what is wrong
                address = None
        if address is None:
            super().actor_send(targetAddr, msg)

    def take_too_long(self) -> list[tuple[Any, int]]:
        """Messages that were too long to be sent, with their sizes; each once."""
        taken: list[tuple[Any, int]] = self.transport.too_long
        self.transport.too_long = []
        return taken
