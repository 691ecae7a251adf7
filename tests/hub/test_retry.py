"""Busy servers and cut connections are borne, refusals are one line that says what to do."""

import logging
import time
from dataclasses import replace
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

from pipelines.errors import UserError
from pipelines.hub.retry import Patience, persistently, without_signatures
from tests.hub.conftest import IMPATIENT
from tests.hub_server import Fault, LocalHub


def asked(token: str) -> Any:
    """What the Hub says of me/thing."""
    return persistently(lambda: HfApi(token=token).model_info("me/thing"), repo_id="me/thing", patience=IMPATIENT)


@pytest.fixture
def thing(token: str) -> str:
    HfApi(token=token).create_repo("me/thing")
    return token


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_asked_again(hub: LocalHub, thing: str, status: int) -> None:
    hub.faults.append(Fault("GET /api/models/me/thing", status=status, times=IMPATIENT.n_retries))
    assert asked(thing).id == "me/thing"


def test_what_does_not_pass_ends_in_one_line(hub: LocalHub, thing: str) -> None:
    hub.faults.append(Fault("GET /api/models/me/thing", status=500, times=99))
    with pytest.raises(UserError, match=r"the Hub to take me/thing; got status 500 after 3 tries; push again later"):
        asked(thing)
    assert hub.requests.count(("GET", "/api/models/me/thing")) == 3


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "a token that the Hub knows"),
        (403, "a token that may write to me/thing"),
        (404, "me/thing on the Hub, and a token that may see it"),
        (409, "me/thing as it was when the push began"),
        (412, "me/thing as it was when the push began"),
        (400, "a request that the Hub takes"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(hub: LocalHub, thing: str, status: int, words: str) -> None:
    hub.faults.append(Fault("GET /api/models/me/thing", status=status, times=99))
    with pytest.raises(UserError) as caught:
        asked(thing)
    assert caught.value.expected == words
    assert f"status {status}" in caught.value.got
    assert thing not in str(caught.value)
    assert hub.requests.count(("GET", "/api/models/me/thing")) == 1


def test_the_hubs_own_wish_is_waited_for(hub: LocalHub, thing: str) -> None:
    hub.faults.append(Fault("GET /api/models/me/thing", status=429, headers={"Retry-After": "1"}))
    began = time.monotonic()
    asked(thing)
    assert time.monotonic() - began >= 1.0


def test_a_wish_for_a_long_wait_ends_the_push(hub: LocalHub, thing: str) -> None:
    hub.faults.append(Fault("GET /api/models/me/thing", status=429, headers={"Retry-After": "600"}))
    with pytest.raises(UserError, match=r"status 429 after 1 try, and it asks to wait 600 s"):
        asked(thing)


def test_a_lost_answer_is_asked_for_again(hub: LocalHub, thing: str) -> None:
    hub.faults.append(Fault("GET /api/models/me/thing", lose_answer=True))
    assert asked(thing).id == "me/thing"


def test_a_hub_that_falls_silent_is_a_cut_connection(hub: LocalHub, thing: str) -> None:
    hub.faults.append(Fault("POST /api/repos/create", seconds_delay=1.5))
    patience = replace(IMPATIENT, seconds_of_silence=0.3)
    api = HfApi(token=thing)
    persistently(lambda: api.create_repo("me/thing", exist_ok=True), repo_id="me/thing", patience=patience)
    assert hub.requests.count(("POST", "/api/repos/create")) > 1


def test_a_hub_that_is_not_there_is_one_line(thing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"no whole answer after 3 tries \(ConnectError"):
        asked(thing)


@pytest.mark.parametrize("error", [PermissionError("denied"), FileNotFoundError("gone"), ValueError("malformed")])
def test_what_no_waiting_mends_is_not_asked_again(error: Exception) -> None:
    tries: list[Exception] = []

    def ask() -> None:
        tries.append(error)
        raise error

    with pytest.raises(UserError, match=rf"got {type(error).__name__}: {error}; mend what it names"):
        persistently(ask, repo_id="me/thing", patience=IMPATIENT)
    assert len(tries) == 1


def test_nobody_is_asked_while_offline(thing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        asked(thing)


def test_waits_double_up_to_a_limit_and_half_of_each_is_chance() -> None:
    patience = Patience(seconds_first_wait=1, seconds_longest_wait=5)
    for retry, longest in enumerate([1, 2, 4, 5, 5]):
        waits = [patience.seconds_before(retry, None) for _ in range(200)]
        assert longest / 2 <= min(waits) < longest * 0.6
        assert longest * 0.9 < max(waits) <= longest
    assert patience.seconds_before(0, 4.0) == 4.0


def test_the_clients_warnings_hold_no_signed_address(caplog: pytest.LogCaptureFixture) -> None:
    without_signatures()
    with caplog.at_level(logging.WARNING, "huggingface_hub"):
        caplog.handler.addFilter(lambda _: True)
        logging.getLogger("huggingface_hub").addHandler(caplog.handler)
        logging.getLogger("huggingface_hub.utils._http").warning(
            "HTTP Error 500 thrown while requesting PUT https://store/a/b?X-Amz-Signature=abc&x=1"
        )
        logging.getLogger("huggingface_hub").removeHandler(caplog.handler)
    assert "requesting PUT https://store/a/b" in caplog.text
    assert "Signature" not in caplog.text
