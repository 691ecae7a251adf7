"""The fields of one row in its kind of dataset: a text, an instruction, a conversation or a pair."""

from collections.abc import Mapping
from typing import Any

from data_prep.conversation import (
    CHECKED_COLUMNS,
    Conversation,
    RowFormat,
    UnreadableRowError,
    content_text,
    holds_messages,
    is_pair_of_messages,
    read_preference,
    read_row,
    scalar_text,
)
from data_prep.dataset_folder import PROVENANCE_COLUMNS
from data_prep.sources.row_columns import Row

_TEXTS = ("instruction", "input", "output", "system")
_OF_CONVERSATIONS_ONLY = ("history", "tools", "chat_template_kwargs")
_ANSWERS = ("output", "chosen", "rejected")


def as_conversation(fields: Row) -> dict[str, Any]:
    """Return the fields of an instruction as those of a conversation."""
    others = {name: value for name, value in fields.items() if name not in _TEXTS}
    return {**_conversation(fields, RowFormat.INSTRUCTION).as_row(), **others}


def as_pair_of_messages(fields: Row) -> dict[str, Any]:
    """Return the fields of a pair of texts as those of a pair of messages, with the provenance that they have."""
    others = {name: fields[name] for name in PROVENANCE_COLUMNS if name in fields}
    return {**read_preference(fields).as_row(), **others}


def _conversation(row: Row, kind: RowFormat) -> Conversation:
    read = read_row(row, kind)
    assert isinstance(read, Conversation)  # only RowFormat.TEXT and text pairs are plain text
    return read


def text_fields(row: Row) -> dict[str, Any]:
    return {"text": trimmed(_text(row, "text"), "text")}


def instruction_fields(row: Row) -> dict[str, Any]:
    """Instruction, input, output and system as text, or a conversation if the row has more than those."""
    checked = {name: row[name] for name in (*CHECKED_COLUMNS, "prompt") if name in row}
    if "instruction_id_list" not in row:
        checked.pop("kwargs", None)  # not the kwargs of IFEval's instructions
    kind = format_of(row)
    if kind is RowFormat.PROMPT_COMPLETION:
        row = {**row, "prompt": row.get("instruction"), "completion": row.get("output")}
    if kind is not RowFormat.INSTRUCTION:
        return {**_conversation(row, kind).as_row(), **checked}
    texts = {name: trimmed(_text(row, name), name) for name in _TEXTS if name in row or name != "system"}
    if any(row.get(name) not in (None, "[]", "{}") for name in _OF_CONVERSATIONS_ONLY):
        return {**_conversation({**row, **texts}, kind).as_row(), **checked}
    return {**texts, **checked}


def format_of(row: Row) -> RowFormat:
    if "messages" in row or "conversations" in row:
        return RowFormat.MESSAGES if "messages" in row else RowFormat.SHAREGPT
    as_messages = is_pair_of_messages(row.get("instruction"), row.get("output"))
    return RowFormat.PROMPT_COMPLETION if as_messages else RowFormat.INSTRUCTION


def pair_fields(row: Row) -> dict[str, Any]:
    """Instruction, input, chosen and rejected as text, or messages if the prompt or an answer is more than text."""
    pair = read_preference(row)
    if not pair.is_plain:
        return pair.as_row()
    is_text = isinstance(row.get("instruction"), str) and not holds_messages(row["instruction"])
    texts = {
        "instruction": row["instruction"] if is_text else content_text(pair.prompt[-1]),
        "input": scalar_text(row.get("input")) if is_text else "",
        "chosen": content_text(pair.chosen),
        "rejected": content_text(pair.rejected),
        **({"system": content_text(pair.prompt[0])} if len(pair.prompt) > 1 else {}),
    }
    return {name: trimmed(text, name) for name, text in texts.items()}


def _text(row: Row, name: str) -> str:
    if is_nested(row.get(name)):
        raise UnreadableRowError(f"{name}_is_not_text")
    return scalar_text(row.get(name))


def is_nested(value: Any) -> bool:
    return isinstance(value, list | Mapping)


def trimmed(value: str, name: str) -> str:
    """Return `value` without outer white space. An answer of several lines, maybe code, keeps its first indentation; a
    document loses only line breaks."""
    text = value.strip("\n")
    if name == "text":
        return text
    if name not in _ANSWERS or not text[:1].isspace():
        return value.strip()
    first_line, _, more = text.partition("\n")
    return text.rstrip() if more.strip() and first_line.strip() else value.strip()
