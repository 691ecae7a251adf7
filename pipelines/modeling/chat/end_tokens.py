"""End tokens of a turn: the template's tokens after an answer and after a tool call."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.modeling.chat.alignment import text_after
from pipelines.modeling.chat.template_input import (
    ANSWER,
    CALLS,
    QUESTION,
    RESULT,
    TEMPLATE_ERRORS,
    TOOL,
    Message,
    apply_template,
)

TALK: list[Message] = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]


@dataclass(frozen=True)
class Ends:
    """How a template ends its turns. `tokens`: the end token of an answer, then that of a tool call if it differs.
    `after_answer` and `after_call`: the text up to an end token that the template writes only before another message
    (GLM's <|user|>)."""

    tokens: tuple[str, ...]
    after_answer: str | None = None
    after_call: str | None = None


def end_token(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token that ends an answer in the chat template. Raises `UserError` if there is none in the vocabulary."""
    return end_tokens(tokenizer)[0]


def end_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The tokens that end a turn, the answer's first. Raises `UserError` as `end_token`."""
    return turn_ends(tokenizer).tokens


def turn_ends(tokenizer: PreTrainedTokenizerBase) -> Ends:
    """How turns end. Raises `UserError` as `end_token`."""
    return _turn_ends(tokenizer, str(tokenizer.chat_template), len(tokenizer), str(tokenizer.eos_token))


def ended(turn: str, ends: Ends, own: str, *, calls: bool) -> str | None:
    """`turn` up to and including the template's first end token, None without one. End tokens spelled in the row's
    `own` text come before it; one at the end of that text counts as the end."""
    if ends.after_answer is not None:
        after = ends.after_call if calls else ends.after_answer
        return None if after is None else turn.rstrip() + after
    for end in ends.tokens:
        while own.rstrip().endswith(end):
            own = own.rstrip().removesuffix(end)
    found = [part for end in ends.tokens if (part := _through(turn, end, own.count(end))) is not None]
    return min(found, key=len, default=None)


def _through(turn: str, end: str, n_before: int) -> str | None:
    """`turn` up to and including `end`, after `n_before` of it."""
    parts = turn.split(end)
    return end.join([*parts[: n_before + 1], ""]) if len(parts) > n_before + 1 else None


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Special and added tokens, the longest first."""
    added = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    return sorted({token for token in (*tokenizer.all_special_tokens, *added) if token.strip()}, key=len, reverse=True)


def rendered_turn(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """Render the prompt of a question, and the whole with its answer; with a tool if the template needs one.

    Raises `UserError` if the template cannot render them.
    """
    for tools in (None, [TOOL]):
        try:
            prompt = apply_template(tokenizer, TALK[:1], tools, add_generation_prompt=True)
            return prompt, apply_template(tokenizer, TALK, tools)
        except TEMPLATE_ERRORS as error:
            error_text = " ".join(str(error).split())[:200]
    remedy = "set chat_template_path to another template"
    if "bos_token" in error_text:
        remedy = "set bos_token in the base's tokenizer_config.json, which has none, or " + remedy
    raise UserError(f"the chat template does not render a question and an answer: {error_text}", remedy)


@lru_cache(maxsize=64)  # called for each row; template and vocabulary do not change during a run
def _turn_ends(tokenizer: PreTrainedTokenizerBase, template: str, n_tokens: int, eos: str) -> Ends:  # noqa: ARG001
    end = _end_of_answer(tokenizer, eos)
    if end is not None:
        called = _end_of_call(tokenizer, end)
        return Ends((end,) if called is None else (end, called))
    stops = [token for token in special_tokens(tokenizer) if token == eos or token in _configured_stops(tokenizer)]
    after_answer = _continued(tokenizer, TALK, TALK[0], None, ANSWER, stops)
    if after_answer is None:
        written = rendered_turn(tokenizer)[1].rpartition(ANSWER)[2].strip()[:40]
        raise UserError(
            f"the chat template writes {written!r} after an answer, expected a special token",
            "end the assistant turn with eos_token in the template, or set chat_template_path to another one",
            finding="END_TOKEN_NOT_TRAINED",
        )
    after_call = _continued(tokenizer, CALLS, {"role": "tool", "content": RESULT}, [TOOL], None, stops)
    found = (_tokens_in(text, stops)[-1] for text in (after_answer, after_call) if text is not None)
    return Ends(tuple(dict.fromkeys(found)), after_answer, after_call)


def _end_of_answer(tokenizer: PreTrainedTokenizerBase, eos: str) -> str | None:
    """The token that ends an answer, None if the template writes none after it."""
    prompt, whole = rendered_turn(tokenizer)
    before = (text_after(prompt, whole) or "").rpartition(ANSWER)[0]
    after = whole.rpartition(ANSWER)[2]
    found = [token for token in _tokens_in(after, special_tokens(tokenizer)) if token not in before]
    return _chosen(found, after, prompt.rpartition(QUESTION)[2], eos) if found else None


def _continued(
    tokenizer: PreTrainedTokenizerBase,
    talk: Sequence[Message],
    following: Message,
    tools: list[Any] | None,
    last_text: str | None,
    stops: list[str],
) -> str | None:
    """The template's text after `talk` before another message, up to one of `stops`; None if none comes first.
    `last_text` is the end of `talk` (None: all of it)."""
    try:
        whole = apply_template(tokenizer, talk, tools).rstrip()
        longer = apply_template(tokenizer, [*talk, following], tools)
    except TEMPLATE_ERRORS:
        return None
    after = longer.rpartition(last_text)[2] if last_text else longer[len(whole) :]
    if not last_text and not longer.startswith(whole):
        return None
    stop = next((token for token in stops if after.lstrip().startswith(token)), None)
    return None if stop is None else after[: after.index(stop) + len(stop)]


def _configured_stops(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The stop tokens of the generation config next to the tokenizer."""
    try:
        ids = GenerationConfig.from_pretrained(tokenizer.name_or_path, local_files_only=True).eos_token_id
    except (OSError, ValueError):
        return set()
    known = [one for one in (ids if isinstance(ids, list) else [ids]) if one is not None and one < len(tokenizer)]
    return set(map(str, tokenizer.convert_ids_to_tokens(known)))


def _chosen(found: list[str], after: str, after_question: str, eos: str) -> str:
    """The first token after an answer; of several adjacent ones the tokenizer's EOS, or the one that ends the question
    too (Command-A's <|END_RESPONSE|><|END_OF_TURN_TOKEN|>)."""
    run = [token for place, token in enumerate(found) if "".join(found[: place + 1]) in after]
    if eos in run:
        return eos
    return next((token for token in run if after_question.lstrip().startswith(token)), found[0])


def _end_of_call(tokenizer: PreTrainedTokenizerBase, end: str) -> str | None:
    """The token that ends a turn with a tool call, None if it is the answer's, or none."""
    try:
        prompt = apply_template(tokenizer, CALLS[:1], [TOOL], add_generation_prompt=True)
        turn = text_after(prompt, apply_template(tokenizer, CALLS, [TOOL]))
    except TEMPLATE_ERRORS:
        return None
    if turn is None or end in turn:
        return None
    stripped = turn.rstrip()
    found = next((token for token in special_tokens(tokenizer) if stripped.endswith(token)), None)
    return found if found is not None and stripped.count(found) == 1 else None


def _tokens_in(text: str, tokens: list[str]) -> list[str]:
    """The special tokens in `text`, in their order."""
    found = []
    while text:
        here = next((token for token in tokens if text.startswith(token)), None)
        if here is not None:
            found.append(here)
        text = text[len(here) if here is not None else 1 :]
    return found
