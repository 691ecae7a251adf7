"""The reference that a merged model must equal: the full-precision base with its unmerged adapter, in float32."""

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
from pipelines.modeling.loading import load_base_model, load_generation_config, resize_embeddings
from pipelines.modeling.quantization import keep_four_bit_gradients, quantization_config

_QUANTIZATION_KEYS = ("load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "use_bnb_nested_quant")
_ADAPTERS_OWN = ("lora_", "modules_to_save", "trainable_tokens")
_OFF_GRID = 0.73  # multiples of 16-bit numbers by it are no 16-bit numbers; below 1, so that none overflows


def load_reference(
    mix: AdapterMix, base: str, tokenizer: PreTrainedTokenizerBase, quantization: BitsAndBytesConfig | None = None
) -> PeftModel:
    """`mix` on `base`, with weights in float32 or quantized, on the GPU if there is one."""
    options: dict[str, Any] = {"quantization_config": quantization} if quantization is not None else {}
    model: Any = load_base_model(base, dtype=torch.float32, **options)
    keep_four_bit_gradients(model)  # 4-bit layers packed for a CPU cannot run layers of odd sizes
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
    """The quantization of the base while `adapter` was trained, None without one on record."""
    recipe = value_in_records(adapter, "recipe")
    return quantization_config(ModelConfig(**{key: recipe[key] for key in _QUANTIZATION_KEYS if key in recipe}))


@torch.no_grad()
def round_off_grid(model: PeftModel, dtype: torch.dtype, *, everything: bool) -> None:
    """Add to the base's weights, in place, rounding errors of the size that writing the merged weights in `dtype`
    makes.

    They are other errors than the merge's own, so that the measured limit does not depend on the merge: each weight is
    multiplied before it is rounded, and divided after. `everything` rounds all weights, for a base that was saved in a
    finer type than `dtype`; else only the weights that a merge changes.
    """
    changed = _sums_under_lora(model)
    for name, weight in model.named_parameters():
        if id(weight) in changed or (everything and not any(own in name for own in _ADAPTERS_OWN)):
            merged = weight + changed[id(weight)]() if id(weight) in changed else weight.clone()
            weight.add_((merged * _OFF_GRID).to(dtype).to(weight.dtype) / _OFF_GRID - merged)


def _sums_under_lora(model: Any) -> dict[int, Callable[[], torch.Tensor]]:
    """The LoRA update of each weight that has one, by the weight's id()."""
    (active,) = model.active_adapters
    layers: list[Any] = [one for one in model.modules() if isinstance(one, LoraLayer) and active in one.scaling]
    return {id(one.get_base_layer().weight): partial(one.get_delta_weight, active) for one in layers}
