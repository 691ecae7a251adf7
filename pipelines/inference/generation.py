"""Generation: batched answers, greedy or with seeded sampling, independent of their batch.

In float32 and wider an answer is the same in every batch and with any number of processes. In bfloat16 two tokens can
round to the same logit, and their order may change with the batch: of 60 answers of the quickstart's model 3 greedy and
20 sampled ones differed between batches of 4 and 60 (none in float32).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Protocol

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.files import sha256_of_text
from pipelines.hub.model_ref import model_fingerprint
from pipelines.inference.answer_store import Answer, AnswerStore
from pipelines.inference.decoding import decode, plain_generation_config
from pipelines.inference.processes import log, measured_by_all
from pipelines.inference.sampling import Request, SamplingPolicy
from pipelines.modeling import LoadedModel
from pipelines.modeling.loading import origin

__all__ = ["Answer", "AnswerStore", "SamplingPolicy", "TokenChoice", "generate_answers", "token_choices_of"]

_METASPACE = "\u2581"  # SentencePiece's spelling of a space
_MAX_LOGIT_BYTES = 2**28  # of one batch of token choices
_model_fingerprint = cache(model_fingerprint)  # reads all weights


@dataclass(frozen=True)
class TokenChoice:
    """A generated token with its probability, and the most probable other tokens with theirs. Some servers tell a token
    only as text."""

    token: str
    token_id: int | None
    probability: float
    alternatives: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """The choice in generate.py's output."""
        rivals = [{"token": token, "probability": probability} for token, probability in self.alternatives]
        return {"token": self.token, "token_id": self.token_id, "probability": self.probability, "alternatives": rivals}


def generate_answers(
    loaded: LoadedModel,
    prompts: Sequence[list[int]],
    policy: SamplingPolicy,
    *,
    batch_size: int = 32,
    store: AnswerStore | None = None,
) -> list[list[Answer]]:
    """Generate `policy.num_samples` answers to each of `prompts` (token ids), in the order of the prompts.

    Several processes share the work, and all get all answers. Answers in `store` are not generated again; new ones are
    added to it, `batch_size` at a time. An answer is cut at the model's last position and then counts as not stopped;
    the number of such prompts, and a missing end token, are printed on stderr. Raises `UserError` for an empty prompt,
    for logits that are NaN or infinite, and if memory runs out.
    """
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}, expected 1 or more", "use --batch_size 32")
    if not all(prompts):
        number = [not prompt for prompt in prompts].index(True) + 1
        raise UserError(f"prompt {number} has no tokens", "write some text into it: a model continues text")
    with plain_generation_config(loaded) as stop_ids:
        pass
    _print_limits(loaded, prompts, policy, stop_ids)
    keys = [(tuple(prompt), sample) for prompt in prompts for sample in range(policy.num_samples)]
    rooms = {prompt: room_after(loaded, prompt, policy.max_new_tokens) for prompt, _ in keys}
    requests = [Request(prompt, sample, rooms[prompt]) for prompt, sample in dict.fromkeys(keys)]
    requests.sort(key=lambda one: len(one.token_ids), reverse=True)  # so that processes get equal shares of each length
    names = {} if store is None else _names(loaded, requests, policy, stop_ids)
    n_finished = 0 if store is None else sum(store.get(name) is not None for name in names.values())
    if n_finished:
        log(f"{loaded.name}: {n_finished} of {len(requests)} answers were finished before")
    work = _Work(loaded, policy, batch_size, store, names, stop_ids)
    found = zip(requests, measured_by_all(requests, work.answers), strict=True)
    answers = {(one.token_ids, one.sample): answer for one, answer in found}
    in_order = [answers[key] for key in keys]
    return [in_order[start : start + policy.num_samples] for start in range(0, len(keys), policy.num_samples)]


