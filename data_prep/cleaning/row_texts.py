"""The texts of a row in any kind of dataset, as one list that cleaning steps read and change."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.conversation import content_text

_COLUMNS = {
    "text": "text", "system": "system", "instruction": "user", "input": "input",
    "output": "assistant", "chosen": "assistant", "rejected": "assistant",
}  # fmt: skip
_LISTS_OF_MESSAGES = ("messages", "prompt", "chosen", "rejected")
_TOOL_TEXTS = ("description", "default", "example", "examples")  # other texts of a JSON schema are names and types


@dataclass(slots=True)  # not frozen: a frozen one takes three times as long to make
class RowText:
    """One text of a row.

    `role` is `text` (a document), `system`, `user`, `input` (the input column of an instruction), `assistant`,
    `reasoning`, `tool` (a result), `tool_call` (a text in a call's arguments) or `tool_definition` (a text in the
    column `tools`). `is_trained` is false for a turn of weight 0, `has_calls` true for one that calls tools.
    `column` is where the text is from, such as `output`, or `messages` for every message of a conversation.
    """

    role: str
    text: str
    is_trained: bool = True
    has_calls: bool = False
    column: str = ""


def row_texts(fields: Mapping[str, Any]) -> list[RowText]:
    """Return the texts of a row: columns in their order, then each message with its reasoning and the texts in its tool
    calls, then the tools."""
    found = [
        RowText(_COLUMNS[column], text, True, False, column)
        for column, text in fields.items()
        if column in _COLUMNS and isinstance(text, str)
    ]
    for column in _LISTS_OF_MESSAGES:
        value = fields.get(column)
        if isinstance(value, list):
            for message in value:
                is_trained, has_calls = message.get("weight") != 0, bool(message.get("tool_calls"))
                found.append(RowText(message["role"], content_text(message), is_trained, has_calls, column))
                if isinstance(message.get("reasoning_content"), str):
                    found.append(RowText("reasoning", message["reasoning_content"], is_trained, column=column))
                for call in message.get("tool_calls") or ():
                    arguments = _strings(_arguments(call))
                    found += [RowText("tool_call", text, is_trained, column=column) for text in arguments]
    if fields.get("tools"):
        found += [RowText("tool_definition", text, column="tools") for text in _strings(fields["tools"], _TOOL_TEXTS)]
    return found


def _arguments(call: Mapping[str, Any]) -> Any:
    return call.get("function", call).get("arguments")


def _strings(value: Any, keys: Sequence[str] | None = None) -> list[str]:
    """Return the texts in a JSON value, in order; with `keys` those under one of them. Keys are no texts."""
    found: list[str] = []

    def noted(text: str) -> str:
        found.append(text)
        return text

    _mapped(value, noted, keys)
    return found


def with_texts(fields: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Return `fields` with its texts replaced by `texts`, in the order of `row_texts`.

    A changed message of several text parts becomes one text; an unchanged one keeps its parts.
    """
    new, changed = iter(texts), dict(fields)
    for column, text in fields.items():
        if column in _COLUMNS and isinstance(text, str):
            changed[column] = next(new)
    for column in _LISTS_OF_MESSAGES:
        if isinstance(fields.get(column), list):
            changed[column] = [_with_text(message, new) for message in fields[column]]
    if fields.get("tools"):
        changed["tools"] = _mapped(fields["tools"], lambda _: next(new), _TOOL_TEXTS)
    return changed


def _with_text(message: Mapping[str, Any], new: Iterator[str]) -> dict[str, Any]:
    text, changed = next(new), dict(message)
    if text != content_text(message):
        changed["content"] = text
    if isinstance(message.get("reasoning_content"), str):
        changed["reasoning_content"] = next(new)
    if message.get("tool_calls"):
        changed["tool_calls"] = [_with_call(call, new) for call in message["tool_calls"]]
    return changed


def _with_call(call: Mapping[str, Any], new: Iterator[str]) -> dict[str, Any]:
    if "function" in call:
        return {**call, "function": _with_call(call["function"], new)}
    return {**call, "arguments": _mapped(call["arguments"], lambda _: next(new))} if "arguments" in call else dict(call)


def _mapped(value: Any, new_text: Callable[[str], str], keys: Sequence[str] | None = None, key: str = "") -> Any:
    """Return a JSON value with `new_text` of each of its texts; with `keys` only of those under one of them."""
    if isinstance(value, str):
        return new_text(value) if keys is None or key in keys else value
    if isinstance(value, Mapping):
        return {name: _mapped(one, new_text, keys, name) for name, one in value.items()}
    return [_mapped(one, new_text, keys, key) for one in value] if isinstance(value, list) else value
