"""Rendering: prompts and answers to token ids, the same for training, scoring and serving.

The prompt is tokenized alone and the answer's tokens are appended, in training as in generation. So the trained prompt
equals the served prompt, token by token, however tokens merge.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import cast

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data_prep.conversation import Conversation, PlainText, transcript
from pipelines.errors import UserError
from pipelines.modeling.assistant_masks import (
    AssistantTurn,
    UnrenderableError,
    assistant_turns,
    chat_token_ids,
    inner_token_ids,
    prompt_text,
    prompt_token_ids,
    turn_token_ids,
)
from pipelines.modeling.chat_template import end_token, end_tokens, token_id_of

_PROBE = "probe answer 9042"


class PromptStyle(StrEnum):
    """The form of a prompt.

    RAW is the text itself, to be continued; PLAIN a request (or the transcript of several turns) and an empty line,
    after which a base may answer; CHAT the tokenizer's chat template.
    """

    RAW = "raw"
    PLAIN = "plain"
    CHAT = "chat"


@dataclass(frozen=True)
class AnswerTokens:
    """An answer's token ids: `n_text_tokens` of text, then the one end token."""

    token_ids: list[int]
    n_text_tokens: int


def render_prompt(
    tokenizer: PreTrainedTokenizerBase, asked: str | Conversation | PlainText, style: PromptStyle = PromptStyle.CHAT
) -> list[int]:
    """Token ids of `asked`, up to the beginning of the answer. Plain text has exactly one BOS if the tokenizer adds
    one; a chat has only the template's text, as servers render it.

    A str is a user's request, a `Conversation` everything before the answer. The prompt of a `PlainText` is trained
    without a template, so every style renders it unchanged. Raises `UserError` for the chat style without a chat
    template, or with one that refuses the conversation.
    """
    if (plain := plain_prompt(asked, style)) is not None:
        return prompt_token_ids(tokenizer, plain)
    asked = _conversation(cast("str | Conversation", asked))
    if not tokenizer.chat_template:
        raise UserError(
            f"{tokenizer.name_or_path} has no chat template",
            "use the plain prompt style, or a model that was fine-tuned with a template",
        )
    try:
        text = prompt_text(tokenizer, asked.messages, asked.tools, asked.template_arguments)
    except UnrenderableError as error:
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} does not render a conversation of {len(asked.messages)} "
            f"messages: {str(error).removeprefix('template_refuses: ')!r}",
            "leave that row out, or set another template with --chat_template",
        ) from error
    return chat_token_ids(tokenizer, text)


def plain_prompt(asked: str | Conversation | PlainText, style: PromptStyle) -> str | None:
    """The text of a prompt outside any chat template, None for one inside."""
    if isinstance(asked, PlainText):
        return asked.prompt
    if style is PromptStyle.CHAT:
        return None
    return transcript(_conversation(asked)) + ("\n\n" if style is PromptStyle.PLAIN else "")


def render_reference(
    tokenizer: PreTrainedTokenizerBase,
    asked: str | Conversation | PlainText,
    text: str,
    style: PromptStyle = PromptStyle.CHAT,
    *,
    thought: str = "",
) -> tuple[list[int], list[int]]:
    """Token ids of everything before an answer's `text`, and of the text without its end token.

    The template's text between the served prompt and the answer (a space, thoughts, an empty think block) is context,
    as in training. Raises `UserError` as `render_prompt`.
    """
    served = None
    if style is PromptStyle.CHAT and not isinstance(asked, PlainText) and tokenizer.chat_template:
        served = _served_answer(tokenizer, _conversation(asked), thought)
    if served is None:
        prompt, lead = render_prompt(tokenizer, asked, style), f"{thought}\n\n" if thought else ""
        token_ids, lead_ids = (inner_token_ids(tokenizer, one) for one in (lead + text, lead))
    else:
        before = [replace(served, text=served.text + text), served]
        (prompt, token_ids), (_, lead_ids) = turn_token_ids(tokenizer, before)
    n_lead = next(
        (place for place, pair in enumerate(zip(lead_ids, token_ids, strict=False)) if pair[0] != pair[1]),
        min(len(lead_ids), len(token_ids)),
    )
    return [*prompt, *token_ids[:n_lead]], token_ids[n_lead:]


def lost_in_template(tokenizer: PreTrainedTokenizerBase, asked: Conversation) -> str | None:
    """The reason why training would drop a row with the prompt `asked`, None if the template keeps everything."""
    try:
        _probe_turn(tokenizer, asked, "")
    except UnrenderableError as error:
        return str(error)
    return None


def _served_answer(tokenizer: PreTrainedTokenizerBase, context: Conversation, thought: str) -> AssistantTurn | None:
    """The prompt, and the template's text between it and an answer; None if it cannot be rendered."""
    try:
        served = _probe_turn(tokenizer, context, thought)
    except UnrenderableError:
        return None
    before, probe, _ = served.text.partition(_PROBE)
    return replace(served, text=before) if probe else None


def _probe_turn(tokenizer: PreTrainedTokenizerBase, context: Conversation, thought: str) -> AssistantTurn:
    turn = {"role": "assistant", "content": _PROBE, **({"reasoning_content": thought} if thought else {})}
    [served] = assistant_turns(
        tokenizer,
        [*context.messages, turn],
        tools=context.tools,
        trained_turns={len(context.messages)},
        template_arguments=context.template_arguments,
    )
    return served


def _conversation(asked: str | Conversation) -> Conversation:
    return Conversation([{"role": "user", "content": asked}]) if isinstance(asked, str) else asked


def render_answer(tokenizer: PreTrainedTokenizerBase, answer: str, style: PromptStyle) -> AnswerTokens:
    """Token ids of `answer` and its end token: the template's end of turn, or EOS in other styles."""
    text_ids = inner_token_ids(tokenizer, answer)
    end = end_token(tokenizer) if style is PromptStyle.CHAT else tokenizer.eos_token
    if end is None:
        raise UserError(f"{tokenizer.name_or_path} has no eos_token", "set eos_token in its tokenizer_config.json")
    return AnswerTokens([*text_ids, token_id_of(tokenizer, end)], len(text_ids))


def stop_token_ids(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> list[int]:
    """Ids of all tokens that end an answer: EOS of the tokenizer and generation config, the template's ends of turn."""
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    found = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])}
    if tokenizer.chat_template:
        found |= {token_id_of(tokenizer, end) for end in end_tokens(tokenizer)}
    return sorted(token_id for token_id in found if token_id is not None)
