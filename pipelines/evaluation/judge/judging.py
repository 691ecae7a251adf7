"""Pairs of answers put to a judge in both orders, several at once; replies are kept, so that none is paid twice."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.judge.endpoint import CallFailed, JudgeEndpoint
from pipelines.evaluation.judge.judge_prompt import Place, judge_messages, read_reply
from pipelines.evaluation.judge.judgements import Judgement, Winner
from pipelines.evaluation.judge.kept_replies import KeptReplies
from pipelines.evaluation.prompts.prompt_sets import Prompt
from pipelines.files import sha256_of_text

_MAX_FAILURES_IN_A_ROW = 10  # then the endpoint is down, and what is left would only wait
_CALLS_IN_HAND = 4  # for each of those at once, so that a failing endpoint is noticed soon
_CHARACTERS_OF_A_TOKEN = 4


@dataclass(frozen=True)
class _Question:
    """One order of one pair."""

    messages: list[dict[str, str]]
    key: str


@dataclass(frozen=True)
class _Pair:
    base_first: _Question
    instruct_first: _Question


def judging_cost(
    prompts: Sequence[Prompt],
    base_answers: Sequence[str],
    instruct_answers: Sequence[str],
    endpoint: JudgeEndpoint,
    kept: Path | None = None,
) -> str:
    """What judging these pairs will take, in words, before any call: calls, and about how many tokens are sent."""
    replies = KeptReplies(kept)
    questions = [
        question
        for pair in _pairs(prompts, base_answers, instruct_answers, endpoint)
        if pair is not None
        for question in (pair.base_first, pair.instruct_first)
    ]
    to_ask = [question for question in questions if replies.get(question.key) is None]
    n_tokens = sum(len(one["content"]) for question in to_ask for one in question.messages) // _CHARACTERS_OF_A_TOKEN
    return (
        f"judge {endpoint.model} at {endpoint.host}: {len(to_ask):,} calls, about {n_tokens:,} tokens sent and at most "
        f"{len(to_ask) * endpoint.max_answer_tokens:,} received ({len(questions) - len(to_ask):,} replies are kept)"
    )


def judge_pairs(
    prompts: Sequence[Prompt],
    base_answers: Sequence[str],
    instruct_answers: Sequence[str],
    endpoint: JudgeEndpoint,
    *,
    kept: Path | None = None,
) -> list[Judgement]:
    """One judgement for each prompt, in their order; `kept` is the file of replies that need not be asked for again.

    Only one process may call this. Raises `UserError` if the first call fails, for a wrong key, model or URL, and when
    ten calls in a row fail; replies so far are kept.
    """
    replies = KeptReplies(kept)
    pairs = _pairs(prompts, base_answers, instruct_answers, endpoint)
    questions = {
        question.key: question
        for pair in pairs
        if pair is not None
        for question in (pair.base_first, pair.instruct_first)
        if replies.get(question.key) is None
    }
    failures = _ask_all(list(questions.values()), endpoint, replies)
    return [_judgement(pair, replies, failures, endpoint) for pair in pairs]


def _pairs(
    prompts: Sequence[Prompt], base: Sequence[str], instruct: Sequence[str], endpoint: JudgeEndpoint
) -> list[_Pair | None]:
    """Both orders of each pair, None where the answers are the same text."""
    pairs: list[_Pair | None] = []
    for prompt, one, other in zip(prompts, base, instruct, strict=True):
        request = prompt.full_text
        orders = [(one, other), (other, one)]
        both = [_question(judge_messages(request, first, second), endpoint) for first, second in orders]
        pairs.append(None if one == other else _Pair(*both))
    return pairs


def _question(messages: list[dict[str, str]], endpoint: JudgeEndpoint) -> _Question:
    asked: dict[str, Any] = {"url": endpoint.url.rstrip("/"), **endpoint.body(messages)}
    return _Question(messages, sha256_of_text(json.dumps(asked, sort_keys=True)))


def _ask_all(questions: Sequence[_Question], endpoint: JudgeEndpoint, replies: KeptReplies) -> dict[str, str]:
    """Keep the reply to each question; what failed is returned, by key, with the reason.

    The first question is asked alone: what is wrong with the endpoint shows there, not a thousand times.
    """
    failures: dict[str, str] = {}
    n_in_a_row = 0

    def ask(question: _Question) -> str | None:
        try:
            replies.keep(question.key, endpoint.answer(question.messages))
        except CallFailed as error:
            return str(error)
        return None

    for place, failure in enumerate(_answers(questions, ask, endpoint.n_at_once)):
        n_in_a_row = n_in_a_row + 1 if failure else 0
        if failure:
            failures[questions[place].key] = failure
        if failure and (place == 0 or n_in_a_row >= _MAX_FAILURES_IN_A_ROW):
            raise UserError(
                expected=f"a judge {endpoint.model} that answers at {endpoint.host}",
                got=f"{n_in_a_row} calls in a row that failed, the last with {failure}" if place else failure,
                remedy="mend that and go on with --resume: answers and replies so far are kept",
            )
    return failures


def _answers(
    questions: Sequence[_Question], ask: Callable[[_Question], str | None], n_at_once: int
) -> Iterator[str | None]:
    """`ask` of the first question, then of the others, several at once; in their order."""
    yield from map(ask, questions[:1])
    n_in_hand = n_at_once * _CALLS_IN_HAND
    with ThreadPoolExecutor(n_at_once) as pool:
        for start in range(1, len(questions), n_in_hand):
            yield from pool.map(ask, questions[start : start + n_in_hand])


def _judgement(
    pair: _Pair | None, replies: KeptReplies, failures: Mapping[str, str], endpoint: JudgeEndpoint
) -> Judgement:
    if pair is None:
        return Judgement(Winner.TIE, Winner.TIE, "both answers are the same text", was_asked=False)
    keys = pair.base_first.key, pair.instruct_first.key
    read = [read_reply(replies.get(key) or "") for key in keys]
    (base_first, reason), (instruct_first, other_reason) = read
    winners = _winner(base_first, Winner.BASE, Winner.INSTRUCT), _winner(instruct_first, Winner.INSTRUCT, Winner.BASE)
    if winners[0] is not winners[1]:
        reason = f"base first: {reason} | instruct first: {other_reason}"
    error = next((failures[key] for key in keys if key in failures), None)
    if error is None and None in winners:
        error = "the judge's reply holds no verdict"
    return Judgement(*winners, endpoint.without_key(reason), error)


def _winner(place: Place | None, first: Winner, second: Winner) -> Winner | None:
    return None if place is None else {Place.FIRST: first, Place.SECOND: second, Place.TIE: Winner.TIE}[place]
