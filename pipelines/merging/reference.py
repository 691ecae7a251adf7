"""What the merged model must be equal to: the full-precision base with its adapter, unmerged, computed in float32."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import BitsAndBytesConfig, PreTrainedTokenizerBase
from trl import ModelConfig

from pipelines.hub.model_ref import value_in_records
from pipelines.merging.adapter_mix import AdapterMix, attach
from pipelines.modeling.loading import (
    load_base_model,
    load_generation_config,
    resize_embeddings,
)
from pipelines.modeling.quantization import keep_four_bit_gradients, quantization_config

_QUANTIZATION_KEYS = ("load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "use_bnb_nested_quant")
_ADAPTERS_OWN = ("lora_", "modules_to_save", "trainable_tokens")
_OFF_GRID = 0.73  # any factor whose multiples of 16-bit numbers are no 16-bit numbers; below 1: none grows beyond them


def load_reference(
    mix: AdapterMix,
    base: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    revision: str | None = None,
    quantization: BitsAndBytesConfig | None = None,
) -> PeftModel:
    """`mix` on `base`, whose weights are in float32 or quantized, on the best device there is."""
    options = {"quantization_config": quantization} if quantization is not None else {}
    model: Any = load_base_model(base, dtype=torch.float32, revision=revision, **options)
    keep_four_bit_gradients(model)  # packed for speed on a CPU, layers of odd sizes have no forward either
    with torch.random.fork_rng():
        torch.manual_seed(0)
        resize_embeddings(model, tokenizer)
    if quantization is None:
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    adapted: Any = attach(model, mix)
    own = load_generation_config(mix.adapters[0])
    adapted.generation_config = model.generation_config = own if own is not None else model.generation_config
    return adapted


def quantization_of_training(adapter: str) -> BitsAndBytesConfig | None:
    """How the base was quantized while `adapter` was trained, None if its run does not say that it was."""
    recipe = value_in_records(adapter, "recipe")
    return quantization_config(ModelConfig(**{key: recipe[key] for key in _QUANTIZATION_KEYS if key in recipe}))


@torch.no_grad()
def round_off_grid(model: PeftModel, dtype: torch.dtype, *, everything: bool) -> None:
    """Add to the base's weights under the adapter, in place, what rounding to `dtype` takes from the merged ones.

    Not those roundings themselves but others of their size, so that what is measured owes nothing to the merge: each
    weight is multiplied before it is rounded, and divided after. `everything` is for a base that is saved finer than
    `dtype`; else only weights are rounded that a merge changes.
    """
    changed = _sums_under_lora(model)
    for name, weight in model.named_parameters():
        if id(weight) in changed or (everything and not any(own in name for own in _ADAPTERS_OWN)):
            merged = weight + changed[id(weight)]() if id(weight) in changed else weight.clone()
            weight.add_((merged * _OFF_GRID).to(dtype).to(weight.dtype) / _OFF_GRID - merged)


def _sums_under_lora(model: Any) -> dict[int, Callable[[], torch.Tensor]]:
    """What is added to each weight that has LoRA on it, by the weight's identity."""
    (active,) = model.active_adapters
    layers: list[Any] = [one for one in model.modules() if isinstance(one, LoraLayer) and active in one.scaling]
    return {id(one.get_base_layer().weight): partial(one.get_delta_weight, active) for one in layers}
