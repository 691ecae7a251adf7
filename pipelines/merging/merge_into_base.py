"""Merge adapters into their base and write a model folder that transformers and other programs open."""

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError, safe_open
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.files import write_text_atomically
from pipelines.hub.model_ref import ModelRef
from pipelines.hub.pulling import local_copy
from pipelines.merging.adapter_mix import AdapterMix, attach
from pipelines.modeling import load_tokenizer
from pipelines.modeling.loading import (
    adapter_config,
    attach_quietly,
    load_base_model,
    load_config,
    load_generation_config,
    resize_embeddings,
)
from pipelines.modeling.serving_files import complete_saved_model

_SAME = 1e-5  # relative rounding difference, in float32, of two tied tensors that an adapter changed as one


@dataclass(frozen=True)
class MergedModel:
    """The type of the written weights, and the merge's part of merge.json."""

    dtype: torch.dtype
    record: dict[str, Any]


def merge_into_base(mix: AdapterMix, base: str, folder: Path, *, dtype: str, max_shard_size: str) -> MergedModel:
    """Write `base` with `mix` into `folder`: weights in `dtype` (auto: the base's), config, tokenizer, end tokens.

    The whole model is in memory in float32, which the proof needs as well; sums are computed in float32 and rounded
    once. Raises `UserError` as `dtype_of_base` and `attach`, for an adapter that does not change weights, for numbers
    that `dtype` cannot hold and for a full disk.
    """
    start = time.perf_counter()
    for adapter in mix.adapters:
        config = adapter_config(adapter)
        if config.is_prompt_learning or getattr(config, "alora_invocation_tokens", None):
            problem = f"{adapter} is {config.peft_type}, expected an adapter that changes weights, such as LoRA"
            raise UserError(problem, "serve it with PEFT on its base")
    base_dtype, tokenizer = dtype_of_base(base), tokenizer_of(mix, base)
    written_in = base_dtype if dtype == "auto" else getattr(torch, dtype)
    model, untied = _merged_model(mix, base, tokenizer)
    model.to(written_in)  # type: ignore[arg-type]
    _write(model, folder, max_shard_size)
    tokenizer.save_pretrained(folder)
    generation = load_generation_config(mix.adapters[0]) or load_generation_config(base)
    if generation is not None:  # as text: transformers would not save every config that it loads
        write_text_atomically(folder / "generation_config.json", generation.to_json_string())
    complete_saved_model(folder, tokenizer)
    text_config = model.config.get_text_config()
    record = {
        "dtype": str(written_in).removeprefix("torch."),
        "n_files": len(list(folder.glob("*.safetensors"))),
        "tied": bool(text_config.tie_word_embeddings),
        "untied": untied,
        "vocab_size": text_config.vocab_size,
        "seconds": round(time.perf_counter() - start, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    return MergedModel(written_in, record)


def tokenizer_of(mix: AdapterMix, base: str) -> PreTrainedTokenizerBase:
    """The first adapter's tokenizer, with the template that it was trained with; else the base's."""
    return load_tokenizer(*ModelRef(base, mix.adapters[0]).tokenizer_source)


def dtype_of_base(base: str) -> torch.dtype:
    """The type in which the weights of `base` were saved.

    Raises `UserError` for a base that runs code of its own, was saved quantized (merging would lose the adapter), or
    has no safetensors files.
    """
    config = load_config(base)
    if getattr(config, "quantization_config", None) is not None:
        problem = f"{base} was saved quantized, expected a base in full precision: a merge would lose the adapter"
        raise UserError(problem, "give the base that it was made from with --model_name_or_path")
    if getattr(config, "auto_map", None):
        problem = f"{base} has auto_map in its config.json, which runs code from its repository"
        raise UserError(problem, "merge into a model of an architecture that transformers knows")
    files = sorted(local_copy(base, weights=True).folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{base} has no safetensors weights", "save the base with save_pretrained")
    return _saved_dtype(config, files[0])


def _saved_dtype(config: PreTrainedConfig, file: Path) -> torch.dtype:
    if isinstance(config.dtype, torch.dtype):
        return config.dtype
    with safe_open(file, framework="pt") as tensors:
        dtype: torch.dtype = tensors.get_tensor(next(iter(tensors.keys()))).dtype
        return dtype


def _merged_model(mix: AdapterMix, base: str, tokenizer: PreTrainedTokenizerBase) -> tuple[PreTrainedModel, list[str]]:
    """The merged model in float32, and the tensors that are no longer tied."""
    model = load_base_model(base, dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # new embedding rows are drawn as wherever an adapter is evaluated
        resize_embeddings(model, tokenizer)
    tied: Mapping[str, str] = dict(model.all_tied_weights_keys)
    adapted: Any = attach(model, mix)
    head: Any = model.get_output_embeddings()
    if tied and isinstance(head, BaseTunerLayer):  # its delta belongs to the head alone, not to the tied embeddings
        layer: Any = head.get_base_layer()
        layer.weight = torch.nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
    try:
        with attach_quietly():
            merged: Any = adapted.merge_and_unload(safe_merge=True)
    except (ValueError, RuntimeError) as error:
        problem = f"PEFT cannot merge {', '.join(mix.adapters)}: {' '.join(str(error).split())[:200]}"
        raise UserError(problem, "serve it unmerged, or train it again") from error
    untied = [name for name, other in tied.items() if not _are_equal(merged, name, other)]
    merged.config.tie_word_embeddings = merged.config.get_text_config().tie_word_embeddings = bool(tied) and not untied
    if untied:
        merged.all_tied_weights_keys = {}
    else:
        merged.tie_weights()
    return merged, untied


def _are_equal(model: PreTrainedModel, name: str, other: str) -> bool:
    one, two = model.get_parameter(name), model.get_parameter(other)
    return one.shape == two.shape and bool((one - two).abs().max() <= _SAME * two.abs().max())


def _write(model: PreTrainedModel, folder: Path, max_shard_size: str) -> None:
    """Write weights and config.json. Raises `UserError` for infinite numbers and a full disk."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            problem = f"{name} has numbers that {parameter.dtype} cannot hold"
            raise UserError(problem, "use --dtype bfloat16 or float32")
    model.generation_config = GenerationConfig.from_model_config(model.config)
    try:
        model.save_pretrained(folder, max_shard_size=max_shard_size)
    except (SafetensorError, OSError) as error:
        problem = f"cannot write the merged model to {folder.parent}: {' '.join(str(error).split())[:200]}"
        raise UserError(problem, "free disk space, or choose another --output") from error
