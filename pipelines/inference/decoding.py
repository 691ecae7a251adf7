"""Decoding by transformers: one rolling batch, or padded batches through `model.generate` where a model needs that.

Decoding follows the policy alone: what a model's own generation_config.json asks for (sampling, penalties, a minimum
length) would make two models differ by their settings and not by their weights. Only its end tokens are used.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, LogitsProcessorList

from pipelines.errors import UserError
from pipelines.inference.continuous_batching import decode_continuous, new_cache
from pipelines.inference.sampling import Request, SamplingPolicy, SeededSampling, uniform_numbers
from pipelines.modeling import LoadedModel, stop_token_ids


def decode(
    loaded: LoadedModel, requests: Sequence[Request], policy: SamplingPolicy, batch_size: int
) -> Iterator[tuple[Request, list[int]]]:
    """Each request with its new tokens, the end token included, in the order in which they end.

    To be used within `torch.inference_mode`, which a generator would leave switched on for who iterates over it.
    Raises `UserError` for logits that are not numbers, and where the batch does not fit into the device's memory.
    """
    decode_by = decode_continuous if new_cache(loaded) is not None else decode_padded
    with plain_generation_config(loaded) as stop_ids:
        try:
            yield from decode_by(loaded, requests, policy, stop_ids, batch_size)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"out of memory with {batch_size} answers at a time: {str(error).partition('.')[0].lower()}",
                "lower --batch_size",
            ) from error


def decode_padded(
    loaded: LoadedModel, requests: Sequence[Request], policy: SamplingPolicy, stop_ids: Sequence[int], batch_size: int
) -> Iterator[tuple[Request, list[int]]]:
    """As `decode_continuous`, for models with another cache (sliding windows, recurrent states, prefixes)."""
    fill = int(loaded.tokenizer.pad_token_id or 0)
    for batch in _batches(requests, batch_size):
        length, n_new = len(batch[0].token_ids), batch[0].n_new
        n_pads = [length - len(one.token_ids) for one in batch]
        rows = [[fill] * n_pad + list(one.token_ids) for n_pad, one in zip(n_pads, batch, strict=True)]
        masks = [[0] * n_pad + [1] * (length - n_pad) for n_pad in n_pads]
        uniforms = uniform_numbers(batch, policy).to(loaded.device) if policy.temperature > 0 else None
        generated = loaded.model.generate(  # type: ignore[operator]  # a PeftModel forwards it dynamically
            input_ids=torch.tensor(rows, device=loaded.device),
            attention_mask=torch.tensor(masks, device=loaded.device),
            generation_config=GenerationConfig(
                max_new_tokens=n_new, do_sample=False, eos_token_id=list(stop_ids) or None, pad_token_id=fill
            ),
            logits_processor=LogitsProcessorList([SeededSampling(policy, uniforms, prompt_length=length)]),
        )
        for request, new_ids in zip(batch, generated[:, length:].tolist(), strict=True):
            end = next((place for place, token_id in enumerate(new_ids) if token_id in stop_ids), len(new_ids))
            yield request, new_ids[: end + 1]


@contextmanager
def plain_generation_config(loaded: LoadedModel) -> Iterator[list[int]]:
    """Set the model's own generation config aside, because `generate` fills all that a caller leaves open from it;
    yields the end tokens, which are read from it first."""
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
    """Requests of similar length, longest first; the room is the same in a batch, because a shorter row must not be
    led past the positions the model has."""
    longest_first = sorted(requests, key=lambda one: len(one.token_ids), reverse=True)
    for _, group in groupby(longest_first, key=lambda one: one.n_new):
        rows = list(group)
        yield from (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
