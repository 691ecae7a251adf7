"""Assistant masks: conversations to token ids, with the assistant turns marked as trained.

The context of every turn has the token ids that a server makes of the whole prompt; the turn is the template's text
after it, up to and including the end token (`assistant_turns`). This works for any template, with `{% generation %}`
marks or without, and keeps headers and the white space after a turn out of the loss.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any

from transformers import PreTrainedTokenizerBase

from data_prep.conversation import content_text
from pipelines.modeling.chat.alignment import first_difference, text_after
from pipelines.modeling.chat.dropped_content import lost_of_prompt, lost_of_turn
from pipelines.modeling.chat.end_tokens import ended, turn_ends
from pipelines.modeling.chat.template_input import TEMPLATE_ERRORS, Message, apply_template
from pipelines.modeling.chat_template import wants_bos

_STAND_IN = "probe message 5208"


class UnrenderableError(Exception):
    """A conversation that the template cannot render for training; the message is the ledger's reason."""


@dataclass(frozen=True)
class AssistantTurn:
    """The served `prompt` of a turn, and the `text` to answer, including its end token."""

    prompt: str
    text: str


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
    span the boundary, or the tokenizer would add a space there, as many do to a text after a special token."""
    texts = [text for turn in turns for text in (turn.prompt, turn.prompt + turn.text)]
    ids = _ids_by_piece(tokenizer, texts)
    pairs = list(zip(ids[::2], ids[1::2], strict=True))
    spaced = _spaced_after(tokenizer, len(tokenizer))
    apart = [n for n, (one, whole) in enumerate(pairs) if whole[: len(one)] != one or not spaced.isdisjoint(one[-1:])]
    inner = dict(zip(apart, _inner_ids(tokenizer, [turns[n].text for n in apart]), strict=True))
    return [(prompt, inner.get(n, whole[len(prompt) :])) for n, (prompt, whole) in enumerate(pairs)]


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
    return _inner_ids(tokenizer, [text])[0]


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


def _inner_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text after an anchor that does not merge with it; alone if there is none."""
    found: dict[int, list[int]] = {}
    for anchor in _anchors(tokenizer, len(tokenizer)):
        left = [n for n in range(len(texts)) if n not in found]
        if not left:
            break
        alone, *both = _ids(tokenizer, [anchor, *(f"{anchor}{texts[n]}" for n in left)])
        found |= {n: one[len(alone) :] for n, one in zip(left, both, strict=True) if one[: len(alone)] == alone}
    left = [n for n in range(len(texts)) if n not in found]
    found |= zip(left, _ids(tokenizer, [texts[n] for n in left]), strict=True)
    return [found[n] for n in range(len(texts))]


def _ids_by_piece(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """As `_ids`, but what the texts share (system prompts, earlier turns) is tokenized once: texts are cut before
    special tokens."""
    mark = _turn_mark(tokenizer, len(tokenizer))
    if mark is None:
        return _ids(tokenizer, texts)
    cut = []
    for text in texts:
        places = [0, *(found.start() for found in mark.finditer(text)), len(text)]
        cut.append([text[begin:end] for begin, end in pairwise(places)])
    pieces = list(dict.fromkeys(chain.from_iterable(cut)))
    known = dict(zip(pieces, _ids(tokenizer, pieces), strict=True))
    return [list(chain.from_iterable(map(known.__getitem__, of_text))) for of_text in cut]


@lru_cache(maxsize=64)
def _turn_mark(tokenizer: PreTrainedTokenizerBase, n_tokens: int) -> re.Pattern[str] | None:  # noqa: ARG001
    """The special tokens before which a text can be cut, and the token ids of the parts are those of the text; None if
    there are none.

    The tokenizer itself cuts there before anything else, unless an added token covers the place, takes the white space
    before it or depends on it.
    """
    if not tokenizer.is_fast or getattr(tokenizer, "split_special_tokens", False):
        return None
    added = list(tokenizer.added_tokens_decoder.values())
    inside = {character for token in added for character in token.content[1:]}
    bound = tuple(token.content for token in added if token.normalized or token.lstrip or token.single_word)
    special = [token.content for token in added if token.special and token.content[0] not in inside]
    marks = [mark for mark in special if not any(other.startswith(mark) for other in bound)]
    return re.compile("|".join(map(re.escape, marks))) if marks else None


@lru_cache(maxsize=64)
def _anchors(tokenizer: PreTrainedTokenizerBase, n_tokens: int) -> tuple[str, ...]:  # noqa: ARG001
    """Texts after which the tokenizer adds no space, although it does at a beginning; none if it never adds one."""
    candidates = ("\n", ".", "a", ":", "0", ")", *([str(tokenizer.eos_token)] if tokenizer.eos_token else []))
    first, *ids = _ids(tokenizer, ["a", *(text for one in candidates for text in (one, f"{one}a"))])
    return tuple(
        anchor
        for anchor, alone, both in zip(candidates, ids[::2], ids[1::2], strict=True)
        if both[: len(alone)] == alone and both[len(alone) :] not in (first, [])
    )


@lru_cache(maxsize=64)
def _spaced_after(tokenizer: PreTrainedTokenizerBase, n_tokens: int) -> frozenset[int]:
    """Added tokens after which the tokenizer adds the space of a beginning: a `Prepend` normalizer does, and Metaspace
    with `prepend_scheme` always."""
    if not _anchors(tokenizer, n_tokens):
        return frozenset()
    added = tokenizer.added_tokens_decoder
    first, *after = _ids(tokenizer, ["a", *(f"{token.content}a" for token in added.values())])
    return frozenset(number for number, ids in zip(added, after, strict=True) if ids == [number, *first])


def assistant_turns(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    tools: Sequence[Any] | None = None,
    trained_turns: Collection[int] | None = None,
    template_arguments: Mapping[str, Any] | None = None,
) -> list[AssistantTurn]:
    """Render the assistant turns of `messages`, or those numbered in `trained_turns`.

    Raises `UnrenderableError` if the template cannot render a turn, or drops a part of it or of its prompt.
    """
    turns = [
        _served_turn(tokenizer, messages[: place + 1], tools, template_arguments or {})
        for place, message in enumerate(messages)
        if message["role"] == "assistant" and (trained_turns is None or place in trained_turns)
    ]
    if not turns:
        raise UnrenderableError("no_assistant_turn")
    return turns


def prompt_text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Any] | None = None,
    template_arguments: Mapping[str, Any] | None = None,
) -> str:
    """Render the prompt after `messages`, as a server does. Raises `UnrenderableError`."""
    return _rendered(tokenizer, messages, tools, template_arguments or {}, add_generation_prompt=True)


