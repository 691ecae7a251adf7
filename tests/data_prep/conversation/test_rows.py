"""Every row format in use becomes the same conversation, and what is none has a reason."""

import json
from typing import Any

import pytest

from data_prep.conversation import (
    Conversation,
    PlainText,
    RowFormat,
    UnreadableRowError,
    is_conversational,
    read_row,
    row_format,
)
from pipelines.errors import UserError

ASKED = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]


@pytest.mark.parametrize("row", [
    {"instruction": "2 + 2?", "output": "4"}, {"instruction": "2 + 2?", "input": None, "output": "4", "system": ""},
    {"messages": ASKED}, {"messages": json.dumps(ASKED)},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}, ASKED[1]]},
    {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]},
    {"prompt": ASKED[:1], "completion": ASKED[1:]},
])  # fmt: skip
def test_a_question_and_its_answer_read_alike_in_every_format(row):
    kind = row_format(list(row), "text", "rows")
    conversation = read_row(row, kind)
    assert is_conversational(kind, [row])
    assert isinstance(conversation, Conversation)
    assert conversation.messages == ASKED
    assert conversation.trained_turns() == [1]


def test_an_input_follows_its_instruction_and_a_system_column_comes_first():
    row = {"instruction": "Add.", "input": "2 2", "output": "4", "system": "Be brief."}
    conversation = read_row(row, RowFormat.INSTRUCTION)
    assert isinstance(conversation, Conversation)
    assert [one["content"] for one in conversation.messages] == ["Be brief.", "Add.\n\n2 2", "4"]


def test_a_tool_call_of_sharegpt_and_of_openai_are_one():
    call = {"name": "area", "arguments": {"side": 2}}
    tools = [{"name": "area", "parameters": {"type": "object"}}]
    sharegpt = {
        "conversations": [
            {"from": "human", "value": "Area?"},
            {"from": "function_call", "value": json.dumps(call)},
            {"from": "observation", "value": "4"},
            {"from": "gpt", "value": "It is 4."},
        ],
        "tools": json.dumps(tools),
    }
    escaped = {"type": "function", "function": {**call, "arguments": json.dumps(call["arguments"])}}
    openai = {
        "messages": [
            {"role": "user", "content": "Area?"},
            {"role": "assistant", "content": None, "tool_calls": [{**escaped, "id": None}]},
            {"role": "tool", "content": "4"},
            {"role": "assistant", "content": "It is 4."},
        ],
        "tools": [{"type": "function", "function": tools[0]}],
    }
    one, two = read_row(sharegpt, RowFormat.SHAREGPT), read_row(openai, RowFormat.MESSAGES)
    assert one == two
    assert isinstance(one, Conversation)
    assert one.tools
    assert one.messages[1]["tool_calls"] == [{"type": "function", "function": call}]


def test_text_and_plain_prompts_go_through_no_template():
    assert read_row({"body": "a story"}, RowFormat.TEXT, "body") == PlainText("", "a story")
    pair = {"prompt": "Q: 2 + 2?\nA:", "completion": " 4"}
    assert read_row(pair, RowFormat.PROMPT_COMPLETION) == PlainText("Q: 2 + 2?\nA:", " 4")
    assert not is_conversational(RowFormat.PROMPT_COMPLETION, [pair])


def test_unknown_columns_are_named_with_the_formats_that_are_known():
    with pytest.raises(UserError, match=r"columns question, answer, expected messages, .*instruction \+ output"):
        row_format(["question", "answer"], "text", "rows")


@pytest.mark.parametrize(("row", "kind", "reason"), [
    ({"messages": []}, RowFormat.MESSAGES, "no_messages"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, RowFormat.MESSAGES, "unknown_role: wizard"),
    ({"messages": "not json"}, RowFormat.MESSAGES, "column_is_no_json"),
    ({"messages": ["x"]}, RowFormat.MESSAGES, "message_is_no_object"),
    ({"conversations": [{"from": "function_call", "value": "{"}]}, RowFormat.SHAREGPT, "function_call_is_no_json"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, RowFormat.MESSAGES, "content_is_not_text"),
])  # fmt: skip
def test_a_row_that_is_no_conversation_has_a_reason(row, kind, reason):
    with pytest.raises(UnreadableRowError, match=reason):
        read_row(row, kind)


def test_a_null_prompt_in_the_first_row_makes_no_chat_of_plain_text():
    rows: list[dict[str, Any]] = [{"prompt": None, "completion": "a"}, {"prompt": "b", "completion": "c"}]
    assert not is_conversational(RowFormat.PROMPT_COMPLETION, rows)
    assert [read_row(row, RowFormat.PROMPT_COMPLETION) for row in rows] == [PlainText("", "a"), PlainText("b", "c")]
    turns = [{"prompt": None, "completion": [{"role": "assistant", "content": "a"}]}, rows[0]]
    assert is_conversational(RowFormat.PROMPT_COMPLETION, turns[:1])
    with pytest.raises(UserError, match=r"1 rows of messages \(row 1\) and 1 of text \(row 2\)"):
        is_conversational(RowFormat.PROMPT_COMPLETION, turns)


def test_a_pair_as_json_text_is_messages_and_a_prompt_about_json_is_not():
    asked, said = json.dumps([{"role": "user", "content": "a"}]), json.dumps({"role": "assistant", "content": "b"})
    read = read_row({"prompt": asked, "completion": said}, RowFormat.PROMPT_COMPLETION)
    assert isinstance(read, Conversation)
    assert [one["content"] for one in read.messages] == ["a", "b"]
    assert read_row({"prompt": asked, "completion": "b"}, RowFormat.PROMPT_COMPLETION) == PlainText(asked, "b")


def test_a_text_field_that_is_named_wins_or_is_refused():
    columns = ["instruction", "output", "text", "body"]
    assert row_format(columns, "text", "rows") is RowFormat.INSTRUCTION
    assert row_format(columns, "text", "rows", text_field_is_written=True) is RowFormat.TEXT
    assert row_format(columns, "body", "rows") is RowFormat.TEXT
    assert row_format(columns[:2], "text", "rows", text_field_is_written=True) is RowFormat.INSTRUCTION
    with pytest.raises(UserError, match=r"rows has no column boody .*; correct dataset_text_field"):
        row_format(columns, "boody", "rows")
