"""Read rows of a preference dataset, in all common formats, as a prompt and two answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.conversation.columns import ALIASES, CONVERSATION_COLUMNS
from data_prep.conversation.messages import Message, UnreadableRowError, content_text, holds_messages, parsed_json
from data_prep.conversation.model import Conversation
from data_prep.conversation.rows import Row, RowFormat, read_row

EQUAL_ANSWERS = "chosen_equals_rejected"
_WITH_THE_PROMPT = ("input", "system", "tools", "chat_template_kwargs")
PROMPT_COLUMNS = (*ALIASES["instruction"], *reversed(CONVERSATION_COLUMNS))


@dataclass(frozen=True)
class Preference:
    """`chosen` and `rejected` are assistant turns that answer the messages of `prompt`."""

    prompt: list[Message]
    chosen: Message
    rejected: Message
    tools: list[Any] | None
    template_arguments: dict[str, Any]

    @property
    def is_plain(self) -> bool:
        """Whether it is a question, with or without a system text, and two answers, all plain text."""
        roles = [message["role"] for message in self.prompt]
        texts = [*self.prompt, self.chosen, self.rejected]
        are_texts = all(
            message.keys() == {"role", "content"} and isinstance(message["content"], str) for message in texts
        )
        return roles in (["user"], ["system", "user"]) and are_texts and not self.tools and not self.template_arguments

    def as_row(self) -> dict[str, Any]:
        """Return the row of a dataset folder: messages in `prompt`, `chosen` and `rejected`, and `tools` and
        `chat_template_kwargs` if the pair has them."""
        others = {"tools": self.tools, "chat_template_kwargs": self.template_arguments}
        pair = {"prompt": self.prompt, "chosen": [self.chosen], "rejected": [self.rejected]}
        return {**pair, **{name: value for name, value in others.items() if value}}


def unread_preference_columns(columns: Iterable[str]) -> list[str]:
    """Return columns of a preference dataset that `read_preference` does not read and `data_prep` does not write."""
    read = {*PROMPT_COLUMNS, *_WITH_THE_PROMPT, "chosen", "rejected", "source", "source_row", "group"}
    return [column for column in columns if column not in read]


def read_preference(row: Row) -> Preference:
    """Read a row of any known format. Raises `UnreadableRowError`, whose message is a reason for the ledger."""
    given = _prompt_of(row)
    chosen, rejected = (
        _read(_as_messages(row.get(column) or "", "assistant"), row) for column in ("chosen", "rejected")
    )
    if chosen.messages == rejected.messages:
        raise UnreadableRowError(EQUAL_ANSWERS)
    whole = [one for one in (chosen, rejected) if given is None or one.messages[0]["role"] != "assistant"]
    if not whole:
        prompt, better, worse = _read(given or [], row).messages, chosen.messages, rejected.messages
    else:
        # whole conversations: the prompt is their common start, or what comes before the answer of the one
        n_shared = _n_equal(chosen.messages, rejected.messages) if len(whole) > 1 else len(whole[0].messages) - 1
        prompt = _with_system(whole[0].messages[:n_shared], row)
        better, worse = (one.messages[n_shared:] if one in whole else one.messages for one in (chosen, rejected))
    if not any(_text(message) for message in prompt if message["role"] != "system"):
        raise UnreadableRowError("empty_prompt")
    for name, turns in (("chosen", better), ("rejected", worse)):
        if [turn["role"] for turn in turns] != ["assistant"]:
            raise UnreadableRowError(f"{name}_is_not_one_turn")
        if not _text(turns[0]) and not turns[0].get("tool_calls"):
            raise UnreadableRowError(f"empty_{name}")
    if _stripped(better[0]) == _stripped(worse[0]):
        raise UnreadableRowError(EQUAL_ANSWERS)
    return Preference(prompt, better[0], worse[0], chosen.tools, chosen.template_arguments)


def _prompt_of(row: Row) -> list[Message] | None:
    column = next((name for name in PROMPT_COLUMNS if row.get(name) is not None), None)
    if column is None:
        return None
    given = row.get("input") if isinstance(row[column], str) and not holds_messages(row[column]) else None
    asked = f"{row[column]}\n\n{given}" if given else row[column]
    return _with_system(_as_messages(asked, "user"), row)


def _with_system(messages: list[Message], row: Row) -> list[Message]:
    has_system = bool(messages) and (messages[0].get("role") or messages[0].get("from")) == "system"
    return (
        messages if has_system or not row.get("system") else [{"role": "system", "content": row["system"]}, *messages]
    )


def _as_messages(value: Any, speaker: str) -> list[Message]:
    """Convert a text, a message with or without a role, a list of them, or its JSON text to messages."""
    if holds_messages(value):
        value = parsed_json(value)
    listed: Sequence[Any] = value if isinstance(value, list) else [value]
    return [
        one if isinstance(one, Mapping) and (one.get("role") or one.get("from"))  # type: ignore[misc]
        else {**(one if isinstance(one, Mapping) else {"content": one}), "role": speaker}
        for one in listed
    ]  # fmt: skip


def _read(messages: list[Message], row: Row) -> Conversation:
    extras = {key: row.get(key) for key in ("tools", "chat_template_kwargs")}
    conversation = read_row({**extras, "messages": messages}, RowFormat.MESSAGES)
    assert isinstance(conversation, Conversation)  # RowFormat.MESSAGES is never plain text
    return conversation


def _n_equal(first: list[Message], second: list[Message]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))


def _text(message: Message) -> str:
    return content_text(message).strip()


def _stripped(message: Message) -> Message:
    return {**message, "content": _text(message)}
