"""Answers of a model behind an endpoint: the server renders, tokenizes and generates, as it does for users.

Chats go to /chat/completions as messages, other prompts to /completions as text. Of the server's own settings only its
template, tokenizer and end tokens count: sampling is the policy's, as in process (see `decoding`).
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from data_prep.conversation import Conversation, PlainText
from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.completion import Call, Completion, TokenLogprob
from pipelines.errors import UserError
from pipelines.files import sha256_of_text
from pipelines.hub.model_ref import ModelRef, model_fingerprint
from pipelines.inference.answer_store import Answer, AnswerStore
from pipelines.inference.generation import TokenChoice, room_after, shown_token
from pipelines.inference.loading import load_in_turn
from pipelines.inference.processes import log, measured_by_all
from pipelines.inference.sampling import Request, SamplingPolicy
from pipelines.modeling import LoadedModel, PromptStyle, load_tokenizer, plain_prompt, render_prompt
from pipelines.modeling.assistant_masks import inner_token_ids
from pipelines.modeling.loading import load_config, load_generation_config

_N_ALTERNATIVES = 5
_N_SEEDS = 2**31  # llama.cpp's seeds have 32 bits
# What engines apply unless a request says otherwise. llama.cpp cuts the nucleus before the temperature, others after.
# Ollama takes none of these, mlx-lm applies none by itself: pipelines/README.md says how each engine was checked.
_NEUTRAL: dict[str, dict[str, Any]] = {
    "llama.cpp": {
        "samplers": ["temperature", "top_p"], "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "cache_prompt": False,
        "reasoning_format": "none",
    },
    "vLLM": {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
    "SGLang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
}  # fmt: skip
Asked = Conversation | PlainText


@dataclass(frozen=True)
class _Question:
    """A call, its key in the store, and the number of prompt tokens that the trained model's tokenizer makes."""

    call: Call
    key: str
    n_prompt_tokens: int


