import pytest

from data_prep.cleaning.steps.answers import STEPS
from tests.data_prep.cleaning.steps.rows import answered, reason


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (answered("Yes."), None),
        (answered(" \n\t"), "empty_output"),
        (answered("Yes.", instruction=""), "empty_instruction"),
        ({"text": "\n"}, "empty_text"),
        ({"prompt": "Ask.", "chosen": " ", "rejected": "No."}, "empty_chosen"),
        ({"prompt": "Ask.", "chosen": "Yes.", "rejected": ""}, "empty_rejected"),
        ({"instruction": "Ask.", "system": "", "input": "", "output": "Yes."}, None),
    ],
)
def test_an_empty_column_is_named_and_an_empty_input_is_fine(fields, expected):
    assert reason(STEPS, "empty", fields) == expected


USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}
EMPTY = {"role": "assistant", "content": ""}
CALL = {**EMPTY, "tool_calls": [{"type": "function", "function": {"name": "look", "arguments": {}}}]}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([USER, ASSISTANT], None),
        ([USER], "no_answer"),
        ([ASSISTANT, USER], "no_answer"),
        ([{"role": "user", "content": " "}, ASSISTANT], "empty_prompt"),
        ([{"role": "system", "content": "Be kind."}, ASSISTANT], "empty_prompt"),
        ([{"role": "developer", "content": "Be kind."}, USER, ASSISTANT], None),
        ([USER, EMPTY], "empty_output"),
        ([USER, ASSISTANT, USER, EMPTY], "empty_output"),
        ([USER, {**EMPTY, "weight": 0}, USER, ASSISTANT], None),
        ([USER, CALL, {"role": "tool", "content": ""}, ASSISTANT], None),
        ([USER, {**EMPTY, "reasoning_content": "Hm."}], "empty_output"),
    ],
)
def test_a_conversation_needs_a_question_and_answers(messages, expected):
    assert reason(STEPS, "empty", {"messages": messages}) == expected
