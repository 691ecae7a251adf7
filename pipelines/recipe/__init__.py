"""Recipes: flat YAML with TRL's own names, parsed strictly into typed arguments."""

from pipelines.recipe.arguments import (
    DataArguments,
    LongRowPolicy,
    MixtureArguments,
    MixturePart,
    PreferenceArguments,
    PretrainingArguments,
    RunArguments,
)
from pipelines.recipe.parsing import Recipe, parse_recipe

__all__ = [
    "DataArguments",
    "LongRowPolicy",
    "MixtureArguments",
    "MixturePart",
    "PreferenceArguments",
    "PretrainingArguments",
    "Recipe",
    "RunArguments",
    "parse_recipe",
]
