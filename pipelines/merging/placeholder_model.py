"""A base whose weights are not there: its modules, with a stand-in of one number for each tensor.

PEFT builds its own layers on it and loads an adapter into them as on any model. A stand-in has the shape of its tensor,
lies on the CPU and takes no memory; on the meta device PEFT would move the adapter's matrices after it, and lose them.
"""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.conversion_mapping import get_model_conversion_mapping

from pipelines.merging.checkpoint import Checkpoint
from pipelines.modeling.loading import resize_embeddings


class NamesDiffer(Exception):
    """The checkpoint's tensors are not the model's one to one; its text says how."""


_ZERO = torch.zeros(())


def is_stand_in(tensor: torch.Tensor) -> bool:
    """Whether `tensor` only stands for one that is in the checkpoint."""
    return tensor.data_ptr() == _ZERO.data_ptr()


def hollow_base(checkpoint: Checkpoint) -> PreTrainedModel:
    """The model of `checkpoint` with a stand-in for each parameter and each saved buffer; tied ones stay tied."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(checkpoint.config, dtype=torch.float32)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, torch.nn.Parameter(_ZERO.expand(parameter.shape), requires_grad=False))
    model.tie_weights()
    return model.eval()


def sources_of(model: PreTrainedModel, checkpoint: Checkpoint) -> dict[str, str]:
    """For each tensor of `model` the name that the checkpoint has it by; a tied one is read from what it is tied to.

    Raises `NamesDiffer` where transformers would rename, join or split tensors while it loads them.
    """
    conversions = get_model_conversion_mapping(model, add_legacy=False)
    if conversions:
        raise NamesDiffer(f"transformers converts {len(conversions)} kinds of tensors of {model.config.model_type}")
    tied: Mapping[str, str] = model.all_tied_weights_keys
    doubled = sorted(name for name in tied if _name_in(checkpoint, name, model.base_model_prefix) is not None)
    if doubled:
        raise NamesDiffer(f"{doubled[0]} is tied and saved all the same")
    buffers = model.state_dict().keys() - dict(model.named_parameters(remove_duplicate=False)).keys()
    if buffers:
        raise NamesDiffer(f"{min(buffers)} is saved and no parameter")
    found = {}
    for name, tensor in model.state_dict().items():
        source = _name_in(checkpoint, tied.get(name, name), model.base_model_prefix)
        if source is None or checkpoint.shape(source) != tensor.shape:
            raise NamesDiffer(f"{name} is not in the checkpoint under its own name and shape")
        found[name] = source
    return found


def grow_embeddings(
    model: PreTrainedModel, sources: Mapping[str, str], checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Give `model` an embedding for each token of `tokenizer`, if it has fewer. These are read whole for that."""
    embeddings: Any = model.get_input_embeddings()
    if len(tokenizer) <= embeddings.weight.shape[0]:
        return
    for module in {embeddings, model.get_output_embeddings()} - {None}:
        path = next(name for name, other in model.named_modules() if other is module)
        for name, _ in list(module.named_parameters(recurse=False)):
            read = torch.nn.Parameter(checkpoint.read(sources[f"{path}.{name}"]), requires_grad=False)
            setattr(module, name, read)
    model.tie_weights()
    with torch.random.fork_rng():
        torch.manual_seed(0)  # as the rows are drawn wherever an adapter is measured
        resize_embeddings(model, tokenizer)


def _name_in(checkpoint: Checkpoint, name: str, prefix: str) -> str | None:
    """`name` as the checkpoint has it: some were saved without the prefix of the model below the head, or with it."""
    names = (name, name.removeprefix(f"{prefix}."), f"{prefix}.{name}")
    return next((one for one in names if one in checkpoint.file_of), None)
