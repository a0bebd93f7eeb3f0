"""Servers for the tests: scripted ones that misbehave, and the real one."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

#: Gets the connection once a request came in, and an event for when to give up.
#: After it returns the connection is closed, or kept if it returned True.
Script = Callable[[socket.socket, threading.Event], object]


class ScriptedServer:
    """Reads requests and leaves the answers to a script."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script = script
        self._context = context
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        scheme = "https" if self._context else "http"
        return f"{scheme}://localhost:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        self._stopping.set()
        for sock in (self._listener, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            with suppress(OSError):
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.add(connection)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if self._context is None:
                self._converse(connection)
            else:
                with self._context.wrap_socket(connection, server_side=True) as tls:
                    self._converse(tls)

    def _converse(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            keep: object = True
            while keep is True and not self._stopping.is_set():
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = stream.readline()
                    if not line:
                        return
                    head += line
                self.requests.append(head)
                keep = self._script(connection, self._stopping)


Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a scripted server."""
    with ExitStack() as stack:

        def start(
            script: Script, context: ssl.SSLContext | None = None
        ) -> ScriptedServer:
            server = ScriptedServer(script, context)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def answer(serve: Serve) -> Callable[[bytes], ScriptedServer]:
    """Start a server that answers each request with the same bytes, then closes."""
    return lambda data: serve(lambda connection, _: connection.sendall(data))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for localhost that nobody else trusts, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    cert, key = folder / "cert.pem", folder / "key.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-out", str(cert), "-keyout", str(key)]
    command = [openssl, *options.split(), *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="session")
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """Make the server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def number_server() -> Iterator[str]:
    """Run the demo API with three numbers in it."""
    root = Path(__file__).parents[2]
    options = ["--port", "0", "--every", "0", "--preload", "3", "--seed", "1"]
    command = [sys.executable, str(root / "number_server.py"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()
