"""Read a chat message, in any common spelling, into the form that chat templates expect."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]


class UnreadableRowError(Exception):
    """A row that is not a conversation; the message is a reason for the ledger."""


_ROLES = {
    "human": "user", "user": "user", "prompter": "user", "gpt": "assistant", "assistant": "assistant",
    "model": "assistant", "bing": "assistant", "chatgpt": "assistant", "ai": "assistant", "bot": "assistant",
    "system": "system", "developer": "developer", "function_call": "function_call", "tool_call": "function_call",
    "observation": "tool", "tool": "tool", "function": "tool", "function_response": "tool", "tool_response": "tool",
    "ipython": "tool",
}  # fmt: skip
_ITSELF = {role for role, read_as in _ROLES.items() if role == read_as} - {"function_call"}

# Where datasets keep the reasoning before an answer: DeepSeek's and Qwen's key, OpenAI's and gpt-oss's.
THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking")
# 1 or true: trained; 0 or false: context. OpenAI's and ShareGPT's `weight`, axolotl's `train` and `training`,
# ms-swift's `loss`, veRL's `loss_mask`, LLaMA-Factory's `loss_weight`; torchtune's `masked` is inverted.
MARK_KEYS = ("weight", "train", "training", "trainable", "loss", "loss_mask", "loss_weight")
INVERTED_MARK_KEYS = ("masked",)
_TEXT_PARTS = ("text", "input_text", "output_text")
_THOUGHT_PARTS, _CALL_PARTS = ("reasoning", "thinking"), ("tool_call", "function_call")
_UNMARKED_KEYS = {"role", "from", "content", "value"}  # of most messages
MESSAGE_KEYS = (
    "role", "from", "content", "value", "tool_calls", "function_call", "name", "tool_call_id",
    *THOUGHT_KEYS, *MARK_KEYS, *INVERTED_MARK_KEYS,
)  # fmt: skip


def read_messages(value: Any) -> tuple[list[Message], tuple[bool | None, ...]]:
    """Return the messages of a list (or of its JSON text), and for each its own mark: trained, context or None.

    Raises `UnreadableRowError`.
    """
    value = parsed_json(value)
    if not isinstance(value, list) or not value:
        raise UnreadableRowError("no_messages")
    marks = tuple(_mark(one) for one in value)
    return [_message(one) for one in value], marks if any(mark is not None for mark in marks) else ()


def holds_messages(value: Any) -> bool:
    """Whether `value` is a list of messages, or one message, or the JSON text of either."""
    if isinstance(value, str):
        if not value.startswith(("[", "{")) and not value.lstrip().startswith(("[", "{")):
            return False
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return False
    listed = value if isinstance(value, list) else [value]
    return bool(listed) and all(
        (type(one) is dict or isinstance(one, Mapping))
        and ("role" in one or "from" in one)
        and ("content" in one or "value" in one or "tool_calls" in one)
        for one in listed
    )


def unread_message_keys(value: Any) -> list[str]:
    """Return keys of messages that have a value and that `read_messages` does not read, in order."""
    if not holds_messages(value):
        return []
    messages = parsed_json(value)
    listed = messages if isinstance(messages, list) else [messages]
    found = (key for one in listed if isinstance(one, Mapping) for key in one if one[key] not in (None, "", [], {}))
    return [key for key in dict.fromkeys(found) if key not in MESSAGE_KEYS]


def content_text(message: Mapping[str, Any]) -> str:
    """Return the message's text; text parts are joined by line breaks."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content)
    return scalar_text(content)


def thought_of(message: Mapping[str, Any]) -> str:
    """Return the reasoning of a message, empty if it has none."""
    return next((str(message[key]) for key in THOUGHT_KEYS if message.get(key)), "")


def parsed_json(value: Any) -> Any:
    """Return `value`, parsed if it is JSON text; None for empty text. Raises `UnreadableRowError`."""
    if not isinstance(value, str) or not value.strip():
        return value or None
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise UnreadableRowError("column_is_no_json") from error


def text_or_parts(value: Any) -> str | list[dict[str, str]]:
    """Return text, or OpenAI's content parts if all are text. Other parts (images) raise `UnreadableRowError`."""
    if isinstance(value, list):
        if not all(isinstance(part, Mapping) and part.get("type") in _TEXT_PARTS for part in value):
            raise UnreadableRowError("content_is_not_text")
        parts = [{"type": "text", "text": _text_of_part(part)} for part in value]
        return parts if len(parts) > 1 else "".join(part["text"] for part in parts)
    if isinstance(value, Mapping):
        raise UnreadableRowError("content_is_not_text")
    return scalar_text(value)


