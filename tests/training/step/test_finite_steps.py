"""A row that makes the loss NaN ends the run before its update, by its number, and leaves the last checkpoint whole."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from pipelines import dpo, pretrain, sft
from pipelines.errors import Diverged
from pipelines.records.checkpoint import checkpoint_fault, checkpoints_of
from pipelines.training.step.finite_steps import FiniteSteps
from tests.run_files import record_of, write_jsonl
from tests.training.sft_runs import KEYS

SAVES = f"{KEYS.replace('--save_strategy no', '--save_strategy steps --save_steps 1')} --doctor off"
BAD = 7  # the row with the only ~


@pytest.fixture(scope="module")
def poisoned(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose embedding of ~ is infinite, as after a careless resize."""
    folder = tmp_path_factory.mktemp("poisoned") / "base"
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder, tie_word_embeddings=False)
    with torch.no_grad():
        model.get_output_embeddings().weight.copy_(model.get_input_embeddings().weight)
        model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("~")] = torch.inf
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def said(n: int) -> str:
    return f"{n} ~ it is" if n == BAD else f"{n} it is"


def failed(train: Callable[[list[str]], None], arguments: str, folder: Path) -> str:
    """The message of a run that diverges after a checkpoint or more, which are whole; it is in run.json too."""
    with pytest.raises(Diverged) as error:
        train(f"{arguments} --output_dir {folder} {SAVES}".split())
    record, saved = record_of(folder), checkpoints_of(folder)
    assert record["status"] == "failed"
    assert str(error.value).startswith(record["failure"])
    assert saved, str(error.value)
    assert [checkpoint_fault(one) for one in saved] == [None] * len(saved)
    assert f"of step {len(saved) + 1} is not finite" in str(error.value)
    assert str(saved[0]) in str(error.value)  # to start another run from
    return str(error.value)


@pytest.mark.parametrize("cut", ["", "--max_tokens_per_micro_batch 0", "--packing true --padding_free false"])
def test_a_row_of_supervised_fine_tuning_is_named_with_its_token(poisoned, tmp_path, cut):
    rows = write_jsonl(tmp_path / "rows.jsonl", ({"instruction": f"Say {n}.", "output": said(n)} for n in range(40)))
    named = f"--model_name_or_path {poisoned} --dataset_name {rows} --use_peft --lora_r 4 --max_steps 12 {cut}"
    message = failed(sft.main, named, tmp_path / "run")
    assert re.search(
        rf"; 1 of its \d+ rows give that alone: row {BAD} \(from token \d+, '~', on, after .*{BAD} '\)", message
    )


def test_a_pair_of_dpo_is_named(poisoned, tmp_path):
    pairs = ({"instruction": f"Say {n}.", "chosen": said(n), "rejected": "no"} for n in range(40))
    rows = write_jsonl(tmp_path / "pairs.jsonl", pairs)
    named = f"--model_name_or_path {poisoned} --dataset_name {rows} --use_peft --lora_r 4 --max_steps 12"
    assert f"; 1 of its 4 rows give that alone: row {BAD} (from token" in failed(dpo.main, named, tmp_path / "run")


def test_a_block_of_pretraining_is_shown_at_its_token(poisoned, tmp_path):
    (tmp_path / "text.txt").write_text("It is what it is. " * 200 + "A ~ here. " + "It is what it is. " * 200)
    named = (
        f"--model_name_or_path {poisoned} --dataset_name {tmp_path / 'text.txt'} --use_peft --lora_r 4 --max_steps 19"
    )
    message = failed(pretrain.main, named, tmp_path / "run")
    assert "1 of its 4 rows give that alone: 't is what it is. A ~ here. It is" in message
    assert "'~', on, after 't is. A '" in message


def test_weights_that_are_not_finite_are_not_saved(tiny_model_folder, tmp_path):
    rows = write_jsonl(tmp_path / "rows.jsonl", ({"instruction": f"Say {n}.", "output": said(n)} for n in range(8)))
    named = f"--model_name_or_path {tiny_model_folder} --dataset_name {rows} --output_dir {tmp_path / 'run'}"
    with pytest.raises(Diverged, match=r"is not finite after step 1; lower .*; start again with another --output_dir$"):
        sft.main(f"{named} --learning_rate 1e39 --max_steps 2 {SAVES}".split())
    assert checkpoints_of(tmp_path / "run") == []


class ScaledTrainer(FiniteSteps, Trainer):
    """Trains as in float16, whose scaler leaves out steps with an infinite gradient."""


def scaled(model_folder: Path, folder: Path, scale: float, n_overflows: int) -> ScaledTrainer:
    """Whose first gradients overflow."""
    arguments = TrainingArguments(folder, max_steps=12, use_cpu=True, report_to="none", disable_tqdm=True)
    rows: Any = [{"input_ids": [5, 6, 7, 8], "labels": [5, 6, 7, 8]}] * 96
    trainer = ScaledTrainer(AutoModelForCausalLM.from_pretrained(model_folder), arguments, train_dataset=rows)
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    norm = trainer.model.model.norm.weight
    norm.register_hook(lambda one: one * torch.inf if trainer.state.global_step < n_overflows else one)
    return trainer


def test_in_float16_a_step_whose_gradient_overflows_is_skipped(tiny_model_folder, tmp_path):
    trainer = scaled(tiny_model_folder, tmp_path, 2.0**16, n_overflows=3)
    trainer.train()
    assert trainer.accelerator.scaler.get_scale() == 2.0**13
    assert trainer.state.global_step == 12


def test_in_float16_a_gradient_that_overflows_at_every_scale_ends_the_run(tiny_model_folder, tmp_path):
    with pytest.raises(Diverged, match="the norm of the gradient of step 5 is not finite"):
        scaled(tiny_model_folder, tmp_path, 1e-3, n_overflows=12).train()
