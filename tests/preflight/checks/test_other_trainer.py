"""What the note says of `trl sft` is what TRL's own trainer does with the same rows."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import GenerationConfig
from trl import SFTConfig, SFTTrainer

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.other_trainer import CHECKS
from tests.preflight.contexts import Row, base_of, context_of, findings_by_id, pairs_of, rows_of

found = partial(findings_by_id, CHECKS)
CHATS: list[Row] = [
    {"messages": [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]}
    for row in rows_of(12)
]
BOS = "<|begin_of_text|>"


def of_trl(base: Path, rows: list[Any], folder: Path, **keys: Any) -> SFTTrainer:
    """TRL's trainer with its prepared rows."""
    config = SFTConfig(output_dir=str(folder / "trl"), report_to="none", bf16=False, use_cpu=True, **keys)
    return SFTTrainer(str(base), config, train_dataset=Dataset.from_list(rows))


def test_trl_keeps_the_end_token_of_the_base_and_trains_prompts(qwen, tmp_path):
    said = found(context_of(tmp_path, qwen, CHATS))["CURED_HERE"]
    assert "keep <|endoftext|> as the end token" in said.summary
    assert "train the prompts of 12 rows" in said.summary
    trainer = of_trl(qwen, CHATS, tmp_path)
    assert trainer.processing_class.eos_token == "<|endoftext|>"
    assert trainer.train_dataset[0]["labels"] == trainer.train_dataset[0]["input_ids"]


def test_trl_cuts_the_end_of_long_answers_off(qwen, tmp_path):
    rows = [*CHATS, {"messages": [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "1 " * 400}]}]
    context = context_of(tmp_path, qwen, rows)
    assert "cut off the end of 1 of 13 (7.7%) answers" in found(context)["CURED_HERE"].summary
    long = of_trl(qwen, rows, tmp_path, max_length=512).train_dataset[12]["labels"]
    assert len(long) == 512
    assert context.tokenizer.eos_token_id not in long[-2:]
    split = context_of(tmp_path / "split", qwen, rows, packing=True, packing_strategy="bfd_split")
    assert "cut off" not in found(split)["CURED_HERE"].summary


def test_trl_writes_a_second_bos_before_a_prompt_that_has_one(tmp_path):
    llama3 = base_of("llama3", tmp_path / "base")
    rows = [{"prompt": f"{BOS}Q: {row['instruction']}\nA:", "completion": row["output"]} for row in rows_of(12)]
    assert f"write {BOS} twice" in found(context_of(tmp_path, llama3, rows))["CURED_HERE"].summary
    trainer = of_trl(llama3, rows, tmp_path)
    assert trainer.train_dataset[0]["input_ids"][:2] == [trainer.processing_class.bos_token_id] * 2


def test_trl_trains_turns_of_no_weight(qwen, tmp_path):
    chats = [
        {"messages": [asked, {**answer, "weight": 0}, asked, answer]}
        for asked, answer in (chat["messages"] for chat in CHATS)
    ]
    assert "train the turns of 12 rows" in found(context_of(tmp_path, qwen, chats))["CURED_HERE"].summary


@pytest.mark.parametrize(
    "keys",
    [
        {"eos_token": "<|im_end|>", "assistant_only_loss": True},
        {"eos_token": "<|im_end|>", "completion_only_loss": False},
    ],
)
def test_nothing_is_said_of_a_recipe_that_names_these_keys(qwen, tmp_path, keys):
    assert not found(context_of(tmp_path, qwen, CHATS, **keys))


def test_nothing_is_said_of_instruction_rows_where_generation_stops_at_the_end_of_a_turn(qwen, tmp_path):
    context = context_of(tmp_path, qwen, rows_of(12))
    ends = GenerationConfig(eos_token_id=[context.tokenizer.eos_token_id])
    object.__setattr__(context.base, "generation_config", ends)
    assert not found(context)


def test_nothing_is_said_of_other_stages(qwen, tmp_path):
    assert not found(context_of(tmp_path, qwen, pairs_of(rows_of(12)), stage=Stage.DPO))
