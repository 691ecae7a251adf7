"""Answers of a model: batched, greedy or seeded sampling, each independent of what else is in its batch.

Decoding follows the policy alone: what a model's own generation_config.json asks for (sampling, penalties, a minimum
length) would make two models differ by their settings and not by their weights. Only its end tokens are used.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from pipelines.errors import UserError
from pipelines.modeling import LoadedModel, stop_token_ids

_METASPACE = "\u2581"  # SentencePiece's spelling of a space


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
        _require(self.temperature >= 0, "a temperature of 0 (greedy) or more", self.temperature)
        _require(0 < self.top_p <= 1, "top_p above 0 and at most 1", self.top_p)
        _require(self.num_samples >= 1, "num_samples of 1 or more", self.num_samples)
        _require(self.max_new_tokens >= 1, "max_new_tokens of 1 or more", self.max_new_tokens)
        if self.temperature == 0 and self.num_samples > 1:
            raise UserError(
                expected="a temperature above 0 for several samples",
                got=f"temperature 0 and num_samples {self.num_samples}",
                remedy="raise the temperature: greedy samples are all the same text",
            )


@dataclass(frozen=True)
class Answer:
    """What a model said.

    `token_ids` are all generated tokens, the end token included if there was one; `n_tokens` counts them without it.
    `stopped` is true only if the model produced an end token. `text` is free of special tokens.
    """

    text: str
    n_tokens: int
    stopped: bool
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class TokenChoice:
    """A generated token, its probability under the model, and the most probable other tokens with theirs."""

    token: str
    token_id: int
    probability: float
    alternatives: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """The choice as generate.py writes it."""
        rivals = [{"token": token, "probability": probability} for token, probability in self.alternatives]
        return {"token": self.token, "token_id": self.token_id, "probability": self.probability, "alternatives": rivals}


@dataclass(frozen=True)
class _Request:
    prompt: int
    sample: int
    token_ids: list[int]
    n_new: int


def generate_answers(
    loaded: LoadedModel, prompts: Sequence[list[int]], policy: SamplingPolicy, *, batch_size: int = 16
) -> list[list[Answer]]:
    """`policy.num_samples` answers to each of `prompts` (token ids), in the order of the prompts.

    Requests are batched by length and padded on the left. A prompt that leaves less room than `max_new_tokens` in the
    model's positions gets what room there is; its answer then counts as not stopped.
    """
    _require(batch_size >= 1, "batch_size of 1 or more", batch_size)
    requests = [
        _Request(number, sample, prompt, _room(loaded, prompt, policy.max_new_tokens))
        for number, prompt in enumerate(prompts)
        for sample in range(policy.num_samples)
    ]
    answers = {(one.prompt, one.sample): Answer("", 0, False, ()) for one in requests if one.n_new == 0}
    with torch.inference_mode(), _plain_generation_config(loaded) as stop_ids:
        for batch in _batches([one for one in requests if one.n_new > 0], batch_size):
            for request, token_ids in zip(batch, _generate(loaded, batch, policy, stop_ids), strict=True):
                answers[request.prompt, request.sample] = _answer(loaded, token_ids, stop_ids)
    return [[answers[number, sample] for sample in range(policy.num_samples)] for number in range(len(prompts))]


@torch.inference_mode()
def token_choices(
    loaded: LoadedModel, prompt: Sequence[int], token_ids: Sequence[int], n_alternatives: int = 5
) -> list[TokenChoice]:
    """The probability of each of `token_ids` after `prompt`, and of its `n_alternatives` strongest rivals.

    Probabilities are the model's own, before any temperature or top_p.
    """
    if not token_ids:
        return []
    sequence = torch.tensor([[*prompt, *token_ids]], device=loaded.device)
    logits = loaded.model(input_ids=sequence).logits[0, len(prompt) - 1 : -1]
    probabilities = logits.float().softmax(dim=-1)
    best = probabilities.topk(min(n_alternatives + 1, probabilities.shape[-1]), dim=-1)
    choices = []
    for token_id, row, values, ids in zip(
        token_ids, probabilities, best.values.tolist(), best.indices.tolist(), strict=True
    ):
        others = [(_shown(loaded, other), value) for value, other in zip(values, ids, strict=True) if other != token_id]
        choices.append(
            TokenChoice(_shown(loaded, token_id), token_id, float(row[token_id]), tuple(others[:n_alternatives]))
        )
    return choices


class SeededNucleus(LogitsProcessor):
    """Temperature and top_p, then one token drawn by a number that belongs to the row, not to the batch.

    The token is the first whose cumulated probability exceeds the row's uniform number of this step, so an answer does
    not change with the batch size, with the prompts beside it or with their order; argmax then takes that token.
    """

    def __init__(self, policy: SamplingPolicy, uniforms: torch.Tensor, prompt_length: int) -> None:
        self.policy, self.uniforms, self.prompt_length = policy, uniforms, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of shape (rows, vocabulary): 0 for the drawn token, minus infinity for the others."""
        sorted_scores, tokens = (scores / self.policy.temperature).sort(dim=-1, descending=True)
        probabilities = sorted_scores.softmax(dim=-1)
        mass = probabilities.cumsum(dim=-1)
        n_kept = (mass - probabilities < self.policy.top_p).sum(dim=-1, keepdim=True)
        step = input_ids.shape[1] - self.prompt_length
        target = self.uniforms[:, step : step + 1].to(mass) * mass.gather(1, n_kept - 1)
        drawn = torch.searchsorted(mass, target, right=True).minimum(n_kept - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens.gather(1, drawn), 0.0)


