"""Judge pairs of answers in both orders, several calls at a time; replies are cached, so no call is paid twice."""

import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.completion import Call
from pipelines.endpoint.connection import CallFailed
from pipelines.errors import UserError
from pipelines.evaluation.judge.judge_prompt import Place, judge_messages, read_reply
from pipelines.evaluation.judge.judgements import TEMPERATURE, Judgement, Winner
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.files import sha256_of_text

_MAX_FAILURES_IN_A_ROW = 10  # then the endpoint is down
_CALLS_IN_FLIGHT = 4  # for each of those at once, so that a failing endpoint is noticed soon
_CHARACTERS_OF_A_TOKEN = 4
MAX_ANSWER_TOKENS = 1024


class ReplyCache:
    """Replies in a JSON-lines file, by the hash of the request; without a path they are kept in memory only. A reply is
    written at once. A line that an interrupted run left incomplete is skipped."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._lock = path, threading.Lock()
        self._replies: dict[str, str] = {}
        text = path.read_text(encoding="utf-8", errors="replace") if path is not None and path.is_file() else ""
        for line in text.split("\n"):
            try:
                value = json.loads(line)
                self._replies[value["key"]] = value["reply"]
            except (json.JSONDecodeError, KeyError, TypeError):
                continue
        self._before = "" if text.endswith("\n") or not text else "\n"  # ends an incomplete line

    def get(self, key: str) -> str | None:
        """Return the reply to the request `key`, None if there is none yet."""
        return self._replies.get(key)

    def add(self, key: str, reply: str) -> None:
        """Append a reply; safe from several threads."""
        with self._lock:
            self._replies[key] = reply
            if self._path is None:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(self._before + json.dumps({"key": key, "reply": reply}) + "\n")
            self._before = ""


class _Question(NamedTuple):
    """One order of one pair; `key` is the hash of the request."""

    messages: list[dict[str, str]]
    key: str


_Pair = tuple[_Question, _Question]  # the base's answer first, the instruct model's first


def judge_endpoint(url: str, model: str, **options: Any) -> Endpoint:
    """Return the judge's endpoint, with the key in JUDGE_API_KEY."""
    words = {"url_flag": "--judge_url", "key_variable": "JUDGE_API_KEY"}
    return Endpoint.with_key_from_environment(url, model, **{"n_at_once": 4, "max_seconds": 120.0, **words, **options})


def call_of(messages: Sequence[dict[str, str]]) -> Call:
    """Return the request that asks the judge."""
    return Call(messages, temperature=TEMPERATURE, max_tokens=MAX_ANSWER_TOKENS)


def judging_cost(
    prompts: Sequence[Prompt], base: Sequence[str], instruct: Sequence[str], endpoint: Endpoint, cache_file: Path
) -> str:
    """Return what judging these pairs of answers costs, in words, before any call: calls and roughly the tokens."""
    pairs = _pairs(prompts, base, instruct, endpoint)
    questions = [question for pair in pairs if pair for question in pair]
    to_ask = _without_reply(pairs, ReplyCache(cache_file))
    n_tokens = sum(len(one["content"]) for question in to_ask for one in question.messages) // _CHARACTERS_OF_A_TOKEN
    return (
        f"judge {endpoint.model} at {endpoint.host}: {len(to_ask):,} calls, about {n_tokens:,} tokens sent and at most "
        f"{len(to_ask) * MAX_ANSWER_TOKENS:,} received ({len(questions) - len(to_ask):,} replies are cached)"
    )


def judge_pairs(
    prompts: Sequence[Prompt],
    base: Sequence[str],
    instruct: Sequence[str],
    endpoint: Endpoint,
    cache_file: Path | None = None,
) -> list[Judgement]:
    """Return one judgement for each prompt, in their order. Replies in `cache_file` are not asked for again.

    Only one process may call this. Raises `UserError` if the first call fails, for a wrong key, model or URL, and if
    ten calls in a row fail; the replies so far stay in the file.
    """
    replies = ReplyCache(cache_file)
    pairs = _pairs(prompts, base, instruct, endpoint)
    failures = _ask_all(_without_reply(pairs, replies), endpoint, replies)
    return [_judgement(pair, replies, failures, endpoint) for pair in pairs]


