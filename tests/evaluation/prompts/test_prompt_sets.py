"""Prompts: what a row must hold, what --limit draws, what is counted."""

import json

import pytest

from data_prep.conversation import PlainText
from pipelines.errors import UserError
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.prompts.prompt_sets import describe_prompts, held_out_prompts, read_prompts, typed_prompts
from pipelines.files import sha256_of_file
from pipelines.inference.generation import Answer
from tests.run_files import write_jsonl


def test_rows_with_an_instruction_or_a_prompt_alone_are_read(tmp_path):
    rows = [
        {"instruction": "Add.", "input": "1 2", "output": "3", "category": "sums"},
        {"prompt": "Say hello."},
        {"instruction": "Name one.", "input": None, "output": "", "category": None},
    ]
    assert read_prompts(write_jsonl(tmp_path / "rows.jsonl", rows), first_id=4) == [
        Prompt(4, "Add.", "1 2", "3", "sums"), Prompt(5, "Say hello."), Prompt(6, "Name one."),
    ]  # fmt: skip


def test_what_an_answer_is_checked_against_is_read_from_the_row(tmp_path):
    rows = [
        {"prompt": "Add.", "output": "3", "references": ["three", " "], "numeric_answer": 3},
        {"prompt": "Add.", "references": ["three"], "constraints": ["no_commas"], "tests": ["assert add(1, 2) == 3"]},
        {"prompt": "Add.", "output": "1 + 2 = 3\n#### 3"},
        {"prompt": "Write a Python function add(a, b).", "output": "3"},
        {"prompt": "Add.", "instruction_id_list": ["startend:quotation"], "kwargs": [{"num_words": None}]},
    ]
    both, others, marked, function, ifeval = read_prompts(write_jsonl(tmp_path / "rows.jsonl", rows))
    checked = [one.checked(Answer("x", 1, True, ())) for one in (both, others, marked, function)]
    assert [one.references for one in checked][:2] == [("3", "three"), ("three",)]
    assert [one.number for one in checked] == ["3", None, "3", None]
    assert others.reference is None
    assert [one.kind for one in (*others.constraints, *ifeval.constraints)] == ["no_commas", "quotation"]
    assert others.tests.statements == ("assert add(1, 2) == 3",)
    assert marked.number is None
    assert [one.asks_for_code for one in (both, others, function)] == [False, True, True]


