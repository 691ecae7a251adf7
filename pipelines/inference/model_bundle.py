"""A model ready for inference: a base, a base with an adapter, or an adapter that names its base."""

from typing import cast

import torch

from pipelines.hub.references import short_name
from pipelines.modeling.adapter_base import refuse_other_base
from pipelines.modeling.loading import (
    LoadedModel,
    base_of_adapter,
    is_adapter,
    load_base_model,
    load_config,
    load_tokenizer,
    tokenizer_place,
    with_adapter,
)
from pipelines.recipe import inference_dtype


def load_for_inference(
    model_name_or_path: str,
    adapter: str | None = None,
    *,
    name: str | None = None,
    dtype: str | torch.dtype = "auto",
) -> LoadedModel:
    """Load a base, a base with `adapter`, or an adapter, whose configuration names its base.

    The tokenizer is the adapter's where it holds one, because the chat template was trained with the adapter. Raises
    `UserError` for an adapter of another base, also where its own base has changed since.
    """
    if adapter is None and is_adapter(model_name_or_path):
        adapter, model_name_or_path = model_name_or_path, base_of_adapter(model_name_or_path)
    if adapter is not None:
        refuse_other_base(adapter, model_name_or_path)
    tokenizer = load_tokenizer(tokenizer_place(model_name_or_path, adapter))
    model = load_base_model(model_name_or_path, dtype=settled_dtype(model_name_or_path, dtype))
    if adapter is not None:
        model = with_adapter(model, adapter, tokenizer)
    cast(torch.nn.Module, model).to("cuda" if torch.cuda.is_available() else "cpu")
    model.eval()
    path = adapter or model_name_or_path
    return LoadedModel(name or short_name(path), path, model, tokenizer)


def settled_dtype(name_or_path: str, dtype: str | torch.dtype) -> str | torch.dtype:
    """The type to load a model's weights in where `dtype` is asked for: auto is the saved one, or float32 where this
    machine computes slowly in that. Says on stderr what was decided for weights of 16 bits."""
    if isinstance(dtype, torch.dtype):
        return dtype
    saved = load_config(name_or_path).dtype if dtype == "auto" else None
    return inference_dtype(dtype, str(saved).removeprefix("torch.") if saved is not None else None)
