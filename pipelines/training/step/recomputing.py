"""Activation checkpointing on a CPU only where memory asks for it: computing a layer twice costs a third of a step."""

import os
from typing import cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel
from trl import SFTTrainer

from pipelines.training.callbacks.logging_callback import say

_TOKENS_MEASURED = 64
_SHARE_OF_MEMORY = 1 / 3
_GIB = 1 << 30


def recompute_only_if_needed(trainer: SFTTrainer, n_tokens: int) -> None:
    """Turn activation checkpointing off on a CPU if the activations of `n_tokens` fit into a third of the memory.

    The gradient is the same. Only TRL's default attention is judged, whose memory grows with the tokens.
    """
    training, model = trainer.args, cast(PreTrainedModel | PeftModel, trainer.model)
    base = cast(PreTrainedModel, model.get_base_model() if isinstance(model, PeftModel) else model)
    is_sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if training.device.type != "cpu" or not training.activation_checkpointing or is_sharded:
        return
    if base.config.get_text_config()._attn_implementation != "sdpa" or not hasattr(os, "sysconf"):
        return
    available = _SHARE_OF_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / training.world_size
    needed = n_tokens * bytes_per_token(model)
    if needed > available:
        return
    training.activation_checkpointing = training.gradient_checkpointing = False
    base.activation_checkpointing_disable()
    if isinstance(model, PeftModel):
        base.disable_input_require_grads()
    if training.process_index == 0:
        say(f"activation checkpointing is off: the activations need {needed / _GIB:.1f} GiB")


def bytes_per_token(model: torch.nn.Module) -> float:
    """Memory that the forward pass of `model` keeps for the backward pass, without weights and logits."""
    weights = {weight.untyped_storage().data_ptr() for weight in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.ones(1, _TOKENS_MEASURED, dtype=torch.long)
    with torch.random.fork_rng([]), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = model(input_ids=ids, labels=torch.full_like(ids, -100), fused_lm_head=True)
    del outputs
    return sum(kept.values()) / _TOKENS_MEASURED
