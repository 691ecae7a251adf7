"""Rows of the formats that are in use, as one: a conversation, or plain text with or without a prompt before it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipelines.errors import UserError

Row = Mapping[str, Any]


class RowFormat(StrEnum):
    """How a row says what is asked and what is answered."""

    INSTRUCTION = "instruction"
    MESSAGES = "messages"
    SHAREGPT = "conversations"
    PROMPT_COMPLETION = "prompt"
    TEXT = "text"


@dataclass(frozen=True)
class Conversation:
    """Messages of which the assistant's, from number `first_trained` on, are in the loss."""

    messages: list[dict[str, Any]]
    tools: list[Any] | None = None
    template_arguments: dict[str, Any] = field(default_factory=dict)
    first_trained: int = 0

    @property
    def uses_tools(self) -> bool:
        """Whether tools are offered or called."""
        return bool(self.tools) or any(message.get("tool_calls") for message in self.messages)


@dataclass(frozen=True)
class PlainText:
    """Text outside any template: `completion` is in the loss, a `prompt` before it is not."""

    prompt: str
    completion: str


class UnreadableRowError(Exception):
    """A row that is no conversation; the message is a reason for the ledger."""


_NEEDED = {
    RowFormat.MESSAGES: ("messages",),
    RowFormat.SHAREGPT: ("conversations",),
    RowFormat.PROMPT_COMPLETION: ("prompt", "completion"),
    RowFormat.INSTRUCTION: ("instruction", "output"),
}
_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant",
    "bing": "assistant", "chatgpt": "assistant", "system": "system", "function_call": "function_call",
    "observation": "tool", "tool": "tool", "function": "tool", "function_response": "tool", "developer": "developer",
}  # fmt: skip


def row_format(columns: Sequence[str], text_field: str, name: str) -> RowFormat:
    """The format of the dataset `name` by its columns.

    Raises `UserError` with the columns found and the formats known.
    """
    for known, needed in _NEEDED.items():
        if all(column in columns for column in needed):
            return known
    if text_field in columns:
        return RowFormat.TEXT
    formats = [" + ".join(needed) for needed in _NEEDED.values()]
    raise UserError(
        expected=f"columns of a known format in {name}: {', '.join(formats)} or {text_field}",
        got=", ".join(columns),
        remedy="map them with data_prep/build_instructions.py --column_map instruction=...,output=..., or name the "
        "text column with dataset_text_field",
    )


def is_conversational(kind: RowFormat, row: Row) -> bool:
    """Whether rows like `row` are rendered by a chat template; prompts and completions of plain text are not."""
    if kind is RowFormat.PROMPT_COMPLETION:
        return not isinstance(row["prompt"], str)
    return kind is not RowFormat.TEXT


def read_row(row: Row, kind: RowFormat, text_field: str = "text") -> Conversation | PlainText:
    """`row` as a conversation or plain text. Raises `UnreadableRowError`."""
    if kind is RowFormat.TEXT:
        return PlainText("", _text(row[text_field]))
    if kind is RowFormat.PROMPT_COMPLETION and isinstance(row["prompt"], str):
        return PlainText(row["prompt"], _text(row["completion"]))
    first_trained = 0
    if kind is RowFormat.INSTRUCTION:
        messages = _instruction_messages(row)
    elif kind is RowFormat.PROMPT_COMPLETION:
        before = _messages(row["prompt"])
        messages, first_trained = before + _messages(row["completion"]), len(before)
    else:
        messages = _messages(row["messages"] if kind is RowFormat.MESSAGES else row["conversations"])
    system = row.get("system")
    if system and messages and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": _text(system)}, *messages]
        first_trained += first_trained > 0
    if messages and messages[0]["role"] == "assistant":
        first_trained = max(first_trained, 1)  # a greeting before anything was asked has no prompt: it is context
    arguments = _nested(row.get("chat_template_kwargs")) or {}
    if not isinstance(arguments, Mapping):
        raise UnreadableRowError("chat_template_kwargs_is_no_object")
    return Conversation(messages, _tools(row.get("tools")), dict(arguments), first_trained)


def _instruction_messages(row: Row) -> list[dict[str, Any]]:
    instruction, given = _text(row["instruction"]), _text(row.get("input"))
    request = f"{instruction}\n\n{given}" if given else instruction
    return [{"role": "user", "content": request}, {"role": "assistant", "content": _text(row["output"])}]


def _messages(value: Any) -> list[dict[str, Any]]:
    value = _nested(value)
    if not isinstance(value, list) or not value:
        raise UnreadableRowError("no_messages")
    return [_message(one) for one in value]


def _message(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UnreadableRowError("message_is_no_object")
    role = _ROLES.get(str(value.get("role", value.get("from"))))
    if role is None:
        raise UnreadableRowError(f"unknown_role: {value.get('role', value.get('from'))}")
    content = _text(value.get("content", value.get("value")))
    if role == "function_call":
        return {"role": "assistant", "content": "", "tool_calls": _calls(content)}
    message: dict[str, Any] = {"role": role, "content": content}
    for key in ("tool_calls", "name", "tool_call_id", "reasoning_content"):
        if value.get(key):
            message[key] = _without_none(value[key])
    if message.get("tool_calls"):
        message["tool_calls"] = [_with_parsed_arguments(call) for call in message["tool_calls"]]
    return message


def _calls(text: str) -> list[dict[str, Any]]:
    """ShareGPT's `function_call`: the call, or a list of calls, as JSON."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableRowError("function_call_is_no_json") from error
    calls = value if isinstance(value, list) else [value]
    if not all(isinstance(call, dict) and "name" in call for call in calls):
        raise UnreadableRowError("function_call_without_name")
    return [_with_parsed_arguments({"type": "function", "function": call}) for call in calls]


def _with_parsed_arguments(call: Any) -> Any:
    """OpenAI's API has a call's arguments as JSON text; templates want the object, or write it escaped once more."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        function = {**function, "arguments": json.loads(function["arguments"])}
    except json.JSONDecodeError:
        return call
    return {**call, "function": function} if "function" in call else function


def _tools(value: Any) -> list[Any] | None:
    """Tools as JSON schemas in OpenAI's form, which templates expect; bare functions are wrapped into it."""
    tools = _without_none(_nested(value))
    if not tools:
        return None
    if not isinstance(tools, list):
        raise UnreadableRowError("tools_are_no_list")
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]


def _nested(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        return value or None
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise UnreadableRowError("column_is_no_json") from error


def _without_none(value: Any) -> Any:
    """Arrow fills keys that other rows have with None; they were never in this one."""
    if isinstance(value, Mapping):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    """Text, also of OpenAI's content parts; other parts (images) have no place in a text model."""
    if isinstance(value, list):
        if not all(isinstance(part, Mapping) and part.get("type") == "text" for part in value):
            raise UnreadableRowError("content_is_not_text")
        return "".join(str(part.get("text") or "") for part in value)
    if isinstance(value, Mapping):
        raise UnreadableRowError("content_is_not_text")
    return "" if value is None else str(value)
