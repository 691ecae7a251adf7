"""The parsing of what engines send, word for word as they send it; the engines themselves run in tests/served."""

import socket

import pytest

from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.completion import Call, read_completion
from pipelines.errors import UserError
from tests.http_server import JsonHandler, http_server

FIRST_BYTE = {"id": 37, "token": "\ufffd", "bytes": [195], "logprob": -0.5}
SECOND_BYTE = {"id": 12, "token": "\ufffd", "bytes": [169], "logprob": -0.25, "top_logprobs": []}
LLAMA_CPP = {
    "choices": [{
        "finish_reason": "length", "message": {"role": "assistant", "content": "é"},
        "logprobs": {"content": [{**FIRST_BYTE, "top_logprobs": [FIRST_BYTE]}, SECOND_BYTE]},
    }],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2},
}  # fmt: skip


def test_a_chat_completion_of_llama_cpp_has_ids_bytes_and_usage():
    found = read_completion(LLAMA_CPP)
    assert (found.text, found.finish_reason, found.n_prompt_tokens, found.n_tokens) == ("é", "length", 7, 2)
    assert [(one.token, one.id, one.logprob) for one in found.logprobs] == [(b"\xc3", 37, -0.5), (b"\xa9", 12, -0.25)]
    assert found.token_ids == [37, 12]
    assert found.top_logprobs[0][0].id == 37


def test_an_older_completion_of_vllm_with_token_ids_is_read_into_the_same_form():
    logprobs = {"tokens": ["token_id:5"], "token_logprobs": [-1.5], "top_logprobs": [{"token_id:5": -1.5}]}
    found = read_completion({"choices": [{"text": "a", "finish_reason": "stop", "logprobs": logprobs}]})
    assert (found.text, found.token_ids, found.logprobs[0].logprob) == ("a", [5], -1.5)
    assert found.top_logprobs[0][0].id == 5


def test_a_tool_call_without_text_is_no_malformed_answer_and_the_reasoning_is_kept():
    message = {"content": None, "tool_calls": [{"id": "1"}], "reasoning_content": "so"}
    found = read_completion({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    assert (found.text, found.reasoning, found.tool_calls) == ("", "so", [{"id": "1"}])


def test_what_is_not_asked_for_is_not_sent():
    body = Call([{"role": "user", "content": "a"}], max_tokens=3).body(None)
    assert body.keys() == {"messages", "temperature", "max_tokens"}
    asked = Call(prompt=(1, 2), logprobs=5, seed=0, top_p=0.9).body("m")
    expected = {"prompt": [1, 2], "logprobs": 5, "seed": 0, "top_p": 0.9, "model": "m"}
    assert {name: asked[name] for name in expected} == expected


def test_no_server_is_one_line_that_says_how_to_start_one():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(
        UserError, match=r"no server answers at http://127.0.0.1:\d+/v1: ConnectError.*; start one, such as"
    ):
        Endpoint(f"http://127.0.0.1:{port}").check()


def http_server_of(body):
    """A server that answers this JSON on every path."""
    handler = type("Handler", (JsonHandler,), {"do_GET": lambda self: self.send(body)})
    return http_server(handler)


@pytest.mark.parametrize("body", [[1, 2], "hello", 7, {"data": ["a", "b"]}, {"data": [{"id": "m", "meta": "big"}]}])
def test_json_of_another_form_is_no_crash(body):
    with http_server_of(body) as address:
        endpoint = Endpoint(f"{address}/v1")
        assert (endpoint.engine(), endpoint.bits_per_weight()) == ("unknown", None)


def test_a_llama_cpp_built_without_its_number_has_no_version():
    with http_server_of({"data": [{"id": "m", "owned_by": "llamacpp"}], "build_info": "b0-unknown"}) as address:
        assert Endpoint(f"{address}/v1").engine() == "llama.cpp"
