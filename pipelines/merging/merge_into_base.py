"""Adapters into their base, as a model folder that any program of the ecosystem opens."""

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.files import write_text_atomically
from pipelines.hub.model_ref import ModelRef
from pipelines.merging.adapter_mix import AdapterMix, attach
from pipelines.merging.checkpoint import open_checkpoint
from pipelines.merging.merged_tensors import MergedTensors
from pipelines.merging.placeholder_model import NamesDiffer, grow_embeddings, hollow_base, sources_of
from pipelines.merging.sharded_writing import write_shards
from pipelines.merging.whole_model import merge_whole_model
from pipelines.modeling import load_tokenizer
from pipelines.modeling.loading import adapter_config, load_generation_config

# Initializations that leave the base as it is; the others take the adapter's first matrices out of it.
_LEAVE_THE_BASE = (True, False, None, "gaussian", "orthogonal", "eva")


@dataclass(frozen=True)
class Written:
    """What was written: the type of the weights, which tensors ceased to be tied, how it was made."""

    dtype: torch.dtype
    untied: list[str]
    record: dict[str, Any]


def merge_into_base(
    mix: AdapterMix, base: str, folder: Path, *, dtype: str, max_shard_size: str, revision: str | None = None
) -> Written:
    """Write `base` with `mix` into `folder`: weights in `dtype` (auto: the base's), config, tokenizer, end tokens.

    All sums are made in float32 and rounded once. The base is read tensor by tensor and written file by file, so about
    one file of `max_shard_size` and the adapter are in memory; where that cannot be done the whole model is, and stderr
    says why. Raises `UserError` as `open_checkpoint` and `attach`, and for an adapter that is no change of weights.
    """
    start = time.perf_counter()
    for adapter in mix.adapters:
        _refuse_unmergeable(adapter)
    checkpoint = open_checkpoint(base, revision)
    tokenizer = tokenizer_of(mix, base, revision)
    written_in = checkpoint.dtype if dtype == "auto" else getattr(torch, dtype)
    reason = None
    try:
        model, untied, n_files = _merge_by_shards(mix, checkpoint, tokenizer, folder, written_in, max_shard_size)
    except NamesDiffer as difference:
        reason = str(difference)
        print(f"{reason}: the whole model is merged in memory", file=sys.stderr, flush=True)
        model, untied, n_files = merge_whole_model(mix, base, revision, tokenizer, folder, written_in, max_shard_size)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors 0.8 leaves them to their owner alone, and a server may be another user
    _write_beside(model, mix, base, revision, tokenizer, folder, written_in)
    record = {
        "dtype": str(written_in).removeprefix("torch."),
        "n_files": n_files,
        "whole_model_in_memory": reason,
        "tied": bool(model.config.get_text_config().tie_word_embeddings),
        "untied": untied,
        "vocab_size": model.config.get_text_config().vocab_size,
        "seconds": round(time.perf_counter() - start, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    return Written(written_in, untied, record)


def tokenizer_of(mix: AdapterMix, base: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The first adapter's tokenizer, whose template it was trained with; the base's where it holds none."""
    return load_tokenizer(*ModelRef(base, mix.adapters[0], revision).tokenizer_source)


def _merge_by_shards(
    mix: AdapterMix, checkpoint: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, dtype: torch.dtype, size: str
) -> tuple[PreTrainedModel, list[str], int]:
    for adapter in mix.adapters:
        _refuse_to_shard(adapter_config(adapter))
    base = hollow_base(checkpoint)
    sources, tied = sources_of(base, checkpoint), dict(base.all_tied_weights_keys)
    grow_embeddings(base, sources, checkpoint, tokenizer)
    shapes = {name: tensor.shape for name, tensor in base.state_dict().items()}
    merged = MergedTensors(attach(base, mix, hollow=True), tied, lambda name: checkpoint.read(sources[name]))
    untied = merged.untied()
    kept = {name: shape for name, shape in shapes.items() if name not in tied or name in untied}
    n_files = write_shards(folder, kept, merged.tensor, dtype, size)
    if untied:
        base.config.tie_word_embeddings = base.config.get_text_config().tie_word_embeddings = False
    return base, untied, n_files


def _refuse_to_shard(config: PeftConfig) -> None:
    """Raise `NamesDiffer` for an adapter that needs all of the base while it is put on it."""
    if getattr(config, "init_lora_weights", None) not in _LEAVE_THE_BASE:
        raise NamesDiffer(f"an adapter initialized by {config.init_lora_weights} changes the base")  # type: ignore[attr-defined]
    if getattr(config, "target_parameters", None) or getattr(config, "layer_replication", None):
        raise NamesDiffer("an adapter of single parameters or replicated layers has other modules than the base")


def _refuse_unmergeable(adapter: str) -> None:
    config = adapter_config(adapter)
    if config.is_prompt_learning or getattr(config, "alora_invocation_tokens", None):
        raise UserError(
            expected="an adapter that is a change of the base's weights, such as LoRA",
            got=f"{config.peft_type} in {adapter}",
            remedy="serve it with PEFT on its base",
        )


def _write_beside(
    model: PreTrainedModel,
    mix: AdapterMix,
    base: str,
    revision: str | None,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    dtype: torch.dtype,
) -> None:
    """config.json, the tokenizer with its template, and the adapter's generation config, else the base's."""
    model.config.dtype = dtype
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    generation = load_generation_config(mix.adapters[0]) or load_generation_config(base, revision)
    if generation is not None:  # as text: what a base came with is handed on, also where transformers would mend it
        write_text_atomically(folder / "generation_config.json", generation.to_json_string())
