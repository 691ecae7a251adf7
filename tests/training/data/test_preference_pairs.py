"""Preference rows of any format to tokens: the prompt as it is served, one end token, and a fate for every row."""

import json
from typing import Any

import pytest
from datasets import Dataset
from trl import DPOConfig

from data_prep.conversation import UnreadableRowError, read_preference
from pipelines.errors import UserError
from pipelines.modeling import load_tokenizer, render_prompt
from pipelines.recipe.arguments import PreferenceArguments, TruncationPolicy
from pipelines.training.data.ledger import RowFate
from pipelines.training.data.preference_pairs import pair_tokens, preference_set, refuse_other_columns, tokenize_pairs

ROW = {"instruction": "Say hello.", "input": "In French.", "chosen": "Bonjour.", "rejected": "Hello there, friend."}


USER = {"role": "user", "content": "Say hello.\n\nIn French."}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("Bonjour.", "Hello."))

ROWS = {
    "ours": {"instruction": "Say hello.", "input": "In French.", "chosen": "Bonjour.", "rejected": "Hello."},
    "texts": {"prompt": USER["content"], "chosen": "Bonjour.", "rejected": "Hello."},
    "messages": {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    "whole conversations": {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "whole conversations beside a prompt": {"prompt": "x", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "from and value": {
        "conversations": [{"from": "human", "value": USER["content"]}],
        "chosen": {"from": "gpt", "value": "Bonjour."},
        "rejected": {"value": "Hello."},
    },
}


def pairs_of(rows: list[dict], tokenizer: Any, max_length: int | None, policy: str = "drop") -> tuple:
    return tokenize_pairs(Dataset.from_list(rows), tokenizer, max_length, TruncationPolicy(policy))


def test_the_prompt_is_the_served_one_and_each_answer_ends_with_one_end_token(tokenizer):
    pairs, ledger = pairs_of([ROW, {**ROW, "chosen": "Bonjour.<|im_end|>\n"}], tokenizer, None)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for pair in pairs:
        assert pair["prompt_ids"] == render_prompt(tokenizer, "Say hello.\n\nIn French.")
        assert tokenizer.decode(pair["chosen_ids"]) == "Bonjour.<|im_end|>"
        assert pair["rejected_ids"].index(end) == len(pair["rejected_ids"]) - 1
    n_prompt, n_answers = len(pairs[0]["prompt_ids"]), len(pairs[0]["chosen_ids"]) + len(pairs[0]["rejected_ids"])
    assert ledger.n_tokens == 2 * (2 * n_prompt + n_answers)
    assert ledger.n_tokens_trained == 2 * n_answers


def test_a_row_that_does_not_fit_is_dropped_with_its_tokens(tokenizer):
    whole = pairs_of([ROW], tokenizer, None)[0][0]
    length = len(whole["prompt_ids"]) + len(whole["rejected_ids"])
    assert len(pairs_of([ROW], tokenizer, length)[0]) == 1
    long = {**ROW, "rejected": ROW["rejected"] + "!"}
    pairs, ledger = pairs_of([long, ROW, {**ROW, "rejected": "Bonjour. "}], tokenizer, length)
    assert len(pairs) == 1
    assert ledger.reasons() == {"longer_than_max_length": 1, "chosen_equals_rejected": 1}
    assert ledger.n_tokens_lost > 0


def test_truncate_prompt_cuts_the_left_of_the_prompt_only(tokenizer):
    row = {**ROW, "input": "one two three four five six seven eight nine ten. " * 3 + "THE END"}
    whole = pairs_of([row], tokenizer, None)[0][0]
    max_length = len(whole["prompt_ids"]) + len(whole["rejected_ids"]) - 20
    pairs, ledger = pairs_of([row], tokenizer, max_length, "truncate_prompt")
    [pair] = pairs
    assert len(pair["prompt_ids"]) + len(pair["rejected_ids"]) <= max_length
    assert pair["chosen_ids"] == whole["chosen_ids"]
    text = tokenizer.decode(pair["prompt_ids"])
    assert "Say hello" not in text
    assert "THE END<|im_end|>" in text
    assert ledger.fates[RowFate.PROMPT_CUT] == 1
    with pytest.raises(UserError, match="1 answer_longer_than_max_length"):
        pairs_of([row], tokenizer, 20, "truncate_prompt")


def test_keep_end_token_cuts_answers_and_drops_those_that_become_equal(tokenizer):
    alike = {**ROW, "chosen": "The very same beginning, yes", "rejected": "The very same beginning, no"}
    n_prompt = len(pairs_of([ROW], tokenizer, None)[0][0]["prompt_ids"])
    pairs, ledger = pairs_of([ROW, alike], tokenizer, n_prompt + 5, "keep_end_token")
    [pair] = pairs
    assert len(pair["rejected_ids"]) == 5
    assert tokenizer.decode(pair["rejected_ids"]).endswith("<|im_end|>")
    assert ledger.fates[RowFate.ANSWER_CUT] == 1
    assert ledger.reasons() == {"chosen_equals_rejected_when_cut": 1}


def test_the_policies_error_and_split_refuse(tokenizer):
    with pytest.raises(UserError, match=r"row 0 has .* tokens"):
        pairs_of([ROW], tokenizer, 20, "error")
    with pytest.raises(UserError, match="split"):
        preference_set(PreferenceArguments(dataset_name="x", long_rows="split"), DPOConfig(use_cpu=True, bf16=False))


def test_nothing_but_equal_pairs_is_an_error_with_the_remedy(tokenizer):
    complaint = r"none of 2 pairs .*, 2 chosen_equals_rejected; check that the columns chosen"
    with pytest.raises(UserError, match=complaint) as refused:
        pairs_of([{**ROW, "rejected": "Bonjour."}] * 2, tokenizer, 256)
    assert "\n" not in str(refused.value)


def test_several_turns_with_tools_and_content_parts_are_rendered_as_they_are_served(shared_data):
    tokenizer = load_tokenizer(str(shared_data / "tokenizers" / "qwen2.5"))
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    parts = [{"type": "text", "text": "And"}, {"type": "text", "text": "tomorrow?"}]
    prompt = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "rain"},
        {"role": "assistant", "content": "Rain.", "weight": 0},
        {"role": "user", "content": parts},
    ]
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    tools = [{"type": "function", "function": tool}]
    row = {"prompt": prompt, "chosen": "Sun.", "rejected": [{"role": "assistant", "content": "Hail."}], "tools": tools}
    pair = pair_tokens(read_preference(row), tokenizer)
    served = [{key: turn[key] for key in turn if key != "weight"} for turn in prompt[:-1]]
    served.append({"role": "user", "content": "And\ntomorrow?"})
    text = tokenizer.apply_chat_template(served, tools=tools, add_generation_prompt=True, tokenize=False)
    assert tokenizer.decode(pair.prompt_ids) == text
    assert tokenizer.decode(pair.chosen_ids) == "Sun.<|im_end|>"
    assert tokenizer.decode(pair.rejected_ids) == "Hail.<|im_end|>"


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_all_formats_read_alike(row):
    refuse_other_columns(Dataset.from_list([row]), "rows")
    preference = read_preference(row)
    assert (preference.prompt, preference.chosen, preference.rejected) == ([USER], GOOD, BAD)


def test_a_system_prompt_earlier_turns_and_tools_are_kept():
    before = [{"role": "system", "content": "Be brief."}, USER, GOOD, {"role": "user", "content": "Again."}]
    tools = [{"type": "function", "function": {"name": "greet"}}]
    row = {"prompt": before, "chosen": "Salut.", "rejected": "Hi.", "tools": json.dumps(tools)}
    preference = read_preference(row)
    assert preference.prompt == before
    assert preference.tools == tools
    assert read_preference({**ROWS["texts"], "system": "Be brief."}).prompt == [before[0], USER]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rejected": " Bonjour.\n"}, "chosen_equals_rejected"),
        ({"chosen": [USER, GOOD], "rejected": [USER, GOOD]}, "chosen_equals_rejected"),
        ({"rejected": " "}, "empty_rejected"),
        ({"chosen": None}, "empty_chosen"),
        ({"chosen": [GOOD, USER, GOOD]}, "chosen_is_not_one_turn"),
        ({"instruction": " ", "input": ""}, "empty_prompt"),
        ({"chosen": [{"role": "assistant", "content": {"image": 1}}]}, "content_is_not_text"),
    ],
)
def test_a_row_without_a_preference_says_why(change, reason):
    with pytest.raises(UnreadableRowError, match=f"^{reason}$"):
        read_preference({**ROWS["ours"], **change})


@pytest.mark.parametrize("columns", ["instruction, output", "chosen, rejected", "prompt, chosen"])
def test_other_columns_are_refused_with_those_found_and_the_formats_known(columns):
    with pytest.raises(UserError) as refused:
        refuse_other_columns(Dataset.from_list([dict.fromkeys(columns.split(", "), "text")]), "my.jsonl")
    assert f"has the columns {columns}, expected" in refused.value.problem
    assert "instruction + input + chosen + rejected" in refused.value.problem


def test_real_rows_of_several_turns_are_read(shared_data):
    rows = json.loads((shared_data / "llamafactory-demos" / "dpo_en_demo.json").read_text())
    preferences = [read_preference(row) for row in rows]
    assert max(len(preference.prompt) for preference in preferences) == 13
    assert sum(preference.prompt[0]["role"] == "system" for preference in preferences) == 80
