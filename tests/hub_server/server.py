"""The Hub as two servers on the loopback address, its API and the storage of large files, as on two hosts."""

import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.hub_server import routes
from tests.hub_server.accounts import Accounts, Role
from tests.hub_server.answers import Answer, Request, planted_answer
from tests.hub_server.faults import Fault, next_fault
from tests.hub_server.lfs import LargeFiles
from tests.hub_server.storage import Repository, RepoType, Storage

_PART_BYTES = 10_000_000  # above this size a file is uploaded in parts, as on the Hub
_ENTRIES_IN_A_PAGE = 1000  # as on the Hub


class LocalHub:
    """A Hub that keeps its repositories below `root`, for as long as it is open as a context manager.

    `requests` is every request in order, method and path without the query. `faults` go wrong one after the other.
    `part_bytes` is the size of the parts of a large upload, `tree_page_size` that of a page of a tree.
    """

    def __init__(self, root: Path, *, part_bytes: int = _PART_BYTES, tree_page_size: int = _ENTRIES_IN_A_PAGE) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.tree_page_size = tree_page_size
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.accounts, self.storage = Accounts(), Storage(root)
        self.writing = threading.Lock()
        self.closing = threading.Event()
        self._servers = [_Server(self), _Server(self)]
        self.url, storage_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)
        self.large_files = LargeFiles(self.url, f"{storage_url}/storage", part_bytes)

    def __enter__(self) -> "LocalHub":
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add_user(
        self,
        name: str,
        role: Role = "write",
        orgs: Sequence[str | tuple[str, str]] = (),
        scopes: Sequence[str] = (),
    ) -> str:
        """A new user's token. `orgs` are organizations, or pairs of one and the role there; `scopes` are the namespaces
        that a fine-grained token may write to."""
        return self.accounts.add(name, role, orgs, scopes)

    def repository(self, repo_id: str, repo_type: RepoType = "model") -> Repository:
        """A repository as it is now."""
        found = self.storage.repository(repo_type, repo_id)
        assert found is not None, f"there is no {repo_type} {repo_id}"
        return found

    def environment(self, token: str | None = None) -> dict[str, str]:
        """The environment of a child process that uses this Hub with an empty cache of its own.

        Xet is off: since version 2 the client decides by itself whether an upload goes there, without asking the Hub.
        """
        ours = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}
        home = tempfile.mkdtemp(prefix="home-", dir=self.storage.root)
        environment = {
            **inherited,
            "HF_ENDPOINT": self.url,
            "HF_HOME": home,
            "HF_HUB_OFFLINE": "0",
            "TRANSFORMERS_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
        }
        return {**environment, "HF_TOKEN": token} if token else environment


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: LocalHub) -> None:
        self.hub = hub
        super().__init__(("127.0.0.1", 0), _Exchange)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that clients drop are what these tests are about; anything else is a fault of the server."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _CutOff(Exception):
    """The planted end of a connection."""


class _Exchange(BaseHTTPRequestHandler):
    """One connection: requests are read, faults carried out, answers sent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # answers leave in two writes, and the second would wait for an acknowledgement
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the requests are in `LocalHub.requests`."""

    def _exchange(self) -> None:
        hub, parts = self.server.hub, urlsplit(self.path)
        hub.requests.append((self.command, parts.path))
        fault = next_fault(hub.faults, f"{self.command} {parts.path}")
        try:
            body = self._body(fault)
            if fault.status is not None:
                answer = planted_answer(fault.status, fault.headers)
            else:
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = routes.answer(hub, Request(self.command, parts.path, parse_qs(parts.query), headers, body))
            if fault.lose_answer:
                raise _CutOff
            self._send(answer, fault, had_body=bool(body))
        except _CutOff:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _exchange

    def _body(self, fault: Fault) -> bytes:
        """The request's body, interrupted as planted."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            pieces = iter(self._chunk, b"")
            return self._watched(b"".join(pieces), fault)
        length = int(self.headers.get("Content-Length") or 0)
        if not length:
            return b""
        if fault.cut_after_bytes is not None:
            self.rfile.read(min(fault.cut_after_bytes, length))
            raise _CutOff
        start = self.rfile.read(length // 2)
        self._pause(fault)
        return start + self.rfile.read(length - len(start))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        piece = self.rfile.read(size)
        self.rfile.readline()
        return piece

    def _watched(self, body: bytes, fault: Fault) -> bytes:
        if fault.cut_after_bytes is not None:
            raise _CutOff
        self._pause(fault)
        return body

    def _pause(self, fault: Fault) -> None:
        if fault.seconds_delay is not None:
            self.server.hub.closing.wait(fault.seconds_delay)

    def _send(self, answer: Answer, fault: Fault, *, had_body: bool) -> None:
        body = b"" if self.command == "HEAD" else answer.body
        if not had_body and not body:
            self._pause(fault)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if had_body or not body:
            self.wfile.write(body)
            return
        if fault.cut_after_bytes is not None:
            self.wfile.write(body[: fault.cut_after_bytes])
            raise _CutOff
        self.wfile.write(body[: len(body) // 2])
        self._pause(fault)
        self.wfile.write(body[len(body) // 2 :])
