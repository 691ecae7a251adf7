"""Recipes: flat YAML with TRL's own names, parsed strictly into typed arguments."""

from pipelines.recipe.arguments import DataArguments, PretrainingArguments
from pipelines.recipe.parsing import Recipe, parse_recipe

__all__ = ["DataArguments", "PretrainingArguments", "Recipe", "parse_recipe"]
