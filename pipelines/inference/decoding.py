"""Decoding: continuous batching, or padded batches with `model.generate` for models that need it.

Only the sampling policy counts. Of a model's generation_config.json only the end tokens are used: its sampling,
penalties and minimum length would make models differ by their settings and not by their weights.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, LogitsProcessorList

from pipelines.errors import UserError
from pipelines.inference.continuous_batching import decode_continuous, new_cache
from pipelines.inference.sampling import Request, SamplingPolicy, SeededSampling, pad_left, uniform_numbers
from pipelines.inference.shared_base import merged_copy
from pipelines.modeling import LoadedModel, stop_token_ids


def decode(
    loaded: LoadedModel, requests: Sequence[Request], policy: SamplingPolicy, batch_size: int
) -> Iterator[tuple[Request, list[int]]]:
    """Yield each request with its new tokens, the end token included, in the order in which the answers end.

    Use it within `torch.inference_mode` or `no_grad`, which a generator would leave switched on for its caller. Raises
    `UserError` for logits that are NaN or infinite, and if the batch does not fit into the device's memory.
    """
    decode_by = decode_continuous if new_cache(loaded) is not None else decode_padded
    with plain_generation_config(loaded) as stop_ids:
        if isinstance(loaded.model, PeftModel):
            loaded = replace(loaded, model=merged_copy(loaded.model) or loaded.model)
        try:
            yield from decode_by(loaded, requests, policy, stop_ids, batch_size)
        except torch.OutOfMemoryError as error:
            problem = f"out of memory with {batch_size} answers at a time: {str(error).partition('.')[0].lower()}"
            raise UserError(problem, "lower --batch_size") from error


def decode_padded(
    loaded: LoadedModel, requests: Sequence[Request], policy: SamplingPolicy, stop_ids: Sequence[int], batch_size: int
) -> Iterator[tuple[Request, list[int]]]:
    """As `decode_continuous`, for models with another cache (sliding windows, recurrent states, prefixes)."""
    for batch in _batches(requests, batch_size):
        token_ids, mask = pad_left([one.token_ids for one in batch], loaded)
        length = token_ids.shape[1]
        uniforms = uniform_numbers(batch, policy).to(loaded.device) if policy.temperature > 0 else None
        config = GenerationConfig(
            max_new_tokens=batch[0].n_new,
            do_sample=False,
            eos_token_id=list(stop_ids) or None,
            pad_token_id=int(loaded.tokenizer.pad_token_id or 0),
        )
        processors = LogitsProcessorList([SeededSampling(policy, uniforms, prompt_length=length)])
        generated = loaded.model.generate(  # type: ignore[operator]  # a PeftModel forwards it dynamically
            input_ids=token_ids, attention_mask=mask, generation_config=config, logits_processor=processors
        )
        for request, new_ids in zip(batch, generated[:, length:].tolist(), strict=True):
            end = next((place for place, token_id in enumerate(new_ids) if token_id in stop_ids), len(new_ids))
            yield request, new_ids[: end + 1]


@contextmanager
def plain_generation_config(loaded: LoadedModel) -> Iterator[list[int]]:
    """Replace the model's generation config, which `generate` reads for every unset option; yield the end tokens,
    which are read from it first."""
    owners: list[Any] = [loaded.model]
    if isinstance(loaded.model, PeftModel):  # it copies its own config onto the model that it wraps
        owners.append(loaded.model.get_base_model())
    before = [owner.generation_config for owner in owners]
    stop_ids = stop_token_ids(loaded.tokenizer, owners[0])
    try:
        for owner in owners:
            owner.generation_config = GenerationConfig()
        yield stop_ids
    finally:
        for owner, config in zip(owners, before, strict=True):
            owner.generation_config = config


def _batches(requests: Sequence[Request], batch_size: int) -> Iterator[list[Request]]:
    """Requests of similar length, longest first, with one `n_new` in a batch: no row exceeds the model's positions."""
    longest_first = sorted(requests, key=lambda one: len(one.token_ids), reverse=True)
    for _, group in groupby(longest_first, key=lambda one: one.n_new):
        rows = list(group)
        yield from (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
