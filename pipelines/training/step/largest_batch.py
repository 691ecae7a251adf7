"""The largest batch of a dataset that a trainer can form: by tokens with padding, and by its longest row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc
from transformers import Trainer

from pipelines.training.micro_batches import MicroBatches

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class LargestBatch:
    """`inputs` for a training or prediction step, made of the examples at `places`, the longest first; those of packed
    rows and of blocks are not told."""

    inputs: dict[str, Any]
    places: list[int]

    @property
    def shape(self) -> tuple[int, int]:
        """Sequences, and tokens of each with padding."""
        n_sequences, n_tokens = self.inputs["input_ids"].shape
        return int(n_sequences), int(n_tokens)


def largest_batches(trainer: Any, dataset: Any, n_rows: int, n_rows_of_step: int) -> list[LargestBatch]:
    """The batch of `n_rows` with the most tokens. Where steps of `n_rows_of_step` are cut into micro-batches, the
    micro-batch with the most tokens, and the one with the longest row if that is another."""
    if not isinstance(dataset, datasets.Dataset):  # blocks, all of one length
        return [LargestBatch(_collated(trainer, dataset, range(min(n_rows, len(dataset)))), [])]
    is_packed = "seq_lengths" in dataset.column_names
    if isinstance(trainer, MicroBatches) and trainer.can_be_cut(trainer.data_collator([dataset[0]])):
        if not is_packed:
            return _micro_batches(trainer, dataset, n_rows_of_step)
        examples = getattr(trainer, "examples", None)
        if dataset is trainer.train_dataset and examples is not None:
            return _micro_batches(trainer, examples, len(examples))  # a packed row's examples are computed apart
    order = np.argsort(_lengths(dataset), kind="stable")
    places = order[-n_rows:][::-1].tolist()
    return [LargestBatch(_collated(trainer, dataset, places), [] if is_packed else places)]


def _micro_batches(trainer: MicroBatches, dataset: datasets.Dataset, n_rows: int) -> list[LargestBatch]:
    lengths = _lengths(dataset)
    order = np.argsort(lengths, kind="stable")
    budget = trainer.max_tokens_per_micro_batch
    groups = [order[one][::-1].tolist() for one in largest_groups(lengths[order], n_rows, budget, trainer.cuts)]
    rows = [[{name: dataset[place][name] for name in ("input_ids", "labels")} for place in one] for one in groups]
    return [LargestBatch(trainer.collated(one), places) for one, places in zip(rows, groups, strict=True)]


def largest_groups(
    ascending: np.ndarray, n_rows: int, budget: int, cuts: Callable[[Sequence[int]], list[list[int]]]
) -> list[slice]:
    """Of rows by length, those that a step of `n_rows` or fewer computes together: the most tokens with padding, and
    the longest row if it is not there. `cuts` are the micro-batches of a step, each within the `budget` of tokens.

    No other rows that end at the same length have more, and neighbors need the least padding.
    """
    together = np.minimum(np.maximum(1, budget // ascending), np.arange(1, len(ascending) + 1))
    together = np.minimum(together, n_rows)
    n_tokens, most, n_most = together * ascending, slice(0, 0), 0

    def kept_together(last: int) -> slice:
        for n in range(int(together[last]), 1, -1):
            group = slice(last + 1 - n, last + 1)
            if len(cuts(ascending[group].tolist())) == 1:
                return group
        return slice(last, last + 1)

    for last in np.argsort(n_tokens, kind="stable")[::-1].tolist():
        if n_tokens[last] <= n_most:
            break
        group = kept_together(last)
        n_of_group = (group.stop - group.start) * int(ascending[last])
        if n_of_group > n_most:
            most, n_most = group, n_of_group
    longest = len(ascending) - 1
    return [most] if most.stop == longest + 1 else [most, kept_together(longest)]


def _collated(trainer: Trainer, dataset: Any, places: Sequence[int]) -> dict[str, Any]:
    return dict(trainer.data_collator([dataset[place] for place in places]))


def _lengths(dataset: datasets.Dataset) -> np.ndarray:
    """Tokens of each row; of a pair those of its longer sequence."""
    if "prompt_ids" not in dataset.column_names:
        return _lengths_of(dataset, "input_ids")
    answers = (_lengths_of(dataset, name) for name in ("chosen_ids", "rejected_ids"))
    return np.maximum(*answers) + _lengths_of(dataset, "prompt_ids")


def _lengths_of(dataset: datasets.Dataset, name: str) -> np.ndarray:
    tables = dataset.select_columns([name]).with_format("arrow").iter(_ROWS_AT_ONCE)
    return np.concatenate([np.asarray(pc.list_value_length(table[name]), dtype=np.int64) for table in tables])
