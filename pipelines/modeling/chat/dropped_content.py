"""Find what a template drops of its input: text, tools, calls, thoughts and null values."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_prep.conversation import content_text, thought_of

_SWITCHES = re.compile(r"/(?:no_?think|think|system_override)\b")  # Qwen and SmolLM3 remove these
_THOUGHT_MARKS = re.compile(r"</?think(?:ing)?>")
END_OF_THOUGHT = re.compile(r"</think>|</mm:think>|\[/THINK\]|<channel\|>")
_NULL = re.compile(r"\bnull\b|(?<=\w=)None\b")  # in JSON, and as a keyword argument of a Python call


def lost_of_prompt(prompt: str, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None) -> str | None:
    """The first part of the messages before a turn, or of the tools, that `prompt` lacks, as a reason; None if
    complete. Thoughts of earlier turns are dropped on purpose."""
    text = _Text(prompt)
    for message in messages:
        role = message["role"]
        said = _texts(message)
        if not all(map(text.has, [END_OF_THOUGHT.split(one)[-1] for one in said] if role == "assistant" else said)):
            return "template_drops_system" if role in ("system", "developer") else f"template_drops_text: {role}"
        if (lost := _lost_of_calls(text, message)) is not None:
            return f"template_drops_tools: {lost}"
    names = {name for tool in tools or () for name in _schema_names(tool.get("function", tool))}
    if any(not text.has(name) for name in names):
        return "template_drops_tools: the tools"
    given = [tools or [], *([call["function"] for call in one.get("tool_calls") or ()] for one in messages)]
    if (lost := _lost_nulls(prompt, given, map(content_text, messages))) is not None:
        return lost
    return None


def lost_of_turn(turn: str, message: Mapping[str, Any]) -> str | None:
    """The first part of the answering message that `turn` lacks, as a reason; None if complete."""
    text = _Text(turn)
    parts = [part for said in _texts(message) for part in _THOUGHT_MARKS.split(said) if part.strip()]
    if parts and not text.has(parts[-1]):
        return "template_drops_text: assistant"
    if not all(map(text.has, parts)) or not text.has(thought_of(message)):
        return "template_drops_thoughts"
    if (lost := _lost_of_calls(text, message)) is not None:
        return f"template_drops_tools: {lost}"
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return _lost_nulls(turn, calls, [content_text(message), thought_of(message)])


class _Text:
    """A text to search for pieces: unchanged, without white space, or as JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._squeezed: str | None = None

    def has(self, piece: str) -> bool:
        if piece in self._text or not piece.strip():
            return True
        if self._squeezed is None:
            self._squeezed = _squeezed(self._text)
        escaped = json.dumps(piece, ensure_ascii=False)[1:-1]
        return any(_squeezed(one) in self._squeezed for one in (piece, escaped, json.dumps(piece)[1:-1]))

    def has_value(self, value: Any) -> bool:
        if isinstance(value, str):
            return self.has(value)
        return str(value).lower() in self._text.lower() or json.dumps(value) in self._text


def _squeezed(text: str) -> str:
    return "".join(_SWITCHES.sub("", text).split())


def _texts(message: Mapping[str, Any]) -> list[str]:
    """The message's text, or that of each of its parts."""
    content = message.get("content")
    return [str(part["text"]) for part in content] if isinstance(content, list) else [content_text(message)]


def _lost_of_calls(text: _Text, message: Mapping[str, Any]) -> str | None:
    for call in message.get("tool_calls") or ():
        function = call["function"]
        leaves = list(_leaves(function["arguments"]))
        if not text.has(function["name"]):
            return "the name of a call"
        if not all(text.has_value(leaf) for leaf in leaves if leaf is not None):
            return "the arguments of a call"
    return None


def _leaves(value: Any) -> Iterator[Any]:
    """Keys and plain values of nested JSON."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _schema_names(function: Mapping[str, Any]) -> Iterator[str]:
    """The name of a tool and those of its parameters."""
    if isinstance(function.get("name"), str):
        yield function["name"]
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    yield from properties if isinstance(properties, Mapping) else ()


def _lost_nulls(text: str, given: Sequence[Any], said: Any) -> str | None:
    """A reason if `text` has fewer nulls than the JSON values `given`; nulls in the text `said` do not count."""
    n_nulls = sum(leaf is None for leaf in _leaves(list(given)))
    if not n_nulls:
        return None
    n_said = sum(len(_NULL.findall(one)) for one in [*said, *(x for x in _leaves(list(given)) if isinstance(x, str))])
    n_written = len(_NULL.findall(text))
    return "template_drops_null: of a tool's schema or a call's arguments" if n_written - n_said < n_nulls else None
