"""Conversations to token ids, with the assistant's turns marked: what a model is trained to say, and in what context.

Every turn is rendered as it will be served: the prompt up to it with the template's generation prompt, then what the
whole template adds, up to and including the end token. So this works for any template, with `{% generation %}` marks or
without, and neither a header nor the white space after a turn is ever in the loss. Prompt and turn are tokenized apart,
as a served prompt and its answer are.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerBase

from pipelines.modeling.chat_template import TEMPLATE_ERRORS, end_token, wants_bos

Message = Mapping[str, Any]


class UnrenderableError(Exception):
    """A conversation that the template cannot render for training; the message is a reason for the ledger."""


Pieces = list[tuple[str, bool]]  # the texts of one training example in their order, and whether each is in the loss


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
    """Segments of each training example that `messages` make, as `render_pieces`. Raises `UnrenderableError`."""
    examples = render_pieces(
        tokenizer, messages, tools=tools, trained_turns=trained_turns, template_arguments=template_arguments
    )
    return tokenize_pieces(tokenizer, examples)


def render_pieces(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    tools: Sequence[Any] | None = None,
    trained_turns: Collection[int] | None = None,
    template_arguments: Mapping[str, Any] | None = None,
) -> list[Pieces]:
    """The texts of each training example that `messages` make; each assistant message is trained once, or those
    whose numbers are in `trained_turns`.

    One example, unless the template rewrites history (drops the thoughts of earlier turns, say): then a turn whose
    context reads otherwise than it was trained becomes an example of its own. Raises `UnrenderableError`.
    """
    arguments = {"tools": list(tools) if tools else None, **(template_arguments or {})}
    examples: list[Pieces] = []
    written = ""
    for place, message in enumerate(messages):
        if message["role"] != "assistant" or not (trained_turns is None or place in trained_turns):
            continue
        prompt = _render(tokenizer, messages[:place], add_generation_prompt=True, **arguments)
        turn = _turn(tokenizer, prompt, _render(tokenizer, messages[: place + 1], **arguments))
        if not (examples and prompt.startswith(written)):
            examples.append([])
            written = ""
        examples[-1] += [(prompt[len(written) :], False), (turn, True)]
        written = prompt + turn
    if not examples:
        raise UnrenderableError("no_assistant_turn")
    return examples


def tokenize_pieces(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Pieces]) -> list[list[Segment]]:
    """Segments of each example: the first text begins a prompt, the others follow it.

    Examples of many rows at once take less time, and the tokenizer's threads share them.
    """
    beginnings = iter(_prompt_ids(tokenizer, [pieces[0][0] for pieces in examples]))
    inner = iter(_inner_ids(tokenizer, [text for pieces in examples for text, _ in pieces[1:]]))
    return [
        [Segment(next(inner if place else beginnings), trained) for place, (_, trained) in enumerate(pieces)]
        for pieces in examples
    ]


def prompt_token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a rendered prompt, with exactly one BOS where the tokenizer wants one."""
    return _prompt_ids(tokenizer, [text])[0]


def inner_token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of text that follows other text: without the space that some tokenizers put before a beginning."""
    return _inner_ids(tokenizer, [text])[0]


def _prompt_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    bos = tokenizer.bos_token_id
    return [[bos, *ids] if ids[:1] != [bos] and wants_bos(tokenizer) else ids for ids in _ids(tokenizer, texts)]


def _inner_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    if not _puts_space_first(tokenizer, len(tokenizer)):
        return _ids(tokenizer, texts)
    anchor = tokenizer.eos_token  # a special token takes the beginning, and with it the space
    return [ids[1:] for ids in _ids(tokenizer, [f"{anchor}{text}" for text in texts])]


def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False
    )  # fmt: skip
    return list(encoded["input_ids"])


@lru_cache(maxsize=64)
def _puts_space_first(tokenizer: PreTrainedTokenizerBase, n_tokens: int) -> bool:  # noqa: ARG001
    alone = tokenizer("a", add_special_tokens=False)["input_ids"]
    behind = tokenizer(f"{tokenizer.eos_token}a", add_special_tokens=False)["input_ids"]
    return tokenizer.eos_token is not None and behind[1:] != alone and len(behind) > 1


def _render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], **arguments: Any) -> str:
    try:
        return str(tokenizer.apply_chat_template([dict(one) for one in messages], tokenize=False, **arguments))
    except TEMPLATE_ERRORS as error:
        raise UnrenderableError(f"template_refuses: {' '.join(str(error).split())[:100]}") from error


def _turn(tokenizer: PreTrainedTokenizerBase, prompt: str, whole: str) -> str:
    """What the template adds to `prompt` for one turn, up to and including the end token."""
    if not whole.startswith(prompt):
        raise UnrenderableError("prompt_is_no_prefix")
    turn = whole[len(prompt) :].rstrip()
    end = end_token(tokenizer)
    if not turn.endswith(end):
        raise UnrenderableError("turn_without_end_token")
    text = turn.removesuffix(end)
    while text.rstrip().endswith(end):  # some templates close the whole conversation with one more end token
        text = text.rstrip().removesuffix(end)
    if not text.strip():
        raise UnrenderableError("empty_output")
    return text + end
