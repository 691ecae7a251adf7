"""Loss gap: training loss against held-out loss, and whether the held-out loss rose again."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transformers import TrainingArguments

from pipelines.postflight.measurement import Measurement, not_measured, rounded
from pipelines.records.finding import Finding, Severity

# A rise of this share is overfitting: the standard error over a few hundred rows is 1% to 3% of a loss. Below
# MIN_RISE_NATS it is nothing, whatever share of a loss near zero it is.
MAX_RISE = 0.1
MIN_RISE_NATS = 0.02
_STILL_FALLS = 0.01  # share by which the last evaluation is below the one before it
_SHARE_AT_END = 0.1  # of the training logs: the loss at the end of training is their mean
_WHAT = "loss"


def loss_gap(log_history: Sequence[Mapping[str, Any]], training: TrainingArguments) -> Measurement:
    """The first, best and last held-out loss, the training loss at the end, and the gap between the last two.

    Both are means over the tokens in the loss. The training loss is taken with dropout and while the weights move.
    """
    trained = [log for log in log_history if math.isfinite(log.get("loss", math.nan))]
    evaluated = [log for log in log_history if math.isfinite(log.get("eval_loss", math.nan))]
    newest = {log["step"]: place for place, log in enumerate(evaluated)}  # that of a kept checkpoint comes last
    held_out = [log for place, log in enumerate(evaluated) if newest[log["step"]] == place]
    if not trained:
        return not_measured(_WHAT, "no step was logged (logging_steps)")
    at_end = trained[-max(1, round(_SHARE_AT_END * len(trained))) :]
    train = {"value": rounded(sum(log["loss"] for log in at_end) / len(at_end)), "n_logs": len(at_end)}
    if not held_out:
        return Measurement(
            {"train": train, "reason": "no evaluation (eval_strategy, held-out rows)"},
            f"{_WHAT}: {train['value']:.4g} on training rows at the end, no held-out rows to compare",
        )
    best = min(held_out, key=lambda log: log["eval_loss"])
    named = {"first": held_out[0], "best": best, "last": held_out[-1]}
    facts: dict[str, Any] = {
        "train": train,
        **{name: {"step": log["step"], "value": rounded(log["eval_loss"])} for name, log in named.items()},
        "gap": rounded(held_out[-1]["eval_loss"] - train["value"]),
        "course": _course([log["eval_loss"] for log in held_out])
        if held_out[-1]["step"] == max(newest)
        else "earlier kept",
        "averaged_alike": _is_averaged_alike(training),
    }
    return Measurement(facts, _line(facts), tuple(_findings(facts, best, training)))


def _course(losses: Sequence[float]) -> str:
    """The course of the held-out loss."""
    best, last = min(losses), losses[-1]
    if last > best * (1 + MAX_RISE) and last - best > MIN_RISE_NATS and best > 0:
        return "rose"
    if len(losses) < 2:
        return "seen once"
    return "still falling" if last == best and last < losses[-2] - _STILL_FALLS * abs(last) else "level"


def _is_averaged_alike(training: TrainingArguments) -> bool:
    """Whether rows are packed alike in training and evaluation; else short rows weigh more in one of the means."""
    packing, of_evaluation = getattr(training, "packing", False), getattr(training, "eval_packing", None)
    return of_evaluation is None or bool(of_evaluation) == bool(packing)


def _findings(facts: Mapping[str, Any], best: Mapping[str, Any], training: TrainingArguments) -> Iterator[Finding]:
    if facts["course"] != "rose":
        return
    last, lowest = facts["last"]["value"], facts["best"]["value"]
    if not best["step"]:  # eval_on_start: no step made it better
        shorter = "set a lower `learning_rate`"
    elif training.max_steps > 0 or not best.get("epoch"):
        shorter = f"set `max_steps: {best['step']}`"
    else:
        shorter = f"set `num_train_epochs: {best['epoch']:.3g}`"
    yield Finding(
        "OVERFITTED",
        Severity.WARNING,
        summary=f"the held-out loss rose by {last / lowest - 1:.0%}, from {lowest:.4g} after step {best['step']} to "
        f"{last:.4g} at the end",
        why="after that step the model memorized the training rows",
        remedy=f"{shorter}, or keep the best checkpoint: `keep_best: loss`",
    )


def _line(facts: Mapping[str, Any]) -> str:
    best, last = facts["best"], facts["last"]
    line = f"{_WHAT}: {facts['train']['value']:.4g} on training rows at the end, {last['value']:.4g} on held-out rows"
    line += f" (gap {facts['gap']:+.3g}), {facts['course']}"
    return line if best["value"] == last["value"] else f"{line}; best {best['value']:.4g} after step {best['step']}"
