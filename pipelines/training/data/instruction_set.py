"""A recipe's instruction rows: their format is detected once, and training and held-out rows are tokenized alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from types import MappingProxyType
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig

from data_prep.conversation import (
    NOT_OF_THE_CONVERSATION,
    RowFormat,
    TrainOn,
    is_conversational,
    row_format,
    unread_columns,
    unread_message_keys,
)
from pipelines.errors import UserError
from pipelines.modeling import PromptStyle, render_prompt
from pipelines.recipe.arguments import InstructionArguments, TruncationPolicy
from pipelines.training.data.labels import RowTokenizer, TokenizedRow, tokenize_rows
from pipelines.training.data.ledger import Ledger
from pipelines.training.serving_check import refuse_prompt_mismatch

_N_CHECKED_AGAINST_SERVING = 8
_N_SEARCHED = 10_000  # rows whose messages are searched for unread keys


@dataclass(frozen=True)
class InstructionSet:
    """Training rows and held-out rows (None if the recipe does not evaluate) of one format."""

    name: str
    train: Dataset
    held_out: Dataset | None
    kind: RowFormat
    data: InstructionArguments
    training: SFTConfig
    trains_every_token: bool
    long_rows: TruncationPolicy

    @cached_property
    def conversational(self) -> bool:
        """Whether the rows use a chat template. Raises `UserError` if only some do."""
        return is_conversational(self.kind, self.train, self.name)

    @property
    def unread(self) -> list[str]:
        """Columns and message keys that training does not read."""
        columns = unread_columns(self.train.column_names, self.kind, self.training.dataset_text_field)
        named = [name for name in columns if name not in NOT_OF_THE_CONVERSATION]
        holders = [name for name in self.train.column_names if name not in columns]
        rows = self.train.select_columns(holders).select(range(min(len(self.train), _N_SEARCHED)))
        keys = (f"{name}.{key}" for row in rows for name in holders for key in unread_message_keys(row[name]))
        return list(dict.fromkeys([*named, *keys]))

    def tokenizing(self, tokenizer: PreTrainedTokenizerBase) -> RowTokenizer:
        """The tokenizer of rows for this recipe."""
        return RowTokenizer(
            tokenizer,
            self.kind,
            self.training.max_length,
            self.long_rows,
            self.training.dataset_text_field,
            whole_sequence=self.trains_every_token,
            train_on=self.data.train_on,
        )

    def tokenize(
        self,
        tokenizer: PreTrainedTokenizerBase,
        seen: Mapping[str, dict[int, TokenizedRow]] = MappingProxyType({}),
        *,
        compares_with_serving: bool = True,
    ) -> tuple[Dataset, Ledger, Dataset | None]:
        """Tokenize the rows that the doctor has not `seen`: training examples, their ledger, held-out examples.

        Raises `UserError` if none is left, or if it `compares_with_serving` and a trained prompt differs from the
        served one.
        """
        if self.kind is RowFormat.TEXT or self.trains_every_token:
            print("the loss is on every token of a row, prompts included", flush=True)
        if unread := self.unread:
            print(f"ignored in {self.name}: {', '.join(unread)}", flush=True)
        how = self.tokenizing(tokenizer)
        n_processes = self.training.dataset_num_proc
        train, ledger = tokenize_rows(self.train, how, seen=seen.get("train"), num_proc=n_processes)
        if compares_with_serving and self.conversational and not how.whole_sequence:
            refuse_prompt_mismatch(how, islice(self.train, 64), _N_CHECKED_AGAINST_SERVING)
        held_out = None
        if self.held_out is not None:
            held_out, ledger.held_out = tokenize_rows(
                self.held_out, how, seen=seen.get("held-out"), num_proc=n_processes
            )
        return train, ledger, held_out


def instruction_set(
    train: Dataset,
    held_out: Dataset | None,
    data: InstructionArguments,
    training: SFTConfig,
    keys: Mapping[str, Any] | None = None,
) -> InstructionSet:
    """Detect the format of `train`. `keys` are those that the recipe sets.

    Raises `UserError` for an unknown format, for no rows, or if `train_on` contradicts a loss on every token.
    """
    paths = [str(getattr(part, "path", part)) for part in data.datasets]
    name = " + ".join(paths) or str(data.dataset_name)
    if len(train) == 0:
        raise UserError(f"{name} has no rows", "check the dataset and its split")
    text_field, is_written = training.dataset_text_field, "dataset_text_field" in (keys or {})
    kind = row_format(train.column_names, text_field, name, text_field_is_written=is_written)
    if held_out is not None:
        other = row_format(held_out.column_names, text_field, f"{name}, held out", text_field_is_written=is_written)
        if other is not kind:
            raise UserError(
                f"the held-out rows of {name} have the format {other.value} ({', '.join(held_out.column_names)}), "
                f"the training rows {kind.value}",
                "name a test split of the same format",
            )
    every_token = trains_every_token(kind, training, keys or {})
    if every_token and data.train_on is not TrainOn.ALL_TURNS:
        key = "completion_only_loss" if training.completion_only_loss is False else "assistant_only_loss"
        raise UserError(
            f"train_on: {data.train_on.value} contradicts {key}: false, which puts every token into the loss",
            f"remove one of train_on and {key}",
        )
    splits = training.packing and training.packing_strategy == "bfd_split" and "long_rows" not in (keys or {})
    long_rows = TruncationPolicy.SPLIT if splits else data.long_rows  # as TRL packs with bfd_split
    rows = InstructionSet(name, train, held_out, kind, data, training, every_token, long_rows)
    if data.train_on is not TrainOn.ALL_TURNS and not rows.conversational:
        raise UserError(
            f"train_on: {data.train_on.value} needs conversations, {name} has rows of plain text", "remove train_on"
        )
    return rows


def trains_every_token(kind: RowFormat, training: SFTConfig, keys: Mapping[str, Any]) -> bool:
    """Whether prompts are in the loss too: with `completion_only_loss: false`, or, for rows of messages, with a written
    `assistant_only_loss: false` (TRL's default, which is not the default here)."""
    if training.completion_only_loss is not None:
        return not training.completion_only_loss
    return keys.get("assistant_only_loss") is False and kind in (RowFormat.MESSAGES, RowFormat.SHAREGPT)


def sample_prompt_ids(rows: InstructionSet, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of the prompts answered at each evaluation: the recipe's, or the first held-out ones."""
    data = rows.data
    if data.sample_prompts is not None:
        style = PromptStyle.CHAT if rows.conversational else PromptStyle.RAW
        return [render_prompt(tokenizer, prompt, style=style) for prompt in data.sample_prompts]
    how = rows.tokenizing(tokenizer)
    prompts = (how.prompt_ids(row) for row in rows.held_out or ())
    return list(islice((ids for ids in prompts if ids), data.n_samples))