def test_a_limit_draws_a_seeded_sample_in_the_files_order(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", [{"prompt": f"Question {n}"} for n in range(100)])
    drawn = held_out_prompts(path, "test", limit=10, seed=0)
    assert drawn == held_out_prompts(path, "test", limit=10, seed=0) == sorted(drawn, key=lambda prompt: prompt.id)
    assert drawn != held_out_prompts(path, "test", limit=10, seed=1)
    assert len(drawn) == 10
    assert max(prompt.id for prompt in drawn) > 50
    assert len(held_out_prompts(path, "test", limit=1000, seed=0)) == 100


def test_the_record_names_the_file_and_counts_what_figures_rest_on(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
    prompts = typed_prompts(["extra"]) + read_prompts(path, first_id=1)
    assert describe_prompts(path, "test", prompts) == {
        "path": str(path), "split": None, "sha256": sha256_of_file(path), "n": 2, "n_with_system": 0,
        "n_with_earlier_turns": 0,
    }  # fmt: skip


@pytest.mark.parametrize(("row", "message"), [
    ({"question": "b"}, "has the columns question, expected `instruction`, `prompt` or `messages`"),
    ({"instruction": "  "}, "has an empty 'instruction', expected `instruction`, `prompt` or `messages`"),
    ({"prompt": 7}, "'prompt' in row 2 of .* is a int, expected text"),
    ({"prompt": "a", "references": "b"}, "'references' in row 2 of .* is 'b', expected a list of texts"),
    ({"prompt": "a", "references": [1]}, "'references' in row 2 of .* is .1., expected a list of texts"),
    ({"prompt": "a", "numeric_answer": "six"}, "'numeric_answer' in row 2 of .* is 'six', expected a number"),
    ({"prompt": "a", "numeric_answer": True}, "'numeric_answer' in row 2 of .* is True, expected a number"),
    ({"prompt": "a", "constraints": ["jsn"]}, "unknown constraint 'jsn' in row 2 of"),
    ({"instruction": "Say \ud83d now"}, "'instruction' in row 2 of .* has half of a surrogate pair"),
    ({"messages": [{"role": "user", "content": "Say \ud83d."}]}, "in row 2 of .* has half of a surrogate pair"),
    ({"messages": [{"role": "narrator", "content": "a"}]}, "row 2 of .* cannot be read: unknown_role: narrator"),
    ({"messages": []}, "row 2 of .* cannot be read: no_messages"),
    ({"messages": [{"role": "assistant", "content": [{"type": "image"}]}]}, "cannot be read: content_is_not_text"),
])  # fmt: skip
def test_a_row_that_cannot_be_measured_is_an_error(tmp_path, row, message):
    with pytest.raises(UserError, match=message):
        held_out_prompts(write_jsonl(tmp_path / "rows.jsonl", [{"prompt": "a"}, row]), "test", limit=None, seed=0)


def test_fewer_than_two_prompts_are_an_error(tmp_path):
    for limit, n in ((None, 1), (-1, 0)):
        with pytest.raises(UserError, match=f"only {n} prompt to measure, expected two or more"):
            held_out_prompts(write_jsonl(tmp_path / "rows.jsonl", [{"prompt": "a"}]), "test", limit=limit, seed=0)


@pytest.mark.parametrize(
    ("given", "kept"), [(1e-05, "0.00001"), (1e16, "10000000000000000"), (42, "42"), ("3/4", "3/4")]
)
def test_a_number_in_a_row_keeps_its_value(given, kept, tmp_path):
    row = {"instruction": "How much?", "numeric_answer": given}
    assert read_prompts(write_jsonl(tmp_path / "rows.jsonl", [row]))[0].number == kept


ASK, ANSWER = {"role": "user", "content": "Two and two?"}, {"role": "assistant", "content": "Four."}
AGAIN, SIX = {"role": "user", "content": "And two?"}, {"role": "assistant", "content": "Six."}
SHAREGPT = [{"from": "human", "value": "Two and two?"}, {"from": "gpt", "value": "Four."}]
HISTORY = [["Two and two?", "Four."]]
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(("row", "context", "reference"), [
    ({"messages": [ASK, ANSWER, AGAIN, SIX]}, [ASK, ANSWER, AGAIN], "Six."),
    ({"messages": json.dumps([SYSTEM, ASK, ANSWER])}, [SYSTEM, ASK], "Four."),
    ({"messages": [ASK, ANSWER, AGAIN]}, [ASK, ANSWER, AGAIN], None),
    ({"messages": [ASK, ANSWER, AGAIN, {**SIX, "weight": 0}]}, [ASK], "Four."),
    ({"messages": [ASK, ANSWER | {"weight": 0}, AGAIN, SIX | {"train": True}]}, [ASK, ANSWER, AGAIN], "Six."),
    ({"messages": [ASK, ANSWER | {"weight": 0}]}, [ASK], None), ({"conversations": SHAREGPT}, [ASK], "Four."),
    ({"prompt": [SYSTEM, ASK], "completion": [ANSWER]}, [SYSTEM, ASK], "Four."),
    ({"prompt": [SYSTEM, ASK]}, [SYSTEM, ASK], None),
    ({"instruction": "Two and two?", "output": "Four.", "system": "Be brief."}, [SYSTEM, ASK], "Four."),
    ({"instruction": "And two?", "output": "Six.", "history": HISTORY}, [ASK, ANSWER, AGAIN], "Six."),
    ({"prompt": "Two and two?", "system": "Be brief."}, [SYSTEM, ASK], None),
    ({"messages": None, "instruction": "Two and two?", "output": "Four."}, [ASK], "Four."),
])  # fmt: skip
def test_each_row_format_gives_what_comes_before_the_answer(row, context, reference, tmp_path):
    [prompt] = read_prompts(write_jsonl(tmp_path / "rows.jsonl", [row]))
    assert (prompt.messages, prompt.reference) == (context, reference)
    assert prompt.instruction == context[-1]["content"]
    assert (prompt.context is None) == (context == [ASK]), "a lone request has no further context"


def test_a_prompt_and_completion_of_plain_text_are_no_conversation(tmp_path):
    [prompt] = read_prompts(write_jsonl(tmp_path / "rows.jsonl", [{"prompt": "def f(x):", "completion": " return x"}]))
    assert prompt.asked == PlainText("def f(x):", " return x")
    assert (prompt.messages, prompt.reference, prompt.full_text) == (None, " return x", "def f(x):")


def test_all_turns_give_a_prompt_each_of_one_group_and_what_is_checked_belongs_to_the_last(tmp_path):
    rows = [
        {"messages": [ASK, ANSWER, AGAIN, SIX], "numeric_answer": 6},
        {"instruction": "One?", "output": "1", "group": "g"},
        {"messages": [ASK, ANSWER, AGAIN], "group": "g"},
    ]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    found = read_prompts(path, all_turns=True)
    assert [one.id for one in found] == [0, 1, 2, 3, 4]
    assert [one.reference for one in found] == ["Four.", "Six.", "1", "Four.", None]
    assert [one.group for one in found] == ["row 1", "row 1", "g", "g", "g"]
    assert [one.number for one in found] == [None, "6", None, None, None]
    assert [one.group for one in read_prompts(path)] == [None, "g", "g"]


def test_a_system_text_is_added_where_a_row_has_none():
    [prompt] = typed_prompts(["Two and two?"])
    with_one = prompt.with_system("Be brief.")
    assert (with_one.messages, with_one.with_system("Be long.")) == ([SYSTEM, ASK], with_one)
    assert prompt.with_system(None) is prompt
