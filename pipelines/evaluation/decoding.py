"""Token by token: one padded batch through `model.generate`, rows leaving it as they end.

Decoding follows the policy alone: what a model's own generation_config.json asks for (sampling, penalties, a minimum
length) would make two models differ by their settings and not by their weights. Only its end tokens are used.
"""

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.cache_utils import DynamicLayer

from pipelines.errors import UserError
from pipelines.modeling import LoadedModel, stop_token_ids

_STEPS_AT_A_TIME = 32  # rows that ended leave the batch after so many steps
_N_SORTED = 64  # the nucleus is looked for in the 64 most probable tokens first: sorting 4,096 costs ten times as much


@dataclass(frozen=True)
class SamplingPolicy:
    """How answers are decoded.

    `temperature` 0 is greedy: the most probable token each time. `top_p` keeps the smallest set of tokens that holds
    this share of the probability. A sample depends on `seed`, its own number and its prompt, and on nothing else.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    num_samples: int = 1
    seed: int = 0
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        """Raises `UserError` for values no decoding can follow."""
        refuse_unless(self.temperature >= 0, "a temperature of 0 (greedy) or more", self.temperature)
        refuse_unless(0 < self.top_p <= 1, "top_p above 0 and at most 1", self.top_p)
        refuse_unless(self.num_samples >= 1, "num_samples of 1 or more", self.num_samples)
        refuse_unless(self.max_new_tokens >= 1, "max_new_tokens of 1 or more", self.max_new_tokens)
        if self.temperature == 0 and self.num_samples > 1:
            raise UserError(
                expected="a temperature above 0 for several samples",
                got=f"temperature 0 and num_samples {self.num_samples}",
                remedy="raise the temperature: greedy samples are all the same text",
            )


@dataclass(frozen=True)
class Request:
    """Sample number `sample` of the answer to prompt number `prompt`: at most `n_new` tokens after `token_ids`."""

    prompt: int
    sample: int
    token_ids: list[int]
    n_new: int


class SeededNucleus(LogitsProcessor):
    """Temperature and top_p, then one token drawn by a number that belongs to the row, not to the batch.

    The token is the first whose cumulated probability exceeds the row's uniform number of this step, so an answer does
    not change with the batch size, with the prompts beside it or with their order; argmax then takes that token.
    """

    def __init__(self, policy: SamplingPolicy, uniforms: torch.Tensor, prompt_length: int) -> None:
        self.policy, self.uniforms, self.prompt_length = policy, uniforms, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of shape (rows, vocabulary): 0 for the drawn token, minus infinity for the others."""
        probabilities = (scores / self.policy.temperature).softmax(dim=-1)
        step = input_ids.shape[1] - self.prompt_length
        uniforms = self.uniforms[:, step : step + 1].to(probabilities)
        if self.policy.top_p == 1:
            tokens = _draw(probabilities, uniforms, 1.0)
        else:
            tokens = _draw_from_nucleus(probabilities, uniforms, self.policy.top_p)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens, 0.0)


class RoomyLayer(DynamicLayer):
    """A layer of the key-value cache that is written into a buffer with room to spare.

    transformers' own layer concatenates at each step; on a CPU that took 80% of the time of a 6M-parameter model.
    """

    _rooms: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values up to now, the new ones last; shape (rows, heads, tokens, width)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        n_past, n_new = self.get_seq_length(), key_states.shape[-2]
        keys: Any = self.keys  # a copy, and no longer a view of the room, once rows were selected
        rooms = self._rooms
        if rooms is None or rooms[0].shape[-2] < n_past + n_new or rooms[0].data_ptr() != keys.data_ptr():
            rooms = _grown(keys, key_states, n_past), _grown(self.values, value_states, n_past)
        self._rooms = rooms
        for room, states in zip(rooms, (key_states, value_states), strict=True):
            room[..., n_past : n_past + n_new, :] = states
        self.keys, self.values = (room[..., : n_past + n_new, :] for room in rooms)
        return self.keys, self.values


