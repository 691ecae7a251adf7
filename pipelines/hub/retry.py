"""Retry calls to the Hub while it is busy or the connection breaks; raise other failures as one `UserError`.

huggingface_hub 2.4 retries downloads and the parts of a large upload on its own, but not whoami, create_repo,
model_info and create_commit, and it sets no timeout.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from huggingface_hub import get_session
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from pipelines.errors import UserError
from pipelines.files.service_keys import HUB_TOKEN

T = TypeVar("T")

_TRANSIENT = (408, 429, 500, 502, 503, 504)
_FINAL = (ValueError, PermissionError, FileNotFoundError, OfflineModeIsEnabled)  # waiting cannot help
_PUSH_AGAIN = "push again later: uploaded files are not sent again"
# status: (problem, fix)
_REFUSALS = {
    401: ("the Hub does not accept the token", "run `hf auth login` or set HF_TOKEN to a token with write permission"),
    403: ("the token may not write to {0}", "use a token with write permission, or choose a repository of your own"),
    404: ("the Hub has no repository {0}, or hides it", "check the name and the repositories of a fine-grained token"),
    409: ("{0} changed during the push", "look at what changed, and push again"),
    412: ("{0} changed during the push", "look at what changed, and push again"),
}


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call is retried, and how long it waits, in seconds."""

    n_retries: int = 4
    seconds_first_wait: float = 1.0
    seconds_longest_wait: float = 60.0  # a longer Retry-After ends the push
    seconds_of_silence: float = 120.0  # without one byte, then the connection counts as cut

    def wait(self, state: RetryCallState) -> float:
        """Exponential backoff with jitter, and at least what the Hub asked for in Retry-After."""
        error = state.outcome.exception() if state.outcome else None
        backoff = wait_exponential_jitter(
            self.seconds_first_wait, self.seconds_longest_wait, jitter=self.seconds_first_wait
        )
        return max(_retry_after(error), backoff(state))

    def is_transient(self, error: BaseException) -> bool:
        """Whether the same call may succeed later: 408, 429, 5xx, no answer, a cut connection."""
        response = _response_error(error)
        if response is not None:
            return response.response.status_code in _TRANSIENT and _retry_after(error) <= self.seconds_longest_wait
        return isinstance(error, HTTPError | RuntimeError | OSError) and not isinstance(error, _FINAL)


def with_retries(call: Callable[[], T], *, repo_id: str, policy: RetryPolicy) -> T:
    """Return what `call` returns; retry it by `policy`. `call` must be safe to repeat: the answer to a call that
    succeeded can be lost. Raises `UserError` for a failure that stays."""

    def attempt() -> T:
        get_session().timeout = policy.seconds_of_silence  # again each time: the client makes a new session at will
        return call()

    retrying = Retrying(
        stop=stop_after_attempt(policy.n_retries + 1),
        retry=retry_if_exception(policy.is_transient),
        wait=policy.wait,
        reraise=True,
    )
    try:
        return retrying(attempt)
    # The client raises a RuntimeError where an upload ends early, and a ValueError for what it cannot send.
    except (HTTPError, RuntimeError, OSError, ValueError) as error:
        raise _user_error(error, repo_id, int(retrying.statistics["attempt_number"])) from error


def hide_signed_urls() -> None:
    """Cut the query off URLs in the client's warnings: the query of an upload URL is a key to the storage."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    if _cut_query not in logger.filters:
        logger.addFilter(_cut_query)


def _cut_query(record: logging.LogRecord) -> bool:
    record.msg, record.args = re.sub(r"(https?://[^\s?]+)\?\S+", r"\1", record.getMessage()), None
    return True


def _response_error(error: BaseException | None) -> HfHubHTTPError | None:
    """The error with the Hub's response: `error`, or one that it was raised from."""
    while error is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    return error


def _retry_after(error: BaseException | None) -> float:
    response = _response_error(error)
    seconds = "" if response is None else response.response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdigit() else 0.0


def _user_error(error: BaseException, repo_id: str, n_tries: int) -> UserError:
    tries = f"after {n_tries} {'try' if n_tries == 1 else 'tries'}"
    response = _response_error(error)
    if isinstance(error, OfflineModeIsEnabled):
        return UserError("HF_HUB_OFFLINE is set, expected a connection to the Hub", "unset HF_HUB_OFFLINE")
    if response is None:
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error
        reason = f"{type(cause).__name__}: {_one_line(str(cause).partition('?')[0])}".rstrip(": ")
        if isinstance(error, _FINAL):
            return UserError(f"cannot upload {repo_id}: {reason}", "fix the cause, and push again")
        return UserError(f"no complete response for {repo_id} {tries} ({reason})", f"check the network; {_PUSH_AGAIN}")
    status = response.response.status_code
    if status in _TRANSIENT:
        wait = f", and the Hub asks to wait {_retry_after(error):.0f} s" if _retry_after(error) else ""
        return UserError(f"the Hub did not accept {repo_id}: status {status} {tries}{wait}", _PUSH_AGAIN)
    problem, fix = _REFUSALS.get(status, ("the Hub refused the request for {0}", "fix the cause"))
    words = _one_line(response.server_message or "" if response is error else str(error))  # str names the file
    return UserError(f"{problem.format(repo_id)} (status {status}{f': {words}' if words else ''})", fix)


def _one_line(text: str) -> str:
    return HUB_TOKEN.sub("hf_…", " ".join(text.split()))[:200]
