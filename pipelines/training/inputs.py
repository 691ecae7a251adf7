"""Base, rows and tokenizer of a run, before any weight is loaded; the training programs and the doctor share them."""

from dataclasses import dataclass

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from pipelines.hub.model_ref import ModelRef
from pipelines.recipe import Recipe
from pipelines.training.data.instruction_set import InstructionSet, instruction_set
from pipelines.training.data.preference_pairs import preference_set
from pipelines.training.data.rows import recipe_rows
from pipelines.training.fine_tuning import load_training_tokenizer
from pipelines.training.preference_tuning import load_policy_tokenizer
from pipelines.training.starting_point import starting_point


@dataclass(frozen=True)
class SftInputs:
    """Model and rows of sft.py."""

    recipe: Recipe
    start: ModelRef
    rows: InstructionSet

    @property
    def splits(self) -> tuple[Dataset, Dataset | None]:
        """Training rows and held-out rows."""
        return self.rows.train, self.rows.held_out

    def load_tokenizer(self) -> tuple[PreTrainedTokenizerBase, list[str]]:
        """The tokenizer with its chat template, and the tokens that are new to the base."""
        training = self.recipe.arguments[1]
        return load_training_tokenizer(self.start, training, conversational=self.rows.conversational)


@dataclass(frozen=True)
class DpoInputs:
    """Model and pairs of dpo.py."""

    recipe: Recipe
    start: ModelRef
    splits: tuple[Dataset, Dataset | None]

    def load_tokenizer(self) -> tuple[PreTrainedTokenizerBase, list[str]]:
        """The tokenizer with its chat template, and the tokens that are new to the base."""
        return load_policy_tokenizer(self.start)


def sft_inputs(recipe: Recipe) -> SftInputs:
    """Resolve the base and read the rows of a recipe for sft.py. Raises `UserError` for what is missing."""
    data, training, model = recipe.arguments
    start = starting_point(model, data.adapter_name_or_path, recipe.keys)
    train, held_out = recipe_rows(data, training.seed, evaluates=training.eval_strategy != "no")
    return SftInputs(recipe, start, instruction_set(train, held_out, data, training, recipe.keys))


def dpo_inputs(recipe: Recipe) -> DpoInputs:
    """Resolve the base and read the pairs of a recipe for dpo.py. Raises `UserError` for what is missing."""
    data, training, model = recipe.arguments
    start = starting_point(model, data.adapter_name_or_path, recipe.keys)
    return DpoInputs(recipe, start, preference_set(data, training))
