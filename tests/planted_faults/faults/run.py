"""Faults of the run: its length, evaluation and choice of a model, order of rows, numbers out of range."""

from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import preferences, rows_in


def pairs_in_one_batch() -> Pair:
    """Preferences in batches of 256 pairs, the size of a run on eight GPUs."""
    keys = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 16, "num_train_epochs": 1,
            "warmup_steps": 0}  # fmt: skip
    return Pair(preferences(rows_in("english")), keys=keys, stage=Stage.DPO)
