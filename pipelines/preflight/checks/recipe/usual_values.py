"""Check of numbers: values that a library accepts and no recipe uses, often by a slip of a digit or of a key."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check
from pipelines.records.finding import Evidence, Finding, Severity

_ADAM = ("adamw", "paged_adamw", "stable_adamw", "apollo_adamw", "galore_adamw", "grokadamw")


@dataclass(frozen=True)
class Usual:
    """The lowest and highest value in use, a common one, and what lower and higher ones do."""

    lowest: float
    highest: float
    common: float
    low: str
    high: str


# Decay: 0 to 0.1, and 0.2 with Muon (nanochat). Norm: 0.3 (QLoRA) to 1. NEFTune's paper: 5 to 15. Adam's betas: 0.8
# to 0.95, and 0.95 to 0.9999; epsilon: 1e-10 to 1e-5 (OLMo). Dropout: 0 to 0.1, 0.2 at most (PEFT's examples).
_OF_ALL = {
    "weight_decay": Usual(0, 0.3, 0.01, "", "each step pulls the weights towards 0, and the model forgets the base"),
    "max_grad_norm": Usual(
        0.02, 10, 1.0, "every gradient is scaled down to almost nothing",
        "no gradient is ever clipped, so one bad batch can ruin the weights",
    ),
    "neftune_noise_alpha": Usual(0, 25, 5, "", "the noise is larger than the embeddings that it is added to"),
    "muon_learning_rate": Usual(5e-4, 0.1, 0.02, "the model learns little", "the run diverges"),
}  # fmt: skip
_OF_LORA = {"lora_dropout": Usual(0, 0.3, 0.05, "", "most of the adapter's input is dropped, and it learns little")}
_OF_ADAM = {
    "adam_beta1": Usual(0.5, 0.98, 0.9, "there is almost no momentum", "the momentum is older than most of the run"),
    "adam_beta2": Usual(0.9, 0.9999, 0.999, "the step size follows single batches",
                        "the step size does not adapt within the run"),
    "adam_epsilon": Usual(1e-15, 2e-5, 1e-8, "", "it is larger than the gradients, so the steps almost vanish"),
}  # fmt: skip
_OF_SFT = {"label_smoothing_factor": Usual(0, 0.2, 0.0, "", "the model learns to spread probability over all tokens")}
_OF_DPO = {"label_smoothing": Usual(0, 0.3, 0.1, "", "nearly as many pairs are assumed to be swapped as not")}
# DPO: 0.01 (Zephyr) to 0.5 (SmolLM2). By the mean of tokens: 5 (Tulu 3), 2 to 10 (SimPO). SPPO: 0.001.
_WEAK, _STRONG = "the policy may leave the reference far behind", "the policy stays at the reference, and learns little"
_BETA = Usual(0.005, 1.0, 0.1, _WEAK, _STRONG)
_BETA_OF_LOSS = {"sigmoid_norm": Usual(0.05, 25, 5, _WEAK, _STRONG), "sppo_hard": Usual(5e-4, 1, 0.001, _WEAK, _STRONG)}
# alpha / r: 16/64 (QLoRA), 32/512 (LoRA Without Regret) to 4; alpha / sqrt(r): 16/sqrt(2048) (rsLoRA) to 16.
_LOWEST_SCALING = {False: 1 / 16, True: 0.25}
_HIGHEST_SCALING = {False: 8.0, True: 16.0}
_COMMON_ALPHA = 32  # also at rank 1 (LoRA Without Regret), which is a large alpha / r
_SWAPPED = 0.5  # of label_smoothing


def value_unusual(context: CheckContext) -> Iterator[Finding]:
    """VALUE_UNUSUAL: a number outside the range that recipes use."""
    for key, usual in _usual_values(context).items():
        if key in context.keys and (value := _value_of(context, key)) is not None:
            yield from _of_range(key, value, usual)
    yield from _lora_scaling(context)


def _usual_values(context: CheckContext) -> Mapping[str, Usual]:
    optimizer = str(getattr(context.training.optim, "value", context.training.optim))
    usual = dict(_OF_ALL)
    if _trains_adapter(context):
        usual |= _OF_LORA
    if optimizer.startswith(_ADAM):
        usual |= _OF_ADAM
    if context.stage is Stage.SFT:
        usual |= _OF_SFT
    if context.stage is Stage.DPO:
        usual |= {**_OF_DPO, "beta": _beta_of(context)}
    return usual


def _of_range(key: str, value: float, usual: Usual) -> Iterator[Finding]:
    if usual.lowest <= value <= usual.highest:
        return
    low = value < usual.lowest
    severity, why = Severity.WARNING, usual.low if low else usual.high
    if key == "max_grad_norm" and value == 0:
        severity, why = Severity.NOTE, "0 turns gradient clipping off"
    elif key == "beta" and value == 0:
        severity, why = Severity.ERROR, "without it the loss does not depend on the model, or is infinite"
    elif key == "label_smoothing" and value >= _SWAPPED:
        severity, why = Severity.ERROR, "the loss prefers the rejected answers"
    yield _finding(key, value, f"{usual.lowest:g} to {usual.highest:g}", why, f"{key}: {usual.common:g}", severity)


def _beta_of(context: CheckContext) -> Usual:
    """The usual beta of a DPO loss; the widest range for a mixture of losses."""
    kinds = [kind for kind in list(getattr(context.training, "loss_type", ())) if kind != "sft"]
    ranges = [_BETA_OF_LOSS.get(kind, _BETA) for kind in kinds] or [_BETA]
    lowest, highest = min(one.lowest for one in ranges), max(one.highest for one in ranges)
    return Usual(lowest, highest, ranges[0].common, _WEAK, _STRONG)


def _lora_scaling(context: CheckContext) -> Iterator[Finding]:
    """The factor of LoRA's update, alpha / r, or alpha / sqrt(r) with rsLoRA."""
    model = context.model
    if not model.use_peft or context.base.adapter is not None or not {"lora_alpha", "lora_r"} & context.keys.keys():
        return
    root = bool(model.use_rslora)
    scaling = model.lora_alpha / (math.sqrt(model.lora_r) if root else model.lora_r)
    lowest, highest = _LOWEST_SCALING[root], _HIGHEST_SCALING[root]
    if lowest <= scaling <= highest or (scaling > highest and model.lora_alpha <= _COMMON_ALPHA):
        return
    written = f"lora_alpha {model.lora_alpha:g} / {'sqrt(lora_r)' if root else 'lora_r'} {model.lora_r}"
    yield _finding(
        written, scaling, f"{lowest:g} to {highest:g}",
        "the adapter's updates hardly change the model" if scaling < lowest
        else "the adapter's updates are many times larger than the learning rate is meant for",
        f"lora_alpha: {max(1, round(2 * (math.sqrt(model.lora_r) if root else model.lora_r)))}", Severity.WARNING,
    )  # fmt: skip


def _finding(what: str, value: float, usual: str, why: str, setting: str, severity: Severity) -> Finding:
    return Finding(
        "VALUE_UNUSUAL",
        severity,
        summary=f"{what} is {value:g}; recipes have {usual}",
        why=why,
        remedy=f"set {setting}",
        evidence=(Evidence(f"{what} {value:g}"),),
    )


def _trains_adapter(context: CheckContext) -> bool:
    return bool(context.model.use_peft) or context.base.adapter is not None


def _value_of(context: CheckContext, key: str) -> float | None:
    holder: Any = next(one for one in (context.training, context.model, context.data) if hasattr(one, key))
    value = getattr(holder, key)
    return None if value is None else float(value)


CHECKS: tuple[Check, ...] = (value_unusual,)
