"""Messages in the spellings in use: marks, thoughts, parts, tool calls as text."""

import json
from typing import Any

import pytest

from data_prep.conversation import (
    Conversation,
    RowFormat,
    TrainOn,
    UnreadableRowError,
    content_text,
    read_row,
    scalar_text,
    unread_columns,
    unread_message_keys,
)

ASKED = {"role": "user", "content": "2 + 2?"}


def conversation(*messages: dict[str, Any], **columns: Any) -> Conversation:
    read = read_row({"messages": list(messages), **columns}, RowFormat.MESSAGES)
    assert isinstance(read, Conversation)
    return read


@pytest.mark.parametrize("key", ["weight", "train", "training", "loss", "loss_mask"])
@pytest.mark.parametrize("zero", [0, 0.0, False])
def test_a_turn_that_its_row_marks_with_zero_is_context(key, zero):
    talk = conversation(
        ASKED, {"role": "assistant", "content": "5", key: zero}, ASKED, {"role": "assistant", "content": "4"}
    )
    assert talk.trained_turns() == [3]
    assert talk.trained_turns(TrainOn.MARKED) == []
    assert all(key not in message for message in talk.messages)  # a template that dumps messages must not see it


def test_sharegpt_weights_and_a_system_column_keep_their_places():
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 1}]
    read = read_row({"conversations": turns * 2, "system": "s"}, RowFormat.SHAREGPT)
    assert isinstance(read, Conversation)
    assert read.trained_turns(TrainOn.MARKED) == [2, 4]
    assert read.trained_turns(TrainOn.LAST_TURN) == [4]


