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

__all__ = [
    "DataArguments",
    "DoctorMode",
    "InstructionArguments",
    "LongRowPolicy",
    "MixtureArguments",
    "MixturePart",
    "PreferenceArguments",
    "PretrainingArguments",
    "Recipe",
    "RunArguments",
    "parse_leniently",
    "parse_recipe",
    "written_keys",
]
