"""Asking the Hub again while it is busy or the line is cut, and a refusal in one line when that does not help."""

import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from huggingface_hub import get_session
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

from pipelines.errors import UserError

T = TypeVar("T")

_TRANSIENT = (408, 429, 500, 502, 503, 504)
# A file that cannot be read here, or a token that the storage behind the Hub does not take.
_FINAL = (ValueError, PermissionError, FileNotFoundError)
_TOKEN = re.compile(r"hf_[A-Za-z0-9_]+")
_GO_ON = "push again later: what has arrived is not sent a second time"


@dataclass(frozen=True)
class Patience:
    """How long a push waits for the Hub. The client itself has none for most calls, and no end of waiting for bytes."""

    n_retries: int = 4
    seconds_first_wait: float = 1.0
    seconds_longest_wait: float = 60.0  # a Retry-After beyond it ends the push, with that number in the message
    seconds_of_silence: float = 120.0  # without one byte, then the connection counts as cut

    def seconds_before(self, retry: int, asked_for: float | None) -> float:
        """The wait before `retry` (from 0): doubled each time and half of it drawn at random, so that many clients
        that were cut off at once do not come back at once; never less than the Hub `asked_for`."""
        longest = min(self.seconds_longest_wait, self.seconds_first_wait * 2**retry)
        return max(asked_for or 0.0, longest * (0.5 + random.random() / 2))


def persistently(ask: Callable[[], T], *, repo_id: str, patience: Patience) -> T:
    """What `ask` returns, called again after a failure that passes: 408, 429, 5xx, no answer, a cut connection.

    `ask` must be safe to repeat: the answer to a call that succeeded can be lost. Raises a `UserError` of one line for
    every other failure, and for one that does not pass.
    """
    for retry in range(patience.n_retries + 1):
        get_session().timeout = patience.seconds_of_silence
        try:
            return ask()
        except OfflineModeIsEnabled as error:
            raise UserError(
                expected="a connection to the Hub", got="HF_HUB_OFFLINE is set", remedy="unset HF_HUB_OFFLINE"
            ) from error
        # The client wraps what ends an upload in a RuntimeError, and what it cannot take in a ValueError.
        except (HTTPError, RuntimeError, OSError, ValueError) as error:
            status, asked_for = _status(error), _seconds_asked_for(error)
            passes = status in _TRANSIENT if status is not None else not isinstance(error, _FINAL)
            if not passes or retry == patience.n_retries or (asked_for or 0) > patience.seconds_longest_wait:
                raise _refusal(error, status, repo_id, retry, asked_for) from error
            time.sleep(patience.seconds_before(retry, asked_for))
    raise AssertionError("the last try returns or raises")


def without_signatures() -> None:
    """Cut the query off the addresses in the client's warnings: that of an upload's address is a key to the storage."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    if _cut_query not in logger.filters:
        logger.addFilter(_cut_query)


def _cut_query(record: logging.LogRecord) -> bool:
    record.msg, record.args = re.sub(r"(https?://[^\s?]+)\?\S+", r"\1", record.getMessage()), None
    return True


def _answer(error: BaseException) -> HfHubHTTPError | None:
    """The Hub's own answer in `error` or in what it was raised from, None where there was none."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, HfHubHTTPError):
        found = found.__cause__
    return found


def _status(error: BaseException) -> int | None:
    answer = _answer(error)
    return None if answer is None else answer.response.status_code


def _seconds_asked_for(error: BaseException) -> float | None:
    answer = _answer(error)
    asked = "" if answer is None else answer.response.headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else None


def _refusal(error: BaseException, status: int | None, repo_id: str, retry: int, asked_for: float | None) -> UserError:
    tries = f"after {retry + 1} {'try' if retry == 0 else 'tries'}"
    if status is None:
        if isinstance(error, _FINAL):
            got, remedy = _first_line(error), "mend what it names, and push again"
        else:
            got, remedy = f"no whole answer {tries} ({_first_line(error)})", f"see to the network and {_GO_ON}"
        return UserError(expected=f"the Hub to take {repo_id}", got=got, remedy=remedy)
    if status in _TRANSIENT:
        wait = f", and it asks to wait {asked_for:.0f} s" if asked_for else ""
        return UserError(expected=f"the Hub to take {repo_id}", got=f"status {status} {tries}{wait}", remedy=_GO_ON)
    expected, remedy = _WORDS.get(status, ("a request that the Hub takes", "mend what it names"))
    answer = _answer(error)
    said = answer.server_message if answer is error else str(error)  # which names the file, where there is one
    return UserError(
        expected=expected.format(repo_id=repo_id),
        got=f"status {status}" + (f" ({_one_line(said)})" if said else ""),
        remedy=remedy,
    )


_WORDS = {
    401: ("a token that the Hub knows", "run `hf auth login` or set HF_TOKEN, with a token that may write"),
    403: (
        "a token that may write to {repo_id}",
        "log in with one that has the role write there, or choose a repository of your own",
    ),
    404: (
        "{repo_id} on the Hub, and a token that may see it",
        "check the name; a fine-grained token sees the repositories in its list only",
    ),
    409: ("{repo_id} as it was when the push began", "somebody else pushes to it: look at it, and push again"),
    412: ("{repo_id} as it was when the push began", "somebody else pushes to it: look at it, and push again"),
}


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error
    return f"{type(cause).__name__}: {_one_line(str(cause).partition('?')[0])}".rstrip(": ")


def _one_line(text: str) -> str:
    return _TOKEN.sub("hf_…", " ".join(text.split()))[:200]
