"""Assistant masks: conversations to token ids, with the assistant turns marked as trained.

The context of every turn has the token ids that a server makes of the whole prompt; the turn is the template's text
after it, up to and including the end token (`chat/turns.py`). This works for any template, with `{% generation %}`
marks or without, and keeps headers and the white space after a turn out of the loss.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerBase

from pipelines.modeling.chat.template_input import Message
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
    """Consecutive token ids, all in the loss (`trained`) or all out of it."""

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
    """Split `messages` into training examples of segments; trains each assistant message once, or those numbered in
    `trained_turns`. Raises `UnrenderableError`.

    One example, unless a turn's served prompt differs from the example so far, for instance because the template drops
    the thoughts of earlier turns: then the turn becomes its own example.
    """
    turns = assistant_turns(
        tokenizer, messages, tools=tools, trained_turns=trained_turns, template_arguments=template_arguments
    )
    return tokenize_turns(tokenizer, [turns])[0]


def tokenize_turns(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Sequence[AssistantTurn]]
) -> list[list[list[Segment]]]:
    """Make the examples of each row. Tokenizing many rows together is faster, with several threads."""
    pairs = iter(turn_token_ids(tokenizer, [turn for turns in rows for turn in turns]))
    return [_examples([next(pairs) for _ in turns]) for turns in rows]


def turn_token_ids(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[AssistantTurn]
) -> list[tuple[list[int], list[int]]]:
    """Token ids of each turn's prompt as served, and of the turn: as one text with the prompt, unless a token would
    span the boundary."""
    prompts = _ids(tokenizer, [turn.prompt for turn in turns])
    wholes = _ids(tokenizer, [turn.prompt + turn.text for turn in turns])
    return [
        (prompt, whole[len(prompt) :] if whole[: len(prompt)] == prompt else inner_token_ids(tokenizer, turn.text))
        for turn, prompt, whole in zip(turns, prompts, wholes, strict=True)
    ]


def chat_token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a rendered chat template, as servers make them, without added tokens."""
    return _ids(tokenizer, [text])[0]


def prompt_token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of plain text to continue, with exactly one BOS if the tokenizer adds one."""
    [ids] = _ids(tokenizer, [text])
    bos = tokenizer.bos_token_id
    return [bos, *ids] if ids[:1] != [bos] and wants_bos(tokenizer) else ids


def inner_token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of text after other text: without the space that some tokenizers add at a beginning."""
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
    """Text after which the tokenizer adds no space, although it does at a beginning; None if it never adds one."""
    for anchor in ("\n", ".", "a", *([str(tokenizer.eos_token)] if tokenizer.eos_token else [])):
        first, alone, both = _ids(tokenizer, ["a", anchor, f"{anchor}a"])
        if both[: len(alone)] == alone and both[len(alone) :] not in (first, []):
            return anchor
    return None
