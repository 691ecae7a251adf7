"""A recipe's rows on their way to the trainer: recognised once, tokenized alike for training and evaluation."""

from dataclasses import dataclass
from itertools import islice

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig

from data_prep.conversation import (
    RowFormat,
    is_conversational,
    row_format,
)
from pipelines.errors import UserError
from pipelines.modeling import PromptStyle, render_prompt
from pipelines.recipe import DataArguments
from pipelines.training.labels import RowTokenizer, tokenize_rows
from pipelines.training.ledger import Ledger
from pipelines.training.serving_check import refuse_unlike_serving

_N_CHECKED_AGAINST_SERVING = 8


@dataclass(frozen=True)
class InstructionSet:
    """Training rows and held-out rows (None if the recipe does not evaluate) of one format."""

    name: str
    train: Dataset
    held_out: Dataset | None
    kind: RowFormat
    data: DataArguments
    training: SFTConfig

    @property
    def conversational(self) -> bool:
        """Whether the rows go through a chat template."""
        return is_conversational(self.kind, self.train[0])

    def tokenizing(self, tokenizer: PreTrainedTokenizerBase) -> RowTokenizer:
        """How one row becomes examples under this recipe."""
        return RowTokenizer(
            tokenizer,
            self.kind,
            self.training.max_length,
            self.data.long_rows,
            self.training.dataset_text_field,
            whole_sequence=self.training.completion_only_loss is False,
        )

    def tokenize(self, tokenizer: PreTrainedTokenizerBase) -> tuple[Dataset, Ledger, Dataset | None]:
        """Training examples with their ledger, and held-out examples. Raises `UserError` if none is left, or if a row
        would be trained otherwise than it is served."""
        if self.kind is RowFormat.TEXT or self.training.completion_only_loss is False:
            print("the loss is on every token of a row, prompts included", flush=True)
        how = self.tokenizing(tokenizer)
        n_processes = self.training.dataset_num_proc
        train, ledger = tokenize_rows(self.train, how, num_proc=n_processes)
        if self.conversational and not how.whole_sequence:
            refuse_unlike_serving(how, islice(self.train, 64), _N_CHECKED_AGAINST_SERVING)
        held_out = tokenize_rows(self.held_out, how, num_proc=n_processes)[0] if self.held_out is not None else None
        return train, ledger, held_out


def instruction_set(
    train: Dataset, held_out: Dataset | None, data: DataArguments, training: SFTConfig
) -> InstructionSet:
    """Recognise the format of `train`. Raises `UserError` if it is none that is known, or if there is no row."""
    paths = [str(getattr(part, "path", part)) for part in data.datasets]
    name = " + ".join(paths) or str(data.dataset_name)
    if len(train) == 0:
        raise UserError(expected=f"rows in {name}", got="none", remedy="check the dataset and its split")
    kind = row_format(train.column_names, training.dataset_text_field, name)
    return InstructionSet(name, train, held_out, kind, data, training)


def sample_prompt_ids(rows: InstructionSet, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of the prompts that are answered at each evaluation: the recipe's own, or the first held-out ones."""
    data = rows.data
    if data.sample_prompts is not None:
        style = PromptStyle.CHAT if rows.conversational else PromptStyle.RAW
        return [render_prompt(tokenizer, prompt, style=style) for prompt in data.sample_prompts]
    how = rows.tokenizing(tokenizer)
    prompts = (how.prompt_ids(row) for row in rows.held_out or ())
    return list(islice((ids for ids in prompts if ids), data.n_samples))
