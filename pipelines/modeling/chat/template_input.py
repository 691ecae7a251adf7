"""Messages in the form that a template reads: text parts, arguments and ids of tool calls."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from data_prep.conversation import content_text
from pipelines.modeling.chat.dates import dated_template

Message = Mapping[str, Any]

# Errors of templates, deliberate or not: Jinja evaluates its expressions in Python.
TEMPLATE_ERRORS = (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError)

QUESTION, ANSWER, RESULT = "probe question 7351", "probe answer 9042", "probe result 64"
CALL_PARTS = ("probe_tool_58", "probe_key", "probe value 77")  # a call's name, key and value
TOOL = {
    "type": "function",
    "function": {
        "name": CALL_PARTS[0],
        "description": "Looks it up.",
        "parameters": {
            "type": "object",
            "properties": {CALL_PARTS[1]: {"type": "string", "description": "What to look up."}},
            "required": [CALL_PARTS[1]],
        },
    },
}
CALLS: list[Message] = [
    {"role": "user", "content": QUESTION},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"type": "function", "function": {"name": CALL_PARTS[0], "arguments": {CALL_PARTS[1]: CALL_PARTS[2]}}}
        ],
    },
]


@dataclass(frozen=True)
class _CallForm:
    """`call_ids`: ids for calls without one: "" none, "nine" nine characters for Mistral's templates, "functions"
    functions.NAME:NUMBER for Kimi's. `null_content`: a call without text has no content."""

    arguments_as_text: bool
    call_ids: str
    null_content: bool


def apply_template(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: Sequence[Any] | None = None, **options: Any
) -> str:
    """Render `messages`, in the form that the template reads. Raises `TEMPLATE_ERRORS`."""
    return _apply(tokenizer, template_messages(tokenizer, messages), tools, **options)


def template_messages(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Convert `messages` to the form that the template of `tokenizer` reads.

    Several text parts stay a list if the template writes each of them; otherwise they are joined by line breaks, as
    servers do. Arguments become JSON text if the template concatenates strings; calls get an id if it writes ids.
    """
    template = str(tokenizer.chat_template)
    if any(isinstance(message.get("content"), list) for message in messages):
        messages = [
            {**one, "content": content_text(one)}
            if isinstance(one.get("content"), list) and not _reads_parts(tokenizer, template, str(one["role"]))
            else one
            for one in messages
        ]
    if not any(message.get("tool_calls") for message in messages):
        return [dict(message) for message in messages]
    return _with_calls(messages, _call_spelling(tokenizer, template))


def _apply(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: Sequence[Any] | None, **options: Any
) -> str:
    offered: Any = list(tools) if tools else None
    return str(
        tokenizer.apply_chat_template(
            [dict(one) for one in messages],
            offered,
            chat_template=dated_template(tokenizer, tools),
            tokenize=False,
            **options,
        )
    )


def _with_calls(messages: Sequence[Message], how: _CallForm) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    waiting: list[str] = []  # ids of calls without a result so far
    n_calls = 0
    for message in messages:
        one = dict(message)
        if one.get("tool_calls"):
            calls = [_call(call, n_calls + place, how) for place, call in enumerate(one["tool_calls"])]
            n_calls += len(calls)
            waiting = [str(call.get("id") or "") for call in calls]
            one["tool_calls"] = calls
            if how.null_content and not content_text(one).strip():
                one.pop("content", None)
        elif one["role"] == "tool" and how.call_ids and waiting:
            answered = waiting.pop(0)
            one.setdefault("tool_call_id", answered)
        found.append(one)
    return found


def _call(call: Message, number: int, how: _CallForm) -> dict[str, Any]:
    function = dict(call["function"])
    if how.arguments_as_text and not isinstance(function["arguments"], str):
        function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    ids = {"nine": f"call{number:05}", "functions": f"functions.{function['name']}:{number}"}
    supplied = {"id": ids[how.call_ids]} if how.call_ids else {}
    return {**supplied, **call, "function": function}


@lru_cache(maxsize=64)
def _call_spelling(tokenizer: PreTrainedTokenizerBase, template: str) -> _CallForm:  # noqa: ARG001
    """The first form in which the template keeps a call's name, key and value, and its result."""
    talk = [
        *CALLS,
        {"role": "tool", "name": CALL_PARTS[0], "content": RESULT},
        {"role": "assistant", "content": ANSWER},
    ]
    spellings = [_CallForm(*one) for one in product((False, True), ("", "nine", "functions"), (False, True))]
    for how in spellings:
        try:
            called = _apply(tokenizer, _with_calls(talk[:2], how), [TOOL])
            answered = _apply(tokenizer, _with_calls(talk, how), [TOOL])
        except TEMPLATE_ERRORS:
            continue
        if _keeps_call(called.rpartition(QUESTION)[2]) and RESULT in answered:
            return how
    return spellings[0]


def _keeps_call(text: str) -> bool:
    """Whether name, key and value are present, not as a Python dict or doubly escaped JSON."""
    return all(part in text for part in CALL_PARTS) and f"{{'{CALL_PARTS[1]}'" not in text and '\\"' not in text


@lru_cache(maxsize=256)
def _reads_parts(tokenizer: PreTrainedTokenizerBase, template: str, role: str) -> bool:
    """Whether the template writes the text of each part, not the list as Python or JSON."""
    parts = [{"type": "text", "text": text} for text in ("first probe part 31", "second probe part 32")]
    talk: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    places = {"user": 0, "assistant": 1}
    if role in places:
        talk[places[role]]["content"] = parts
    elif role == "tool":
        talk = [*map(dict, CALLS), {"role": "tool", "content": parts}]
        talk = _with_calls(talk, _call_spelling(tokenizer, template))
    else:
        talk = [{"role": role, "content": parts}, *talk]
    try:
        text = _apply(tokenizer, talk, [TOOL] if role == "tool" else None)
    except TEMPLATE_ERRORS:
        return False
    prints_a_list = any(f"{quote}{part['text']}{quote}" in text for part in parts for quote in "'\"")
    return all(part["text"] in text for part in parts) and not prints_a_list