def _pairs(
    prompts: Sequence[Prompt], base: Sequence[str], instruct: Sequence[str], endpoint: Endpoint
) -> list[_Pair | None]:
    """Return both orders of each pair, None if the answers are the same text."""

    def question(prompt: Prompt, first: str, second: str) -> _Question:
        messages = judge_messages(prompt.full_text, first, second)
        asked = {"url": endpoint.url, **call_of(messages).body(endpoint.model)}
        return _Question(messages, sha256_of_text(json.dumps(asked, sort_keys=True)))

    return [
        None if one == other else (question(prompt, one, other), question(prompt, other, one))
        for prompt, one, other in zip(prompts, base, instruct, strict=True)
    ]


def _without_reply(pairs: Sequence[_Pair | None], replies: ReplyCache) -> list[_Question]:
    """Return the questions without a reply, each once."""
    questions = {question.key: question for pair in pairs if pair for question in pair}
    return [question for key, question in questions.items() if replies.get(key) is None]


def _ask_all(questions: Sequence[_Question], endpoint: Endpoint, replies: ReplyCache) -> dict[str, str]:
    """Cache the reply to each question; return the failed ones by key, with the reason. The first question is asked
    alone, which shows what is wrong with the endpoint; then several at a time."""
    failures: dict[str, str] = {}
    n_in_a_row = 0

    def ask(question: _Question) -> str | None:
        try:
            replies.add(question.key, endpoint.many([call_of(question.messages)])[0].text)
        except CallFailed as error:
            return str(error)
        return None

    n_in_flight = endpoint.n_at_once * _CALLS_IN_FLIGHT
    starts = [0, *range(1, len(questions), n_in_flight)]
    with ThreadPoolExecutor(endpoint.n_at_once) as pool:
        for start, end in zip(starts, [*starts[1:], len(questions)], strict=True):
            batch = questions[start:end]
            for question, failure in zip(batch, pool.map(ask, batch), strict=True):
                n_in_a_row = n_in_a_row + 1 if failure else 0
                if failure:
                    failures[question.key] = failure
                if failure and (start == 0 or n_in_a_row >= _MAX_FAILURES_IN_A_ROW):
                    count = f"{n_in_a_row} calls in a row failed, the last with {failure}" if start else failure
                    raise UserError(
                        f"the judge {endpoint.model} at {endpoint.host} does not answer: {count}",
                        "correct that and continue with --resume: answers and replies so far are kept",
                    )
    return failures


def _judgement(pair: _Pair | None, replies: ReplyCache, failures: Mapping[str, str], endpoint: Endpoint) -> Judgement:
    if pair is None:
        return Judgement(Winner.TIE, Winner.TIE, "both answers are the same text", was_asked=False)
    (base_first, reason), (instruct_first, other_reason) = [read_reply(replies.get(one.key) or "") for one in pair]
    winners = _winner(base_first, Winner.BASE, Winner.INSTRUCT), _winner(instruct_first, Winner.INSTRUCT, Winner.BASE)
    if winners[0] is not winners[1]:
        reason = f"base first: {reason} | instruct first: {other_reason}"
    error = next((failures[one.key] for one in pair if one.key in failures), None)
    if error is None and None in winners:
        error = "the judge's reply has no verdict"
    return Judgement(*winners, endpoint.without_key(reason), error)


def _winner(place: Place | None, first: Winner, second: Winner) -> Winner | None:
    return None if place is None else {Place.FIRST: first, Place.SECOND: second, Place.TIE: Winner.TIE}[place]
