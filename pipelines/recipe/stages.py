"""The training programs, the argument classes of their recipes, and the keys that a recipe must have."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from pipelines.recipe.accepted_keys import accepted_keys


class Stage(StrEnum):
    """Which program a recipe is for."""

    PRETRAIN = "pretrain"
    SFT = "sft"
    DPO = "dpo"


# By their import paths: importing the classes of TRL and transformers takes ten seconds.
ARGUMENTS: dict[Stage, tuple[str, ...]] = {
    Stage.SFT: ("pipelines.recipe.arguments.InstructionArguments", "trl.SFTConfig", "trl.ModelConfig"),
    Stage.DPO: ("pipelines.recipe.arguments.PreferenceArguments", "trl.DPOConfig", "trl.ModelConfig"),
    Stage.PRETRAIN: (
        "pipelines.recipe.arguments.PretrainingArguments",
        "transformers.TrainingArguments",
        "trl.ModelConfig",
    ),
}


_DATASET = ("dataset_name", "datasets")
REQUIRED: dict[Stage, tuple[tuple[str, ...], ...]] = {  # at least one key of each tuple
    Stage.SFT: (("model_name_or_path", "adapter_name_or_path"), _DATASET),
    Stage.DPO: (("model_name_or_path", "adapter_name_or_path"), _DATASET),
    Stage.PRETRAIN: (_DATASET,),
}


def stage_of(recipe: Path, keys: Iterable[str]) -> Stage:
    """Return the stage that the recipe's folder names (recipes/<model>/<stage>/), else the program that knows most of
    its `keys`, in doubt sft."""
    if recipe.parent.name in set(Stage):
        return Stage(recipe.parent.name)
    written = set(keys)
    return min(ARGUMENTS, key=lambda stage: len(written - set(accepted_keys(ARGUMENTS[stage]))))
