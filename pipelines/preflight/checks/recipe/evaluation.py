"""Checks of the evaluation: held-out rows that are evaluated never or once, and the choice of the best checkpoint."""

import math
import re
from collections.abc import Iterator
from typing import Any

from transformers.trainer_utils import SaveStrategy

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check
from pipelines.records.finding import Evidence, Finding, Severity

# What an evaluation of this trainer measures, by stage; MoE models add aux_loss.
_OF_ALL = (
    "loss", "runtime", "samples_per_second", "steps_per_second", "stop_rate", "p_end", "p_end_inside", "epoch",
)  # fmt: skip
_OF_TRL = ("entropy", "mean_token_accuracy", "num_tokens", "aux_loss")
_OF_PAIRS = (
    "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected",
    "logits/chosen", "logits/rejected",
)  # fmt: skip
_METRICS = {Stage.PRETRAIN: _OF_ALL, Stage.SFT: (*_OF_ALL, *_OF_TRL), Stage.DPO: (*_OF_ALL, *_OF_TRL, *_OF_PAIRS)}
_LOWER_IS_BETTER = re.compile(
    r"loss|ppl|perplexity|nll|error|bits|bpb|bpc|p_end_inside|(^|_)([cwt]er|mae|mse|rmse)($|_)", re.IGNORECASE
)
_HIGHER_IS_BETTER = re.compile(
    r"accurac|bleu|rouge|meteor|precision|recall|margin|exact_match|score|reward|stop_rate|^p_end$|(^|_)(acc|f1|em|auc|mcc)"
    r"($|_)", re.IGNORECASE
)  # fmt: skip
_ON_PLATEAU = ("reduce_lr_on_plateau", "greedy")


def evaluation_unused(context: CheckContext) -> Iterator[Finding]:
    """EVALUATION_UNUSED: held-out rows that are never evaluated, or only at the end."""
    training, n_steps = context.training, context.n_update_steps
    strategy = _name(training.eval_strategy)
    about = "" if training.max_steps > 0 else "about "
    if context.has_unused_evaluation:
        yield Finding(
            "EVALUATION_UNUSED",
            Severity.WARNING,
            summary="the dataset has held-out rows, but eval_strategy is no",
            why="only a loss on held-out rows shows whether the model learns or memorizes",
            remedy="set eval_strategy: epoch",
        )
    elif strategy != "no" and training.eval_delay and training.eval_delay > _length(context):
        unit = "epochs" if strategy == "epoch" else "steps"
        yield Finding(
            "EVALUATION_UNUSED",
            Severity.WARNING,
            summary=f"eval_delay is {training.eval_delay:g} {unit}, but the run has {about}{_length(context):g}: it is "
            "never evaluated" + (", and no best checkpoint is chosen" if training.load_best_model_at_end else ""),
            why="only a loss on held-out rows shows whether the model learns or memorizes",
            remedy="set eval_delay: 0",
        )
    elif strategy == "steps" and "eval_steps" in context.keys and float(training.eval_steps or 0) > n_steps:
        yield Finding(
            "EVALUATION_UNUSED",
            Severity.WARNING,
            summary=f"eval_steps is {training.eval_steps:g}, but the run has {about}{n_steps} steps: it is evaluated "
            "only at the end",
            why="a single value at the end does not show overfitting, and there is no best checkpoint to choose",
            remedy="set eval_steps: 0.1 (a value below 1 is a share of the run)"
            if not training.load_best_model_at_end
            else "set eval_steps: 0.1, save_steps: 0.1 (a value below 1 is a share of the run)",
        )