def _text_of_part(part: Mapping[str, Any]) -> str:
    """The text of a content part, under OpenAI's key, LLaMA-Factory's or that of Anthropic's thinking."""
    text = next((part[key] for key in ("text", "value", "thinking", "reasoning") if part.get(key) is not None), "")
    if isinstance(text, list | Mapping):
        raise UnreadableRowError("content_is_not_text")
    return scalar_text(text)


def scalar_text(value: Any) -> str:
    """Return a scalar as text: a number or a truth value as JSON writes it, null and NaN as empty text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def unknown_role_reason(role: Any) -> str:
    """Return the reject reason; it names the role only if that is a word, since a wrong column may hold any text."""
    return f"unknown_role: {role}" if re.fullmatch(r"[A-Za-z_-]{1,20}", str(role)) else "unknown_role"


def _message(value: Any) -> Message:
    if type(value) is dict and len(value) == 2 and type(value.get("content")) is str and value.get("role") in _ITSELF:
        return value.copy()  # most messages, fast
    if not isinstance(value, Mapping):
        raise UnreadableRowError("message_is_no_object")
    role = _ROLES.get(str(value.get("role", value.get("from"))).lower())
    if role is None:
        raise UnreadableRowError(unknown_role_reason(value.get("role", value.get("from"))))
    content = value.get("content", value.get("value"))
    thoughts, calls = list[str](), list[Any]()
    if isinstance(content, list):
        thoughts, calls, content = _special_parts(content)
    content = text_or_parts(content)
    if role == "function_call":
        return {"role": "assistant", "content": "", "tool_calls": _sharegpt_calls(str(content))}
    message: Message = {"role": role, "content": content}
    message |= {key: value[key] for key in ("name", "tool_call_id") if value.get(key)}
    if thought := thought_of(value) or "\n".join(thoughts):
        message["reasoning_content"] = thought
    if calls := parsed_json(value.get("tool_calls")) or calls:
        message["tool_calls"] = _calls(calls)
    elif call := parsed_json(value.get("function_call")):  # OpenAI's form before tools
        message["tool_calls"] = _calls(call)
    return message


def _special_parts(parts: list[Any]) -> tuple[list[str], list[Any], list[Any]]:
    """The reasoning and the tool calls among content parts, and the other parts."""
    thoughts, calls, others = list[str](), list[Any](), list[Any]()
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in _THOUGHT_PARTS:
            thoughts.append(_text_of_part(part))
        elif kind == "tool_use":  # Anthropic's
            called = {"name": part.get("name"), "arguments": part.get("input")}
            calls.append({"id": part.get("id"), "type": "function", "function": called})
        elif kind in _CALL_PARTS:
            calls.append(parsed_json(part.get("value")))
        else:
            others.append(part)
    return thoughts, calls, others


def _mark(value: Any) -> bool | None:
    """The message's own mark, from its `MARK_KEYS`. Only the weights 0 and 1 are known."""
    if not (type(value) is dict or isinstance(value, Mapping)) or value.keys() <= _UNMARKED_KEYS:
        return None
    keys = [key for key in (*MARK_KEYS, *INVERTED_MARK_KEYS) if value.get(key) is not None]
    for key in keys:
        if value[key] not in (0, 1):  # True == 1 and 1.0 == 1
            raise UnreadableRowError(f"{key}_is_not_0_or_1: {value[key]!r}"[:60])
    marks = [bool(value[key]) != (key in INVERTED_MARK_KEYS) for key in keys]
    if len(set(marks)) > 1:
        raise UnreadableRowError(f"marks_disagree: {', '.join(keys)}")
    return marks[0] if marks else None


def _sharegpt_calls(text: str) -> list[Any]:
    """ShareGPT's `function_call`: the call, or a list of calls, as JSON."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableRowError("function_call_is_no_json") from error
    return _calls(value)


def _calls(value: Any) -> list[Any]:
    """Tool calls in OpenAI's form with their arguments as an object; some datasets keep them as JSON text, or one call
    without a list. Raises `UnreadableRowError`."""
    value = [value] if isinstance(value, Mapping) else value
    if not isinstance(value, list):
        raise UnreadableRowError("tool_calls_are_no_list")
    return [_call(parsed_json(one)) for one in value]


def _call(value: Any) -> dict[str, Any]:
    function = parsed_json(value.get("function", value)) if isinstance(value, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UnreadableRowError("tool_call_without_name")
    called = {"name": function["name"], "arguments": _arguments(function.get("arguments"))}
    kept = {"id": value["id"]} if value.get("id") and "function" in value else {}
    return {**kept, "type": "function", "function": called}


def _arguments(value: Any) -> Any:
    """The arguments as an object: OpenAI's API has JSON text, which templates would escape again. None: empty."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise UnreadableRowError("tool_call_arguments_are_no_json") from error
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise UnreadableRowError("tool_call_arguments_are_no_object")
    return dict(value)
