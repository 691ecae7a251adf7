"""An OpenAI-compatible endpoint: one question, one answer as text; retries, time limits, and a key that stays secret.

POST {url}/chat/completions with `model`, `messages` and `temperature`, as vLLM, llama.cpp, Ollama and the hosted
services take it. By the standard library alone, whose client is always there.
"""

import email.utils
import http.client
import json
import os
import random
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from pipelines.errors import UserError
from pipelines.evaluation.judge.time_limit import LimitedHTTPHandler, LimitedHTTPSHandler, LimitedRequest, TimeLimit

API_KEY_VARIABLE = "JUDGE_API_KEY"
TEMPERATURE = 0.0
_WORTH_ANOTHER_TRY = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_GOOD = range(200, 300)
_WRONG_USE = {401, 403, 404, 405}
_MAX_BODY_BYTES = 4_000_000
_MAX_BYTES_OF_REFUSAL = 10_000
_MAX_CHARACTERS_OF_REFUSAL = 200


class CallFailed(Exception):
    """One call without an answer, after all tries."""


@dataclass(frozen=True)
class JudgeEndpoint:
    """Where the judge is and how it is asked.

    `url` ends before /chat/completions. The key is never in a record, a message or `repr`. A failed try is repeated up
    to `max_tries` in all, after `seconds_backoff`, twice that, four times that, or after what the server asks for,
    never longer than `max_seconds_wait`. `max_seconds` bounds each try as a whole, from its connection on; before it
    only each address of the host, and not the look-up of its name.
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
        """Raises `UserError` for a URL that cannot be one, that holds a password, and for a key with odd characters."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            self._refuse_url(f"{parts.scheme or 'no scheme'} and {'a' if parts.hostname else 'no'} host")
        if "@" in parts.netloc or parts.query or parts.fragment:
            self._refuse_url("a user, a query or a fragment in it, which would be recorded")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise UserError(
                expected=f"a key of printable ASCII characters in {API_KEY_VARIABLE}",
                got="others, perhaps a line end",
                remedy=f"set {API_KEY_VARIABLE} again",
            )

    @classmethod
    def with_key_from_environment(cls, url: str, model: str) -> "JudgeEndpoint":
        """The endpoint with the key of the environment variable JUDGE_API_KEY, without one if that is not set."""
        return cls(url, model, os.environ.get(API_KEY_VARIABLE, "").strip() or None)

    @property
    def host(self) -> str:
        """Host and port, all that a record says of the URL."""
        return urllib.parse.urlsplit(self.url).netloc

    def body(self, messages: Sequence[dict[str, str]]) -> dict[str, Any]:
        """What is posted."""
        return {
            "model": self.model,
            "messages": list(messages),
            "temperature": TEMPERATURE,
            "max_tokens": self.max_answer_tokens,
        }

    def answer(self, messages: Sequence[dict[str, str]]) -> str:
        """The endpoint's text for `messages`.

        Raises `UserError` where no other try can help (a wrong key, model or path, a redirect), `CallFailed` where the
        tries are used up or the endpoint refuses these messages.
        """
        for n_tries in range(1, self.max_tries + 1):
            limit, wait = TimeLimit(self.max_seconds), None
            try:
                with limit:
                    response, body = self._posted(messages, limit)
                if response.status in _GOOD:
                    return self.without_key(_content(json.loads(body)))
                problem = self._problem(response, body)
                wait = _seconds_asked_for(response.headers.get("Retry-After"))
            except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
                problem = f"{type(error).__name__}: {self.without_key(str(error))}"
                if limit.is_over:  # what a connection that was shut down raises says nothing
                    problem = f"TimeoutError: timed out, no whole answer in {self.max_seconds:g} seconds"
            if n_tries == self.max_tries:
                raise CallFailed(f"{problem} (after {n_tries} tries)")
            self._wait(n_tries, wait)
        raise AssertionError("max_tries is at least 1")

    def _posted(self, messages: Sequence[dict[str, str]], limit: TimeLimit) -> tuple[http.client.HTTPResponse, bytes]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        request = LimitedRequest(
            limit,
            f"{self.url.rstrip('/')}/chat/completions",
            data=json.dumps(self.body(messages)).encode(),
            headers=headers,
            method="POST",
        )
        with _OPENER.open(request, timeout=self.max_seconds) as response:
            return response, _body(response) if response.status in _GOOD else _words_of_refusal(response)

    def _problem(self, response: http.client.HTTPResponse, body: bytes) -> str:
        """Why the server refused, where another try may help. Raises `UserError` and `CallFailed` where none can."""
        said = self.without_key(" ".join(body.decode("utf-8", "replace").split()))
        problem = f"HTTP {response.status}: {said[:_MAX_CHARACTERS_OF_REFUSAL] or 'no reason given'}"
        if 300 <= response.status < 400:
            self._refuse_redirect(response)
        if response.status in _WRONG_USE:
            self._refuse_answer(problem)
        if response.status not in _WORTH_ANOTHER_TRY:
            raise CallFailed(problem)
        return problem

    def without_key(self, text: str) -> str:
        """`text` without the key, as it is or in JSON's escapes: a server may repeat the key that it refuses."""
        if not self.api_key:
            return text
        return re.sub("".join(map(_spellings, self.api_key)), "***", text)

    def _wait(self, n_tries: int, asked_for: float | None) -> None:
        """Jitter keeps calls that failed together from coming back together."""
        backoff = self.seconds_backoff * 2 ** (n_tries - 1) * random.uniform(0.5, 1.0)
        time.sleep(min(self.max_seconds_wait, backoff if asked_for is None else asked_for))

    def _refuse_url(self, got: str) -> NoReturn:
        raise UserError(
            expected="--judge_url as http(s)://host[:port]/v1",
            got=got,
            remedy=f"write it in full; a key goes into {API_KEY_VARIABLE}",
        )

    def _refuse_redirect(self, response: http.client.HTTPResponse) -> NoReturn:
        try:
            host = urllib.parse.urlsplit(response.headers.get("Location") or "").netloc
        except ValueError:
            host = ""
        raise UserError(
            expected=f"a judge at {self.host}",
            got=f"HTTP {response.status}, a redirect to {self.without_key(host) or 'another path'}, "
            "which is not followed",
            remedy="give the URL that it leads to as --judge_url, if you trust it with the key",
        )

    def _refuse_answer(self, got: str) -> NoReturn:
        raise UserError(
            expected=f"a judge {self.model} at {self.host}",
            got=got,
            remedy=f"check --judge_url (it ends before /chat/completions), --judge_model and {API_KEY_VARIABLE}",
        )