@dataclass(frozen=True)
class ServedModel:
    """A model that a server holds; `ref` is the one that it was made from, of which only the tokenizer is loaded."""

    name: str
    ref: ModelRef
    endpoint: Endpoint

    computed_in = None

    @property
    def path(self) -> str:
        """The folder or Hub id in records."""
        return self.ref.path

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The trained model's tokenizer: it says what the prompts should be on the server."""
        return load_tokenizer(*self.ref.tokenizer_source)

    @cached_property
    def max_positions(self) -> int | None:
        """The longest sequence of the trained model in tokens, None if its config has none."""
        config = load_config(self.ref.base, self.ref.revision)
        return getattr(config.get_text_config(), "max_position_embeddings", None)

    @property
    def has_chat_template(self) -> bool:
        """Whether the trained model's tokenizer carries a chat template."""
        return bool(self.tokenizer.chat_template)

    @cached_property
    def fingerprint(self) -> str:
        """The identity of the trained weights, see `model_fingerprint`."""
        return model_fingerprint(self.path)

    @cached_property
    def engine(self) -> dict[str, str | None]:
        """`engine` in records: what answers, where, and the model's name there."""
        model = self.endpoint.asked_model
        if model is not None and Path(model).is_absolute():
            model = Path(model).name  # llama.cpp names the file with its folder
        return {"name": self.endpoint.engine(), "host": self.endpoint.host, "model": model}

    def answers(
        self,
        asked: Sequence[Asked],
        style: PromptStyle,
        policy: SamplingPolicy,
        *,
        store: AnswerStore | None = None,
        n_shown: int = 0,
    ) -> tuple[list[list[Answer]], dict[tuple[int, int], list[TokenChoice]]]:
        """Answer each prompt `policy.num_samples` times; also the token choices of the first `n_shown` prompts, by
        place and sample, if the server tells log-probabilities.

        Several processes share the work. Answers in `store` are not asked for again, except those that are shown; new
        ones are added to it as they come. Prints how many prompts have another number of tokens on the server. Raises
        `UserError` for an empty prompt and a call that fails.
        """
        rendered = [render_prompt(self.tokenizer, one, style) for one in asked]
        if not all(rendered):
            raise UserError(f"prompt {rendered.index([]) + 1} has no tokens", "write some text into it")
        questions = {
            (place, sample): self._question(asked[place], style, policy, Request(tuple(token_ids), sample, room))
            for place, token_ids in enumerate(rendered)
            for room in [room_after(self, token_ids, policy.max_new_tokens)]
            for sample in range(policy.num_samples)
        }
        shown = {one.key for (place, _), one in questions.items() if place < n_shown}
        distinct = list({one.key: one for one in questions.values()}.values())
        found = measured_by_all(distinct, lambda share: self._ask(share, policy, store, shown))
        by_key = {one.key: got for one, got in zip(distinct, found, strict=True)}
        self._report(found)
        of_one = range(policy.num_samples)
        answers = [[by_key[questions[place, n].key].answer for n in of_one] for place in range(len(asked))]
        choices = {place: own for place, one in questions.items() if (own := by_key[one.key].choices)}
        return answers, {place: own for place, own in choices.items() if place[0] < n_shown}

    def _question(self, asked: Asked, style: PromptStyle, policy: SamplingPolicy, request: Request) -> _Question:
        plain = plain_prompt(asked, style)
        extra = self.settings(is_sampled=policy.temperature > 0)
        if policy.stop_text is not None:
            extra = {**extra, "stop": [policy.stop_text]}
        decoding: dict[str, Any] = {"max_tokens": request.n_new, "temperature": policy.temperature, "extra": extra}
        if policy.temperature:
            decoding |= {"top_p": policy.top_p, "seed": request.seed(policy.seed) % _N_SEEDS}
        if plain is not None:
            call = Call(prompt=plain, **decoding)
        elif isinstance(asked, Conversation) and asked.tools:  # servers parse tool calls, which are part of the answer
            call = Call(prompt=request.token_ids, **decoding)
        elif isinstance(asked, Conversation):
            call = Call(messages=asked.messages, template_arguments=asked.template_arguments, **decoding)
        decided = [self.name, self.fingerprint, self.engine, call.body(None), request.sample]
        return _Question(call, sha256_of_text(json.dumps(decided, sort_keys=True)), len(request.token_ids))

    def settings(self, *, is_sampled: bool) -> dict[str, Any]:
        """Fields that turn off the engine's own sampling settings; none for an unknown engine, which may refuse them.
        `transformers serve` samples only if the whole generation config says so."""
        name = str(self.engine["name"])
        if name.startswith("transformers"):
            return {"generation_config": json.dumps(self._generation_config | {"do_sample": is_sampled})}
        return next((fields for engine, fields in _NEUTRAL.items() if name.startswith(engine)), {})

    @cached_property
    def _generation_config(self) -> dict[str, Any]:
        own = load_generation_config(self.path) or load_generation_config(self.ref.base, self.ref.revision)
        end = own.eos_token_id if own is not None else None
        return {"eos_token_id": self.tokenizer.eos_token_id if end is None else end, "top_k": 0}

    def _ask(
        self, questions: Sequence[_Question], policy: SamplingPolicy, store: AnswerStore | None, shown: set[str]
    ) -> "list[_Found]":
        found: dict[str, _Found] = {}
        for one in questions:
            stored = store.get(one.key) if store is not None and one.key not in shown else None
            if one.call.max_tokens == 0:
                stored = Answer("", 0, False, ())
            if stored is not None:
                found[one.key] = _Found(stored)
        missing = [one for one in questions if one.key not in found]

        def finished(place: int, completion: Completion) -> None:
            one = missing[place]
            found[one.key] = _Found(
                self._answer(completion, policy),
                self._choices(completion),
                completion.n_prompt_tokens not in (None, one.n_prompt_tokens),
                bool(completion.reasoning or completion.tool_calls),
            )
            if store is not None:
                store.add({one.key: found[one.key].answer})

        calls = [replace(one.call, logprobs=_N_ALTERNATIVES + 1 if one.key in shown else 0) for one in missing]
        self.endpoint.many(calls, finished=finished)
        return [found[one.key] for one in questions]

    def _answer(self, completion: Completion, policy: SamplingPolicy) -> Answer:
        text, stopped = completion.text, completion.finish_reason in ("stop", "tool_calls")
        if policy.stop_text is not None and stopped:
            text = text.partition(policy.stop_text)[0].rstrip("\n")
        if completion.n_tokens is None or policy.stop_text is not None:
            n_tokens = len(inner_token_ids(self.tokenizer, text))
        else:
            n_tokens = completion.n_tokens - stopped  # servers count the end token
        return Answer(text, n_tokens, stopped, tuple(completion.token_ids or ()) if completion.tells_each_token else ())

    def _choices(self, completion: Completion) -> list[TokenChoice]:
        if not completion.tells_each_token:
            return []
        positions = zip(completion.logprobs or (), completion.top_logprobs or (), strict=False)
        choices = []
        for chosen, top in positions:
            others = [one for one in top if (one.id, one.token) != (chosen.id, chosen.token)][:_N_ALTERNATIVES]
            alternatives = tuple((self._shown(one), math.exp(one.logprob)) for one in others)
            choices.append(TokenChoice(self._shown(chosen), chosen.id, math.exp(chosen.logprob), alternatives))
        return choices

    def _shown(self, token: TokenLogprob) -> str:
        if token.id is not None:
            return shown_token(self.tokenizer, token.id)
        return token.token.decode("utf-8", "backslashreplace") if isinstance(token.token, bytes) else token.token

    def _report(self, found: "Sequence[_Found]") -> None:
        n_other, n_cut = sum(one.is_other_prompt for one in found), sum(one.is_parsed for one in found)
        if n_other:
            log(
                f"{self.name}: {n_other} of {len(found)} prompts have another number of tokens on the server than "
                "in training, so it has another template or tokenizer: check_served.py says which"
            )
        if n_cut:
            log(f"{self.name}: the server cut reasoning or tool calls out of {n_cut} of {len(found)} answers")


@dataclass(frozen=True)
class _Found:
    """An answer with its token choices; whether its prompt had another number of tokens on the server, and whether the
    server took parts out of the text."""

    answer: Answer
    choices: list[TokenChoice] = field(default_factory=list)
    is_other_prompt: bool = False
    is_parsed: bool = False


def open_in_turn(
    models: Sequence[ModelRef],
    names: Sequence[str],
    engines: Mapping[str, Endpoint],
    *,
    dtype: str | torch.dtype = "auto",
) -> Iterator[LoadedModel | ServedModel]:
    """Yield each model under its name as `load_in_turn` does; those named in `engines` are not loaded."""
    named = list(zip(models, names, strict=True))
    here = [(model, name) for model, name in named if name not in engines]
    loaded = load_in_turn([model for model, _ in here], [name for _, name in here], dtype=dtype)
    for model, name in named:
        yield ServedModel(name, model, engines[name]) if name in engines else next(loaded)
