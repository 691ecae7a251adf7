"""Assistant turns of a conversation: the served prompt of each, and the text to answer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from data_prep.conversation import content_text
from pipelines.modeling.chat.alignment import first_difference, text_after
from pipelines.modeling.chat.dropped_content import lost_of_prompt, lost_of_turn
from pipelines.modeling.chat.end_tokens import ended, turn_ends
from pipelines.modeling.chat.template_input import TEMPLATE_ERRORS, Message, apply_template

_STAND_IN = "probe message 5208"


class UnrenderableError(Exception):
    """A conversation that the template cannot render for training; the message is the ledger's reason."""


@dataclass(frozen=True)
class AssistantTurn:
    """The served `prompt` of a turn, and the `text` to answer, including its end token."""

    prompt: str
    text: str


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
