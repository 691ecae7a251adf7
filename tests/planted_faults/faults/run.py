"""Faults of the run: its length, evaluation and choice of a model, order of rows, numbers out of range."""

from typing import Any

from tests.planted_faults.clean.usual import labels
from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import as_messages, preferences, rows_in


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


_IN_ORDER = {"train_sampling_strategy": "sequential"}


def sorted_by_source() -> Pair:
    rows = [{**row, "source": "forum" if n < 60 else "manual"} for n, row in enumerate(rows_in("english"))]
    return Pair(rows, keys=_IN_ORDER)


def sorted_by_length() -> Pair:
    """A curriculum: from short to long."""
    return Pair(sorted(rows_in("english"), key=lambda row: len("".join(row.values()))), keys=_IN_ORDER)


def sorted_by_label() -> Pair:
    """Folders of labels, read one after the other."""
    return Pair(sorted(labels().rows, key=lambda row: row["output"]), keys=_IN_ORDER)


def sorted_by_language() -> Pair:
    """No column names the language."""
    rows = [*rows_in("english")[:40], *rows_in("german_french")]
    return Pair([{"messages": as_messages(row)} for row in rows], keys=_IN_ORDER)
