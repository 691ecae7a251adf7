"""Instructions and conversations under the names and in the forms that public datasets have."""

import json
import time
from typing import Any

import pytest

from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.registry import FOREIGN_FORMATS
from pipelines.errors import UserError
from tests.data_prep.sources.row_formats.conversions import convert

ASKED, ANSWER = "Name the capital of France.", "Paris."
TALK = [("user", "Hi"), ("assistant", "Hello."), ("user", "Bye"), ("assistant", "Goodbye.")]


@pytest.mark.parametrize("row", [
    {"instruction": ASKED, "input": "", "output": ANSWER, "text": f"### Instruction:\n{ASKED}"},
    {"instruction": ASKED, "context": "", "response": ANSWER, "category": None},
    {"inputs": ASKED, "targets": ANSWER},
    {"input": ASKED, "output": ANSWER},
    {"Question": ASKED, "Answer": ANSWER},
    {"problem": ASKED, "solution": ANSWER},
    {"prompt": ASKED, "completion": ANSWER},
    {"text": f"### Human: {ASKED}### Assistant: {ANSWER}"},
    {"text": f"Below is an instruction.\n\n### Instruction:\n{ASKED}\n\n### Response:\n{ANSWER}</s>"},
    {"text": f"<|im_start|>user\n{ASKED}<|im_end|>\n<|im_start|>assistant\n{ANSWER}<|im_end|>\n"},
    {"text": f"<s>[INST] {ASKED} [/INST] {ANSWER} </s>"},
    {"text": f"<|user|>\n{ASKED}</s>\n<|assistant|>\n{ANSWER}</s>"},
    {"text": f"\n\nHuman: {ASKED}\n\nAssistant: {ANSWER}"},
], ids=lambda row: ",".join(row))  # fmt: skip
def test_a_request_and_its_answer_are_read_under_every_name(row):
    assert convert([row]).fields == [{"instruction": ASKED, "input": "", "output": ANSWER}]


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.mark.parametrize("row", [
    {"messages": [said(*turn) for turn in TALK]},
    {"conversation": [said(*turn) for turn in TALK]},
    {"conversations": [{"from": {"user": "human", "assistant": "gpt"}[who], "value": text} for who, text in TALK]},
    {"messages": [said(who.title(), text) for who, text in TALK]},
    {"id": "1", "data": [text for _, text in TALK]},
    {"dialog": json.dumps([text for _, text in TALK])},
    {"conversation": [{"human": "Hi", "assistant": "Hello."}, {"human": "Bye", "assistant": "Goodbye."}]},
    {"conversation": [{"input": "Hi", "output": "Hello."}, {"input": "Bye", "output": "Goodbye."}]},
    {"text": "### Human: Hi### Assistant: Hello.### Human: Bye### Assistant: Goodbye."},
    {"text": "".join(f"<|im_start|>{who}\n{text}<|im_end|>\n" for who, text in TALK)},
    {"text": "<s>[INST] Hi [/INST] Hello. </s><s>[INST] Bye [/INST] Goodbye. </s>"},
    {"prompt": [said(*turn) for turn in TALK[:3]], "completion": [said(*TALK[3])]},
], ids=lambda row: ",".join(row))  # fmt: skip
def test_a_conversation_is_read_in_every_form(row):
    [fields] = convert([row]).fields
    assert [(one["role"], one["content"]) for one in fields["messages"]] == TALK


