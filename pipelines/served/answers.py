"""Served answers next to those of the trained model: equal, ended elsewhere, or other, and how close that was."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

from pipelines.endpoint.completion import Completion
from pipelines.inference.generation import Answer
from pipelines.modeling import LoadedModel, stop_token_ids
from pipelines.modeling.chat.alignment import n_equal
from pipelines.served.distributions import Told
from pipelines.served.trained import next_logprobs

_CUT = "\ufffd"  # bytes that are no character, or one of which the token limit cut the last bytes
_N_CANDIDATES = 64


class Kind(StrEnum):
    """How a served answer compares with the trained model's."""

    EQUAL = "equal"
    SPACE = "space"  # but for spaces at its beginning
    LONGER = "longer"  # it goes on where the trained model stops
    SHORTER = "shorter"  # it stops where the trained model goes on
    OTHER = "other"


@dataclass(frozen=True)
class Pair:
    """An answer of the trained model (text, whether it stopped), the served one, and for another text the gap: how much
    likelier the trained model finds its own token than the served one where they part, in nats; None if unknown."""

    kind: Kind
    trained: str
    served: str
    finish_reason: str | None
    gap: float | None = None


@dataclass(frozen=True)
class Served:
    """A served answer, what it tells, and its text: that of the told tokens as the trained tokenizer decodes them, if
    all are told, else the engine's.

    Engines write the same tokens as other texts: mlx-lm and the response templates of `transformers serve` cut spaces
    off and keep special tokens, and bytes that are no character become other signs.
    """

    completion: Completion
    told: Told | None
    text: str

    @classmethod
    def of(cls, completion: Completion, told: Told | None, tokenizer: Any, ends: Sequence[int]) -> "Served":
        """The answer; `ends` are the end tokens, which are no part of its text."""
        if told is None or not told.is_whole:
            return cls(completion, told, completion.text)
        ids = [one for place, one in enumerate(told.token_ids, 1) if place < len(told.token_ids) or one not in ends]
        text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return cls(completion, told, text)

    def is_like(self, answer: Answer, special_tokens: Sequence[str]) -> bool:
        """Whether the text is that of `answer` but for special tokens, and for spaces at both ends."""
        one, other = answer.text, self.text
        for token in special_tokens:
            one, other = one.replace(token, ""), other.replace(token, "")
        one, other = _comparable(one.strip(), other.strip())
        return one == other


def compare_answers(
    loaded: LoadedModel,
    prompts: Sequence[list[int]],
    answers: Sequence[Answer],
    served: Sequence[Served],
    max_new_tokens: int,
) -> list[Pair]:
    """Compare each served answer with the trained model's."""
    pairs = [_pair(*one, max_new_tokens) for one in zip(answers, served, strict=True)]
    told = [one.told for one in served]
    ends = end_tokens(loaded)
    other = [number for number, one in enumerate(pairs) if one.kind is Kind.OTHER]
    places = [_place(loaded.tokenizer, answers[n], pairs[n].served, told[n]) for n in other]
    contexts = [[*prompts[n], *answers[n].token_ids[:place]] for n, place in zip(other, places, strict=True)]
    for n, place, logprobs in zip(other, places, next_logprobs(loaded, contexts) if other else [], strict=True):
        gap = _gap(loaded.tokenizer, answers[n], pairs[n], told[n], place, logprobs, ends)
        pairs[n] = Pair(Kind.OTHER, pairs[n].trained, pairs[n].served, pairs[n].finish_reason, gap)
    return pairs


def _comparable(one: str, other: str) -> tuple[str, str]:
    """The texts up to the first bytes that are no character, which engines write differently."""
    place = min((text.index(_CUT) for text in (one, other) if _CUT in text), default=None)
    return one[:place], other[:place]


def end_tokens(loaded: LoadedModel) -> list[int]:
    """Return the token ids that end an answer."""
    return stop_token_ids(loaded.tokenizer, loaded.model)  # type: ignore[arg-type]  # a PeftModel forwards its config


def _pair(answer: Answer, served: Served, limit: int) -> Pair:
    told, completion = served.told, served.completion
    one, other = _comparable(answer.text, served.text)
    at_limit = len(answer.token_ids) >= limit
    stopped = completion.finish_reason != "length"
    same_tokens = told is not None and 0 < len(told.token_ids) == n_equal(told.token_ids, answer.token_ids)
    # engines write the space of a SentencePiece token that tokenizers cut off where a text begins
    if one == other or (same_tokens and one.lstrip() == other.lstrip()):
        kind = Kind.EQUAL if stopped == answer.stopped or at_limit else Kind.LONGER if answer.stopped else Kind.SHORTER
    elif one.lstrip() == other.lstrip():
        kind = Kind.SPACE
    elif answer.stopped and other.startswith(one):
        kind = Kind.LONGER
    elif one.startswith(other) and (stopped or (completion.n_tokens or limit) < limit):
        kind = Kind.SHORTER
    else:
        kind = Kind.OTHER
    return Pair(kind, answer.text, served.text, completion.finish_reason)


def _place(tokenizer: Any, answer: Answer, text: str, told: Told | None) -> int:
    """Return the number of tokens of `answer` before the first that was not served."""
    if told is not None and len(told.token_ids) > (n := n_equal(answer.token_ids, told.token_ids)):
        return n
    low = 0
    for n in range(1, len(answer.token_ids) + 1):
        if not text.startswith(_text(tokenizer, answer.token_ids[:n])):
            break
        low = n
    return low


def _gap(
    tokenizer: Any,
    answer: Answer,
    pair: Pair,
    told: Told | None,
    place: int,
    logprobs: torch.Tensor,
    ends: Sequence[int],
) -> float | None:
    if place >= len(answer.token_ids):
        return None
    own = answer.token_ids[place]
    if told is not None and place < len(told.token_ids):
        return float(logprobs[own] - logprobs[told.token_ids[place]])
    before = answer.token_ids[:place]
    values, candidates = logprobs.topk(min(_N_CANDIDATES, len(logprobs)))
    done = _text(tokenizer, before) == pair.served
    for value, token in zip(values.tolist(), candidates.tolist(), strict=True):
        if token == own:
            continue
        if token in ends if done else pair.served.startswith(_text(tokenizer, (*before, token))) and token not in ends:
            return float(logprobs[own]) - value
    return float(logprobs[own] - values[-1])  # at least


def _text(tokenizer: Any, token_ids: Sequence[int]) -> str:
    text = tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text).rstrip(_CUT)
