"""Recipes: flat YAML with TRL's own names, parsed strictly into typed arguments."""

from pipelines.recipe.arguments import (
    DataArguments,
    DoctorMode,
    InstructionArguments,
    LongRowPolicy,
    MixtureArguments,
    MixturePart,
    PreferenceArguments,
    PretrainingArguments,
    RunArguments,
)
from pipelines.recipe.parsing import Recipe, parse_leniently, parse_recipe, written_keys
from pipelines.recipe.precision import Precision, arithmetic, inference_dtype

__all__ = [
    "DataArguments",
    "DoctorMode",
    "InstructionArguments",
    "LongRowPolicy",
    "MixtureArguments",
    "MixturePart",
    "Precision",
    "PreferenceArguments",
    "PretrainingArguments",
    "Recipe",
    "RunArguments",
    "arithmetic",
    "inference_dtype",
    "parse_leniently",
    "parse_recipe",
    "written_keys",
]
