"""Which program a recipe is for, and the arguments that it takes."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from transformers import TrainingArguments
from trl import DPOConfig, ModelConfig, SFTConfig

from pipelines.diagnosis.case import Stage
from pipelines.recipe import InstructionArguments, PreferenceArguments, PretrainingArguments

ARGUMENTS: dict[Stage, list[type]] = {
    Stage.SFT: [InstructionArguments, SFTConfig, ModelConfig],
    Stage.DPO: [PreferenceArguments, DPOConfig, ModelConfig],
    Stage.PRETRAIN: [PretrainingArguments, TrainingArguments, ModelConfig],
}


def stage_of(recipe: Path, keys: Iterable[str]) -> Stage:
    """The stage that the recipe's folder names (recipes/<model>/<stage>/), else the program that knows most of its
    `keys`, sft where several do."""
    if recipe.parent.name in set(Stage):
        return Stage(recipe.parent.name)
    written = set(keys)

    def n_unknown(stage: Stage) -> int:
        return len(written - {field.name for kind in ARGUMENTS[stage] for field in dataclasses.fields(kind)})

    return min(ARGUMENTS, key=n_unknown)
