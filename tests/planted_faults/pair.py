"""A pair of recipe and rows, as one writes it down, and as files that programs take."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from data_prep.dataset_folder import DatasetKind, SplitSizes, write_dataset_folder
from pipelines.preflight.check_context import Stage

Row = Mapping[str, Any]

# What the recipes here have in common with those of recipes/; a pair's own keys go over them, None removes one.
_USUAL = {
    "dtype": "float32", "max_length": 1024, "num_train_epochs": 3, "per_device_train_batch_size": 4,
    "lr_scheduler_type": "cosine", "warmup_steps": 0.05, "logging_steps": 10, "save_strategy": "no", "seed": 0,
    "report_to": "none", "bf16": False, "activation_checkpointing": False,
}  # fmt: skip
_LORA = {"use_peft": True, "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.05, "lora_target_modules": "all-linear"}
_RATES = {Stage.SFT: 2e-4, Stage.DPO: 5e-6}
_PRETRAINING = {
    "num_train_epochs": 1, "learning_rate": 3e-4, "activation_checkpointing": None, "max_length": 256,
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Rows and the keys in which the recipe differs from the usual.

    `template` becomes a .jinja file that the recipe names. `change_base` is applied to a copy of the base, which is
    called `base_name`. With `folder_share` the rows are a folder of data_prep/build_instructions.py that has this
    share of them as its validation split.
    """

    rows: Sequence[Row]
    held_out: Sequence[Row] = ()
    keys: Mapping[str, Any] = field(default_factory=dict)
    stage: Stage = Stage.SFT
    template: str | None = None
    change_base: Callable[[Path], None] | None = None
    base_name: str = "base"
    folder_share: float | None = None


def template_text(name: str) -> str:
    """The chat template templates/NAME.jinja."""
    return (Path(__file__).parent / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def recipe_keys(pair: Pair, folder: Path, base: Path) -> dict[str, Any]:
    """All keys of the pair's recipe, with rows, template and base in `folder`; writes those files."""
    keys = {
        "model_name_or_path": str(_base(pair, folder, base)), **_rows(pair, folder), **_USUAL, **_of_stage(pair.stage),
        "output_dir": str(folder / "run"), **_template(pair, folder), **pair.keys,
    }  # fmt: skip
    return {key: value for key, value in keys.items() if value is not None}


def write_pair(pair: Pair, folder: Path, base: Path) -> Path:
    """Write recipe.yaml, rows, and template and changed base if there are any, into `folder`; the recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_keys(pair, folder, base), sort_keys=False), encoding="utf-8")
    return path


def _of_stage(stage: Stage) -> dict[str, Any]:
    return _PRETRAINING if stage is Stage.PRETRAIN else {**_LORA, "learning_rate": _RATES[stage]}


def _base(pair: Pair, folder: Path, base: Path) -> Path:
    if pair.change_base is None:
        return base
    copy = folder / pair.base_name
    shutil.copytree(base, copy)
    pair.change_base(copy)
    return copy


def _template(pair: Pair, folder: Path) -> dict[str, Any]:
    if pair.template is None:
        return {}
    path = folder / "template.jinja"
    path.write_text(pair.template, encoding="utf-8")
    return {"chat_template_path": str(path)}


def _rows(pair: Pair, folder: Path) -> dict[str, Any]:
    if pair.folder_share is not None:
        rows = [
            {"input": "", **row, "source": "notes", "source_row": str(n), "group": str(n)}
            for n, row in enumerate(pair.rows)
        ]  # fmt: skip
        write_dataset_folder(
            folder / "data", rows, kind=DatasetKind.INSTRUCTIONS, split_sizes=SplitSizes(pair.folder_share, 0), seed=0,
            sources=[], rejected=[], command="none",
        )  # fmt: skip
        return {"dataset_name": str(folder / "data"), "eval_strategy": "steps", "eval_steps": 0.5}
    data = folder / "data"
    data.mkdir(exist_ok=True)
    _write(data / "train.jsonl", pair.rows)
    if not pair.held_out:
        return {"dataset_name": str(data / "train.jsonl")}
    _write(data / "validation.jsonl", pair.held_out)
    return {"dataset_name": str(data), "eval_strategy": "steps", "eval_steps": 0.5}


def _write(path: Path, rows: Sequence[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows), encoding="utf-8")
