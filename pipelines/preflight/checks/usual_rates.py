"""Usual learning rates by stage and method for AdamW; wider for small models and weak adapters."""

import math
from dataclasses import dataclass

from transformers import TrainingArguments
from trl import ModelConfig

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.recipe.arguments import PretrainingArguments

# Other optimizers (Lion, SGD, Adafactor, ...) need rates that differ by orders of magnitude.
_ADAMW = ("adamw", "paged_adamw")
_N_PARAMETERS = 1_000_000_000  # of the models for which the highest usual rates below are given
# The best rate falls with the root of the size (tinker-cookbook, hyperparam_utils.py: get_full_finetune_lr_multiplier).
# Fine-tuning of smaller models than GPT-2 takes GPT-2's rates; from scratch they take up to ten times those of 1B.
_SMALLEST = 125_000_000
_MAX_SIZE_FACTOR = 10.0
_HIGHEST_OF_LORA = 1e-2  # however weak the adapter
_USUAL_SCALING = 2.0  # lora_alpha / lora_r of most recipes
_WITHOUT_WARMUP = ("constant", "reduce_lr_on_plateau")


@dataclass(frozen=True)
class UsualRates:
    """The lowest and highest usual peak learning rate for a model of 1B, and a good first one.

    `fits_default`: whether the libraries' default fits. TRL's 2e-5 is for full fine-tuning, transformers' 5e-5 for
    continued training.
    """

    method: str
    lowest: float
    highest: float
    advised: float
    fits_default: bool = True


# LoRA: the best of a sweep over some thirty models from 1B to 400B was 1e-4 to 1e-3, ten times that of full fine-tuning
# (tinker-cookbook, hyperparam_utils.py: get_lr; Schulman et al. 2025, LoRA Without Regret). Twice and a fifth of it are
# allowed: TRL's own guide to that paper runs 2e-5.
_LORA = UsualRates("LoRA", 2e-5, 2e-3, 2e-4)
_SFT_LORA = UsualRates("LoRA", 2e-5, 2e-3, 2e-4, fits_default=False)
# Full: a tenth of these, 1e-5 to 1e-4, and less for large ones (Tulu 3: 5e-6 for 8B, 2e-6 for 70B). SmolLM2's own
# recipes go higher (3e-4 for 1.7B, alignment-handbook, recipes/smollm2), where a LoRA rate by mistake is too.
_SFT_FULL = UsualRates("full fine-tuning", 5e-7, 1.5e-4, 2e-5)
# DPO: 5e-7 for whole models (Zephyr, Tulu 3), 5e-6 for LoRA (alignment-handbook); ten times more is allowed.
_DPO_LORA = UsualRates("DPO with LoRA", 1e-7, 7e-5, 5e-6)
_DPO_FULL = UsualRates("DPO of the whole model", 5e-8, 2e-5, 1e-6)
# From scratch: 6e-5 for GPT-3 175B to 6e-4 for 125M (Brown et al. 2020, table 2.1), 1e-3 and more for small models.
_SCRATCH = UsualRates("training from scratch", 2e-5, 3e-3, 1e-3, fits_default=False)
# With Muon, AdamW trains only embeddings and norms, which take rates up to 0.3 (nanochat's embedding_lr).
_WITH_MUON = UsualRates("AdamW with Muon", 2e-5, 0.3, 3e-3)
_CONTINUED = UsualRates("continued pretraining of the whole model", 1e-6, 1e-3, 1e-4)


def usual_rates(context: CheckContext) -> UsualRates | None:
    """The usual rates for what `context` trains, None for optimizers without known rates."""
    optimizer = str(getattr(context.training.optim, "value", context.training.optim))
    if not optimizer.startswith(_ADAMW):
        return None
    adapts = context.model.use_peft or context.base.adapter is not None
    usual = _by_method(context, adapts=adapts)
    if usual is _WITH_MUON:
        return usual
    n_parameters = context.base.skeleton.num_parameters()
    if context.stage is not Stage.PRETRAIN:
        n_parameters = max(_SMALLEST, n_parameters)
    size = min(_MAX_SIZE_FACTOR, max(1.0, math.sqrt(_N_PARAMETERS / n_parameters)))
    scaling = _scaling(context.model) / _USUAL_SCALING if adapts else 1.0
    lowest, highest = usual.lowest / max(1.0, scaling), usual.highest * size / min(1.0, scaling)
    if adapts:
        highest = min(highest, _HIGHEST_OF_LORA)
    return UsualRates(usual.method, lowest, highest, usual.advised, usual.fits_default)


def _by_method(context: CheckContext, *, adapts: bool) -> UsualRates:
    if context.stage is Stage.SFT:
        return _SFT_LORA if adapts else _SFT_FULL
    if context.stage is Stage.DPO:
        return _DPO_LORA if adapts else _DPO_FULL
    if isinstance(context.data, PretrainingArguments) and context.data.muon_learning_rate is not None:
        return _WITH_MUON
    return _SCRATCH if context.base.from_scratch else _LORA if adapts else _CONTINUED


def _scaling(model: ModelConfig) -> float:
    """The factor of LoRA's update; with Adam the learning rate has the same effect."""
    return model.lora_alpha / (math.sqrt(model.lora_r) if model.use_rslora else model.lora_r)


def warms_up(training: TrainingArguments) -> bool:
    """Whether the schedule has a warmup: some ignore warmup_steps."""
    return str(getattr(training.lr_scheduler_type, "value", training.lr_scheduler_type)) not in _WITHOUT_WARMUP