def decode_batch(
    loaded: LoadedModel, batch: Sequence[Request], policy: SamplingPolicy, stop_ids: Sequence[int]
) -> list[list[int]]:
    """The new tokens of each request, its end token included; all requests of a batch have the same `n_new`.

    Rows are padded on the left. Must run within `plain_generation_config`.
    """
    length, n_new = max(len(one.token_ids) for one in batch), batch[0].n_new
    fill = int(loaded.tokenizer.pad_token_id or 0)
    rows = [[fill] * (length - len(one.token_ids)) + one.token_ids for one in batch]
    masks = [[0] * (length - len(one.token_ids)) + [1] * len(one.token_ids) for one in batch]
    token_ids, mask = torch.tensor(rows, device=loaded.device), torch.tensor(masks, device=loaded.device)
    uniforms = _uniforms(batch, policy.seed).to(loaded.device) if policy.temperature > 0 else None
    cache = _roomy_cache(loaded)
    alive = list(range(len(batch)))
    answers: list[list[int]] = [[] for _ in batch]
    while alive:
        n_done = token_ids.shape[1] - length
        token_ids = loaded.model.generate(  # type: ignore[operator]  # a PeftModel forwards it dynamically
            input_ids=token_ids,
            attention_mask=torch.nn.functional.pad(mask, (0, n_done), value=1),
            generation_config=GenerationConfig(
                max_new_tokens=n_new - n_done if cache is None else min(_STEPS_AT_A_TIME, n_new - n_done),
                do_sample=False,
                eos_token_id=list(stop_ids) or None,
                pad_token_id=fill,
            ),
            logits_processor=LogitsProcessorList(
                [] if uniforms is None else [SeededNucleus(policy, uniforms, prompt_length=length)]
            ),
            **({} if cache is None else {"past_key_values": cache}),
        )
        going_on = []
        for place, new_ids in enumerate(token_ids[:, length:].tolist()):
            answers[alive[place]] = _up_to_end(new_ids, stop_ids)
            if len(new_ids) < n_new and new_ids[-1] not in stop_ids and answers[alive[place]] == new_ids:
                going_on.append(place)
        alive = [alive[place] for place in going_on]
        if alive and len(going_on) < len(token_ids):
            kept = torch.tensor(going_on, device=loaded.device)
            token_ids, mask = token_ids[kept], mask[kept]
            uniforms = None if uniforms is None else uniforms[kept]
            if cache is not None:
                cache.batch_select_indices(kept)
    return answers


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


def refuse_unless(true: bool, expected: str, got: float) -> None:
    """Raise `UserError` unless `true`."""
    if not true:
        raise UserError(expected=expected, got=str(got), remedy="correct the flag of that name")


def _up_to_end(new_ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    end = next((place for place, token_id in enumerate(new_ids) if token_id in stop_ids), len(new_ids))
    return new_ids[: end + 1]


def _draw_from_nucleus(probabilities: torch.Tensor, uniforms: torch.Tensor, top_p: float) -> torch.Tensor:
    best = probabilities.topk(min(_N_SORTED, probabilities.shape[-1]), dim=-1)
    tokens = best.indices.gather(1, _draw(best.values, uniforms, top_p))
    wide = best.values.sum(dim=-1) < top_p
    if wide.any():
        ordered = probabilities[wide].sort(dim=-1, descending=True)
        tokens[wide] = ordered.indices.gather(1, _draw(ordered.values, uniforms[wide], top_p))
    return tokens


def _draw(probabilities: torch.Tensor, uniforms: torch.Tensor, top_p: float) -> torch.Tensor:
    """Places (rows, 1) drawn among the first places that hold `top_p` of the mass, in proportion to `probabilities`."""
    mass = probabilities.cumsum(dim=-1)
    last = (mass - probabilities < top_p).sum(dim=-1, keepdim=True) - 1
    return torch.searchsorted(mass, uniforms * mass.gather(1, last), right=True).minimum(last)


def _uniforms(batch: Sequence[Request], seed: int) -> torch.Tensor:
    """Numbers in [0, 1) of shape (rows, steps); a row's depend on the seed, its prompt and its sample number alone."""
    rows = []
    for one in batch:
        digest = hashlib.sha256(repr((seed, one.sample, one.token_ids)).encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        rows.append(torch.rand(one.n_new, generator=generator))
    return torch.stack(rows)


def _roomy_cache(loaded: LoadedModel) -> DynamicCache | None:
    """A cache of roomy layers; None, which leaves it to `generate`, unless every layer is plain full attention."""
    model: Any = loaded.model
    if isinstance(model, PeftModel):
        if model.active_peft_config.is_prompt_learning:  # it puts a prefix into the cache
            return None
        model = model.get_base_model()
    if "past_key_values" not in inspect.signature(model.forward).parameters:
        return None
    cache = DynamicCache(config=model.config)
    if not cache.layers or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    cache.layers = [RoomyLayer() for _ in cache.layers]
    return cache


def _grown(past: Any, new: torch.Tensor, n_past: int) -> torch.Tensor:
    """A buffer half as long again as needed that begins with the `n_past` states of `past`."""
    n_tokens = n_past + new.shape[-2]
    room = new.new_empty((*new.shape[:-2], n_tokens + max(n_tokens // 2, _STEPS_AT_A_TIME), new.shape[-1]))
    if n_past:
        room[..., :n_past, :] = past
    return room
