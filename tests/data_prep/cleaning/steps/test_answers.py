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


RUNS_ON = "The sky is blue.\n##\n14. Instruction: Write a poem.\n14. Input:\n<noinput>\n14. Output:\nRoses are red."


@pytest.mark.parametrize(
    "answer",
    [
        RUNS_ON, "It scatters.\n\n### Instruction:\nWrite a poem.", "It scatters.<|im_end|>\n<|im_start|>user\nAnd?",
        "It scatters.\n<|user|>\nAnd the sea?", "It scatters.</s><s>[INST] And the sea? [/INST]",
    ],
)  # fmt: skip
def test_an_answer_that_continues_with_the_next_task_is_rejected(answer):
    assert reason(STEPS, "runs_on", answered(answer, "Why is the sky blue?")) == "runs_on"


@pytest.mark.parametrize(
    "fields",
    [
        answered("### Instruction:\nSort.\n\n### Response:\nSorted.", "Write two prompts for a language model."),
        answered("Use this form:\n```\nHuman: hello\nAI: Hello.\nHuman:\n```", "How are completions sampled?"),
        {"prompt": [{"role": "user", "content": "Why?"}], "chosen": [{"role": "assistant", "content": "So."}],
         "rejected": [{"role": "assistant", "content": RUNS_ON}]},
        {"text": RUNS_ON},
    ],
)  # fmt: skip
def test_headers_that_were_asked_for_or_quoted_and_rejected_answers_stay(fields):
    assert reason(STEPS, "runs_on", fields) is None


PROSE = "The court was founded in 1789. It hears appeals from all of the states and it decides the cases that divide"


@pytest.mark.parametrize(
    "answer",
    [
        f"{PROSE} the", f"{PROSE} them. In", f"{PROSE} our",
        "Ways to help:\n1. Plant a tree in the yard\n2. Walk to work each day\n3.", f"- {PROSE}\n-",
        "Here it is:\n```python\ndef area(radius):\n    return (3.14",
    ],
)  # fmt: skip
def test_an_answer_that_stops_in_the_middle_is_rejected(answer):
    assert reason(STEPS, "cut_off", answered(answer)) == "cut_off"


@pytest.mark.parametrize(
    "answer",
    [
        PROSE, "Paris", "1. Milk\n2. Eggs and", "Roses are red\nviolets are the", "A A G\nG A A\nA G A A",
        "- Sand the wood of the table\n- Paint it white", "Dear Anna,\n\nthank you for all of it.\n\nBest wishes,",
        "Er sagt, er ruft mich morgen früh um acht Uhr noch einmal an", "```python\nprint((1, 2))\n```",
        "Run it:\n```\nmake install\n", "def area(radius):\n    return (3.14",
        "A diamond of stars:\n  *\n * *\n  *", "The sum of it is this:\n42.", "Steps of it:\n1. Go\n2. Turn\n3. Stop.",
        "The most common words of the text that I found are: the, of, and, to, a",
    ],
)  # fmt: skip
def test_answers_that_end_without_a_period_stay(answer):
    assert reason(STEPS, "cut_off", answered(answer)) is None


@pytest.mark.parametrize(("name", "answer"), [("runs_on", RUNS_ON), ("cut_off", f"{PROSE} the")])
def test_answers_that_are_context_stay(name, answer):
    turns = [{"role": "user", "content": "Why is the sky blue?"}, {"role": "assistant", "content": answer}]
    asked = [*turns, {"role": "user", "content": "And?"}]
    chosen = [{"role": "assistant", "content": "That is all."}]
    assert reason(STEPS, name, {"prompt": asked, "chosen": chosen, "rejected": turns[1:]}) is None
    assert reason(STEPS, name, {"messages": [turns[0], {**turns[1], "weight": 0}, *asked[2:], *chosen]}) is None
    assert reason(STEPS, name, {"messages": [*asked, *chosen]}) == name
