"""Merging with the whole model in memory, for checkpoints that cannot be read tensor by tensor."""

from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipelines.merging.adapter_mix import AdapterMix, attach
from pipelines.merging.merged_tensors import are_one
from pipelines.merging.sharded_writing import refuse_infinite
from pipelines.modeling.loading import attach_quietly, load_base_model, resize_embeddings


def merge_whole_model(
    mix: AdapterMix,
    base: str,
    revision: str | None,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    dtype: torch.dtype,
    max_shard_size: str,
) -> tuple[PreTrainedModel, list[str], int]:
    """Write the weights of `base` with `mix` into `folder`: the model, the tensors that are no longer tied, the number
    of files. Raises `UserError` for numbers that `dtype` cannot hold."""
    model = load_base_model(base, dtype=torch.float32, revision=revision)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        resize_embeddings(model, tokenizer)
    tied = dict(model.all_tied_weights_keys)
    adapted: Any = attach(model, mix)
    head: Any = model.get_output_embeddings()
    if tied and isinstance(head, BaseTunerLayer):  # its delta belongs to it alone, and would be added to both
        layer: Any = head.get_base_layer()
        layer.weight = torch.nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
    with attach_quietly():
        merged = adapted.merge_and_unload(safe_merge=True)
    untied = [
        name for name, twin in tied.items() if not are_one(merged.get_parameter(name), merged.get_parameter(twin))
    ]
    merged.config.get_text_config().tie_word_embeddings = bool(tied) and not untied
    if untied:
        merged.all_tied_weights_keys = {}
    else:
        merged.tie_weights()
    merged.to(dtype=dtype)
    for name, parameter in merged.named_parameters():
        refuse_infinite(name, parameter)
    merged.save_pretrained(folder, max_shard_size=max_shard_size)
    return merged, untied, len(list(folder.glob("*.safetensors")))
