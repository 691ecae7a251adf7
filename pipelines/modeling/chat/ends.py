"""Which tokens end a turn: those that the template writes after an answer and after a tool call."""

from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.modeling.chat.alignment import text_after
from pipelines.modeling.chat.spelling import ANSWER, CALLS, QUESTION, TEMPLATE_ERRORS, TOOL, applied

TALK = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]


def end_token(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token with which the chat template ends an answer.

    Raises `UserError` if it ends with no token of the vocabulary: such a turn could not be ended.
    """
    return end_tokens(tokenizer)[0]


def end_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The tokens that end a turn: the end of an answer first, then that of a tool call where it is another one.

    Raises `UserError` as `end_token`.
    """
    return _end_tokens(tokenizer, str(tokenizer.chat_template), len(tokenizer), str(tokenizer.eos_token))


def ended(turn: str, ends: tuple[str, ...], own: str) -> str | None:
    """`turn` up to and including the first end token that the template wrote, None without one. Those that the row's
    `own` text spells come before it; one at the end of that text is the end already."""
    for end in ends:
        while own.rstrip().endswith(end):
            own = own.rstrip().removesuffix(end)
    found = [part for end in ends if (part := _through(turn, end, own.count(end))) is not None]
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
    """The prompt of a question and the whole with its answer; with a tool, if the template has none without.

    Raises `UserError` if the template cannot render them.
    """
    for tools in (None, [TOOL]):
        try:
            prompt = applied(tokenizer, TALK[:1], tools, add_generation_prompt=True)
            return prompt, applied(tokenizer, TALK, tools)
        except TEMPLATE_ERRORS as error:
            refusal = " ".join(str(error).split())[:200]
    raise UserError(
        expected="a chat template that renders a question and an answer",
        got=refusal,
        remedy="set chat_template_path to another template",
    )


@lru_cache(maxsize=64)  # asked for each row; a template and its vocabulary do not change under a run
def _end_tokens(tokenizer: PreTrainedTokenizerBase, template: str, n_tokens: int, eos: str) -> tuple[str, ...]:  # noqa: ARG001
    end = _end_of_answer(tokenizer, eos)
    called = _end_of_call(tokenizer, end)
    return (end,) if called is None else (end, called)


def _end_of_answer(tokenizer: PreTrainedTokenizerBase, eos: str) -> str:
    prompt, whole = rendered_turn(tokenizer)
    before = (text_after(prompt, whole) or "").rpartition(ANSWER)[0]
    after = whole.rpartition(ANSWER)[2]
    found = [token for token in _tokens_in(after, special_tokens(tokenizer)) if token not in before]
    if not found:
        raise UserError(
            expected="a chat template that ends each answer with a special token",
            got=f"{after.strip()[:40]!r} after the answer",
            remedy="end the assistant turn with eos_token in the template, or set chat_template_path to another one",
            finding="END_TOKEN_NOT_TRAINED",
        )
    return _chosen(found, after, prompt.rpartition(QUESTION)[2], eos)


def _chosen(found: list[str], after: str, after_question: str, eos: str) -> str:
    """Of the tokens after an answer the first, but of several without anything between them the tokenizer's EOS, or
    the one that ends the question too (Command-A's <|END_RESPONSE|><|END_OF_TURN_TOKEN|>)."""
    run = [token for place, token in enumerate(found) if "".join(found[: place + 1]) in after]
    if eos in run:
        return eos
    return next((token for token in run if after_question.lstrip().startswith(token)), found[0])


def _end_of_call(tokenizer: PreTrainedTokenizerBase, end: str) -> str | None:
    """The token that ends a turn with a tool call, None if it is the answer's, or none."""
    try:
        prompt = applied(tokenizer, CALLS[:1], [TOOL], add_generation_prompt=True)
        turn = text_after(prompt, applied(tokenizer, CALLS, [TOOL]))
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
