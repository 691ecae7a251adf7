"""Answers of a model: batched, greedy or seeded sampling, each independent of what else is in its batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from pipelines.evaluation.decoding import (
    Request,
    SamplingPolicy,
    decode_batch,
    plain_generation_config,
    refuse_unless,
)
from pipelines.modeling import LoadedModel

_METASPACE = "\u2581"  # SentencePiece's spelling of a space


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


def generate_answers(
    loaded: LoadedModel, prompts: Sequence[list[int]], policy: SamplingPolicy, *, batch_size: int = 16
) -> list[list[Answer]]:
    """`policy.num_samples` answers to each of `prompts` (token ids), in the order of the prompts.

    Requests are batched by length and padded on the left. A prompt that leaves less room than `max_new_tokens` in the
    model's positions gets what room there is; its answer then counts as not stopped.
    """
    refuse_unless(batch_size >= 1, "batch_size of 1 or more", batch_size)
    requests = [
        Request(number, sample, prompt, _room(loaded, prompt, policy.max_new_tokens))
        for number, prompt in enumerate(prompts)
        for sample in range(policy.num_samples)
    ]
    answers = {(one.prompt, one.sample): Answer("", 0, False, ()) for one in requests if one.n_new == 0}
    with torch.inference_mode(), plain_generation_config(loaded) as stop_ids:
        for batch in _batches([one for one in requests if one.n_new > 0], batch_size):
            for request, token_ids in zip(batch, decode_batch(loaded, batch, policy, stop_ids), strict=True):
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


def _room(loaded: LoadedModel, prompt: Sequence[int], max_new_tokens: int) -> int:
    """How many tokens may follow `prompt`; 0 if it already fills the model's positions."""
    if loaded.max_positions is None:
        return max_new_tokens
    return max(0, min(max_new_tokens, loaded.max_positions - len(prompt)))


def _batches(requests: list[Request], batch_size: int) -> Iterator[list[Request]]:
    """Requests of similar length, longest first, so that a batch too large for the memory fails at once; the room is
    the same in a batch, because a shorter row must not be led past the positions the model has."""
    longest_first = sorted(requests, key=lambda one: len(one.token_ids), reverse=True)
    for _, group in groupby(longest_first, key=lambda one: one.n_new):
        rows = list(group)
        yield from (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))


def _answer(loaded: LoadedModel, token_ids: list[int], stop_ids: list[int]) -> Answer:
    stopped = bool(token_ids) and token_ids[-1] in stop_ids
    text_ids = token_ids[:-1] if stopped else token_ids
    text = str(loaded.tokenizer.decode(text_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return Answer(text, len(text_ids), stopped, tuple(token_ids))


def _shown(loaded: LoadedModel, token_id: int) -> str:
    """A token as text with the space it begins with; the vocabulary's own spelling where it is part of a character."""
    piece = str(loaded.tokenizer.convert_ids_to_tokens(token_id))
    if piece.startswith(_METASPACE):  # decoded alone, it would lose the space
        return piece.replace(_METASPACE, " ")
    text = str(loaded.tokenizer.decode([token_id], clean_up_tokenization_spaces=False))
    return piece if not text or "\ufffd" in text else text
