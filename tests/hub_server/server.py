"""The HTTP server of the local Hub, and the faults that it plants."""

import json
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from huggingface_hub import constants

from tests.http_server import HttpServer
from tests.hub_server import routes
from tests.hub_server.repositories import Account, Repository, RepoType, Role


@dataclass
class Fault:
    """A planted fault for the next `times` requests that match `pattern`, a regular expression on "METHOD /path".

    `status` (with `headers`, `body`) replaces the real answer. `cut_after_bytes` closes the connection after so many
    bytes of the request's body, or of the answer's body for a request without one. `lose_answer` carries out the
    request and closes the connection without an answer. `seconds_delay` waits before the answer.
    """

    pattern: str
    status: int | None = None
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after_bytes: int | None = None
    lose_answer: bool = False
    seconds_delay: float = 0.0


class LocalHub:
    """A Hub in memory, open as a context manager. `requests` lists method and path of each request in order, `faults`
    are planted one after the other. `root` is for the caches of child processes."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.accounts: dict[str, Account] = {}
        self.repositories: dict[tuple[RepoType, str], Repository] = {}
        self.lock, self.closing = threading.Lock(), threading.Event()
        self._server = _Server(self)
        self.url = self._server.url

    def __enter__(self) -> "LocalHub":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def add_user(
        self, name: str, role: Role = "write", orgs: Sequence[str | tuple[str, str]] = (), scopes: Sequence[str] = ()
    ) -> str:
        """A new user's token. An organization is a name, or a name and the role there (default write); `scopes` are
        the namespaces that a fine-grained token may write to."""
        token = f"hf_{secrets.token_hex(17)}"
        roles = dict((org, "write") if isinstance(org, str) else org for org in orgs)
        self.accounts[token] = Account(name, role, roles, tuple(scopes))
        return token

    def repository(self, repo_id: str, repo_type: RepoType = "model") -> Repository:
        return self.repositories[repo_type, repo_id]

    def next_fault(self, request_line: str) -> Fault:
        """The first fault that is left for this request, counted down."""
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.pattern, request_line):
                fault.times -= 1
                return fault
        return Fault(pattern="")

    def environment(self, token: str | None = None) -> dict[str, str]:
        """The environment of a child process that uses this Hub with an empty cache of its own.

        Xet is off: since version 2 the client decides on its own whether an upload goes there.
        """
        ours = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}
        environment |= {
            "HF_ENDPOINT": self.url, "HF_HOME": tempfile.mkdtemp(prefix="home-", dir=self.root), "HF_HUB_OFFLINE": "0",
            "TRANSFORMERS_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        return {**environment, "HF_TOKEN": token} if token else environment


def ask_from_this_process(hub: LocalHub, patch: pytest.MonkeyPatch) -> None:
    """Point huggingface_hub, which reads its environment at import, to `hub` until `patch` is undone."""
    patch.setattr(constants, "ENDPOINT", hub.url)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)


class _Server(HttpServer):
    def __init__(self, hub: LocalHub) -> None:
        self.hub = hub
        super().__init__(_Exchange)


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two writes, and the second would wait for an acknowledgement
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the requests are in `LocalHub.requests`."""

    def _exchange(self) -> None:
        hub, parts = self.server.hub, urlsplit(self.path)
        with hub.lock:
            if parts.path != "/api/agent-harnesses":  # the client asks for this list once a day, whatever is asked
                hub.requests.append((self.command, parts.path))
            fault = hub.next_fault(f"{self.command} {parts.path}")
        length, is_chunked = int(self.headers.get("Content-Length") or 0), "Transfer-Encoding" in self.headers
        if fault.cut_after_bytes is not None and (length or is_chunked):
            self.rfile.read(min(fault.cut_after_bytes, length))
            self.close_connection = True
            return
        body = b"".join(iter(self._chunk, b"")) if is_chunked else self.rfile.read(length)
        hub.closing.wait(fault.seconds_delay)
        if fault.status is not None:
            planted = fault.body if fault.body is not None else json.dumps({"error": "planted"}).encode()
            answer = routes.Answer(fault.status, planted, {"Content-Type": "application/json", **fault.headers})
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            with hub.lock:
                answer = routes.answer(
                    hub, routes.Request(self.command, parts.path, parse_qs(parts.query), headers, body)
                )
        if fault.lose_answer:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: fault.cut_after_bytes])
        self.close_connection = self.close_connection or fault.cut_after_bytes is not None

    do_GET = do_HEAD = do_POST = do_PUT = _exchange

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        piece = self.rfile.read(size)
        self.rfile.readline()
        return piece
