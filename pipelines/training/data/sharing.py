"""Rows are tokenized once, on rank 0, and every rank gets them."""

import os
from collections.abc import Callable

from datasets import Dataset

from pipelines.inference.processes import made_once
from pipelines.training.data.ledger import Ledger

TokenizedSplits = tuple[Dataset, Ledger, Dataset | None]  # training examples, their ledger, held-out examples


def tokenized_once(tokenize: Callable[[], TokenizedSplits]) -> TokenizedSplits:
    """What `tokenize` returns on rank 0, on every rank. All raise its `UserError`."""

    def sent() -> TokenizedSplits:
        train, ledger, held_out = tokenize()
        return _in_memory(train), ledger, held_out and _in_memory(held_out)

    return made_once(sent if _has_several_machines() else tokenize)


def _has_several_machines() -> bool:
    """From the variables of torchrun and `accelerate launch`."""
    return os.environ.get("LOCAL_WORLD_SIZE", "1") != os.environ.get("WORLD_SIZE", "1")


def _in_memory(rows: Dataset) -> Dataset:
    """`rows` without a file on this machine: a mapped table is pickled as the path of its file."""
    return Dataset(rows.with_format("arrow")[:], info=rows.info)
