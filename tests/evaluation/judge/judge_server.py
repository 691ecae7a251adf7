"""A real OpenAI-compatible endpoint on this machine, with a function as its judge."""

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.endpoint.client import Endpoint
from pipelines.evaluation.judge.judging import judge_endpoint
from tests.http_server import JsonHandler, http_server

os.environ["no_proxy"] = "127.0.0.1"
KEY = "sk-a-secret-of-the-tests"
_FENCE = r"\n=== \w+ "
_PARTS = re.compile(rf"request\n(.*){_FENCE}first answer\n(.*){_FENCE}second answer\n(.*){_FENCE}end", re.S)


@dataclass(frozen=True)
class Asked:
    """One request to the server; `first` and `second` are the answers in it."""

    path: str
    authorization: str | None
    body: dict[str, Any]
    first: str
    second: str


@dataclass(frozen=True)
class Reply:
    """What the server sends back."""

    content: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None


def verdict(winner: str, reason: str = "because") -> Reply:
    """A reply in the form that the judge is asked for."""
    return Reply(json.dumps({"reason": reason, "winner": winner}))


def longer_wins(asked: Asked) -> Reply:
    """A judge that is fair and likes length."""
    difference = len(asked.first) - len(asked.second)
    return verdict("first" if difference > 0 else "second" if difference < 0 else "tie")


@dataclass
class JudgeServer:
    """The address of the server and all requests to it."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    def endpoint(self, **changes: Any) -> Endpoint:
        """An endpoint with short pauses."""
        quick = {"max_seconds": 5.0, "seconds_backoff": 0.001, "max_tries": 3}
        return replace(judge_endpoint(self.url, "judge-1"), api_key=KEY, **{**quick, **changes})


@contextmanager
def judge_server(judge: Callable[[Asked], Reply]) -> Iterator[JudgeServer]:
    """A server that answers as `judge` says, for as long as the block lasts."""

    class Handler(JsonHandler):
        def do_POST(self) -> None:
            body = self.body()
            parts = _PARTS.search(body["messages"][-1]["content"])
            first, second = (parts[2], parts[3]) if parts else ("", "")
            asked = Asked(self.path, self.headers.get("Authorization"), body, first, second)
            server.asked.append(asked)
            self.reply(judge(asked))

        def do_GET(self) -> None:
            server.asked.append(Asked(self.path, self.headers.get("Authorization"), {}, "", ""))
            self.reply(Reply("followed"))

        def reply(self, reply: Reply) -> None:
            message = {"choices": [{"message": {"role": "assistant", "content": reply.content}}]}
            self.send(message if reply.text is None else reply.text.encode(), reply.status, reply.headers)

    with http_server(Handler) as address:
        server = JudgeServer(f"{address}/v1")
        yield server


@contextmanager
def endless_server(beginning: bytes, repeated: bytes) -> Iterator[str]:
    """The address of a server that sends `beginning`, and then `repeated` every 20 ms until its client hangs up."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = listening.accept()
        except OSError:
            return  # nobody came
        with connection:
            give_up = time.monotonic() + 2
            try:
                connection.recv(65_536)
                connection.sendall(beginning)
                while time.monotonic() < give_up:
                    connection.sendall(repeated)
                    time.sleep(0.02)
            except OSError:
                return  # the client has waited long enough

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        listening.close()
        thread.join()
