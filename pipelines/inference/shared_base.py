"""Models that share a base's tensors without changing the base.

An adapter is attached to a copy of the base's modules over the same tensors. PEFT's modules and grown embeddings belong
to the copy. Tensors that PEFT writes in place (embeddings and biases saved with an adapter, weights from which an
initialization takes its matrices) are copied first.
"""

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import torch
from peft import PeftConfig, PeftModel
from peft.utils import PeftType, load_peft_weights
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipelines.hub.pulling import local_copy
from pipelines.modeling.loading import resize_embeddings, with_adapter

_PREFIX = "base_model.model."  # of the names in an adapter's file
_WRAPPERS = (".base_layer", ".original_module", ".modules_to_save.default")
_HARMLESS_INITIALIZATIONS = (True, False, None, "gaussian", "orthogonal", "eva")
_MAX_MERGED_BYTES = 2**31  # in wider layers an adapter costs little beside its base


def sharing_copy(model: PreTrainedModel, is_written: Callable[[str], bool] = lambda _: False) -> PreTrainedModel:
    """Copy the modules of `model` over the same tensors; parameters for which `is_written` is true are copied."""
    own = {id(parameter) for name, parameter in _parameters(model) if is_written(name)}
    shared: dict[int, Any] = {
        id(parameter): torch.nn.Parameter(
            parameter.data.clone() if id(parameter) in own else parameter.data, requires_grad=False
        )
        for _, parameter in _parameters(model)
        if type(parameter) is torch.nn.Parameter  # a quantized one is shared with its scales
    }
    shared |= {id(parameter): parameter for _, parameter in _parameters(model) if id(parameter) not in shared}
    return copy.deepcopy(model, shared)


def adapted_copy(base: PreTrainedModel, adapter: str, tokenizer: PreTrainedTokenizerBase) -> PeftModel:
    """Attach `adapter` to a copy of `base`. Raises `UserError` for an adapter that cannot be read."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # rows of tokens that the adapter did not train are random
        return cast(PeftModel, with_adapter(sharing_copy(base, _written_by(adapter)), adapter, tokenizer).eval())


def grown_copy(base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Copy `base` with an embedding for each token of `tokenizer`; new ones are drawn close to the mean."""
    grown = sharing_copy(base)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        resize_embeddings(grown, tokenizer)
    return grown


def merged_copy(model: PeftModel) -> PreTrainedModel | None:
    """Copy `model` with its LoRA layers merged, which saves their products at each token. None unless its weights are
    float32 or wider, so that the sum is exact to their rounding, take less than 2 GiB, and are not tied; trained tokens
    may be, because PEFT trains them in both places."""
    if model.peft_type != PeftType.LORA:
        return None
    n_names = Counter(id(parameter) for _, parameter in _parameters(model))
    changed = {name: parameter for name, parameter in _parameters(model) if _is_changed_by_merge(name)}
    exact = all(parameter.dtype in (torch.float32, torch.float64) for parameter in changed.values())
    tied = any(n_names[id(one)] > 1 for name, one in changed.items() if ".token_adapter." not in name)
    if not exact or tied or sum(parameter.nbytes for parameter in changed.values()) > _MAX_MERGED_BYTES:
        return None
    copied: Any = sharing_copy(cast(PreTrainedModel, model), _is_changed_by_merge)
    return cast(PreTrainedModel, copied.merge_and_unload())


def empty(model: torch.nn.Module) -> None:
    """Release the model's tensors, even if it is still referenced; frees a base that no other model shares."""
    for parameter in model.parameters():
        if type(parameter) is torch.nn.Parameter:
            parameter.data = parameter.data.new_empty(0)


def _written_by(adapter: str) -> Callable[[str], bool]:
    """Whether PEFT writes into a parameter of the base while it loads `adapter`; leaves errors to PEFT."""
    folder = str(local_copy(adapter, weights=True).folder)
    try:
        initialization = getattr(PeftConfig.from_pretrained(folder), "init_lora_weights", None)
        names = load_peft_weights(folder, device="cpu").keys()
    except (OSError, ValueError, SafetensorError):
        return lambda _: False
    if initialization not in _HARMLESS_INITIALIZATIONS:
        return lambda _: True
    found = set()
    for name in names:
        for wrapper in _WRAPPERS:
            name = name.replace(wrapper, "")
        found.add(name.removeprefix(_PREFIX))
    return found.__contains__


def _is_changed_by_merge(name: str) -> bool:
    return ".base_layer." in name


def _parameters(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """All names, a tied tensor under each of them."""
    return list(model.named_parameters(remove_duplicate=False))
