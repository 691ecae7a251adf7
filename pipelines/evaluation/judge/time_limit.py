"""A time limit for one HTTP exchange as a whole, however slowly the server feeds its bytes.

A socket's own time limit starts anew with each byte, and http.client reads headers, interim answers and the lines
between chunks as long as they come. So a timer shuts the socket down, and whoever reads from it finds its end.
"""

import contextlib
import functools
import http.client
import socket
import threading
import urllib.request
from typing import Any


class TimeLimit:
    """A context in which the connections of one request last `seconds` in all, TLS and proxy included.

    It does not bound the look-up of the host's name; connecting is bounded for each of the host's addresses.
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._lock, self._sockets = threading.Lock(), list[socket.socket]()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> "TimeLimit":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for one in self._sockets:
                one.close()
            self._sockets.clear()

    def connected(self, *address_and_more: Any) -> socket.socket:
        """`socket.create_connection`, with a limit. Raises `TimeoutError` if that is over."""
        connection = socket.create_connection(*address_and_more)
        with self._lock:
            if self.is_over:
                connection.close()
                raise TimeoutError("timed out")
            # a second descriptor of the same connection: TLS takes the first one away
            self._sockets.append(connection.dup())
        return connection

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            for one in self._sockets:
                with contextlib.suppress(OSError):  # the server may have ended it
                    one.shutdown(socket.SHUT_RDWR)


class LimitedRequest(urllib.request.Request):
    """A request whose connection `limit` ends."""

    def __init__(self, limit: TimeLimit, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.limit = limit


class LimitedHTTPHandler(urllib.request.HTTPHandler):
    """Opens a `LimitedRequest`."""

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """The answer's beginning, read within the limit."""
        return self.do_open(functools.partial(_connection, http.client.HTTPConnection, req), req)


class LimitedHTTPSHandler(urllib.request.HTTPSHandler):
    """Opens a `LimitedRequest`."""

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """The answer's beginning, read within the limit."""
        return self.do_open(functools.partial(_connection, http.client.HTTPSConnection, req), req)


def _connection(
    kind: type[http.client.HTTPConnection], request: urllib.request.Request, host: str, **more: Any
) -> http.client.HTTPConnection:
    connection = kind(host, **more)
    if isinstance(request, LimitedRequest):
        # before a proxy's tunnel and TLS, which take as long as the other side likes
        connection._create_connection = request.limit.connected  # type: ignore[attr-defined]
    return connection
