"""Pairs to tokens: the prompt as it is served, one end token, and a fate for every row."""

import json
from pathlib import Path

import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig

from data_prep.conversation import read_preference
from pipelines.errors import UserError
from pipelines.modeling import load_tokenizer, render_prompt
from pipelines.recipe.arguments import PreferenceArguments, TruncationPolicy
from pipelines.training.data.ledger import RowFate
from pipelines.training.data.preference_pairs import pair_tokens, preference_set, tokenize_pairs

ROW = {"instruction": "Say hello.", "input": "In French.", "chosen": "Bonjour.", "rejected": "Hello there, friend."}


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_model_folder))


def pairs_of(
    rows: list[dict], tokenizer: PreTrainedTokenizerBase, max_length: int | None, policy: str = "drop"
) -> tuple:
    return tokenize_pairs(Dataset.from_list(rows), tokenizer, max_length, TruncationPolicy(policy))


def test_the_prompt_is_the_served_one_and_each_answer_ends_with_one_end_token(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    pairs, ledger = pairs_of([ROW, {**ROW, "chosen": "Bonjour.<|im_end|>\n"}], tokenizer, None)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for pair in pairs:
        assert pair["prompt_ids"] == render_prompt(tokenizer, "Say hello.\n\nIn French.")
        assert tokenizer.decode(pair["chosen_ids"]) == "Bonjour.<|im_end|>"
        assert pair["rejected_ids"].count(end) == 1
        assert pair["rejected_ids"][-1] == end
    n_prompt, n_answers = len(pairs[0]["prompt_ids"]), len(pairs[0]["chosen_ids"]) + len(pairs[0]["rejected_ids"])
    assert ledger.n_tokens == 2 * (2 * n_prompt + n_answers)
    assert ledger.n_tokens_trained == 2 * n_answers


def test_a_row_that_does_not_fit_is_dropped_with_its_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    whole = pairs_of([ROW], tokenizer, None)[0][0]
    length = len(whole["prompt_ids"]) + len(whole["rejected_ids"])
    assert len(pairs_of([ROW], tokenizer, length)[0]) == 1
    long = {**ROW, "rejected": ROW["rejected"] + "!"}
    pairs, ledger = pairs_of([long, ROW, {**ROW, "rejected": "Bonjour. "}], tokenizer, length)
    assert len(pairs) == 1
    assert ledger.reasons() == {"longer_than_max_length": 1, "chosen_equals_rejected": 1}
    assert ledger.n_tokens_lost > 0


def test_truncate_prompt_cuts_the_left_of_the_prompt_only(tokenizer: PreTrainedTokenizerBase) -> None:
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


def test_keep_end_token_cuts_answers_and_drops_those_that_become_equal(tokenizer: PreTrainedTokenizerBase) -> None:
    alike = {**ROW, "chosen": "The very same beginning, yes", "rejected": "The very same beginning, no"}
    n_prompt = len(pairs_of([ROW], tokenizer, None)[0][0]["prompt_ids"])
    pairs, ledger = pairs_of([ROW, alike], tokenizer, n_prompt + 5, "keep_end_token")
    [pair] = pairs
    assert len(pair["rejected_ids"]) == 5
    assert tokenizer.decode(pair["rejected_ids"]).endswith("<|im_end|>")
    assert ledger.fates[RowFate.ANSWER_CUT] == 1
    assert ledger.reasons() == {"chosen_equals_rejected_when_cut": 1}


def test_the_policies_error_and_split_refuse(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(UserError, match=r"row 0 has .* tokens"):
        pairs_of([ROW], tokenizer, 20, "error")
    with pytest.raises(UserError, match="split"):
        preference_set(PreferenceArguments(dataset_name="x", long_rows="split"), DPOConfig(use_cpu=True, bf16=False))


def test_nothing_but_equal_pairs_is_an_error_with_the_remedy(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(
        UserError, match=r"none of 2 pairs .*, 2 chosen_equals_rejected; check that the columns chosen"
    ) as refused:
        pairs_of([{**ROW, "rejected": "Bonjour."}] * 2, tokenizer, 256)
    assert "\n" not in str(refused.value)


def test_real_conversations_keep_their_history(shared_data: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = json.loads((shared_data / "llamafactory-demos" / "dpo_en_demo.json").read_text())[:40]
    several = next(number for number, row in enumerate(rows) if len(row["conversations"]) >= 5)
    kept = json.dumps(rows[several]["conversations"][0]["value"])[1:21]
    pairs, ledger = tokenize_pairs(Dataset.from_list([rows[several]]), tokenizer, None, TruncationPolicy.DROP)
    assert ledger.fates[RowFate.KEPT] == 1
    text = tokenizer.decode(pairs[0]["prompt_ids"])
    assert kept in text
    assert text.count("<|im_start|>assistant\n") >= 3
    assert text.endswith("<|im_start|>assistant\n")


def test_several_turns_with_tools_and_content_parts_are_rendered_as_they_are_served(shared_data: Path) -> None:
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
    text = tokenizer.apply_chat_template(
        [*served, {"role": "user", "content": "And\ntomorrow?"}],
        tools=tools,
        add_generation_prompt=True,
        tokenize=False,
    )
    assert tokenizer.decode(pair.prompt_ids) == text
    assert tokenizer.decode(pair.chosen_ids) == "Sun.<|im_end|>"
    assert tokenizer.decode(pair.rejected_ids) == "Hail.<|im_end|>"