def _spellings(character: str) -> str:
    """A pattern for an ASCII character as it is and as a JSON string may have it."""
    with_backslash = r"\\?" if character in '"\\/' else ""
    return rf"(?:{with_backslash}{re.escape(character)}|\\u(?i:{ord(character):04x}))"


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """Leaves all answers to the caller; so none is followed elsewhere, where urllib would take the key along."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:  # noqa: ARG002  (urllib's name)
        return response

    https_response = http_response


_OPENER = urllib.request.build_opener(_EveryStatus, LimitedHTTPHandler, LimitedHTTPSHandler)


def _body(response: http.client.HTTPResponse) -> bytes:
    body = response.read(_MAX_BODY_BYTES + 1)
    if len(body) > _MAX_BODY_BYTES:
        raise ValueError(f"an answer of more than {_MAX_BODY_BYTES:,} bytes")
    return body


def _words_of_refusal(response: http.client.HTTPResponse) -> bytes:
    """The beginning of the body; nothing if the server breaks off, for its status has said enough."""
    try:
        return response.read(_MAX_BYTES_OF_REFUSAL)
    except (OSError, http.client.HTTPException, ValueError):
        return b""


def _content(value: Any) -> str:
    """The text in a chat completion; an empty one where the model refused to write any."""
    try:
        content = value["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise ValueError("no choices[0].message.content in the answer") from None
    return content if isinstance(content, str) else ""


def _seconds_asked_for(retry_after: str | None) -> float | None:
    """Retry-After in seconds or as a date (RFC 9110, section 10.2.3), None where it says neither."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
