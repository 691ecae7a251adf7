"""Stream answers token by token, from two models in turn.

The tokens are those of `generate_answers` and generate.py: the same float32 logits, the same uniform numbers for the
same seed, sample and prompt, the same end tokens.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from pipelines.inference.generation import Answer
from pipelines.inference.sampling import Request, SamplingPolicy, choose_tokens, uniform_numbers
from pipelines.modeling import LoadedModel, stop_token_ids

SECONDS_OF_A_TURN = 0.05  # of one model, before its answer is shown and the other one continues


@dataclass(frozen=True)
class Progress:
    """A model's answers so far, one for each sample, and its `seconds` of computing.

    An answer of `n_room` tokens without an end token was cut by the limit.
    """

    answers: tuple[Answer, ...]
    seconds: float
    n_room: int
    is_done: bool

    @property
    def tokens_per_second(self) -> float:
        """Return tokens of all samples per second, with end tokens."""
        return sum(len(one.token_ids) for one in self.answers) / self.seconds if self.seconds else 0.0

    def is_finished(self, sample: int) -> bool:
        """Whether the answer of this sample is complete."""
        answer = self.answers[sample]
        return answer.stopped or len(answer.token_ids) >= self.n_room


def stream_answers(
    loaded: LoadedModel, prompt: Sequence[int], policy: SamplingPolicy, seconds_of_a_turn: float = SECONDS_OF_A_TURN
) -> Iterator[Progress]:
    """Yield the answers to `prompt` (token ids), all samples together, after each turn; the last one is done.

    The answers end at the policy's `max_new_tokens` or at the model's context length.
    """
    n_room = policy.max_new_tokens
    if loaded.max_positions is not None:
        n_room = max(0, min(n_room, loaded.max_positions - len(prompt)))
    steps = _Steps(loaded, [Request(tuple(prompt), sample, n_room) for sample in range(policy.num_samples)], policy)
    seconds = 0.0
    while True:
        start = time.perf_counter()
        with torch.inference_mode():
            while not steps.are_done:
                steps.take_one()
                if time.perf_counter() - start > seconds_of_a_turn:
                    break
        seconds += time.perf_counter() - start
        yield Progress(tuple(steps.answers()), seconds, n_room, steps.are_done)
        if steps.are_done:
            return


def in_turn(streams: Sequence[Iterator[Progress]]) -> Iterator[list[Progress]]:
    """Yield the latest progress of all `streams` after each turn of one of them, until all are done."""
    latest: list[Progress] = [next(stream) for stream in streams]
    yield list(latest)
    while not all(one.is_done for one in latest):
        for place, stream in enumerate(streams):
            if not latest[place].is_done:
                latest[place] = next(stream)
                yield list(latest)


class _Steps:
    """One token at a time for all samples of one prompt, without padding."""

    def __init__(self, loaded: LoadedModel, samples: Sequence[Request], policy: SamplingPolicy) -> None:
        self.loaded, self.policy, self.n_room = loaded, policy, samples[0].n_new
        self.stop_ids = stop_token_ids(loaded.tokenizer, cast(PreTrainedModel, loaded.model))
        self.token_ids = torch.tensor([one.token_ids for one in samples], device=loaded.device)
        self.new_ids: list[list[int]] = [[] for _ in samples]
        self.uniforms = uniform_numbers(samples, policy).to(loaded.device) if policy.temperature > 0 else None
        self.n_taken = 0
        self.past: Any = None

    @property
    def are_done(self) -> bool:
        return all(self._has_ended(ids) or len(ids) == self.n_room for ids in self.new_ids)

    def take_one(self) -> None:
        """Add one token to each answer; samples that have ended are computed but not shown."""
        scores = self._next_logits()
        uniforms = None if self.uniforms is None else self.uniforms[:, self.n_taken : self.n_taken + 1]
        chosen = choose_tokens(scores, self.policy, uniforms)
        self.token_ids = torch.cat([self.token_ids, chosen], dim=-1)
        self.n_taken += 1
        for ids, [token_id] in zip(self.new_ids, chosen.tolist(), strict=True):
            if not self._has_ended(ids):
                ids.append(token_id)

    def _next_logits(self) -> torch.Tensor:
        """Logits of shape (samples, vocabulary), with the model's own cache if it returns `past_key_values`."""
        model: Any = self.loaded.model
        if isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning:
            return model(input_ids=self.token_ids).logits[:, -1]  # it would add its prefix to each cached step
        unread = self.token_ids if self.past is None else self.token_ids[:, -1:]
        output = model(input_ids=unread, past_key_values=self.past, use_cache=True)
        self.past = output.get("past_key_values")
        return output.logits[:, -1]

    def answers(self) -> list[Answer]:
        tokenizer = self.loaded.tokenizer
        answers = []
        for ids in self.new_ids:
            stopped = self._has_ended(ids)
            text_ids = ids[:-1] if stopped else ids
            text = str(tokenizer.decode(text_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
            grows = not stopped and len(ids) < self.n_room
            text = text.rstrip("\ufffd") if grows else text  # the next token may complete the character
            answers.append(Answer(text, len(text_ids), stopped, tuple(ids)))
        return answers

    def _has_ended(self, ids: Sequence[int]) -> bool:
        return bool(ids) and ids[-1] in self.stop_ids
