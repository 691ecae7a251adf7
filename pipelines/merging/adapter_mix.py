"""One adapter, or several with weights, put on a base: by PEFT's own methods, held to what these can do."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils.other import TrainableTokensWrapper
from safetensors import SafetensorError
from transformers import PreTrainedModel

from pipelines.errors import UserError
from pipelines.hub.pulling import local_copy
from pipelines.merging.combination import Combination
from pipelines.modeling.loading import adapter_config, attach_quietly

_COMBINED = "combined"


@dataclass(frozen=True)
class AdapterMix:
    """Adapters of one base. Of a single one at weight 1 nothing that follows matters; `density` is the share that a
    pruning combination keeps, `seed` is of those that drop at random."""

    adapters: tuple[str, ...]
    weights: tuple[float, ...] = (1.0,)
    combination: Combination = Combination.CAT
    density: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise `UserError` for what PEFT would not combine, or would combine into something else without a word."""
        if len(self.weights) != len(self.adapters):
            raise UserError(
                expected=f"one --weight for each of {len(self.adapters)} adapters",
                got=str(len(self.weights)),
                remedy="give --weight as often as --adapter, in the same order",
            )
        if not all(map(math.isfinite, self.weights)):
            raise UserError(
                expected="each --weight to be a number",
                got=", ".join(map(str, self.weights)),
                remedy="such as --weight 0.5",
            )
        if self.combination.prunes != (self.density is not None):
            raise UserError(
                expected=f"--density with {self.combination.value}" if self.combination.prunes else "no --density",
                got=f"--combination {self.combination.value}" + ("" if self.density is None else " and a density"),
                remedy="it is the share that ties, dare and magnitude_prune keep, such as --density 0.5",
            )
        if self.combination.prunes and len(self.adapters) == 1:  # PEFT would only weight it
            raise UserError(
                expected=f"several adapters for --combination {self.combination.value}",
                got="one",
                remedy="leave --combination out, or give --adapter again",
            )
        if self.is_combined:
            for adapter, config in zip(self.adapters, map(adapter_config, self.adapters), strict=True):
                _refuse_uncombinable(adapter, config)
            self._refuse_rows_off_balance()

    @property
    def is_combined(self) -> bool:
        """Whether PEFT makes a new adapter of these: of several, and of one with a weight."""
        return len(self.adapters) > 1 or self.weights != (1.0,)

    def to_json(self) -> dict[str, Any]:
        """How the adapters were combined, None for each that had no part in it."""
        return {
            "weights": list(self.weights),
            "combination": self.combination.value if self.is_combined else None,
            "density": self.density,
            "seed": self.seed if self.is_combined else None,
        }

    def _refuse_rows_off_balance(self) -> None:
        rows = {json.dumps(getattr(adapter_config(one), "trainable_token_indices", None)) for one in self.adapters}
        if rows != {"null"} and (len(rows) > 1 or abs(sum(self.weights) - 1) > 1e-6):
            raise UserError(
                expected="adapters that trained the same rows of the embeddings, with weights that sum to 1: the rows "
                "are averaged, since PEFT combines only the matrices",
                got="other rows" if len(rows) > 1 else f"weights that sum to {sum(self.weights):g}",
                remedy="choose weights that sum to 1" if len(rows) == 1 else "merge one of them alone",
            )


def attach(base: PreTrainedModel, mix: AdapterMix, *, hollow: bool = False) -> PeftModel:
    """`mix` on `base`, active and in evaluation mode, its own weights in float32. `hollow` says that the base's weights
    are stand-ins.

    Raises `UserError` for adapters that are not what PEFT saves, that lack weights, or that do not fit the base.
    """
    names = [str(number) for number in range(len(mix.adapters))]
    first, *others = (str(local_copy(one, weights=True).folder) for one in mix.adapters)
    try:
        with attach_quietly():
            model: Any = PeftModel.from_pretrained(base, first, names[0], low_cpu_mem_usage=hollow)
            for name, folder in zip(names[1:], others, strict=True):
                model.load_adapter(folder, name, low_cpu_mem_usage=hollow)
            if mix.is_combined:
                _combine(model, names, mix)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(
            expected="PEFT adapters in safetensors files that fit the base"
            + (" and can be combined" if mix.is_combined else ""),
            got=f"{', '.join(mix.adapters)}: {' '.join(str(error).split())[:300]}",
            remedy="check the adapter's folder, or choose another --combination",
        ) from error
    absent = [name for name, parameter in model.named_parameters() if parameter.device.type == "meta"]
    if absent:
        raise UserError(
            expected=f"weights for all layers of {', '.join(mix.adapters)}",
            got=f"none for {absent[0]} and {len(absent) - 1} others",
            remedy="save the adapter again",
        )
    return model.eval()


def _combine(model: Any, names: Sequence[str], mix: AdapterMix) -> None:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(mix.seed)
        model.add_weighted_adapter(
            list(names), list(mix.weights), _COMBINED, combination_type=mix.combination.value, density=mix.density
        )
        for module in model.modules():
            if isinstance(module, LoraLayer) and _COMBINED in module.scaling:
                # the combined matrices hold each adapter's scale already; PEFT 0.21 sets alpha to the rank for that,
                # which is 1 but for rsLoRA, where it is the root of the rank
                module.scaling[_COMBINED] = 1.0
            if isinstance(module, TrainableTokensWrapper) and not module.token_adapter.tied_adapter:
                rows = module.token_adapter.trainable_tokens_delta
                averaged = sum(weight * rows[name].float() for name, weight in zip(names, mix.weights, strict=True))
                rows[_COMBINED].data = averaged
        model.set_adapter(_COMBINED)


def _refuse_uncombinable(adapter: str, config: PeftConfig) -> None:
    reasons = {
        "is no LoRA": not isinstance(config, LoraConfig),
        "is DoRA, whose magnitudes have no sum": getattr(config, "use_dora", False),
        "saved whole modules": bool(getattr(config, "modules_to_save", None)),
        "trained biases": getattr(config, "bias", "none") != "none" or getattr(config, "lora_bias", False),
    }
    reason = next((words for words, holds in reasons.items() if holds), None)
    if reason is not None:
        raise UserError(
            expected="adapters of LoRA matrices, which alone PEFT combines",
            got=f"{Path(adapter).name}, which {reason}",
            remedy="merge it alone",
        )
