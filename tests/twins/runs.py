"""Runs of recipes on their twins: through the programs themselves, in this process, each recipe once."""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file
from transformers import TrainingArguments
from trl import DPOConfig, ModelConfig, SFTConfig

from pipelines.recipe.arguments import InstructionArguments, PreferenceArguments, PretrainingArguments
from tests.twins.datasets import save_twin_set
from tests.twins.models import model_of, save_twin, save_twin_tokenizer

PROJECT = Path(__file__).resolve().parents[2]
RECIPES = sorted((PROJECT / "recipes").glob("*/*/*.yaml"))
OURS = {"quickstart", "shakespeare-char"}  # models trained here: the embedded base is its own twin

KINDS = {
    "pretrain": [PretrainingArguments, TrainingArguments, ModelConfig],
    "sft": [InstructionArguments, SFTConfig, ModelConfig],
    "dpo": [PreferenceArguments, DPOConfig, ModelConfig],
}

# The pace of a run of two steps, and no tracker. All other keys stay as the recipe has them, but for those below.
_PACE = {"max_steps": 2, "logging_steps": 1, "eval_steps": 2, "save_steps": 2, "report_to": "none", "n_samples": 1}

# A step of a pretraining recipe is more than 100,000 tokens. The twin reads fewer blocks, and short ones.
_PRETRAINING_LENGTH, _N_HELD_OUT = 64, 16


def keys_of(recipe: Path) -> dict[str, Any]:
    """The recipe's keys as they are written."""
    return yaml.safe_load(recipe.read_text(encoding="utf-8"))


def weights_of(folder: Path) -> dict[str, Any]:
    """All tensors of a model or adapter folder, in float32."""
    name = "adapter_model.safetensors" if (folder / "adapter_config.json").is_file() else "model.safetensors"
    return {key: tensor.float() for key, tensor in load_file(folder / name).items()}


def recipe_that_writes(output_dir: str) -> Path:
    """The one recipe whose run folder is `output_dir`."""
    (recipe,) = [recipe for recipe in RECIPES if keys_of(recipe)["output_dir"] == output_dir]
    return recipe


class TwinRuns:
    """Twins of models and sets are made once, and a recipe is run once: DPO goes on from the adapter of an SFT twin."""

    def __init__(self, folder: Path, shared_tokenizers: Path) -> None:
        self.folder, self.shared_tokenizers = folder, shared_tokenizers
        self.model = cache(self._model)
        self.dataset = cache(self._dataset)
        self.run = cache(self._run)

    def _model(self, name_or_path: str) -> Path:
        if (PROJECT / name_or_path).is_dir():
            return PROJECT / name_or_path
        model = model_of(name_or_path)
        return save_twin(model, self.folder / "models" / model, self.shared_tokenizers)

    def _dataset(self, name: str) -> Path:
        return save_twin_set(name, self.folder / "sets" / name.replace("/", "--"))

    def _run(self, recipe: Path) -> Path:
        """Run `recipe` on its twin for two steps; the folder of the run."""
        output = self.folder / "runs" / recipe.relative_to(PROJECT / "recipes").with_suffix("")
        assert not output.exists(), f"{recipe.relative_to(PROJECT)} has failed on its twin before"
        overrides = _PACE | {"output_dir": output} | self._overrides(recipe)
        if keys_of(recipe).get("warmup_steps", 0) > 1:  # a number of steps, of which there are two here
            overrides["warmup_steps"] = 1
        words = [word for key, value in overrides.items() for word in (f"--{key}", _as_word(value))]
        importlib.import_module(f"pipelines.{recipe.parent.name}").main(["--config", str(recipe), *words])
        return output

    def _overrides(self, recipe: Path) -> dict[str, Any]:
        """What stands in the recipe for things of the outside, each as its twin, and how little of it is read."""
        keys = keys_of(recipe)
        found: dict[str, Any] = {}
        if keys.get("gradient_accumulation_steps", 1) > 2:
            found["gradient_accumulation_steps"] = 2
        if "model_name_or_path" in keys:
            found["model_name_or_path"] = self.model(keys["model_name_or_path"])
        else:
            found["tokenizer_name_or_path"] = save_twin_tokenizer("qwen", self.folder / "tokenizer")
        if "datasets" in keys:
            found["datasets"] = [part | {"path": str(self.dataset(part["path"]))} for part in keys["datasets"]]
        else:
            found["dataset_name"] = self.dataset(keys.get("dataset_name", "a text file of one's own"))
        if "adapter_name_or_path" in keys:
            found["adapter_name_or_path"] = self.run(recipe_that_writes(keys["adapter_name_or_path"]))
        if recipe.parent.name == "pretrain":
            found |= {"max_length": _PRETRAINING_LENGTH, "n_validation_documents": _N_HELD_OUT}
        if "num_decay_steps" in keys.get("lr_scheduler_kwargs", {}):  # the schedule's share in the length of the run
            found["lr_scheduler_kwargs"] = keys["lr_scheduler_kwargs"] | {"num_decay_steps": 1}
        return found


def _as_word(value: Any) -> str:
    if isinstance(value, list | dict):
        return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return str(value)
