"""Faults of the run: its length, evaluation and choice of a model, order of rows, numbers out of range."""

from typing import Any

from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import preferences, rows_in


def pairs_in_one_batch() -> Pair:
    """Preferences in batches of 256 pairs, the size of a run on eight GPUs."""
    keys = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 16, "num_train_epochs": 1,
            "warmup_steps": 0}  # fmt: skip
    return Pair(preferences(rows_in("english")), keys=keys, stage=Stage.DPO)


_BEST = {"load_best_model_at_end": True, "save_strategy": "steps", "eval_steps": 20, "save_steps": 20}


def _evaluated(**keys: Any) -> Pair:
    rows = rows_in("english")
    return Pair(rows[:80], held_out=rows[80:], keys=keys)


def evaluation_after_the_end() -> Pair:
    """transformers' usual interval, in a short run."""
    return _evaluated(eval_steps=500)


def evaluation_delayed() -> Pair:
    return _evaluated(eval_strategy="epoch", eval_steps=None, eval_delay=10)


def greatest_loss() -> Pair:
    return _evaluated(**_BEST, metric_for_best_model="eval_loss", greater_is_better=True)


def lowest_accuracy() -> Pair:
    pairs = preferences(rows_in("english"))
    keys = {**_BEST, "metric_for_best_model": "eval_rewards/accuracies", "greater_is_better": False}
    return Pair(pairs[:80], held_out=pairs[80:], stage=Stage.DPO, keys=keys)


def metric_that_nothing_measures() -> Pair:
    return _evaluated(**_BEST, metric_for_best_model="eval_rougeL", greater_is_better=True)


def _preferences(**keys: Any) -> Pair:
    return Pair(preferences(rows_in("english")), stage=Stage.DPO, keys=keys)


def preferences_with_beta_10() -> Pair:
    """A beta of SimPO, for another loss."""
    return _preferences(beta=10.0)


def preferences_with_beta_0() -> Pair:
    return _preferences(beta=0.0)
