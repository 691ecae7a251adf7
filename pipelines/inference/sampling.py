"""Sampling: the next token of each row, greedy or drawn with a number that depends on the row alone."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import LogitsProcessor

from pipelines.errors import UserError
from pipelines.modeling import LoadedModel

_N_SORTED = 64  # the nucleus is searched among the 64 best tokens first: sorting 4,096 costs ten times as much


@dataclass(frozen=True)
class SamplingPolicy:
    """How answers are decoded. `temperature` 0 is greedy. `top_p` keeps the smallest set of tokens with this share of
    the probability. A sample depends only on `seed`, its number and its prompt. An answer also ends before `stop_text`,
    if given."""

    temperature: float = 0.0
    top_p: float = 1.0
    num_samples: int = 1
    seed: int = 0
    max_new_tokens: int = 256
    stop_text: str | None = None

    def __post_init__(self) -> None:
        """Raise `UserError` for values out of range."""
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature is {self.temperature}, expected 0 (greedy) or more", "use --temperature 0.7")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}, expected above 0 and at most 1", "use --top_p 0.9")
        for name in ("num_samples", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected 1 or more", f"raise --{name}")
        if self.temperature == 0 and self.num_samples > 1:
            problem = f"temperature is 0 for {self.num_samples} samples, which would all be the same text"
            raise UserError(problem, "raise --temperature")


@dataclass(frozen=True)
class Request:
    """Sample number `sample` of the answer to the prompt `token_ids`: at most `n_new` tokens."""

    token_ids: tuple[int, ...]
    sample: int
    n_new: int

    def seed(self, seed: int) -> int:
        """The seed of this sample under the policy's `seed`; below 2**56."""
        digest = hashlib.sha256(repr((seed, self.sample, list(self.token_ids))).encode()).digest()
        return int.from_bytes(digest[:7], "big")


class SeededSampling(LogitsProcessor):
    """`choose_tokens` for `model.generate`: leaves one token for its argmax."""

    def __init__(self, policy: SamplingPolicy, uniforms: torch.Tensor | None, prompt_length: int) -> None:
        self.policy, self.uniforms, self.prompt_length = policy, uniforms, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of shape (rows, vocabulary): 0 for the chosen token, minus infinity for the others."""
        step = input_ids.shape[1] - self.prompt_length
        uniforms = None if self.uniforms is None else self.uniforms[:, step : step + 1]
        return torch.full_like(scores, -torch.inf).scatter_(1, choose_tokens(scores, self.policy, uniforms), 0.0)


def choose_tokens(scores: torch.Tensor, policy: SamplingPolicy, uniforms: torch.Tensor | None) -> torch.Tensor:
    """Choose the next token of each row, shape (rows, 1), from logits of shape (rows, vocabulary).

    Greedy if `uniforms` is None. Otherwise the first token whose cumulative probability exceeds the row's uniform
    number (rows, 1), so an answer does not depend on the batch. Raises `UserError` for logits that are NaN or infinite.
    """
    best, greedy = scores.max(dim=-1, keepdim=True)  # NaN wins every comparison, so it is found here
    if not best.isfinite().all():
        problem = "the logits for the next token are NaN or infinite"
        raise UserError(problem, "check trainer_state.json for a diverged training, or load the model in a wider dtype")
    if uniforms is None:
        return greedy
    probabilities = (scores.float() / policy.temperature).softmax(dim=-1)
    uniforms = uniforms.to(probabilities)
    if policy.top_p == 1:
        return _draw(probabilities, uniforms, 1.0)
    return _draw_from_nucleus(probabilities, uniforms, policy.top_p)


def uniform_numbers(requests: Sequence[Request], policy: SamplingPolicy) -> torch.Tensor:
    """Numbers in [0, 1), shape (rows, max_new_tokens); a row's depend only on seed, prompt and sample number."""
    rows = torch.zeros(len(requests), policy.max_new_tokens)
    for row, one in zip(rows, requests, strict=True):
        generator = torch.Generator().manual_seed(one.seed(policy.seed))
        row[: one.n_new] = torch.rand(one.n_new, generator=generator)
    return rows


def pad_left(prompts: Sequence[Sequence[int]], loaded: LoadedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask of `prompts`, shape (rows, longest), padded on the left, on the model's device."""
    length, fill = max(map(len, prompts)), int(loaded.tokenizer.pad_token_id or 0)
    rows = [[fill] * (length - len(one)) + list(one) for one in prompts]
    masks = [[0] * (length - len(one)) + [1] * len(one) for one in prompts]
    return torch.tensor(rows, device=loaded.device), torch.tensor(masks, device=loaded.device)


def _draw_from_nucleus(probabilities: torch.Tensor, uniforms: torch.Tensor, top_p: float) -> torch.Tensor:
    best = probabilities.topk(min(_N_SORTED, probabilities.shape[-1]), dim=-1)
    tokens = best.indices.gather(1, _draw(best.values, uniforms, top_p))
    wide = best.values.sum(dim=-1) < top_p
    if wide.any():
        ordered = probabilities[wide].sort(dim=-1, descending=True)
        tokens[wide] = ordered.indices.gather(1, _draw(ordered.values, uniforms[wide], top_p))
    return tokens


def _draw(probabilities: torch.Tensor, uniforms: torch.Tensor, top_p: float) -> torch.Tensor:
    """Draw places (rows, 1) from the first places with `top_p` of the mass, in proportion to `probabilities`."""
    mass = probabilities.cumsum(dim=-1)
    last = (mass - probabilities < top_p).sum(dim=-1, keepdim=True) - 1
    return torch.searchsorted(mass, uniforms * mass.gather(1, last), right=True).minimum(last)
