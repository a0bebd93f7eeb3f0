"""A requests session whose sockets keep to one deadline for a whole exchange.

The timeout of requests bounds each recv, so a server that sends a byte now and
then holds a call for as long as it likes (requests #1928). Here each blocking
call on a socket, TLS included, first lowers the socket's timeout to what is
left of the exchange. Resolving a name is the exception: getaddrinfo cannot be
interrupted, and keeps to the resolver's own limits.

Nothing is tried again here. The API forgets what it serves, so a request that
may have arrived must not be repeated; when to ask anew is for the caller.
"""

import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from http.client import HTTPResponse as RawResponse
from http.client import RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    InvalidHeader,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util.ssl_ import create_urllib3_context

from .exchange import current

__all__ = ["CarefulAdapter", "new_session", "prepared", "thread_session"]

#: Seconds after which an idle connection is not used again. Servers close idle
#: ones too, and a request that crosses with the closing gets no answer.
MAX_IDLE_S = 10.0


class _Socket(socket.socket):
    def connect(self, *args: Any) -> None:
        exchange = current()
        self.settimeout(exchange.left(exchange.limits.connect_s))
        super().connect(*args)

    def sendall(self, *args: Any) -> None:
        exchange = current()
        self.settimeout(exchange.left(exchange.limits.read_s))
        exchange.sent = True
        super().sendall(*args)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        exchange = current()
        self.settimeout(exchange.left(exchange.limits.read_s))
        count = super().recv_into(*args, **kwargs)
        exchange.received(count)
        return count


class _TLSSocket(_Socket, ssl.SSLSocket):
    def do_handshake(self, *args: Any, **kwargs: Any) -> None:
        exchange = current()
        self.settimeout(exchange.left(exchange.limits.connect_s))
        super().do_handshake(*args, **kwargs)


#: The one interim status that ends HTTP: another protocol follows it.
SWITCHING_PROTOCOLS = 101


class _Response(RawResponse):
    def begin(self) -> None:
        # The standard library passes over a 100 only, but any number of interim
        # answers may come before the final one. Source: RFC 9110, section 15.2.
        super().begin()
        while 100 <= self.status <= 199 and self.status != SWITCHING_PROTOCOLS:  # noqa: PLR2004
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _Connection(HTTPConnection):
    response_class = _Response
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        idle_s = time.monotonic() - self._used_at
        return super().is_connected and idle_s < MAX_IDLE_S

    def send(self, *args: Any, **kwargs: Any) -> None:
        super().send(*args, **kwargs)
        self._used_at = time.monotonic()

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3
        sock = self.sock
        current().sent_all(sock)
        try:
            response = super().getresponse()
        except InvalidHeader:
            # Two lengths. The half-made response holds the socket open, and
            # nobody can close it any more.
            socket.close(sock.detach())
            raise
        # http.client takes the end of the connection for the end of the headers,
        # and so would find an empty body.
        if current().ended:
            response.close()
            raise RemoteDisconnected("the connection ended within the headers")
        return response

    def _tunnel(self) -> None:
        # What a proxy is asked for is not the request: that is unsent still.
        try:
            super()._tunnel()
        finally:
            current().sent = False

    def _new_conn(self) -> socket.socket:
        try:
            return _connect(self._dns_host, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "connecting timed out") from error
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, str(error)) from error


class _TLSConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        if self.ssl_context is None:
            self.ssl_context = create_urllib3_context()
            self.ssl_context.sslsocket_class = _TLSSocket
        super().connect()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _Pool, "https": _TLSPool}


class CarefulAdapter(HTTPAdapter):
    """Sends requests over sockets that keep to the current exchange."""

    def __init__(self) -> None:
        self._last: tuple[Any, Any] = (None, None)
        self._last_path: tuple[Any, str] = (None, "")
        super().__init__(
            max_retries=Retry(
                connect=0,
                read=False,
                status=0,
                redirect=0,
                other=0,
                # Else a 503 with Retry-After counts as a failed attempt, and
                # its header is lost.
                respect_retry_after_header=False,
            )
        )

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools, of connections with a deadline."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,
        proxies: Any = None,
        cert: Any = None,
    ) -> Any:
        """Return the pool to ask; the last one, if it is for the same."""
        # To find it costs more than to ask it: the certificates are looked for on
        # the disk each time.
        asked = (request.url, verify, cert, proxies and dict(proxies))
        last, pool = self._last
        if last != asked:
            pool = super().get_connection_with_tls_context(
                request, verify, proxies=proxies, cert=cert
            )
            self._last = asked, pool
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Return what stands in the request's first line; the last one, if it is it."""
        if proxies:
            return super().request_url(request, proxies)
        last, path = self._last_path
        if last != request.url:
            path = super().request_url(request, proxies)
            self._last_path = request.url, path
        return path

    def build_response(
        self, req: requests.PreparedRequest, resp: Any
    ) -> requests.Response:
        """Return the response, of which nobody wants cookies or a text."""
        response = requests.Response()
        response.status_code, response.reason = resp.status, resp.reason
        response.headers = CaseInsensitiveDict(resp.headers)
        response.raw, response.url = resp, req.url or ""
        response.request, response.connection = req, self
        return response

    def close(self) -> None:
        """Close all connections; they are when nobody has their pool any more."""
        self._last = (None, None)
        super().close()

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pools of connections over a proxy, with a deadline as well."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


#: A source's cookies are neither kept nor sent: nobody asked for them, and they grow
#: with each answer.
_NO_COOKIES = DefaultCookiePolicy(allowed_domains=[])


def new_session() -> requests.Session:
    """Make a session for `domain.http`: no proxies, .netrc, retries or cookies."""
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(_NO_COOKIES)
    session.mount("http://", CarefulAdapter())
    session.mount("https://", CarefulAdapter())
    return session


class _Local(threading.local):
    session: requests.Session | None = None
    process: int = 0
    prepared: tuple[Any, requests.PreparedRequest | None] = (None, None)


_local = _Local()


def thread_session() -> requests.Session:
    """Return this thread's own session, made on first use and kept alive.

    A forked process gets a new one: on a shared connection each process could
    read the other's answer, and with it the other's job.
    """
    if _local.session is None or _local.process != os.getpid():
        _local.session = new_session()
        _local.process = os.getpid()
        _local.prepared = (None, None)
    return _local.session


def prepared(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> requests.PreparedRequest:
    """Return a request as this thread's session sends it.

    A source is asked the same again and again, and that session has no cookies and
    no other state: the last request is made once.
    """
    asked = (method, url, tuple(headers.items()), body)
    last, ready = _local.prepared
    if ready is None or last != asked:
        request = requests.Request(method, url, headers=headers, data=body)
        ready = thread_session().prepare_request(request)
        _local.prepared = asked, ready
    return ready


def _connect(host: str, port: int) -> socket.socket:
    failure = OSError("the name has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM
    ):
        sock = _Socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure
