"""Which conversations of the rows are compared."""

import pytest

from data_prep.conversation import Conversation
from pipelines.preflight.engines.prompts import kind_of, row_prompts
from tests.preflight.contexts import context_of, rows_of

ASKED, ANSWER = {"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}


def called(**arguments) -> dict:
    call = {"type": "function", "function": {"name": "look_up", "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


@pytest.mark.parametrize(
    "other",
    [
        Conversation([{"role": "system", "content": "Be brief."}, ASKED, ANSWER]),
        Conversation([ASKED, ANSWER, ASKED, ANSWER]),
        Conversation([{**ASKED, "content": " Where?"}, ANSWER]),
        Conversation([ASKED, {**ANSWER, "content": "Here.\n"}]),
        Conversation([ASKED, {**ANSWER, "reasoning_content": "There."}]),
        Conversation([ASKED, ANSWER], [{"type": "function", "function": {"name": "look_up"}}]),
        Conversation([ASKED, ANSWER], None, {"enable_thinking": False}),
        Conversation([ASKED, called(place="Bath")]),
        Conversation([ASKED, called(place=None)]),
        Conversation([ASKED, called(place="Köln")]),
        Conversation([ASKED, called(place="<Bath>")]),
        Conversation([ASKED, called(place=1)]),
        Conversation([{**ASKED, "content": [{"type": "text", "text": "Where?"}]}, ANSWER]),
    ],
    ids=lambda one: str(sorted(kind_of(one)))[:80],
)
def test_a_conversation_of_another_form_is_of_another_kind(other):
    assert kind_of(other) != kind_of(Conversation([ASKED, ANSWER]))


def test_other_words_are_of_the_same_kind():
    assert kind_of(Conversation([ASKED, {**ANSWER, "content": "There."}])) == kind_of(Conversation([ASKED, ANSWER]))


def test_each_kind_is_compared_once_with_its_prompt_and_a_further_turn(gpt2, tmp_path):
    rows = [{"messages": [ASKED, {**ANSWER, "content": row["output"]}]} for row in rows_of(4)]
    system = {"messages": [{"role": "system", "content": "Be brief."}, ASKED, ANSWER]}
    prompts = row_prompts(context_of(tmp_path, gpt2, [*rows, system, *rows_of(0)]))
    assert [(one.row, one.name) for one in prompts] == [
        (row, name) for row in (0, 4) for name in ("its prompt", "the prompt of a turn after it")
    ]
    assert prompts[0].trained == "<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n"
    assert prompts[1].trained.endswith("<|im_start|>user\nGo on.<|im_end|>\n<|im_start|>assistant\n")
    assert prompts[1].read.messages[1]["content"] == rows[0]["messages"][1]["content"]


def test_after_a_call_comes_its_result(gpt2, tmp_path):
    prompts = row_prompts(context_of(tmp_path, gpt2, [{"messages": [ASKED, called(place="Bath")]}]))
    assert [one["role"] for one in prompts[1].read.messages] == ["user", "assistant", "tool"]
