"""Models ready for inference: one model, or several in turn that share a base's weights, under names that differ."""

import gc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipelines.hub.model_ref import ModelRef, refuse_other_base, resolve_model
from pipelines.inference.processes import processes
from pipelines.inference.shared_base import adapted_copy, empty, grown_copy, sharing_copy
from pipelines.modeling import LoadedModel, load_tokenizer
from pipelines.modeling.loading import load_base_model, load_config
from pipelines.recipe import inference_dtype


def load_for_inference(
    model: str | ModelRef, adapter: str | None = None, *, name: str | None = None, dtype: str | torch.dtype = "auto"
) -> LoadedModel:
    """Load a base, a base with `adapter`, or an adapter, whose configuration names its base.

    The tokenizer is the adapter's if it has one, because the chat template was trained with the adapter. Raises
    `UserError` as `resolve_model`, and for a model that cannot be loaded.
    """
    ref = model if isinstance(model, ModelRef) else resolve_model(model, adapter)
    return next(load_in_turn([ref], [name or ref.short_name], dtype=dtype))


def load_in_turn(
    models: Sequence[ModelRef], names: Sequence[str], *, dtype: str | torch.dtype = "auto"
) -> Iterator[LoadedModel]:
    """Yield each model ready for inference under its name, in the order given.

    One base is in memory at a time and is loaded once for neighbors that share it, so place those next to each other.
    Changes to a yielded model, or to its embeddings, do not reach the base. A model is emptied when the next one is
    requested. Raises `UserError` for an adapter of another base before anything is loaded, and for a model that cannot
    be loaded.
    """
    for one in models:
        if one.adapter is not None:
            refuse_other_base(one.adapter, one.base, one.revision)
    tokenizers = [load_tokenizer(*one.tokenizer_source) for one in models]  # missing files fail before any measurement
    base: PreTrainedModel | None = None
    folder: str | None = None
    for one, name, tokenizer in zip(models, names, tokenizers, strict=True):
        if base is None or folder != one.base_folder:
            base, folder = None, one.base_folder
            gc.collect()  # the base before this one
            base = load_base_model(one.base, dtype=_resolved_dtype(one, dtype), revision=one.revision)
            cast(torch.nn.Module, base).to(processes().device)
            base.eval()
        model = sharing_copy(base) if one.adapter is None else adapted_copy(base, one.adapter, tokenizer)
        yield LoadedModel(name, one.path, model, tokenizer)
        empty(model)  # the caller's variable still holds it while the next base is loaded


def with_template_of(base: LoadedModel, tokenizer: PreTrainedTokenizerBase) -> LoadedModel | None:
    """Return `base` with the chat template of another model's `tokenizer`, as it was before it was fine-tuned with it.

    Template tokens that are new to the base get the mean embedding, as at the start of training, in a copy. None if the
    tokenizer has no template, or if its ids mean other tokens to the base.
    """
    vocabulary = tokenizer.get_vocab()
    known = all(vocabulary.get(token) == token_id for token, token_id in base.tokenizer.get_vocab().items())
    if not (tokenizer.chat_template and known):
        return None
    if len(tokenizer) <= cast(torch.Tensor, base.model.get_input_embeddings().weight).shape[0]:
        return replace(base, tokenizer=tokenizer)
    if isinstance(base.model, PeftModel):  # its adapter was trained without these tokens
        return None
    return replace(base, tokenizer=tokenizer, model=grown_copy(base.model, tokenizer))


def _resolved_dtype(model: ModelRef, dtype: str | torch.dtype) -> str | torch.dtype:
    """`auto` is the saved type, or float32 if this machine is slow in that; 16-bit weights are reported on stderr."""
    if isinstance(dtype, torch.dtype):
        return dtype
    saved = load_config(model.base, model.revision).dtype if dtype == "auto" else None
    return inference_dtype(dtype, str(saved).removeprefix("torch.") if saved is not None else None)