def test_templates_keep_system_text_input_and_indentation():
    rows = [
        {"text": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Yes. </s>"},
        {"text": "### Instruction:\nSum up.\n\n### Input:\n1, 2\n\n### Response:\n    a = 1\n    b = 2\n"},
        {"text": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"},
    ]
    system, with_input, open_end = convert(rows).fields
    assert system["messages"][0] == said("system", "Be brief.")
    assert (with_input["instruction"], with_input["output"]) == ("Sum up.\n\n1, 2", "    a = 1\n    b = 2")
    assert [one["role"] for one in open_end["messages"]] == ["system", "user"]
    assert convert([*rows, {"text": "A plain text."}], n_head=3).reasons == {"4": "text_without_template"}


def test_documents_are_no_conversations():
    rows = [{"text": "Once upon a time.\n### Human: is a heading"}, {"text": "Human: a play\nEnter Hamlet"}]
    with pytest.raises(UserError, match=r"rows has no column for instruction .*, only text"):
        convert(rows)
    assert [one["text"] for one in convert(rows, DatasetKind.CORPUS).fields] == [one["text"] for one in rows]
    chat = [{"text": "### Human: a### Assistant: b"}]
    assert convert(chat, DatasetKind.CORPUS).fields == chat


def test_a_task_of_natural_instructions_is_a_row_for_each_instance():
    instances = [{"id": "t-1", "input": "2 + 2", "output": ["4"]},
                 {"id": "t-2", "input": "1 + 1", "output": ["2", "two"]},
                 {"id": "t-3", "input": "0", "output": [{"a": 1}]}]  # fmt: skip
    task = {"Definition": ["Add the numbers."], "Source": ["sums"], "Positive Examples": [], "Instances": instances}
    read = convert([task])
    assert [row.source_row for row in read.rows] == ["1:1", "1:2"]
    assert read.fields[1] == {
        "instruction": "Add the numbers.", "input": "1 + 1", "output": "2", "references": ["2", "two"],
    }  # fmt: skip
    assert read.reasons == {"1:3": "output_is_not_text"}
    flat = convert([{"definition": "Add.", "inputs": "2 + 2", "targets": "[4]", "task_name": "sums"}])
    assert flat.fields == [{"instruction": "Add.", "input": "2 + 2", "output": "[4]"}]
    assert flat.unread == {"task_name": 1}


@pytest.mark.parametrize("row", [
    {"data": ["one text"]}, {"data": [1, 2]}, {"data": [{"human": "a"}]}, {"turns": 3}, {"conversation": "a text"},
])  # fmt: skip
def test_lists_that_are_no_turns_are_not_guessed_at(row):
    with pytest.raises(UserError, match="no column for instruction"):
        convert([row])


def test_the_system_prompt_of_open_orca_is_kept():
    [fields] = convert([{"id": "flan.1", "system_prompt": "Be brief.", "question": "Hi", "response": "Yes."}]).fields
    assert fields == {"instruction": "Hi", "input": "", "output": "Yes.", "system": "Be brief."}


def test_a_format_by_its_name_checks_the_columns_of_each_row():
    rows: list[dict[str, Any]] = [{"question": "a", "answer": "b"}, {"question": "a"}]
    assert convert(rows, format_name="question_answer").reasons == {"2": "no_answer"}
    assert FOREIGN_FORMATS.keys() >= {"alpaca", "dolly", "flan", "messages", "sharegpt", "oasst", "kto", "hh_rlhf"}
    with pytest.raises(UserError, match="--format kto gives instructions or preferences, not corpus"):
        convert(rows, DatasetKind.CORPUS, "kto")


def test_the_chosen_answer_of_a_pair_is_an_instruction():
    pair = {"system": "Be kind.", "question": "Hi", "chosen": "Hello.", "rejected": "No."}
    read = convert([pair, {"prompt": "a", "chosen": "b", "rejected": "b"}], n_head=1)
    assert read.format_name == "chosen_answers"
    assert [one["content"] for one in read.fields[0]["messages"]] == ["Be kind.", "Hi", "Hello."]
    assert read.fields[1] == {"instruction": "a", "input": "", "output": "b"}
    assert read.unread == {"rejected": 2}


@pytest.mark.parametrize("more", [
    {"data": ["x", "y"]}, {"definition": "a fruit"}, {"conversation": [{"human": "a", "assistant": "b"}]},
    {"text": "### Human: x### Assistant: y"}, {"completions": [{"text": "x", "score": 1}, {"text": "y", "score": 2}]},
    {"label": True, "Source": "https://example.org"},
], ids=lambda more: ",".join(more))  # fmt: skip
def test_a_request_and_its_answer_win_over_other_columns(more):
    read = convert([{"instruction": ASKED, "output": ANSWER, **more}])
    assert read.format_name is None
    assert read.fields == [{"instruction": ASKED, "input": "", "output": ANSWER}]
    assert read.unread == dict.fromkeys(more, 1)
    assert read.rows[0].source == "rows"


def test_an_input_without_an_instruction_is_the_request_and_keeps_its_context():
    [fields] = convert([{"input": "Who?", "context": "Ada wrote it.", "output": "Ada."}]).fields
    assert fields == {"instruction": "Who?", "input": "Ada wrote it.", "output": "Ada."}


def test_two_questions_are_no_conversation():
    with pytest.raises(UserError, match="no column for instruction"):
        convert([{"question_id": 81, "category": "writing", "turns": ["Write a poem.", "Shorten it."]}])


def test_long_runs_of_blanks_take_no_time():
    blanks = " " * 200_000
    rows = [{"text": f"### Human: a{blanks}b### Assistant: c{blanks}d</s>"}, {"text": f"### Human: a{blanks}{blanks}b"}]
    began = time.process_time()
    convert(rows)
    assert time.process_time() - began < 2