def _room(loaded: LoadedModel, prompt: Sequence[int], max_new_tokens: int) -> int:
    """How many tokens may follow `prompt`; 0 if it already fills the model's positions."""
    if loaded.max_positions is None:
        return max_new_tokens
    return max(0, min(max_new_tokens, loaded.max_positions - len(prompt)))


def _batches(requests: list[_Request], batch_size: int) -> Iterator[list[_Request]]:
    """Requests of similar length, longest first, so that a batch too large for the memory fails at once; the room is
    the same in a batch, because a shorter row must not be led past the positions the model has."""
    longest_first = sorted(requests, key=lambda one: len(one.token_ids), reverse=True)
    for _, group in groupby(longest_first, key=lambda one: one.n_new):
        rows = list(group)
        yield from (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))


def _generate(
    loaded: LoadedModel, batch: list[_Request], policy: SamplingPolicy, stop_ids: list[int]
) -> list[list[int]]:
    """The new tokens of each row, up to the batch's last step (a row that ended earlier is filled with padding)."""
    length = max(len(one.token_ids) for one in batch)
    fill = _fill_token_id(loaded)
    padded = [[fill] * (length - len(one.token_ids)) + one.token_ids for one in batch]
    mask = [[0] * (length - len(one.token_ids)) + [1] * len(one.token_ids) for one in batch]
    config = GenerationConfig(
        max_new_tokens=batch[0].n_new, do_sample=False, use_cache=True, eos_token_id=stop_ids or None, pad_token_id=fill
    )
    processors = LogitsProcessorList()
    if policy.temperature > 0:
        processors.append(SeededNucleus(policy, _uniforms(batch, policy.seed).to(loaded.device), length))
    generated = loaded.model.generate(  # type: ignore[operator]  # a PeftModel forwards it dynamically
        input_ids=torch.tensor(padded, device=loaded.device),
        attention_mask=torch.tensor(mask, device=loaded.device),
        generation_config=config,
        logits_processor=processors,
    )
    return [row[length:] for row in generated.tolist()]


def _answer(loaded: LoadedModel, new_ids: list[int], stop_ids: list[int]) -> Answer:
    end = next((place for place, token_id in enumerate(new_ids) if token_id in stop_ids), None)
    text_ids = new_ids if end is None else new_ids[:end]
    text = str(loaded.tokenizer.decode(text_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return Answer(text, len(text_ids), end is not None, tuple(text_ids if end is None else new_ids[: end + 1]))


def _uniforms(batch: list[_Request], seed: int) -> torch.Tensor:
    """Numbers in [0, 1) of shape (rows, steps); a row's depend on the seed, its prompt and its sample number alone."""
    rows = []
    for one in batch:
        digest = hashlib.sha256(repr((seed, one.sample, one.token_ids)).encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        rows.append(torch.rand(one.n_new, generator=generator))
    return torch.stack(rows)


@contextmanager
def _plain_generation_config(loaded: LoadedModel) -> Iterator[list[int]]:
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


def _fill_token_id(loaded: LoadedModel) -> int:
    pad = loaded.tokenizer.pad_token_id
    return 0 if pad is None else int(pad)


def _shown(loaded: LoadedModel, token_id: int) -> str:
    """A token as text with the space it begins with; the vocabulary's own spelling where it is part of a character."""
    piece = str(loaded.tokenizer.convert_ids_to_tokens(token_id))
    if piece.startswith(_METASPACE):  # decoded alone, it would lose the space
        return piece.replace(_METASPACE, " ")
    text = str(loaded.tokenizer.decode([token_id], clean_up_tokenization_spaces=False))
    return piece if not text or "\ufffd" in text else text


def _require(true: bool, expected: str, got: float) -> None:
    if not true:
        raise UserError(expected=expected, got=str(got), remedy="correct the flag of that name")
