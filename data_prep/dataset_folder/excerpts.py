"""The texts of a row as a reader sees them: by column or role, visible, cut to a length."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data_prep.dataset_folder.schema import PROVENANCE_COLUMNS
from pipelines.files.service_keys import find_service_keys
from pipelines.files.visible_text import excerpt

MAX_CHARACTERS = 300
_MAX_MESSAGES = 6
_LISTS_OF_MESSAGES = ("messages", "prompt", "chosen", "rejected")


@dataclass(frozen=True)
class RowExcerpt:
    """The beginning of one text of a row; `name` is its column, or the role of a message."""

    name: str
    text: str
    n_hidden: int


def row_excerpts(row: Mapping[str, Any]) -> list[RowExcerpt]:
    """Return excerpts of all texts of a row; the row may be one that no reader could use."""
    cut = ((name, excerpt(without_keys(text), MAX_CHARACTERS)) for name, text in named_texts(row))
    return [RowExcerpt(name, one.text, one.n_hidden) for name, one in cut]


def without_keys(text: str) -> str:
    """Return `text` with each key of a service replaced by its kind: an excerpt is published with the card."""
    for kind, start, end in sorted(find_service_keys(text), key=lambda found: found[1], reverse=True):
        text = f"{text[:start]}<{kind}>{text[end:]}"
    return text


def named_texts(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (column or role, text) of what a row says; empty values and provenance are left out."""
    for column, value in row.items():
        if column in PROVENANCE_COLUMNS or value in (None, "", []):
            continue
        if column in _LISTS_OF_MESSAGES and isinstance(value, list):
            for message in value[:_MAX_MESSAGES]:
                role = str(message.get("role")) if isinstance(message, Mapping) else "?"
                yield role if column == "messages" else f"{column}, {role}", _message_text(message)
            if len(value) > _MAX_MESSAGES:
                yield f"{column}, {len(value) - _MAX_MESSAGES} more messages", "..."
        else:
            yield column, _text(value)


def _message_text(message: Any) -> str:
    """Reasoning, content and tool calls of a message."""
    if not isinstance(message, Mapping):
        return _text(message)
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, Mapping) and "text" in part for part in content):
        content = "\n".join(str(part["text"]) for part in content)
    parts = (message.get("reasoning_content"), content, message.get("tool_calls"))
    return "\n".join(_text(part) for part in parts if part)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
