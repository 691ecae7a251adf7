"""Tiny real trainers with the live view, for the tests of its parts."""

from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from pipelines.training.callbacks.logging_callback import ThroughputLogging

END = "<|im_end|>"


class LoggedSFTTrainer(ThroughputLogging, SFTTrainer):
    pass


def tokenizer_of(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder, eos_token=END)


def rows_of(tokenizer: PreTrainedTokenizerBase, n_rows: int) -> Dataset:
    """Rows of different lengths: a prompt that is masked, an answer of one to seven x and the end token."""
    rows = []
    for number in range(n_rows):
        prompt = tokenizer(f"number {number} is ")["input_ids"]
        answer = [*tokenizer("x" * (number % 7 + 1))["input_ids"], tokenizer.eos_token_id]
        rows.append({"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer})
    return Dataset.from_list(rows)


def settings(folder: Path, **options: Any) -> SFTConfig:
    chosen = {
        "output_dir": str(folder), "max_steps": 4, "per_device_train_batch_size": 4, "logging_steps": 1, "seed": 3,
        "eval_strategy": "no", "save_strategy": "no", "use_cpu": True, "bf16": False, "report_to": "none",
        "learning_rate": 1e-2, "disable_tqdm": True, "activation_checkpointing": False, "max_length": None,
    }  # fmt: skip
    return SFTConfig(**{**chosen, **options})


def logged_trainer(
    model_folder: Path, folder: Path, *, rows: Dataset | None = None, lora: bool = True, **options: Any
) -> LoggedSFTTrainer:
    tokenizer = tokenizer_of(model_folder)
    rows = rows_of(tokenizer, 16) if rows is None else rows
    return LoggedSFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model_folder),
        args=settings(folder, **options),
        train_dataset=rows,
        eval_dataset=rows.select(range(4)),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=4, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM")
        if lora
        else None,
    )
