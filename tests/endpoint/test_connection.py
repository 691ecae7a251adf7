import email.utils
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.endpoint.client import API_KEY_VARIABLE, Endpoint
from pipelines.endpoint.connection import CallFailed
from pipelines.errors import UserError
from tests.evaluation.judge.judge_server import KEY, Reply, endless_server, judge_server

MESSAGES = [{"role": "user", "content": "which?"}]


def test_a_call_posts_model_messages_and_temperature_0_with_the_key_to_chat_completions():
    with judge_server(lambda _: Reply("fine")) as server:
        assert server.endpoint().chat(MESSAGES).text == "fine"
        assert Endpoint(server.url + "/", "judge-1").chat(MESSAGES).text == "fine"
    with_key, without = server.asked
    assert with_key.path == without.path == "/v1/chat/completions"
    assert with_key.authorization == f"Bearer {KEY}"
    assert without.authorization is None
    assert (with_key.body["model"], with_key.body["messages"], with_key.body["temperature"]) == ("judge-1", MESSAGES, 0)


def test_a_busy_server_is_retried_after_its_retry_after():
    replies = iter([Reply("", 429, {"Retry-After": "0.3"}), Reply("", 500), Reply("at last")])
    start = time.monotonic()
    with judge_server(lambda _: next(replies)) as server:
        assert server.endpoint().chat(MESSAGES).text == "at last"
    assert time.monotonic() - start >= 0.3
    assert len(server.asked) == 3


def test_a_retry_after_may_be_a_date_and_is_limited_and_one_that_is_neither_is_ignored():
    in_an_hour = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for values in ([in_an_hour, "soon"], ["Mon, 01 Jan 2024 00:00:00 +99999999999999999999"]):
        replies = iter([*(Reply("", 503, {"Retry-After": value}) for value in values), Reply("ok")])
        start = time.monotonic()
        with judge_server(lambda _, replies=replies: next(replies)) as server:
            assert server.endpoint(max_seconds_wait=0.2).chat(MESSAGES).text == "ok"
        assert (time.monotonic() - start >= 0.2) or in_an_hour not in values


@pytest.mark.parametrize(("status", "text", "error", "words", "n_calls"), [
    (500, "overloaded, you sent {}", CallFailed, r"HTTP 500: overloaded.*after 3 tries", 3),
    (401, "no such key: {}", UserError, "HTTP 401: no such key", 1),
    (400, "too many tokens", CallFailed, r"HTTP 400: too many tokens$", 1),
])  # fmt: skip
def test_an_error_response_is_retried_if_that_can_help_and_quoted_without_the_key(status, text, error, words, n_calls):
    with judge_server(lambda asked: Reply(status=status, text=text.format(asked.authorization))) as server:
        endpoint = server.endpoint()
        with pytest.raises(error, match=words) as raised:
            endpoint.chat(MESSAGES)
    assert len(server.asked) == n_calls
    assert KEY not in f"{raised.value}{raised.getrepr()}{endpoint!r}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_and_not_followed(status):
    with judge_server(lambda _: Reply("stolen")) as thief:
        elsewhere = thief.url.replace("127.0.0.1", "localhost") + "/chat/completions"
        for target, words in ((elsewhere, "redirect to localhost"), ("http://[x", "redirect to another path")):
            redirect = Reply("", status, {"Location": target})
            with judge_server(lambda _, one=redirect: one) as server, pytest.raises(UserError, match=words):
                server.endpoint().chat(MESSAGES)
    assert not thief.asked


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "<html>", "{}", '{"choices": []}', "[1]", '{"choices": [{"message": 1}]}']
)
def test_a_malformed_response_is_retried_and_then_fails(text):
    with judge_server(lambda _: Reply(text=text)) as server, pytest.raises(CallFailed, match="after 3 tries"):
        server.endpoint().chat(MESSAGES)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("scheme", "beginning", "repeated", "problem"),
    [
        ("http", b"", b"", "timed out"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a", "TimeoutError: timed out"),
        ("http", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a", "timed out"),
        ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n", "timed out"),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", "timed out"),
        ("http", b"HTTP/1.1 500 Error\r\nContent-Length: 9999\r\n\r\n", b"a", "HTTP 500: a"),
        ("https", b"\x16\x03\x03\x40\x00", b"a", "timed out"),
    ],
    ids=["nothing", "body", "headers", "interim answers", "size of a chunk", "error body", "TLS handshake"],
)
def test_a_slow_response_times_out_in_every_phase(scheme, beginning, repeated, problem):
    with endless_server(beginning, repeated) as address:
        endpoint = Endpoint(f"{scheme}://{address}", "judge-1", max_seconds=0.4, max_tries=1)
        with pytest.raises(CallFailed, match=problem):
            endpoint.chat(MESSAGES)


def test_no_server_is_a_failed_call():
    with judge_server(lambda _: Reply("gone")) as server:
        endpoint = server.endpoint(max_tries=2)
    with pytest.raises(CallFailed, match="ConnectError"):
        endpoint.chat(MESSAGES)


def test_a_key_in_a_reply_is_replaced():
    with judge_server(lambda asked: Reply(f"you are {asked.authorization}")) as server:
        assert server.endpoint().chat(MESSAGES).text == "you are Bearer ***"


def test_a_key_in_json_escapes_is_replaced_and_the_rest_is_still_json():
    key = 'sk/a"b'
    spellings = ["".join(f"\\u{ord(one):04X}" for one in key), json.dumps(key)[1:-1], "sk\\/a\\u0022b"]
    endpoint = Endpoint("https://a/v1", "judge-1", api_key=key)
    for spelling in spellings:
        assert (json.loads(f'"{spelling}"'), json.loads(endpoint.without_key(f'"\\n{spelling}"'))) == (key, "\n***")


@pytest.mark.parametrize(
    "url", ["api.example.com/v1", "ftp://a/v1", "https://me:secret@a/v1", "https://a/v1?key=secret"]
)
def test_an_invalid_url_or_one_with_a_secret_is_refused_without_repeating_it(url):
    with pytest.raises(UserError, match="--url") as error:
        Endpoint(url, "judge-1")
    assert "secret" not in str(error.value)


def test_the_key_comes_from_the_environment_and_one_with_a_line_end_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv(API_KEY_VARIABLE, f"{KEY}\n")
    assert Endpoint.with_key_from_environment("https://a/v1", "m").api_key == KEY
    monkeypatch.setenv(API_KEY_VARIABLE, f"{KEY}\nX-Other: 1")
    with pytest.raises(UserError, match=API_KEY_VARIABLE) as error:
        Endpoint.with_key_from_environment("https://a/v1", "m")
    assert KEY not in str(error.value)
    monkeypatch.delenv(API_KEY_VARIABLE)
    assert Endpoint.with_key_from_environment("https://a/v1", "m").api_key is None
