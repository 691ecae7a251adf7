"""Runs, evaluations, orders and numbers that look like a fault and are none."""

from collections.abc import Mapping
from typing import Any

from tests.planted_faults.clean.clean_pair import CleanPair
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import documents, preferences, rows_in


def steps_that_agree() -> Pair:
    """max_steps as long as the written epochs."""
    return Pair(rows_in("english"), keys={"max_steps": 72})


def many_epochs_with_the_best_kept() -> Pair:
    keys = {
        "num_train_epochs": 20, "eval_strategy": "epoch", "eval_steps": None, "save_strategy": "epoch",
        "load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": False,
        "save_total_limit": 1,
    }  # fmt: skip
    rows = rows_in("english")
    return Pair(rows[:80], held_out=rows[80:], keys=keys)


def best_by_accuracy() -> Pair:
    """The greatest accuracy, with the default direction."""
    keys = {
        "eval_steps": 10, "save_strategy": "steps", "save_steps": 10, "load_best_model_at_end": True,
        "metric_for_best_model": "mean_token_accuracy", "eval_delay": 10,
    }  # fmt: skip
    rows = rows_in("english")
    return Pair(rows[:80], held_out=rows[80:], keys=keys)


def best_by_margin() -> Pair:
    keys = {
        "eval_strategy": "epoch", "eval_steps": None, "save_strategy": "best", "load_best_model_at_end": True,
        "metric_for_best_model": "eval_rewards/margins", "greater_is_better": True,
    }  # fmt: skip
    pairs = preferences(rows_in("english"))
    return Pair(pairs[:80], held_out=pairs[80:], stage=Stage.DPO, keys=keys)


def _preferred(keys: Mapping[str, Any]) -> Pair:
    return Pair(preferences(rows_in("english")), stage=Stage.DPO, keys=keys)


def one_epoch_of_a_corpus() -> Pair:
    return Pair(documents(rows_in("english")), stage=Stage.PRETRAIN, keys={"max_length": 64})


def in_file_order(*, sorts: bool = False, **keys: Any) -> Pair:
    """Two sources, by turns or one after the other from short to long, with ids and dates that rise."""
    rows = rows_in("english")
    if sorts:
        rows.sort(key=lambda row: len(row["output"]))
    marked = [
        {
            **row,
            "source": ("forum", "manual")[n >= 50 if sorts else n % 2],
            "row_id": n,
            "created_at": f"2026-03-{n // 7 + 1:02}",
        }
        for n, row in enumerate(rows)
    ]
    return Pair(marked, keys=keys)


_OF_PUBLISHED_RECIPES = {
    "QLoRA's numbers": {"lora_r": 64, "lora_alpha": 16, "lora_dropout": 0.1, "max_grad_norm": 0.3, "adam_beta2": 0.999},
    "LoRA Without Regret": {"lora_r": 1, "lora_alpha": 32, "lora_dropout": 0.0, "weight_decay": 0.0},
    "rsLoRA at rank 256": {"lora_r": 256, "lora_alpha": 32, "use_rslora": True, "neftune_noise_alpha": 15},
    "no clipping, 8-bit Adam": {"max_grad_norm": 0.0, "optim": "adamw_bnb_8bit", "adam_epsilon": 1e-6,
                                "weight_decay": 0.1, "adam_beta2": 0.95},
}  # fmt: skip
_LENGTH_NORMALIZED = {"loss_type": ["sigmoid_norm"], "beta": 5.0}
_IPO = {"loss_type": ["ipo"], "beta": 0.01, "label_smoothing": 0.0}

CLEAN_PAIRS = (
    *(
        CleanPair(name, family, lambda keys=keys: Pair(rows_in("english"), keys=keys))
        for (name, keys), family in zip(_OF_PUBLISHED_RECIPES.items(), Family, strict=True)
    ),
    CleanPair(
        "Adafactor",
        Family.GPT2,
        lambda: Pair(rows_in("english"), keys={"optim": "adafactor", "learning_rate": 1e-3, "adam_epsilon": 1e-3}),
    ),
    CleanPair("DPO by the mean of tokens", Family.CHATML, lambda: _preferred(_LENGTH_NORMALIZED)),
    CleanPair("IPO", Family.LLAMA3, lambda: _preferred(_IPO)),
    CleanPair("max_steps and epochs that agree", Family.GPT2, steps_that_agree),
    CleanPair("twenty epochs, the best of them kept", Family.CHATML, many_epochs_with_the_best_kept),
    CleanPair("continued pretraining for one epoch", Family.LLAMA3, one_epoch_of_a_corpus),
    CleanPair("best by accuracy", Family.OWN, best_by_accuracy),
    CleanPair("best by the margin of rewards", Family.GPT2, best_by_margin),
    CleanPair(
        "mixed rows in the order of the file",
        Family.CHATML,
        lambda: in_file_order(train_sampling_strategy="sequential"),
    ),
    CleanPair("sorted rows, shuffled by the sampler", Family.LLAMA3, lambda: in_file_order(sorts=True)),
    CleanPair(
        "sorted rows, in random batches of one length",
        Family.OWN,
        lambda: in_file_order(sorts=True, train_sampling_strategy="group_by_length"),
    ),
    CleanPair(
        "sorted rows, shuffled before training",
        Family.GPT2,
        lambda: in_file_order(sorts=True, train_sampling_strategy="sequential", shuffle_dataset=True),
    ),
    CleanPair("ten epochs", Family.OWN, lambda: Pair(rows_in("english")[:24], keys={"num_train_epochs": 10})),
)
