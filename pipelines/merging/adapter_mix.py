"""One adapter, or several with weights, attached to a base by PEFT, within the limits of what PEFT can combine."""

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
    """Adapters of one base. `density` is the share of numbers that a pruning combination keeps, `seed` is for those
    that drop at random. For one adapter at weight 1 only `adapters` matters."""

    adapters: tuple[str, ...]
    weights: tuple[float, ...] = (1.0,)
    combination: Combination = Combination.CAT
    density: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise `UserError` for what PEFT cannot combine, or would silently combine wrongly."""
        how = self.combination.value
        if len(self.weights) != len(self.adapters):
            problem = f"{len(self.weights)} --weight for {len(self.adapters)} adapters, expected one for each"
            raise UserError(problem, "give --weight as often as --adapter, in the same order")
        if not all(map(math.isfinite, self.weights)):
            raise UserError(f"a --weight is not finite: {', '.join(map(str, self.weights))}", "use --weight 0.5")
        if self.combination.prunes != (self.density is not None):
            problem = f"--combination {how} {'needs' if self.combination.prunes else 'takes no'} --density"
            raise UserError(problem, "ties, dare and magnitude_prune keep this share, such as --density 0.5")
        if self.combination.prunes and len(self.adapters) == 1:  # PEFT would only weight it
            problem = f"--combination {how} needs several adapters, and there is one"
            raise UserError(problem, "leave out --combination, or give --adapter again")
        if self.is_combined:
            for adapter in self.adapters:
                _refuse_uncombinable(adapter, adapter_config(adapter))
            self._refuse_other_embedding_rows()

    @property
    def is_combined(self) -> bool:
        """Whether PEFT makes a new adapter: from several, or from one with a weight."""
        return len(self.adapters) > 1 or self.weights != (1.0,)

    def to_json(self) -> dict[str, Any]:
        """The keys of merge.json; None for what had no effect."""
        return {
            "weights": list(self.weights),
            "combination": self.combination.value if self.is_combined else None,
            "density": self.density,
            "seed": self.seed if self.is_combined else None,
        }

    def _refuse_other_embedding_rows(self) -> None:
        """PEFT combines matrices only; trained embedding rows are averaged here, so the weights must sum to 1."""
        rows = {json.dumps(getattr(adapter_config(one), "trainable_token_indices", None)) for one in self.adapters}
        if len(rows) > 1:
            raise UserError("the adapters trained different rows of the embeddings", "merge one of them alone")
        if rows != {"null"} and abs(sum(self.weights) - 1) > 1e-6:
            problem = f"the adapters trained rows of the embeddings, and weights that sum to {sum(self.weights):g}"
            raise UserError(f"{problem} cannot average them", "choose weights that sum to 1")


def attach(base: PreTrainedModel, mix: AdapterMix) -> PeftModel:
    """`mix` on `base`, active and in evaluation mode, the adapter's weights in float32.

    Raises `UserError` for adapters that PEFT cannot load, that lack weights, or that do not fit the base.
    """
    names = [str(number) for number in range(len(mix.adapters))]
    first, *others = (str(local_copy(one, weights=True).folder) for one in mix.adapters)
    try:
        with attach_quietly():
            model: Any = PeftModel.from_pretrained(base, first, names[0])
            for name, folder in zip(names[1:], others, strict=True):
                model.load_adapter(folder, name)
            if mix.is_combined:
                _combine(model, names, mix)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        problem = f"PEFT cannot load {', '.join(mix.adapters)} on the base: {' '.join(str(error).split())[:300]}"
        fix = "check the adapter's folder" + (", or choose another --combination" if mix.is_combined else "")
        raise UserError(problem, fix) from error
    absent = [name for name, parameter in model.named_parameters() if parameter.device.type == "meta"]
    if absent:
        problem = f"{', '.join(mix.adapters)} has no weights for {absent[0]} and {len(absent) - 1} others"
        raise UserError(problem, "save the adapter again")
    return model.eval()


def _combine(model: Any, names: Sequence[str], mix: AdapterMix) -> None:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(mix.seed)
        model.add_weighted_adapter(
            list(names), list(mix.weights), _COMBINED, combination_type=mix.combination.value, density=mix.density
        )
        for module in model.modules():
            if isinstance(module, LoraLayer) and _COMBINED in module.scaling:
                # the combined matrices include each adapter's scale; PEFT 0.21 sets alpha to the rank for that, which
                # is a scale of 1, but not for rsLoRA, where it is the root of the rank
                module.scaling[_COMBINED] = 1.0
            if isinstance(module, TrainableTokensWrapper) and not module.token_adapter.tied_adapter:
                rows = module.token_adapter.trainable_tokens_delta
                averaged = sum(weight * rows[name].float() for name, weight in zip(names, mix.weights, strict=True))
                rows[_COMBINED].data = averaged
        model.set_adapter(_COMBINED)


def _refuse_uncombinable(adapter: str, config: PeftConfig) -> None:
    reasons = {
        "is not LoRA": not isinstance(config, LoraConfig),
        "is DoRA, whose magnitudes have no sum": getattr(config, "use_dora", False),
        "saved whole modules": bool(getattr(config, "modules_to_save", None)),
        "trained biases": getattr(config, "bias", "none") != "none" or getattr(config, "lora_bias", False),
    }
    reason = next((words for words, holds in reasons.items() if holds), None)
    if reason is not None:
        raise UserError(f"{Path(adapter).name} {reason}, and PEFT combines LoRA matrices only", "merge it alone")
