"""Where an adapter changes a model: LoRA matrices, rows of new tokens, and whole modules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from peft.utils.other import ModulesToSaveWrapper

_WRAPPED = "base_model.model."  # what PEFT puts before a module's own name
_PLAIN_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

Start = Mapping[str, torch.Tensor]  # an adapter's weights when a run began, where they are not what PEFT begins with


class Kind(StrEnum):
    """How an adapter changes a module."""

    LORA = "lora"
    TOKEN_ROWS = "token rows"
    WHOLE = "whole module"


@dataclass(frozen=True)
class Place:
    """One module that an adapter changes.

    `weights` are the adapter's: `A` and `B` (and DoRA's `magnitude`) of LoRA, `rows` of new tokens, or the parameters
    of a whole module. `originals` are the base's: `weight` for LoRA, empty if it is quantized or not on this machine;
    else the same names as `weights`.
    """

    name: str
    kind: Kind
    weights: Mapping[str, torch.Tensor]
    originals: Mapping[str, torch.Tensor]
    scaling: float = 1.0
    n_experts: int = 1

    def key(self, weight: str) -> str:
        """The name of one of `weights` in a `Start`."""
        return f"{self.name} {self.kind.value} {weight}"


def adapter_places(model: PeftModel) -> Iterator[Place]:
    """Every place of the active adapter of `model`, in the model's order."""
    adapter = model.active_adapter
    for wrapped_name, module in model.named_modules():
        name = wrapped_name.removeprefix(_WRAPPED)
        if isinstance(module, LoraLayer):
            yield from _lora_place(name, module, adapter)
        elif isinstance(module, TrainableTokensLayer) and not module.tied_adapter:
            if adapter in module.trainable_tokens_delta:
                rows = {"rows": module.trainable_tokens_delta[adapter].detach()}
                before = {"rows": module.trainable_tokens_original[adapter]}
                yield Place(name.removesuffix(".token_adapter"), Kind.TOKEN_ROWS, rows, before)
        elif isinstance(module, ModulesToSaveWrapper) and adapter in module.modules_to_save:
            held = {key: value.detach() for key, value in module.modules_to_save[adapter].named_parameters()}
            before = {key: value.detach() for key, value in module.original_module.named_parameters()}
            yield Place(name, Kind.WHOLE, held, before)


def adapter_start(model: PeftModel) -> dict[str, torch.Tensor]:
    """Copies of the adapter's weights in CPU memory, to compare later ones with.

    Leaves out the initial values of a new adapter: matrices whose product is zero, and the base's own rows and modules.
    """
    kept = {}
    for place in adapter_places(model):
        for name, weight in place.weights.items():
            if place.kind is Kind.LORA:
                # one of the factors of a new adapter is zero
                is_new = name != "magnitude" and not all(bool(place.weights[one].any()) for one in ("A", "B"))
            else:
                is_new = torch.equal(weight, place.originals[name].to(weight))
            if not is_new:
                kept[place.key(name)] = weight.to("cpu", copy=True)
    return kept


def _lora_place(name: str, module: LoraLayer, adapter: str) -> Iterator[Place]:
    if adapter in module.lora_A:
        weights: dict[str, Any] = {"A": module.lora_A[adapter].weight, "B": module.lora_B[adapter].weight}
    elif adapter in module.lora_embedding_A:
        weights = {"A": module.lora_embedding_A[adapter], "B": module.lora_embedding_B[adapter]}
    else:
        return
    if adapter in module.lora_magnitude_vector:
        weights["magnitude"] = module.lora_magnitude_vector[adapter].weight
    n_experts = 1
    if isinstance(module, ParamWrapper):  # LoRA on a bare parameter, such as the stacked experts of a layer
        name, n_experts = f"{name}.{module.parameter_name}", module.num_experts
        base = module.get_param()
    else:
        base = getattr(module.get_base_layer(), "weight", None)
    detached = {key: value.detach() for key, value in weights.items()}
    original = {"weight": base.detach()} if _is_plain(base) else {}
    yield Place(name, Kind.LORA, detached, original, float(module.scaling[adapter]), n_experts)


def _is_plain(weight: object) -> bool:
    """Whether `weight` is neither quantized nor on another device."""
    if not isinstance(weight, torch.Tensor) or type(weight) not in (torch.Tensor, torch.nn.Parameter):
        return False
    return weight.dtype in _PLAIN_DTYPES and weight.device.type != "meta"