@pytest.mark.parametrize(("message", "reason"), [
    ({"weight": 0.5}, "weight_is_not_0_or_1: 0.5"), ({"weight": 1, "train": False}, "marks_disagree: weight, train"),
    ({"tool_calls": "call me"}, "column_is_no_json"),
    ({"tool_calls": [{"function": {"arguments": {}}}]}, "tool_call_without_name"),
    ({"tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}, "tool_call_arguments_are_no_json"),
    ({"tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}, "tool_call_arguments_are_no_object"),
])  # fmt: skip
def test_what_cannot_be_read_has_a_reason(message, reason):
    with pytest.raises(UnreadableRowError, match=f"^{reason}$"):
        conversation(ASKED, {"role": "assistant", "content": "4", **message})


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_of_every_name_are_kept(key):
    talk = conversation(ASKED, {"role": "assistant", "content": "4", key: "Add."})
    assert talk.messages[1] == {"role": "assistant", "content": "4", "reasoning_content": "Add."}


def test_text_parts_are_kept_for_the_template():
    parts = [{"type": "text", "text": "2"}, {"type": "text", "text": "plus 2?"}]
    talk = conversation({"role": "user", "content": parts}, {"role": "assistant", "content": "4"})
    assert talk.messages[0]["content"] == parts
    assert content_text(talk.messages[0]) == "2\nplus 2?"


@pytest.mark.parametrize("arguments", [{}, "{}", "", None])
def test_a_call_without_arguments_has_the_empty_object(arguments):
    calls = [{"type": "function", "function": {"name": "now", "arguments": arguments}}]
    for spelled in (calls, json.dumps(calls)):
        talk = conversation(ASKED, {"role": "assistant", "content": None, "tool_calls": spelled})
        assert talk.messages[1]["tool_calls"] == [{"type": "function", "function": {"name": "now", "arguments": {}}}]


def test_null_is_what_the_row_says():
    schema = {"type": "function", "function": {"name": "f", "parameters": {"default": None}}}
    call = {"function": {"name": "f", "arguments": {"unit": None}}}
    for tools in ([schema], json.dumps([schema]), [json.dumps(schema)]):
        talk = conversation(ASKED, {"role": "assistant", "content": "", "tool_calls": [call]}, tools=tools)
        assert talk.tools == [schema]
        assert talk.messages[1]["tool_calls"][0]["function"]["arguments"] == {"unit": None}


def test_history_comes_before_the_question():
    row = {"instruction": "And its double?", "input": "", "output": "8", "history": [["2 + 2?", "4"]]}
    read = read_row(row, RowFormat.INSTRUCTION)
    assert isinstance(read, Conversation)
    assert [one["content"] for one in read.messages] == ["2 + 2?", "4", "And its double?", "8"]
    assert unread_columns([*row, "idea"], RowFormat.INSTRUCTION) == ["idea"]


@pytest.mark.parametrize(("value", "keys"), [
    ([{"role": "user", "content": "a", "tool_responses": [1], "images": None}], ["tool_responses"]),
    ({"from": "gpt", "value": "a", "masked": True, "score": 0.5, "rating": ""}, ["score"]),
    ('[{"role": "user", "content": "a", "mask": 1}]', ["mask"]), ("no messages", []),
    ([{"name": "f", "parameters": {}}], []),
])  # fmt: skip
def test_keys_of_messages_that_are_not_read(value, keys):
    assert unread_message_keys(value) == keys


@pytest.mark.parametrize(
    ("value", "text"), [(4, "4"), (4.0, "4.0"), (True, "true"), (None, ""), (float("nan"), ""), ("NaN", "NaN")]
)
def test_a_scalar_is_its_json_text(value, text):
    assert scalar_text(value) == text == content_text({"content": value})


def test_parts_of_reasoning_and_of_tool_calls_are_read():
    call = {"name": "now", "arguments": {"zone": "UTC"}}
    parts = [{"type": "reasoning", "value": "Ask the clock."}, {"type": "tool_call", "value": json.dumps(call)}]
    talk = conversation({"role": "user", "content": [{"type": "text", "value": "Time?"}], "loss_weight": 0.0},
                        {"role": "assistant", "content": parts, "loss_weight": 1.0})  # fmt: skip
    asked, answer = talk.messages
    assert asked == {"role": "user", "content": "Time?"}
    assert (answer["content"], answer["reasoning_content"]) == ("", "Ask the clock.")
    assert answer["tool_calls"] == [{"type": "function", "function": call}]
    assert talk.trained_turns(TrainOn.MARKED) == [1]
    anthropic = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Let me look."},
                 {"type": "tool_use", "id": "t1", "name": "now", "input": {}}]  # fmt: skip
    answer = conversation(ASKED, {"role": "assistant", "content": anthropic}).messages[1]
    assert (answer["content"], answer["reasoning_content"]) == ("Let me look.", "Hm.")
    assert answer["tool_calls"] == [{"id": "t1", "type": "function", "function": {"name": "now", "arguments": {}}}]


@pytest.mark.parametrize("part", [
    {"type": "image_url", "image_url": {"url": "x"}}, {"type": "tool_result", "content": "20"}, "text",
    {"type": "text", "text": ["a"]}, {"type": "reasoning", "value": {"a": 1}},
])  # fmt: skip
def test_parts_that_are_not_text_are_a_reason(part):
    with pytest.raises(UnreadableRowError, match=r"^content_is_not_text$"):
        conversation({"role": "user", "content": [part]}, {"role": "assistant", "content": "a"})


@pytest.mark.parametrize(("role", "read_as"), [
    ("prompter", "user"), ("User", "user"), ("bot", "assistant"), ("AI", "assistant"), ("tool_response", "tool"),
    ("ipython", "tool"), ("System", "system"),
])  # fmt: skip
def test_roles_of_every_name_are_read(role, read_as):
    assert conversation({"role": role, "content": "a"}, ASKED).messages[0] == {"role": read_as, "content": "a"}


def test_a_call_as_a_message_of_its_own_is_read():
    call = json.dumps({"name": "now", "arguments": {"zone": "UTC"}})
    talk = conversation(ASKED, {"role": "tool_call", "content": call}, {"role": "tool_response", "content": "12"})
    assert talk.messages[1]["tool_calls"][0]["function"] == {"name": "now", "arguments": {"zone": "UTC"}}