def best_model(context: CheckContext) -> Iterator[Finding]:
    """BEST_MODEL_WRONG: the worst checkpoint is kept, or none can be chosen."""
    training = context.training
    metric = training.metric_for_best_model
    chooses = training.load_best_model_at_end or training.save_strategy == SaveStrategy.BEST
    evaluates, keep_best = _name(training.eval_strategy) != "no", context.data.keep_best
    if chooses and not evaluates:
        yield _never_chosen(context)
    elif metric is None or not evaluates or (keep_best is not None and metric == keep_best.metric):
        return
    elif _bare(metric) not in _METRICS[context.stage]:
        yield _not_measured(context, metric)
    elif (wrong := _wrong_direction(metric, bool(training.greater_is_better))) is not None:
        uses = chooses or _name(training.lr_scheduler_type) in _ON_PLATEAU
        yield Finding(
            "BEST_MODEL_WRONG",
            Severity.ERROR if uses else Severity.WARNING,
            summary=f"{metric} is better if it is {'higher' if wrong else 'lower'}, but greater_is_better is "
            f"{str(not wrong).lower()}" + ("" if "greater_is_better" in context.keys else " by default for this name"),
            why="the worst checkpoint is taken for the best one, and loaded at the end"
            if training.load_best_model_at_end
            else "the worst checkpoint is taken for the best one",
            remedy=f"set greater_is_better: {str(wrong).lower()}",
            fix={"greater_is_better": wrong},
        )
    elif chooses and _bare(metric) in ("runtime", "samples_per_second", "steps_per_second", "num_tokens", "epoch"):
        yield _not_measured(context, metric)
    elif "metric_for_best_model" in context.keys and not chooses:
        yield _never_used(metric)


def _never_chosen(context: CheckContext) -> Finding:
    training = context.training
    key = "load_best_model_at_end: true" if training.load_best_model_at_end else "save_strategy: best"
    has_rows = context.held_out is not None or context.has_unused_evaluation
    return Finding(
        "BEST_MODEL_WRONG",
        Severity.WARNING,
        summary=f"{key}, but eval_strategy is no: no checkpoint is the best, and the last one is kept",
        why="without an evaluation there is nothing to choose by, and transformers says nothing",
        remedy="set eval_strategy: epoch, save_strategy: epoch" + ("" if has_rows else ", test_split_size: 0.1")
        + (" or remove load_best_model_at_end" if training.load_best_model_at_end else " or set save_strategy: 'no'"),
        evidence=(Evidence(f"eval_strategy: no, save_strategy: {_name(training.save_strategy)}"),),
    )  # fmt: skip


def _not_measured(context: CheckContext, metric: str) -> Finding:
    measured = ", ".join(f"eval_{name}" for name in _METRICS[context.stage] if name not in ("epoch", "aux_loss"))
    known = _bare(metric) in _METRICS[context.stage]
    fix: dict[str, Any] = {"metric_for_best_model": "eval_loss", "greater_is_better": False}
    return Finding(
        "BEST_MODEL_WRONG",
        Severity.WARNING if known else Severity.ERROR,
        summary=f"metric_for_best_model: {metric} "
        + ("does not say how good the model is" if known else "is not among the metrics of an evaluation"),
        why="the best checkpoint is drawn by chance" if known else "the run stops at its first evaluation (KeyError)",
        remedy="set metric_for_best_model: eval_loss, greater_is_better: false",
        evidence=(Evidence(f"metrics: {measured}"),),
        fix=fix,
    )


def _never_used(metric: str) -> Finding:
    return Finding(
        "BEST_MODEL_WRONG",
        Severity.NOTE,
        summary=f"metric_for_best_model: {metric} without load_best_model_at_end: the last checkpoint is the result",
        why="the key alone does not load the best checkpoint",
        remedy="set load_best_model_at_end: true, with a save_strategy as eval_strategy",
    )


def _wrong_direction(metric: str, greater_is_better: bool) -> bool | None:
    """What `greater_is_better` must be if it is wrong for `metric`; None if it is right, or not known."""
    name = _bare(metric)
    if "rejected" in name:
        return None
    if _LOWER_IS_BETTER.search(name):
        return False if greater_is_better else None
    return True if _HIGHER_IS_BETTER.search(name) and not greater_is_better else None


def _bare(metric: str) -> str:
    return metric.removeprefix("eval_")


def _length(context: CheckContext) -> float:
    """The run's length in the unit of eval_delay."""
    training = context.training
    if _name(training.eval_strategy) != "epoch":
        return context.n_update_steps
    if training.max_steps > 0:
        return round(training.max_steps / max(context.epoch_steps(), 1e-9), 2)
    return math.ceil(training.num_train_epochs)


def _name(value: Any) -> str:
    return str(getattr(value, "value", value))


CHECKS: tuple[Check, ...] = (evaluation_unused, best_model)
