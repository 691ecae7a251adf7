"""Recipes: flat YAML with TRL's own names, parsed strictly into typed arguments. Only `arguments` imports TRL."""

from pipelines.recipe.checks import checks_of
from pipelines.recipe.parsing import Recipe, parse_leniently, parse_recipe, written_keys
from pipelines.recipe.precision import Precision, arithmetic, inference_dtype
from pipelines.recipe.stages import ARGUMENTS, REQUIRED, Stage, stage_of
