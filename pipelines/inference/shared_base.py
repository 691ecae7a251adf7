"""Models that share a base's tensors: what is put on one of them leaves no trace in the base.

An adapter never meets the base itself but a copy of its modules over the same tensors. What PEFT puts between the
modules goes with the copy, and so do grown embeddings, which are new tensors. Tensors that PEFT writes into where they
lie (embeddings and biases saved with an adapter, weights from which an initialization takes its matrices) are copied
before: the base's own are never written.
"""

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from peft import PeftConfig, PeftModel
from peft.utils import load_peft_weights
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipelines.hub.pulling import local_copy
from pipelines.modeling.loading import resize_embeddings, with_adapter

_PREFIX = "base_model.model."  # of the names in an adapter's file
_WRAPPERS = (".base_layer", ".original_module", ".modules_to_save.default")
_HARMLESS_INITIALIZATIONS = (True, False, None, "gaussian", "orthogonal", "eva")


def sharing_copy(model: PreTrainedModel, is_written: Callable[[str], bool] = lambda _: False) -> PreTrainedModel:
    """`model` with modules of its own over the same tensors, except for the parameters that `is_written` names."""
    own = {id(parameter) for name, parameter in _parameters(model) if is_written(name)}
    shared: dict[int, Any] = {
        id(parameter): _parameter_over(parameter.data.clone() if id(parameter) in own else parameter.data)
        for _, parameter in _parameters(model)
        if type(parameter) is torch.nn.Parameter  # a quantized one is shared as it is, with its scales
    }
    shared |= {id(parameter): parameter for _, parameter in _parameters(model) if id(parameter) not in shared}
    return copy.deepcopy(model, shared)


def adapted_copy(base: PreTrainedModel, adapter: str, tokenizer: PreTrainedTokenizerBase) -> PeftModel:
    """`adapter` on a copy of `base`. Raises `UserError` for an adapter that cannot be read."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # rows for tokens that the adapter did not train are drawn
        return cast(PeftModel, with_adapter(sharing_copy(base, _written_by(adapter)), adapter, tokenizer).eval())


def grown_copy(base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A copy of `base` with an embedding for each token of `tokenizer`: new ones are drawn closely around the mean."""
    grown = sharing_copy(base)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        resize_embeddings(grown, tokenizer)
    return grown


def empty(model: torch.nn.Module) -> None:
    """Let go of the model's tensors, whoever still holds the model: a base that no other model shares is then freed."""
    for parameter in model.parameters():
        if type(parameter) is torch.nn.Parameter:
            parameter.data = parameter.data.new_empty(0)


def _written_by(adapter: str) -> Callable[[str], bool]:
    """Whether PEFT writes into a parameter of the base while it loads `adapter`; all is left to its own errors."""
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


def _parameters(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """All names, so a tied tensor under each of its."""
    return list(model.named_parameters(remove_duplicate=False))


def _parameter_over(data: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(data, requires_grad=False)
