"""What the endpoint says: rendered prompts, tokens of texts, greedy answers with their log-probabilities."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.completion import Call, Completion
from pipelines.endpoint.connection import CallFailed
from pipelines.errors import UserError
from pipelines.inference.processes import log
from pipelines.served.questions import Question

N_LOGPROBS = 10  # of the likeliest tokens: no engine refuses that many (mlx-lm takes 11, vLLM 20)
_TEXTS_AT_ONCE = 5  # short enough for the smallest context
_SECONDS_BETWEEN_LINES = 10.0
_IDS_OF_VLLM = {"return_tokens_as_token_ids": True}


@dataclass(frozen=True)
class Observed:
    """What the endpoint said to the questions and texts.

    `answers` is None if it refused the first chat, `refusal` says why. `rendered` are its own prompts (texts or token
    ids), `tokens` the token ids of the texts, `n_tokens` their numbers where it tells no ids; each None if not told.
    """

    engine: str
    answers: list[Completion] | None
    refusal: str = ""
    rendered: list[str] | list[list[int]] | None = None
    tokens: list[list[int]] | None = None
    n_tokens: list[int | None] | None = None


def observe(
    endpoint: Endpoint,
    questions: Sequence[Question],
    texts: Sequence[str],
    max_new_tokens: int,
    own_number: Callable[[str], int],
) -> Observed:
    """Ask everything. `own_number` is the trained model's number of tokens of a text. Raises `UserError` if a call
    fails after the first one was answered."""
    calls = [
        Call(one.messages, template_arguments=one.template_arguments, max_tokens=max_new_tokens) for one in questions
    ]
    if questions[0].messages is None:
        calls = [Call(prompt=one.text, max_tokens=max_new_tokens) for one in questions]
    log(f"asking {endpoint.host} for {len(calls)} answers and the tokens of {len(texts)} texts")
    answers, refusal = _answers(endpoint, calls)
    chats = [one.messages for one in questions if one.messages is not None]
    plain = not any(one.template_arguments for one in questions)
    tokens = endpoint.tokenize_all(texts)
    return Observed(
        endpoint.engine(),
        answers,
        refusal,
        endpoint.rendered(chats) if chats and plain and answers is not None else None,
        tokens,
        _numbers(endpoint, texts, own_number) if tokens is None else None,
    )


def continue_prompts(endpoint: Endpoint, questions: Sequence[Question], max_new_tokens: int) -> list[Completion] | None:
    """Return the answers to the trained prompts themselves, past the endpoint's template: as token ids, which pass its
    tokenizer too, else as text. None if it refuses both, or reads the text as another number of tokens."""
    log(f"asking {endpoint.host} again, past its template")
    for prompts in ([one.token_ids for one in questions], [one.text for one in questions]):
        found, _ = _answers(endpoint, [Call(prompt=one, max_tokens=max_new_tokens) for one in prompts])
        if found is not None and all(
            one.n_prompt_tokens in (None, len(asked.token_ids)) for one, asked in zip(found, questions, strict=True)
        ):
            return found
    return None


def _answers(endpoint: Endpoint, calls: Sequence[Call]) -> tuple[list[Completion] | None, str]:
    """Return the answers with log-probabilities, without them if the endpoint refuses those; or None and its words."""
    extra: dict[str, Any] = _IDS_OF_VLLM if endpoint.engine().startswith("vLLM") else {}
    refusal = ""
    for asked in ([replace(one, logprobs=N_LOGPROBS, extra=extra) for one in calls], calls):
        try:
            first = replace(endpoint, max_tries=2, model=endpoint.asked_model).many(asked[:1])
        except (CallFailed, UserError) as error:
            refusal = error.problem
            continue
        return first + endpoint.many(asked[1:], finished=_counting("answers", len(asked))), ""
    return None, refusal


def _numbers(endpoint: Endpoint, texts: Sequence[str], own_number: Callable[[str], int]) -> list[int | None] | None:
    """Return the number of tokens of each text, several texts in one call: only if those differ each is asked for."""
    several = ["\n".join(texts[start : start + _TEXTS_AT_ONCE]) for start in range(0, len(texts), _TEXTS_AT_ONCE)]
    found = _counts(endpoint, several)
    shifts = {number - own_number(one) for number, one in zip(found or [], several, strict=False) if number is not None}
    if found and None not in found and len(shifts) == 1:
        return [own_number(one) + shift for one in texts for shift in shifts]
    return _counts(endpoint, texts)


def _counts(endpoint: Endpoint, texts: Sequence[str]) -> list[int | None] | None:
    """Return the number of tokens of each text, as a completion of it counts them."""
    calls = [Call(prompt=one, max_tokens=1) for one in texts]
    try:
        first = replace(endpoint, max_tries=1, model=endpoint.asked_model).many(calls[:1])
        counted = first + endpoint.many(calls[1:], finished=_counting("counts of tokens", len(texts)))
        return [one.n_prompt_tokens for one in counted]
    except UserError:
        return None


def _counting(what: str, n: int) -> Callable[[int, Completion], None]:
    """Return a callback that prints how many of `n` are here, every 10 seconds; the first came before it."""
    n_here, said = 1, time.monotonic()

    def finished(_place: int, _answer: Completion) -> None:
        nonlocal n_here, said
        n_here += 1
        if time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            log(f"{n_here} of {n} {what}")

    return finished
