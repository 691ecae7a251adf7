"""Busy servers and cut connections are retried; refusals are one line with the fix."""

import logging
import time
from dataclasses import replace
from typing import Any

import pytest
from huggingface_hub import HfApi, constants
from tenacity import RetryCallState, Retrying

from pipelines.errors import UserError
from pipelines.hub.retry import RetryPolicy, hide_signed_urls, with_retries
from tests.hub.conftest import FAST_RETRIES
from tests.hub_server.server import Fault


def asked(token: str) -> Any:
    """What the Hub says of me/thing."""
    return with_retries(lambda: HfApi(token=token).model_info("me/thing"), repo_id="me/thing", policy=FAST_RETRIES)


@pytest.fixture
def thing(token: str) -> str:
    HfApi(token=token).create_repo("me/thing")
    return token


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_asked_again(hub, thing, status):
    hub.faults.append(Fault("GET /api/models/me/thing", status=status, times=FAST_RETRIES.n_retries))
    assert asked(thing).id == "me/thing"


def test_what_does_not_pass_ends_in_one_line(hub, thing):
    hub.faults.append(Fault("GET /api/models/me/thing", status=500, times=99))
    with pytest.raises(UserError, match=r"did not accept me/thing: status 500 after 3 tries; push again later"):
        asked(thing)
    assert hub.requests.count(("GET", "/api/models/me/thing")) == 3


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "the Hub does not accept the token"),
        (403, "the token may not write to me/thing"),
        (404, "the Hub has no repository me/thing, or hides it"),
        (409, "me/thing changed during the push"),
        (412, "me/thing changed during the push"),
        (400, "the Hub refused the request for me/thing"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(hub, thing, status, words):
    hub.faults.append(Fault("GET /api/models/me/thing", status=status, times=99))
    with pytest.raises(UserError) as caught:
        asked(thing)
    assert caught.value.problem.startswith(f"{words} (status {status}")
    assert caught.value.fix
    assert thing not in str(caught.value)
    assert hub.requests.count(("GET", "/api/models/me/thing")) == 1


def test_the_hubs_own_wish_is_waited_for(hub, thing):
    hub.faults.append(Fault("GET /api/models/me/thing", status=429, headers={"Retry-After": "1"}))
    began = time.monotonic()
    asked(thing)
    assert time.monotonic() - began >= 1.0


def test_a_wish_for_a_long_wait_ends_the_push(hub, thing):
    hub.faults.append(Fault("GET /api/models/me/thing", status=429, headers={"Retry-After": "600"}))
    with pytest.raises(UserError, match=r"status 429 after 1 try, and the Hub asks to wait 600 s"):
        asked(thing)


def test_a_lost_answer_is_asked_for_again(hub, thing):
    hub.faults.append(Fault("GET /api/models/me/thing", lose_answer=True))
    assert asked(thing).id == "me/thing"


def test_a_hub_that_falls_silent_is_a_cut_connection(hub, thing):
    hub.faults.append(Fault("POST /api/repos/create", seconds_delay=1.5))
    policy = replace(FAST_RETRIES, seconds_of_silence=0.3)
    api = HfApi(token=thing)
    with_retries(lambda: api.create_repo("me/thing", exist_ok=True), repo_id="me/thing", policy=policy)
    assert hub.requests.count(("POST", "/api/repos/create")) > 1


def test_a_hub_that_is_not_there_is_one_line(thing, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"no complete response for me/thing after 3 tries \(ConnectError"):
        asked(thing)


@pytest.mark.parametrize("error", [PermissionError("denied"), FileNotFoundError("gone"), ValueError("malformed")])
def test_what_no_waiting_mends_is_not_asked_again(error):
    tries: list[Exception] = []

    def ask() -> None:
        tries.append(error)
        raise error

    with pytest.raises(UserError, match=rf"{type(error).__name__}: {error}; fix the cause"):
        with_retries(ask, repo_id="me/thing", policy=FAST_RETRIES)
    assert len(tries) == 1


def test_nobody_is_asked_while_offline(thing, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        asked(thing)


def test_waits_double_up_to_a_limit_with_jitter():
    policy = RetryPolicy(seconds_first_wait=1, seconds_longest_wait=5)
    state = RetryCallState(Retrying(), None, (), {})
    for attempt, (shortest, longest) in enumerate([(1, 2), (2, 3), (4, 5), (5, 5)], start=1):
        state.attempt_number = attempt
        waits = [policy.wait(state) for _ in range(100)]
        assert shortest <= min(waits) <= max(waits) <= longest
        assert len(set(waits)) > 1 or shortest == longest


def test_the_clients_warnings_hold_no_signed_address(caplog):
    hide_signed_urls()
    with caplog.at_level(logging.WARNING, "huggingface_hub"):
        caplog.handler.addFilter(lambda _: True)
        logging.getLogger("huggingface_hub").addHandler(caplog.handler)
        logging.getLogger("huggingface_hub.utils._http").warning(
            "HTTP Error 500 thrown while requesting PUT https://store/a/b?X-Amz-Signature=abc&x=1"
        )
        logging.getLogger("huggingface_hub").removeHandler(caplog.handler)
    assert "requesting PUT https://store/a/b" in caplog.text
    assert "Signature" not in caplog.text
