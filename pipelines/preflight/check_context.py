"""The context of the doctor's checks: a recipe with its rows, tokenizer, base and machine before a run."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainingArguments,
)
from trl import ModelConfig

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.recipe import Stage
from pipelines.recipe.arguments import DataArguments, PretrainingArguments
from pipelines.records.finding import LabelledToken
from pipelines.training.data.ledger import Ledger, RowFate
from pipelines.training.data.truncation import Example


@dataclass(frozen=True)
class SampledRow:
    """One row, as the dataset has it and as the run would train it.

    `asked` is the prompt text (system, user and tool turns, joined by newlines); `answers` are the texts in the loss:
    the assistant's turns, chosen and rejected for DPO, the text of plain text. `examples` are trained after truncation,
    `whole` are those before; both are empty if the template is unusable or the row cannot be read.
    """

    number: int
    values: Mapping[str, Any]
    asked: str
    answers: tuple[str, ...]
    examples: tuple[Example, ...] = ()
    whole: tuple[Example, ...] = ()
    fate: RowFate = RowFate.KEPT
    reason: str | None = None
    messages: tuple[Mapping[str, Any], ...] = ()  # of a conversation; empty for plain text


@dataclass(frozen=True)
class SampledRows:
    """The rows of one split: all `n_rows`, or a seeded sample of them in their order."""

    split: str
    rows: tuple[SampledRow, ...]
    n_rows: int
    columns: tuple[str, ...]
    ledger: Ledger

    @property
    def is_sample(self) -> bool:
        """Whether the split has more rows than these."""
        return len(self.rows) < self.n_rows


@dataclass(frozen=True)
class Base:
    """The model to train, known by its config and files alone. `own_template` is the chat template of its tokenizer."""

    name: str
    config: PreTrainedConfig
    generation_config: GenerationConfig | None
    own_template: str | None
    adapter: str | None = None
    from_scratch: bool = False

    @property
    def n_embedding_rows(self) -> int:
        """Rows of the embedding table before it is resized to the tokenizer."""
        return int(self.config.get_text_config().vocab_size)

    @property
    def is_tied(self) -> bool:
        """Whether the output head is the embedding table."""
        return bool(self.config.get_text_config().tie_word_embeddings)

    @cached_property
    def skeleton(self) -> PreTrainedModel:
        """The model on the meta device: names, shapes and classes of all modules, no weights."""
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(self.config)


@dataclass(frozen=True)
class Machine:
    """The local hardware. `device_bytes` is the memory of one accelerator, or of the machine without one."""

    accelerator: str | None
    device_bytes: int | None
    supports_bfloat16: bool
    free_disk_bytes: int
    versions: Mapping[str, str]


@dataclass(frozen=True)
class CheckContext:
    """What the checks get. `keys` are those that recipe and command line set, as written."""

    stage: Stage
    keys: Mapping[str, Any]
    data: DataArguments | PretrainingArguments
    training: TrainingArguments
    model: ModelConfig
    tokenizer: PreTrainedTokenizerBase
    new_tokens: tuple[str, ...]
    train: SampledRows
    held_out: SampledRows | None
    base: Base
    machine: Machine
    has_unused_evaluation: bool = False  # the dataset has a split to evaluate on and the recipe does not

    @property
    def splits(self) -> tuple[SampledRows, ...]:
        """The rows to train on, then the held-out rows if there are any."""
        return (self.train,) if self.held_out is None else (self.train, self.held_out)

    @property
    def max_length(self) -> int | None:
        """Longest sequence in tokens, None for no limit."""
        holder: Any = self.data if isinstance(self.data, PretrainingArguments) else self.training
        return None if holder.max_length is None else int(holder.max_length)

    @property
    def is_conversational(self) -> bool:
        """Whether rows go through a chat template."""
        return any(row.messages for row in self.train.rows)

    @property
    def n_update_steps(self) -> int:
        """Optimizer steps of the run, estimated from the rows seen where epochs decide it."""
        if self.training.max_steps > 0:
            return int(self.training.max_steps)
        return max(1, math.ceil(self.epoch_steps() * self.training.num_train_epochs))

    def epoch_steps(self, *, with_dropped: bool = False) -> float:
        """Optimizer steps of one epoch, estimated from the rows seen; `with_dropped` as if no row was dropped."""
        training, seen = self.training, self.train
        share = seen.n_rows / max(1, len(seen.rows))
        rows = [row for row in seen.rows if with_dropped or row.fate is not RowFate.DROPPED]
        a_pair_is_one = self.stage is Stage.DPO  # item of a batch
        n_sequences = share * (len(rows) if a_pair_is_one else sum(len(row.examples) or 1 for row in rows))
        in_blocks = self.stage is Stage.PRETRAIN or getattr(training, "packing", False)
        if in_blocks and self.max_length:
            n_tokens = sum(len(example) for row in rows for example in row.examples or row.whole)
            n_sequences = max(1.0, n_tokens * share / self.max_length)
        return n_sequences / (training.train_batch_size * training.gradient_accumulation_steps * training.world_size)

    def examples(self) -> Iterator[Example]:
        """The training examples of the rows seen."""
        return (example for row in self.train.rows for example in row.examples)

    def labelled(self, example: Example, begin: int = 0, end: int | None = None) -> tuple[LabelledToken, ...]:
        """Tokens `begin` to `end` of `example`, as evidence. Negative places count from the end."""
        pairs = list(zip(example.token_ids, example.labels, strict=True))[begin:end]
        return tuple(
            LabelledToken(str(self.tokenizer.decode([token_id])), token_id, label != IGNORED)
            for token_id, label in pairs
        )

    def labelled_around(self, example: Example, place: int, n: int) -> tuple[LabelledToken, ...]:
        """The `n` tokens before `place` and the `n` from there."""
        return self.labelled(example, max(0, place - n), place + n)
