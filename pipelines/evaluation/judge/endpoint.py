"""Call an OpenAI-compatible endpoint: retries, a time limit for each try, and an API key that stays secret.

POST {url}/chat/completions with `model`, `messages` and `temperature`, as vLLM, llama.cpp, Ollama and hosted services
accept it.
"""

import asyncio
import email.utils
import json
import os
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import tenacity

from pipelines.errors import UserError

API_KEY_VARIABLE = "JUDGE_API_KEY"
TEMPERATURE = 0.0
_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_WRONG_USE = {401, 403, 404, 405}
_MAX_BODY_BYTES = 4_000_000
_MAX_ERROR_BYTES = 10_000
_MAX_ERROR_CHARACTERS = 200


class CallFailed(Exception):
    """A call got no answer after all tries."""


class _TryFailed(Exception):
    """One try failed and another can help, after `seconds` if the server asked for a pause."""

    def __init__(self, problem: str, seconds: float | None = None) -> None:
        super().__init__(problem)
        self.seconds = seconds


@dataclass(frozen=True)
class JudgeEndpoint:
    """An endpoint and how it is called.

    `url` ends before /chat/completions. The key is never in a record, a message or `repr`. A failed try is repeated, up
    to `max_tries` in all, after an exponential backoff from `seconds_backoff` or after the server's Retry-After, at
    most `max_seconds_wait`. `max_seconds` limits each try as a whole, from the connection to the last byte.
    """

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    max_answer_tokens: int = 1024
    max_seconds: float = 120.0
    max_tries: int = 5
    seconds_backoff: float = 1.0
    max_seconds_wait: float = 60.0
    n_at_once: int = 4

    def __post_init__(self) -> None:
        """Raise `UserError` for an invalid URL, a URL with secrets in it, and a key with odd characters."""
        parts = urllib.parse.urlsplit(self.url)
        fix = f"write it as http(s)://host[:port]/v1, and put a key into {API_KEY_VARIABLE}"
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UserError("--judge_url is not an http(s) URL with a host", fix)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise UserError("--judge_url has a user, a query or a fragment in it, which would be recorded", fix)
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            problem = f"the key in {API_KEY_VARIABLE} has a line break or another character that is not printable ASCII"
            raise UserError(problem, f"set {API_KEY_VARIABLE} again")

    @classmethod
    def with_key_from_environment(cls, url: str, model: str) -> "JudgeEndpoint":
        """Return the endpoint with the key in the environment variable JUDGE_API_KEY, or without one if it is unset."""
        return cls(url, model, os.environ.get(API_KEY_VARIABLE, "").strip() or None)

    @property
    def host(self) -> str:
        """Host and port, the only part of the URL that is recorded."""
        return urllib.parse.urlsplit(self.url).netloc

    def body(self, messages: Sequence[dict[str, str]]) -> dict[str, Any]:
        """Return the request body."""
        asked = {"model": self.model, "messages": list(messages)}
        return asked | {"temperature": TEMPERATURE, "max_tokens": self.max_answer_tokens}

    def answer(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the endpoint's answer to `messages`. Raises `UserError` if no other try can help (wrong key, model or
        path, a redirect), and `CallFailed` if the tries are used up or the endpoint rejects these messages."""
        backoff = tenacity.wait_random_exponential(multiplier=self.seconds_backoff, max=self.max_seconds_wait)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked_for = error.seconds if isinstance(error, _TryFailed) else None
            return backoff(state) if asked_for is None else min(self.max_seconds_wait, asked_for)

        stop, retried = tenacity.stop_after_attempt(self.max_tries), tenacity.retry_if_exception_type(_TryFailed)
        try:
            return tenacity.Retrying(stop=stop, wait=wait, retry=retried, reraise=True)(self._try_once, messages)
        except _TryFailed as error:
            raise CallFailed(f"{error} (after {self.max_tries} tries)") from error

    def _try_once(self, messages: Sequence[dict[str, str]]) -> str:
        try:
            status, headers, body = asyncio.run(self._post(messages))
            if 200 <= status < 300:
                return self.without_key(_content(body))
        except (httpx.HTTPError, OSError, ValueError, RecursionError) as error:
            late = f"timed out, no complete answer in {self.max_seconds:g} seconds"
            words = late if isinstance(error, TimeoutError) else self.without_key(str(error))
            raise _TryFailed(f"{type(error).__name__}: {words}") from error
        raise self._error_of(status, headers, body)

    async def _post(self, messages: Sequence[dict[str, str]]) -> tuple[int, httpx.Headers, bytes]:
        """Return status, headers and body. An error response may be incomplete: its status says enough."""
        status, headers, body = 0, httpx.Headers(), b""
        try:
            async with (
                asyncio.timeout(self.max_seconds),
                httpx.AsyncClient(timeout=None) as client,
                client.stream(
                    "POST",
                    f"{self.url.rstrip('/')}/chat/completions",
                    json=self.body(messages),
                    headers={"Authorization": f"Bearer {self.api_key}"} if self.api_key else {},
                ) as response,
            ):
                status, headers = response.status_code, response.headers
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > (_MAX_BODY_BYTES if response.is_success else _MAX_ERROR_BYTES):
                        break
        except (httpx.HTTPError, OSError):
            if status < 300:
                raise
        return status, headers, body

    def _error_of(self, status: int, headers: httpx.Headers, body: bytes) -> Exception:
        """Return the error for an error response: `_TryFailed`, `CallFailed` or `UserError`."""
        said = self.without_key(" ".join(body.decode("utf-8", "replace").split()))
        problem = f"HTTP {status}: {said[:_MAX_ERROR_CHARACTERS] or 'no reason given'}"
        if 300 <= status < 400:
            target = self.without_key(_host_of(headers.get("Location", ""))) or "another path"
            problem = f"the judge at {self.host} answers with HTTP {status}, a redirect to {target}, not followed"
            return UserError(problem, "pass the URL that it leads to as --judge_url, if you trust it with the key")
        if status in _WRONG_USE:
            fix = f"check --judge_url (it ends before /chat/completions), --judge_model and {API_KEY_VARIABLE}"
            return UserError(f"the judge {self.model} at {self.host} answers with {problem}", fix)
        if status in _RETRIED:
            return _TryFailed(problem, _seconds_asked_for(headers.get("Retry-After")))
        return CallFailed(problem)

    def without_key(self, text: str) -> str:
        """Return `text` with the key replaced, also in JSON's escapes: a server may repeat a key that it rejects."""
        if not self.api_key:
            return text
        return re.sub("".join(map(_spellings, self.api_key)), "***", text)


def _spellings(character: str) -> str:
    """Return a pattern for an ASCII character as it is and as a JSON string may spell it."""
    with_backslash = r"\\?" if character in '"\\/' else ""
    return rf"(?:{with_backslash}{re.escape(character)}|\\u(?i:{ord(character):04x}))"


def _content(body: bytes) -> str:
    """Return the text in a chat completion, "" if the model refused to write any. Raises `ValueError`."""
    if len(body) > _MAX_BODY_BYTES:
        raise ValueError(f"an answer of more than {_MAX_BODY_BYTES:,} bytes")
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise ValueError("no choices[0].message.content in the answer") from None
    return content if isinstance(content, str) else ""


def _host_of(url: str) -> str:
    try:
        return urllib.parse.urlsplit(url).netloc
    except ValueError:
        return ""


def _seconds_asked_for(retry_after: str | None) -> float | None:
    """Return Retry-After (seconds or a date, RFC 9110 section 10.2.3) in seconds, None if it is neither."""
    try:
        return max(0.0, float(retry_after or ""))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(retry_after or "")
        return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
