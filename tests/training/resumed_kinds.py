"""Kinds of run for tests of resuming: tiny, each with something that a resumed run could do another way."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.run_files import write_jsonl

_TEXTS = [f"def add_{n}(x):\n    return x + {n}" + "  # once more" * (n % 7) for n in range(30)]
# 10 of the 30 rows are held out: 5 steps are an epoch; a checkpoint of step 6 is in the middle of a log line
_COMMON = {
    "bf16": False, "dtype": "float32", "report_to": "none", "disable_tqdm": True, "doctor": "off", "n_samples": 2,
    "sample_max_new_tokens": 6, "max_steps": 8, "save_strategy": "steps", "save_steps": 3, "logging_steps": 4,
    "eval_strategy": "steps", "eval_steps": 3, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2,
    "learning_rate": 1e-2,
}  # fmt: skip
_ROWS = {"max_length": 192, "test_split_size": 10, "activation_checkpointing": False}
_LORA = {"use_peft": True, "lora_r": 4, "lora_dropout": 0.1}
_QLORA = {**_LORA, "load_in_4bit": True}
_PRETRAIN = {"max_length": 16, "n_validation_documents": 4, "per_device_eval_batch_size": 8}
_SCRATCH = {
    "model_type": "gpt2", "model_config": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A program with the keys of its recipe, without base, data and output_dir. The base's tokenizer alone is used by a
    run from scratch; `mixed` trains on two corpora."""

    program: str
    keys: dict[str, Any]
    mixed: bool = False

    def write_recipe(self, path: Path, base: Path, **more: Any) -> Path:
        """Write recipe and rows beside each other."""
        data = path.with_suffix(".jsonl")
        write_jsonl(data, _rows(self.program))
        keys = {**_COMMON, **(_PRETRAIN if self.program == "pretrain" else _ROWS), **self.keys, **more}
        keys["tokenizer_name_or_path" if "model_type" in keys else "model_name_or_path"] = str(base)
        if self.mixed:
            other = write_jsonl(path.with_suffix(".other.jsonl"), [{"text": text * 2} for text in _TEXTS[::-1]])
            keys["datasets"] = [{"path": str(data), "weight": 0.7}, {"path": str(other), "weight": 0.3}]
        else:
            keys["dataset_name"] = str(data)
        path.write_text(json.dumps(keys))
        return path


KINDS = {
    "SFT, padded, LoRA": Kind("sft", {**_LORA, "max_tokens_per_micro_batch": 0, "neftune_noise_alpha": 5}),
    "SFT, grouped, LoRA": Kind("sft", {**_LORA, "train_sampling_strategy": "group_by_length"}),
    "SFT, packed, QLoRA": Kind("sft", {**_QLORA, "packing": True, "eval_on_start": True}),
    "SFT, micro-batched, full": Kind(
        "sft", {"max_tokens_per_micro_batch": 64, "load_best_model_at_end": True, "save_total_limit": 1}
    ),
    "SFT, evaluated each epoch, LoRA": Kind("sft", {**_LORA, "eval_strategy": "epoch", "save_steps": 5}),
    "DPO, LoRA": Kind("dpo", _LORA),
    "DPO, full": Kind("dpo", {"precompute_ref_log_probs": True}),
    "pretraining, blocks, LoRA, AdamW": Kind("pretrain", _LORA),
    "pretraining, from scratch, streamed, Muon": Kind(
        "pretrain", {**_SCRATCH, "streaming": True, "muon_learning_rate": 0.01}
    ),
    "pretraining, mixed, full, Muon": Kind("pretrain", {"streaming": True, "muon_learning_rate": 0.01}, mixed=True),
}
STOPPED_EARLY = "SFT, stopped early, full"  # after three or four steps
ALL_KINDS = {
    **KINDS,
    STOPPED_EARLY: Kind(
        "sft", {"learning_rate": 1.0, "eval_steps": 1, "save_steps": 1, "keep_best": "loss", "patience": 2}
    ),
}


def _rows(program: str) -> list[dict[str, str]]:
    if program == "sft":
        return [{"instruction": f"add {n}", "output": text} for n, text in enumerate(_TEXTS)]
    if program == "dpo":
        pairs = enumerate(_TEXTS)
        return [{"prompt": f"add {n}", "chosen": text, "rejected": "no " * (n % 5 + 1)} for n, text in pairs]
    return [{"text": text} for text in _TEXTS]
