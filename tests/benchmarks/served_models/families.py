"""The models of the table: one for each tokenizer family, trained and merged with the project's own programs."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT

SHARED = PROJECT.parent / "shared" / "data"
_SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
_SFT = {
    "use_peft": True, "lora_r": 16, "lora_alpha": 32, "lora_target_modules": "all-linear", "dtype": "float32",
    "bf16": False, "max_length": 192, "learning_rate": 3e-3, "max_steps": 20, "per_device_train_batch_size": 4,
    "max_dropped_share": 0.9, "doctor": "off",
}  # fmt: skip
# Large random weights, hardly trained, give other tokens at each place; a few steps of training give one token for all.
_WIDE = {"initializer_range": 0.3}
_PRETRAINING = {"max_length": 64, "max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-5}
_QUIET = {"report_to": "none", "disable_tqdm": True, "eval_strategy": "no", "save_strategy": "no", "seed": 0}


@dataclass(frozen=True)
class Family:
    """`base` is a folder; None: a small model of `model_type` is pretrained with the tokenizer in `tokenizer`."""

    base: Path | None = None
    tokenizer: Path | None = None
    model_type: str = "llama"
    model_config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_here(self) -> bool:
        """Whether its files are available."""
        return (self.base or self.tokenizer or Path("absent")).is_dir()


FAMILIES: Mapping[str, Family] = {
    "embedded base": Family(PROJECT / "recipes" / "quickstart" / "base"),
    "stories260K": Family(SHARED / "models" / "hf-stories260K"),
    "babyllama": Family(SHARED / "models" / "hf-babyllama-tok361"),
    "GPT-2": Family(
        None, SHARED / "tokenizers" / "gpt2-hf", "gpt2",
        {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 512, **_WIDE},
    ),
    "Qwen2.5": Family(
        None, SHARED / "tokenizers" / "qwen2.5", "qwen2",
        {**_SMALL, "num_key_value_heads": 2, "max_position_embeddings": 512, **_WIDE},
    ),
}  # fmt: skip


def made(name: str, folder: Path) -> Path:
    """Train and merge the model of a family in `folder` if it is not there yet. Returns the merged model's folder."""
    family, here = FAMILIES[name], folder / name.replace(" ", "-")
    merged = here / "merged"
    if merged.is_dir():
        return merged
    base = family.base or _pretrained(family, here)
    rows = dataset(folder)
    slower = {} if family.base else {"learning_rate": 3e-4}
    _run(
        "sft",
        {**_SFT, **_QUIET, **slower, "model_name_or_path": base, "dataset_name": rows, "output_dir": here / "run"},
    )
    _program(
        "merge", "--adapter", here / "run", "--output", merged, "--dtype", "float32", "--prompts", rows, "--limit", "4"
    )
    return merged


def dataset(folder: Path) -> Path:
    """Instructions with a test split that no model is trained on."""
    if not (folder / "rows").is_dir():
        source = SHARED / "llms-from-scratch" / "instruction-data.json"
        command = [sys.executable, PROJECT / "data_prep" / "build_instructions.py", "--source", source]
        subprocess.run([*command, "--output", folder / "rows", "--seed", "0"], check=True)
    return folder / "rows"


def _pretrained(family: Family, folder: Path) -> Path:
    keys = {
        "model_type": family.model_type, "model_config": dict(family.model_config),
        "tokenizer_name_or_path": family.tokenizer, "dataset_name": SHARED / "splits" / "tinystories_dev.jsonl",
    }  # fmt: skip
    if not (folder / "base" / "model.safetensors").is_file():
        _run("pretrain", {**_PRETRAINING, **_QUIET, **keys, "output_dir": folder / "base"})
    return folder / "base"


def _run(program: str, keys: Mapping[str, Any]) -> None:
    output = Path(keys["output_dir"])
    output.parent.mkdir(parents=True, exist_ok=True)
    recipe = output.with_suffix(".yaml")
    recipe.write_text(json.dumps(keys, default=str))
    _program(program, "--config", recipe, "--general_text", PROJECT / "README.md")


def _program(name: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, PROJECT / "pipelines" / f"{name}.py", *arguments], cwd=PROJECT, check=True)