def _served_turn(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Any] | None,
    arguments: Mapping[str, Any],
) -> AssistantTurn:
    """Render the last of `messages` after the others."""
    before, message = messages[:-1], messages[-1]
    if not (content_text(message).strip() or message.get("tool_calls")):
        raise UnrenderableError("empty_output")
    if not before:
        raise UnrenderableError("no_prompt")
    prompt = _rendered(tokenizer, before, tools, arguments, add_generation_prompt=True)
    whole = _rendered(tokenizer, messages, tools, arguments)
    turn = text_after(prompt, whole)
    if turn is None:
        turn = _moved_turn(tokenizer, messages, tools, arguments, prompt, whole)
    calls = bool(message.get("tool_calls"))
    text = ended(turn, turn_ends(tokenizer), content_text(message), calls=calls)
    if text is None:
        raise UnrenderableError("turn_without_end_token")
    _refuse_lost(AssistantTurn(prompt, text), turn, messages, tools)
    return AssistantTurn(prompt, text)


def _moved_turn(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Any] | None,
    arguments: Mapping[str, Any],
    prompt: str,
    whole: str,
) -> str:
    """The turn of a template that renders earlier messages differently before an answer, such as the system text inside
    the last question: the text after the last message, which a probe text replaces."""
    *earlier, last, answer = messages
    stand_in = {**last, "content": _STAND_IN}
    served = _rendered(tokenizer, [*earlier, stand_in], tools, arguments, add_generation_prompt=True)
    finished = _rendered(tokenizer, [*earlier, stand_in, answer], tools, arguments)
    opening, after = served.rpartition(_STAND_IN)[2], finished.rpartition(_STAND_IN)[2]
    turn = text_after(opening, after)
    if turn is None or not prompt.endswith(opening) or not whole.endswith(turn) or _STAND_IN not in served:
        raise UnrenderableError(f"prompt_is_no_prefix: {first_difference(prompt, whole)}")
    return turn


def _refuse_lost(served: AssistantTurn, turn: str, messages: Sequence[Message], tools: Sequence[Any] | None) -> None:
    lost = lost_of_prompt(served.prompt, messages[:-1], tools)
    if lost is not None:
        raise UnrenderableError(lost)
    lost = lost_of_turn(served.text, messages[-1])
    if lost is not None and lost_of_turn(turn, messages[-1]) is None:
        raise UnrenderableError(f"end_token_inside_turn: {served.text[-20:]!r} comes before the end")
    if lost is not None:
        raise UnrenderableError(lost)


def _rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Any] | None,
    arguments: Mapping[str, Any],
    **options: Any,
) -> str:
    try:
        return apply_template(tokenizer, messages, tools, **options, **arguments)
    except TEMPLATE_ERRORS as error:
        raise UnrenderableError(f"template_refuses: {' '.join(str(error).split())[:100]}") from error
