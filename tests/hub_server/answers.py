"""Requests as they come in and answers as they go out."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request, its body read. `path` is as sent, percent-encoded and without the query."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one where there is no body."""
        found = json.loads(self.body or b"{}")
        if not isinstance(found, dict):
            raise Refusal(400, "expected a JSON object")
        return found

    def flag(self, name: str) -> bool:
        """Whether a query parameter is set to a true value."""
        return (self.query.get(name) or [""])[0].lower() in ("1", "true")

    @property
    def token(self) -> str | None:
        """The bearer token, None where there is none."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" and token else None


@dataclass(frozen=True)
class Answer:
    """Status, body and headers of an answer; HEAD sends everything but the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """Ends a request with a status, the Hub's words and its error code, which the client maps to its exceptions."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}

    def answer(self) -> Answer:
        """The refusal as it goes over the wire."""
        headers = {"X-Error-Message": self.message, **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        return json_answer({"error": self.message}, self.status, headers)


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """`value` as a JSON body."""
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


def planted_answer(status: int, headers: Mapping[str, str]) -> Answer:
    """The answer of a planted fault."""
    return json_answer({"error": f"{HTTPStatus(status).phrase} (planted)"}, status, headers)


def content_answer(request: Request, content: bytes, headers: Mapping[str, str]) -> Answer:
    """The bytes of a file, or those of them that the request's Range header names."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if asked is None or not any(asked.groups()):
        return Answer(200, content, headers)
    first, last = asked.groups()
    start = int(first) if first else max(0, len(content) - int(last))
    stop = min(len(content), int(last) + 1) if first and last else len(content)
    if start >= stop:
        return Refusal(416, "range not satisfiable", headers={"Content-Range": f"bytes */{len(content)}"}).answer()
    return Answer(206, content[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"})
