"""Call an HTTP server that answers in JSON: retries, a time limit for each try, and an API key that stays secret."""

import asyncio
import email.utils
import functools
import json
import re
import ssl
import urllib.parse
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import tenacity

from pipelines.errors import UserError

T = TypeVar("T")

_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_WRONG_USE = {401, 403, 404, 405}
_MAX_BODY_BYTES = 64_000_000  # log-probabilities of long answers
_MAX_ERROR_BYTES = 10_000
_MAX_ERROR_CHARACTERS = 200


class CallFailed(UserError):
    """A call got no answer after all tries, or the server rejects what was sent."""


class _TryFailed(Exception):
    """One try failed and another can help, after `seconds` if the server asked for a pause."""

    def __init__(self, problem: str, seconds: float | None = None) -> None:
        super().__init__(problem)
        self.seconds = seconds


@dataclass(frozen=True)
class Connection:
    """A server and how it is called.

    The key is never in a record, a message or `repr`. A failed try is repeated, up to `max_tries` in all, after an
    exponential backoff from `seconds_backoff` or after the server's Retry-After, at most `max_seconds_wait`.
    `max_seconds` limits each try as a whole, from the connection to the last byte. Messages name the flag `url_flag`
    and the environment variable `key_variable`.
    """

    url: str
    _: KW_ONLY
    api_key: str | None = field(default=None, repr=False)
    max_seconds: float = 600.0
    max_tries: int = 5
    seconds_backoff: float = 1.0
    max_seconds_wait: float = 60.0
    url_flag: str = "--url"
    key_variable: str = "ENDPOINT_API_KEY"

    def __post_init__(self) -> None:
        """Raise `UserError` for an invalid URL, a URL with secrets in it, and a key with odd characters."""
        parts = urllib.parse.urlsplit(self.url)
        fix = f"write it as http(s)://host[:port]/v1, and put a key into {self.key_variable}"
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UserError(f"{self.url_flag} is not an http(s) URL with a host", fix)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise UserError(f"{self.url_flag} has a user, a query or a fragment in it, which would be recorded", fix)
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            odd = "a line break or another character that is not printable ASCII"
            raise UserError(f"the key in {self.key_variable} has {odd}", f"set {self.key_variable} again")
        object.__setattr__(self, "url", self.url.rstrip("/") + ("" if parts.path.strip("/") else "/v1"))

    @property
    def host(self) -> str:
        """Host and port, the only part of the URL that is recorded."""
        return urllib.parse.urlsplit(self.url).netloc

    def client(self) -> httpx.AsyncClient:
        """Return a client that keeps its connections open, for as many calls as are in flight."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        secure = _tls() if self.url.startswith("https") else False
        return httpx.AsyncClient(timeout=None, limits=limits, verify=secure)

    async def call(
        self,
        client: httpx.AsyncClient,
        url: str,
        body: dict[str, Any] | None = None,
        read: Callable[[Any], T] = lambda answer: answer,
    ) -> T:
        """POST `body` to `url`, or GET it without one; return what `read` makes of the JSON that comes back, or raise
        its `ValueError` as a failed try.

        Raises `UserError` if no other try can help (wrong key, model or path, a redirect), and `CallFailed` if the
        tries are used up or the server rejects `body`."""
        backoff = tenacity.wait_random_exponential(multiplier=self.seconds_backoff, max=self.max_seconds_wait)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked_for = error.seconds if isinstance(error, _TryFailed) else None
            return backoff(state) if asked_for is None else min(self.max_seconds_wait, asked_for)

        stop, retried = tenacity.stop_after_attempt(self.max_tries), tenacity.retry_if_exception_type(_TryFailed)
        retrying = tenacity.AsyncRetrying(stop=stop, wait=wait, retry=retried, reraise=True)
        try:
            return await retrying(self._try_once, client, url, body, read)
        except _TryFailed as error:
            n_tries = f"{self.max_tries} {'try' if self.max_tries == 1 else 'tries'}"
            raise CallFailed(f"{self.host}: {error} (after {n_tries})") from error

    async def _try_once(
        self, client: httpx.AsyncClient, url: str, body: dict[str, Any] | None, read: Callable[[Any], T]
    ) -> T:
        try:
            status, headers, answer = await self._send(client, url, body)
            if 200 <= status < 300:
                return read(self._read(answer))
        except (httpx.HTTPError, OSError, ValueError, RecursionError) as error:
            late = f"timed out, no complete answer in {self.max_seconds:g} seconds"
            words = late if isinstance(error, TimeoutError) else self.without_key(str(error))
            raise _TryFailed(f"{type(error).__name__}: {words}") from error
        raise self._error_of(status, headers, answer)

    async def _send(
        self, client: httpx.AsyncClient, url: str, body: dict[str, Any] | None
    ) -> tuple[int, httpx.Headers, bytes]:
        """Return status, headers and body. An error response may be incomplete: its status says enough."""
        status, headers, answer = 0, httpx.Headers(), bytearray()
        sent = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        method = "GET" if body is None else "POST"
        try:
            async with (
                asyncio.timeout(self.max_seconds),
                client.stream(method, url, json=body, headers=sent) as response,
            ):
                status, headers = response.status_code, response.headers
                async for piece in response.aiter_bytes():
                    answer += piece
                    if len(answer) > (_MAX_BODY_BYTES if response.is_success else _MAX_ERROR_BYTES):
                        break
        except (httpx.HTTPError, OSError):
            if status < 300:
                raise
        return status, headers, bytes(answer)

    def _read(self, answer: bytes) -> Any:
        """Return the JSON in an answer, without the key. Raises `ValueError`."""
        if len(answer) > _MAX_BODY_BYTES:
            raise ValueError(f"an answer of more than {_MAX_BODY_BYTES:,} bytes")
        return json.loads(self.without_key(answer.decode("utf-8")) if self.api_key else answer)

    def _error_of(self, status: int, headers: httpx.Headers, answer: bytes) -> Exception:
        """Return the error for an error response: `_TryFailed`, `CallFailed` or `UserError`."""
        said = self.without_key(" ".join(answer.decode("utf-8", "replace").split()))
        problem = f"HTTP {status}: {said[:_MAX_ERROR_CHARACTERS] or 'no reason given'}"
        if 300 <= status < 400:
            target = self.without_key(_host_of(headers.get("Location", ""))) or "another path"
            problem = f"the server at {self.host} answers with HTTP {status}, a redirect to {target}, not followed"
            return UserError(problem, f"pass the URL that it leads to as {self.url_flag}, if you trust it with the key")
        if status in _WRONG_USE:
            fix = f"check {self.url_flag} (most end in /v1), the model's name and {self.key_variable}"
            return UserError(f"the server at {self.host} answers with {problem}", fix)
        if status in _RETRIED:
            return _TryFailed(problem, _seconds_asked_for(headers.get("Retry-After")))
        return CallFailed(f"{self.host}: {problem}")

    def without_key(self, text: str) -> str:
        """Return `text` with the key replaced, also in JSON's escapes: a server may repeat a key that it rejects."""
        if not self.api_key:
            return text
        return re.sub("".join(map(_spellings, self.api_key)), "***", text)


@functools.cache
def _tls() -> ssl.SSLContext:
    """The certificates take longer to read than a small model takes to answer."""
    return httpx.create_ssl_context()


def _spellings(character: str) -> str:
    """Return a pattern for an ASCII character as it is and as a JSON string may spell it."""
    with_backslash = r"\\?" if character in '"\\/' else ""
    return rf"(?:{with_backslash}{re.escape(character)}|\\u(?i:{ord(character):04x}))"


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
