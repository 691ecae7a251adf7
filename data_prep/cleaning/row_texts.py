"""The texts of a row in any kind of dataset, as one list that cleaning steps read and change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.conversation import content_text

_COLUMNS = {
    "text": "text", "system": "system", "instruction": "user", "input": "input",
    "output": "assistant", "chosen": "assistant", "rejected": "assistant",
}  # fmt: skip
_LISTS_OF_MESSAGES = ("messages", "prompt", "chosen", "rejected")


@dataclass(frozen=True, slots=True)
class RowText:
    """One text of a row.

    `role` is `text` (a document), `system`, `user`, `input` (the input column of an instruction), `assistant`,
    `reasoning` or `tool`. `is_trained` is false for a turn of weight 0, `has_calls` true for one that calls tools.
    `column` is where the text is from, such as `output`, or `messages` for every message of a conversation.
    """

    role: str
    text: str
    is_trained: bool = True
    has_calls: bool = False
    column: str = ""


def row_texts(fields: Mapping[str, Any]) -> list[RowText]:
    """Return the texts of a row in a fixed order: columns first, then messages with their reasoning."""
    found = [
        RowText(role, fields[column], column=column)
        for column, role in _COLUMNS.items() if isinstance(fields.get(column), str)
    ]  # fmt: skip
    for column in _LISTS_OF_MESSAGES:
        value = fields.get(column)
        if isinstance(value, list):
            for message in value:
                is_trained, has_calls = message.get("weight") != 0, bool(message.get("tool_calls"))
                found.append(RowText(message["role"], content_text(message), is_trained, has_calls, column))
                if isinstance(message.get("reasoning_content"), str):
                    found.append(RowText("reasoning", message["reasoning_content"], is_trained, column=column))
    return found


def with_texts(fields: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Return `fields` with its texts replaced by `texts`, in the order of `row_texts`.

    A changed message of several text parts becomes one text; an unchanged one keeps its parts.
    """
    new, changed = iter(texts), dict(fields)
    for column in _COLUMNS:
        if isinstance(fields.get(column), str):
            changed[column] = next(new)
    for column in _LISTS_OF_MESSAGES:
        if isinstance(fields.get(column), list):
            changed[column] = [_with_text(message, new) for message in fields[column]]
    return changed


def _with_text(message: Mapping[str, Any], new: Any) -> dict[str, Any]:
    text, changed = next(new), dict(message)
    if text != content_text(message):
        changed["content"] = text
    if isinstance(message.get("reasoning_content"), str):
        changed["reasoning_content"] = next(new)
    return changed
