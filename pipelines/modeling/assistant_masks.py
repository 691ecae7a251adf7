"""Conversations to token ids, with the assistant's turns marked: what a model is trained to say, and in what context.

The context of every turn has the ids that a server makes of the whole prompt, and the turn is what the template writes
after it, up to and including the end token (`chat/turns.py`). So this works for any template, with `{% generation %}`
marks or without, and neither a header nor the white space after a turn is ever in the loss.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerBase

from pipelines.modeling.chat.spelling import Message
from pipelines.modeling.chat.turns import AssistantTurn, UnrenderableError, assistant_turns
from pipelines.modeling.chat_template import wants_bos

__all__ = [
    "AssistantTurn",
    "Segment",
    "UnrenderableError",
    "assistant_turns",
    "chat_token_ids",
    "inner_token_ids",
    "prompt_token_ids",
    "render_turns",
    "tokenize_turns",
    "turn_token_ids",
]  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """Consecutive token ids that are all in the loss (`trained`), or none of them."""

    token_ids: list[int]
    trained: bool


def render_turns(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    tools: Sequence[Any] | None = None,
    trained_turns: Collection[int] | None = None,
    template_arguments: Mapping[str, Any] | None = None,
) -> list[list[Segment]]:
    """Segments of each training example that `messages` make; each assistant message is trained once, or those whose
    numbers are in `trained_turns`. Raises `UnrenderableError`.

    One example, unless a turn is served with other ids before it than the example has so far, because the template
    drops the thoughts of earlier turns, say: then it becomes an example of its own.
    """
    turns = assistant_turns(
        tokenizer, messages, tools=tools, trained_turns=trained_turns, template_arguments=template_arguments
    )
    return tokenize_turns(tokenizer, [turns])[0]


def tokenize_turns(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Sequence[AssistantTurn]]
) -> list[list[list[Segment]]]:
    """The examples of each row. Turns of many rows at once take less time, and the tokenizer's threads share them."""
    pairs = iter(turn_token_ids(tokenizer, [turn for turns in rows for turn in turns]))
    return [_examples([next(pairs) for _ in turns]) for turns in rows]


def turn_token_ids(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[AssistantTurn]
) -> list[tuple[list[int], list[int]]]:
    """Ids of each turn's prompt, as a server makes them, and ids of what follows: those that prompt and turn have as
    one text, unless a token would reach from the one into the other."""
    prompts = _ids(tokenizer, [turn.prompt for turn in turns])
    wholes = _ids(tokenizer, [turn.prompt + turn.text for turn in turns])
    return [
        (prompt, whole[len(prompt) :] if whole[: len(prompt)] == prompt else inner_token_ids(tokenizer, turn.text))
        for turn, prompt, whole in zip(turns, prompts, wholes, strict=True)
    ]


def chat_token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of what a chat template wrote, as servers make them: nothing is added to it."""
    return _ids(tokenizer, [text])[0]


def prompt_token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of plain text that is continued, with exactly one BOS where the tokenizer wants one."""
    [ids] = _ids(tokenizer, [text])
    bos = tokenizer.bos_token_id
    return [bos, *ids] if ids[:1] != [bos] and wants_bos(tokenizer) else ids


def inner_token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of text that follows other text: without the space that some tokenizers put before a beginning."""
    anchor = _anchor(tokenizer, len(tokenizer))
    if anchor is not None:
        alone, both = _ids(tokenizer, [anchor, f"{anchor}{text}"])
        if both[: len(alone)] == alone:
            return both[len(alone) :]
    return _ids(tokenizer, [text])[0]


def _examples(turns: Sequence[tuple[list[int], list[int]]]) -> list[list[Segment]]:
    examples: list[list[Segment]] = []
    written: list[int] = []
    for prompt, turn in turns:
        if not examples or prompt[: len(written)] != written:
            examples.append([])
            written = []
        examples[-1] += [Segment(prompt[len(written) :], False), Segment(turn, True)]
        written = [*prompt, *turn]
    return examples


def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False
    )  # fmt: skip
    return list(encoded["input_ids"])


@lru_cache(maxsize=64)
def _anchor(tokenizer: PreTrainedTokenizerBase, n_tokens: int) -> str | None:  # noqa: ARG001
    """Text after which the tokenizer puts no space, though it does at a beginning; None if it never puts one."""
    for anchor in ("\n", ".", "a", *([str(tokenizer.eos_token)] if tokenizer.eos_token else [])):
        first, alone, both = _ids(tokenizer, ["a", anchor, f"{anchor}a"])
        if both[: len(alone)] == alone and both[len(alone) :] not in (first, []):
            return anchor
    return None
