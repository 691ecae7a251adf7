"""Base, rows and tokenizer of a run, before any weight is loaded; the training programs and the doctor share them."""

from dataclasses import dataclass, field
from functools import cached_property

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from pipelines.hub.model_ref import ModelRef
from pipelines.modeling.chat.dates import pin_date
from pipelines.recipe import Recipe
from pipelines.training.data.instruction_set import InstructionSet, instruction_set
from pipelines.training.data.labels import TokenizedRow
from pipelines.training.data.preference_pairs import TokenizedPair, preference_set, tokenize_pairs
from pipelines.training.data.rows import recipe_rows
from pipelines.training.data.sharing import TokenizedSplits, tokenized_once
from pipelines.training.fine_tuning import load_training_tokenizer
from pipelines.training.preference_tuning import load_policy_tokenizer
from pipelines.training.starting_point import starting_point


@dataclass(frozen=True)
class SftInputs:
    """Model and rows of sft.py. `seen` are the rows that the doctor has tokenized, by split and place in it."""

    recipe: Recipe
    start: ModelRef
    rows: InstructionSet
    seen: dict[str, dict[int, TokenizedRow]] = field(default_factory=lambda: {"train": {}, "held-out": {}})

    @property
    def splits(self) -> tuple[Dataset, Dataset | None]:
        """Training rows and held-out rows."""
        return self.rows.train, self.rows.held_out

    @cached_property
    def tokenizer(self) -> tuple[PreTrainedTokenizerBase, list[str]]:
        """The tokenizer of doctor and training."""
        return self.load_tokenizer()

    def load_tokenizer(self) -> tuple[PreTrainedTokenizerBase, list[str]]:
        """The tokenizer with its chat template and the day of the run, and the tokens that are new to the base."""
        data, training, _ = self.recipe.arguments
        loaded = load_training_tokenizer(self.start, training, conversational=self.rows.conversational)
        pin_date(loaded[0], data.template_date, record=self.recipe.keys)
        return loaded

    def tokenize(self, *, compares_with_serving: bool) -> TokenizedSplits:
        """Training examples, their ledger and held-out examples, tokenized on rank 0. Raises `UserError` as
        `InstructionSet.tokenize`."""
        tokenizer, _ = self.tokenizer
        return tokenized_once(
            lambda: self.rows.tokenize(tokenizer, self.seen, compares_with_serving=compares_with_serving)
        )


@dataclass(frozen=True)
class DpoInputs:
    """Model and pairs of dpo.py. `seen` are the pairs that the doctor has tokenized, by split and place in it."""

    recipe: Recipe
    start: ModelRef
    splits: tuple[Dataset, Dataset | None]
    seen: dict[str, dict[int, TokenizedPair]] = field(default_factory=lambda: {"train": {}, "held-out": {}})

    @cached_property
    def tokenizer(self) -> tuple[PreTrainedTokenizerBase, list[str]]:
        """The tokenizer of doctor and training."""
        return self.load_tokenizer()

    def load_tokenizer(self) -> tuple[PreTrainedTokenizerBase, list[str]]:
        """The tokenizer with its chat template and the day of the run, and the tokens that are new to the base."""
        loaded = load_policy_tokenizer(self.start)
        pin_date(loaded[0], self.recipe.arguments[0].template_date, record=self.recipe.keys)
        return loaded

    def tokenize(self) -> TokenizedSplits:
        """Training pairs, their ledger and held-out pairs, tokenized on rank 0. Raises `UserError` as
        `tokenize_pairs`."""
        data, training, _ = self.recipe.arguments
        how = (self.tokenizer[0], training.max_length, data.long_rows)

        def tokenize() -> TokenizedSplits:
            train_rows, held_out_rows = self.splits
            train, ledger = tokenize_pairs(train_rows, *how, self.seen["train"])
            held_out = None
            if held_out_rows is not None:
                held_out, ledger.held_out = tokenize_pairs(held_out_rows, *how, self.seen["held-out"])
            return train, ledger, held_out

        return tokenized_once(tokenize)


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