@dataclass(frozen=True)
class _Work:
    """One process's share of the requests."""

    loaded: LoadedModel
    policy: SamplingPolicy
    batch_size: int
    store: AnswerStore | None
    names: Mapping[Request, str]
    stop_ids: list[int]

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer each of `requests` from the store, or generate it."""
        stored = {} if self.store is None else {one: self.store.get(self.names[one]) for one in requests}
        answers = {one: answer for one, answer in stored.items() if answer is not None}
        answers |= {one: Answer("", 0, False, ()) for one in requests if one.n_new == 0}
        fresh: dict[str, Answer] = {}
        missing = [one for one in requests if one not in answers]
        with torch.inference_mode():
            decoded = decode(self.loaded, missing, self.policy, self.batch_size)
            for n_done, (one, token_ids) in enumerate(decoded, start=1):
                answers[one] = self._answer(token_ids)
                if self.store is not None:
                    fresh[self.names[one]] = answers[one]
                    if len(fresh) == self.batch_size or n_done == len(missing):
                        self.store.add(fresh)
                        fresh = {}
        return [answers[one] for one in requests]

    def _answer(self, token_ids: list[int]) -> Answer:
        stop_text = self.policy.stop_text
        if stop_text is not None and stop_text in (text := self._text(token_ids)):
            said = text[: text.index(stop_text)].rstrip("\n")
            n_said = next(n for n in range(len(token_ids) + 1) if len(self._text(token_ids[:n])) >= len(said))
            return Answer(said, n_said, True, tuple(token_ids[:n_said]))
        stopped = bool(token_ids) and token_ids[-1] in self.stop_ids
        text_ids = token_ids[:-1] if stopped else token_ids
        return Answer(self._text(text_ids), len(text_ids), stopped, tuple(token_ids))

    def _text(self, token_ids: list[int]) -> str:
        decode: Any = self.loaded.tokenizer.decode
        return str(decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@torch.inference_mode()
def token_choices_of(
    loaded: LoadedModel, prompts: Sequence[list[int]], answers: Sequence[Answer], n_alternatives: int = 5
) -> list[list[TokenChoice]]:
    """For each answer the probability of each token, and of `n_alternatives` others. Probabilities are the model's,
    before temperature and top_p. Answers of similar length share a batch."""
    rows = [[*prompt, *answer.token_ids] for prompt, answer in zip(prompts, answers, strict=True)]
    choices: list[list[TokenChoice]] = [[] for _ in rows]
    n_words = loaded.model.config.get_text_config().vocab_size
    longest_first = sorted((n for n in range(len(rows)) if answers[n].token_ids), key=lambda n: -len(rows[n]))
    while longest_first:
        n_rows = max(1, _MAX_LOGIT_BYTES // (4 * n_words * len(rows[longest_first[0]])))
        batch, longest_first = longest_first[:n_rows], longest_first[n_rows:]
        length = len(rows[batch[0]])
        padded = torch.tensor([rows[n] + [0] * (length - len(rows[n])) for n in batch], device=loaded.device)
        mask = torch.tensor([[1] * len(rows[n]) + [0] * (length - len(rows[n])) for n in batch], device=loaded.device)
        logits = loaded.model(input_ids=padded, attention_mask=mask, use_cache=False).logits
        for n, row in zip(batch, logits, strict=True):
            choices[n] = _choices(loaded, row[len(prompts[n]) - 1 : len(rows[n]) - 1], answers[n], n_alternatives)
    return choices


def _choices(loaded: LoadedModel, logits: torch.Tensor, answer: Answer, n_alternatives: int) -> list[TokenChoice]:
    """Read the choices from logits (tokens, vocabulary) at each of the answer's tokens."""
    probabilities = logits.float().softmax(dim=-1)
    own = probabilities.gather(1, torch.tensor(answer.token_ids, device=logits.device)[:, None])[:, 0].tolist()
    best = probabilities.topk(min(n_alternatives + 1, probabilities.shape[-1]), dim=-1)
    choices = []
    for token_id, probability, values, ids in zip(
        answer.token_ids, own, best.values.tolist(), best.indices.tolist(), strict=True
    ):
        others = [
            (shown_token(loaded.tokenizer, other), value)
            for value, other in zip(values, ids, strict=True)
            if other != token_id
        ]
        choices.append(
            TokenChoice(shown_token(loaded.tokenizer, token_id), token_id, probability, tuple(others[:n_alternatives]))
        )
    return choices


def _names(
    loaded: LoadedModel, requests: Sequence[Request], policy: SamplingPolicy, stop_ids: Sequence[int]
) -> dict[Request, str]:
    """Keys of the answers in the store: hashes of everything that determines them, and of the model's name, so that a
    model compared with itself answers twice."""
    model: Any = loaded.model
    weights = [loaded.name, loaded.fingerprint]
    if isinstance(model, PeftModel):
        weights.append(_model_fingerprint(origin(model)))
    rules = {name: value for name, value in asdict(policy).items() if name != "num_samples"}
    decided = json.dumps([weights, str(model.dtype), list(stop_ids), rules, "transformers"], sort_keys=True)
    return {one: sha256_of_text(f"{decided} {one.sample} {list(one.token_ids)}") for one in requests}


class _Limited(Protocol):
    @property
    def max_positions(self) -> int | None: ...


def room_after(model: _Limited, prompt: Sequence[int], max_new_tokens: int) -> int:
    """The number of tokens that may follow `prompt`; 0 if it fills the model's positions."""
    if model.max_positions is None:
        return max_new_tokens
    return max(0, min(max_new_tokens, model.max_positions - len(prompt)))


def _print_limits(
    loaded: LoadedModel, prompts: Sequence[list[int]], policy: SamplingPolicy, stop_ids: Sequence[int]
) -> None:
    rooms = [room_after(loaded, prompt, policy.max_new_tokens) for prompt in prompts]
    n_without, n_less = rooms.count(0), sum(0 < room < policy.max_new_tokens for room in rooms)
    lines = []
    if not stop_ids:
        lines.append("no end token in its tokenizer or generation config, so every answer runs to the token limit")
    if n_without:
        lines.append(f"{n_without} of {len(prompts)} prompts fill its {loaded.max_positions} positions: empty answers")
    if n_less:
        lines.append(f"{n_less} of {len(prompts)} prompts leave less room than {policy.max_new_tokens} new tokens")
    for line in lines:
        log(f"{loaded.name}: {line}")


def shown_token(tokenizer: PreTrainedTokenizerBase, token_id: int) -> str:
    """A token as text with its leading space; the vocabulary's spelling if it is part of a character."""
    piece = str(tokenizer.convert_ids_to_tokens(token_id))
    if piece.startswith(_METASPACE):  # decoding it alone would remove the space
        return piece.replace(_METASPACE, " ")
    text = str(tokenizer.decode([token_id], clean_up_tokenization_spaces=False))
    return piece if not text or "\ufffd" in text else text
