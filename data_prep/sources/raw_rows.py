"""Convert raw rows of one file to rows of a dataset folder (text, instructions, conversations, pairs) with groups."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    unread_columns,
    unread_message_keys,
)
from data_prep.dataset_folder import DatasetKind, RejectedRow, unstorable_reason
from data_prep.sources.row_columns import CONVERSATION_COLUMNS, PROVENANCE, Columns, Row, column_in, has_value
from data_prep.sources.rows import Item, SourceRow, group_of_text, normalized

_TEXTS = ("instruction", "input", "output", "system")
_TEXTS_BY_SPEAKER = ("instruction", "input", "output", "chosen", "rejected", "system")
_OF_CONVERSATIONS_ONLY = ("history", "tools", "chat_template_kwargs")
_ANSWERS = ("output", "chosen", "rejected")


@dataclass
class RawRows:
    """Rows, rejected rows, and for each column that is not read the number of rows with a value there."""

    kept: list[SourceRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)

    def add(self, other: "RawRows") -> None:
        """Append another file's rows."""
        self.kept += other.kept
        self.rejected += other.rejected
        self.unread += other.unread


def read_raw_rows(rows: Sequence[Row], columns: Columns, kind: DatasetKind, source: str, file: str = "") -> RawRows:
    """Return each row in the fields of its kind; `columns` has the file's columns for each of ours.

    `source_row` is the row's number from 1, after `file` if the source is a folder.
    """
    read = RawRows()
    for number, row in enumerate(rows, start=1):
        source_row = f"{file}:{number}" if file else str(number)
        item = read_raw_row(row, columns, kind, source, source_row, read.unread)
        if isinstance(item, SourceRow):
            read.kept.append(item)
        else:
            read.rejected.append(item)
    return read


def read_raw_row(
    row: Row, columns: Columns, kind: DatasetKind, source: str, source_row: str, unread: Counter[str]
) -> Item:
    """Return one row in the fields of its kind, or why it is left out; its columns not read are counted in `unread`."""
    theirs = {name: column_in(row, candidates) for name, candidates in columns.items()}
    ours = {name: row[column] for name, column in theirs.items() if has_value(row.get(column))}
    try:
        fields = _FIELDS_OF.get(kind, _instruction_fields)(ours)
        if reason := unstorable_reason(fields):
            raise UnreadableRowError(reason)
    except UnreadableRowError as error:
        return RejectedRow(source, source_row, str(error))
    used = {theirs[name] for name in ours if name not in _unread(ours, kind)}
    unread.update(name for name, value in row.items() if name not in used and has_value(value))
    unread.update(f"messages.{key}" for key in _unread_keys(ours))
    return _with_provenance(fields, ours, source, source_row)


def in_one_kind(rows: Sequence[SourceRow]) -> tuple[DatasetKind, list[SourceRow]]:
    """Return the rows of a folder of instructions; if any is a conversation, all become conversations."""
    if not any("messages" in row.fields for row in rows):
        return DatasetKind.INSTRUCTIONS, list(rows)
    return DatasetKind.CONVERSATIONS, [
        row if "messages" in row.fields else replace(row, fields=_as_conversation(row.fields)) for row in rows
    ]


def pairs_in_one_form(rows: Sequence[SourceRow]) -> list[SourceRow]:
    """Return the rows of a folder of preferences; if any has a prompt of messages, all get messages."""
    if not any("prompt" in row.fields for row in rows):
        return list(rows)
    return [
        row if "prompt" in row.fields else replace(row, fields=read_preference(row.fields).as_row()) for row in rows
    ]


def _as_conversation(fields: Row) -> dict[str, Any]:
    others = {name: value for name, value in fields.items() if name not in _TEXTS}
    return {**_conversation(fields, RowFormat.INSTRUCTION).as_row(), **others}


def _conversation(row: Row, kind: RowFormat) -> Conversation:
    read = read_row(row, kind)
    assert isinstance(read, Conversation)  # only RowFormat.TEXT and text pairs are plain text
    return read


def _text_fields(row: Row) -> dict[str, Any]:
    return {"text": _text(row, "text").strip("\n")}


def _instruction_fields(row: Row) -> dict[str, Any]:
    """Instruction, input, output and system as text, or a conversation if the row has more than those."""
    checked = {name: row[name] for name in (*CHECKED_COLUMNS, "prompt") if name in row}
    if "instruction_id_list" not in row:
        checked.pop("kwargs", None)  # not the kwargs of IFEval's instructions
    kind = _format_of(row)
    if kind is RowFormat.PROMPT_COMPLETION:
        row = {**row, "prompt": row.get("instruction"), "completion": row.get("output")}
    if kind is not RowFormat.INSTRUCTION:
        return {**_conversation(row, kind).as_row(), **checked}
    texts = {name: _trimmed(_text(row, name), name) for name in _TEXTS if name in row or name != "system"}
    if any(row.get(name) not in (None, "[]", "{}") for name in _OF_CONVERSATIONS_ONLY):
        return {**_conversation({**row, **texts}, kind).as_row(), **checked}
    return {**texts, **checked}


def _format_of(row: Row) -> RowFormat:
    if "messages" in row or "conversations" in row:
        return RowFormat.MESSAGES if "messages" in row else RowFormat.SHAREGPT
    as_messages = is_pair_of_messages(row.get("instruction"), row.get("output"))
    return RowFormat.PROMPT_COMPLETION if as_messages else RowFormat.INSTRUCTION


def _pair_fields(row: Row) -> dict[str, Any]:
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
    return {name: _trimmed(text, name) for name, text in texts.items()}


_FIELDS_OF = {DatasetKind.CORPUS: _text_fields, DatasetKind.PREFERENCES: _pair_fields}


def _with_provenance(fields: dict[str, Any], row: Row, source: str, source_row: str) -> SourceRow:
    """Add provenance; a row's own `source` and `group` win over the file's name and the hash of its question."""
    own = {name: scalar_text(row[name]) for name in PROVENANCE if name in row and not _is_nested(row[name])}
    if "source" in own:
        source_row = f"{source}:{source_row}"
    said = _spoken_texts(fields)
    asked = next((text for speaker, text in said if speaker == "user"), said[0][1])
    same_as = "\0".join(normalized(text) for _, text in said)
    return SourceRow(fields, own.get("source", source), source_row, own.get("group") or group_of_text(asked), same_as)


def _spoken_texts(fields: Row) -> list[tuple[str, str]]:
    """(speaker, text) of all texts of a row, for its group and for duplicates."""
    if "text" in fields:
        return [("user", fields["text"])]
    if "instruction" in fields:
        return [("user" if one == "instruction" else one, fields[one]) for one in _TEXTS_BY_SPEAKER if one in fields]
    turns = [*fields.get("messages", fields.get("prompt")), *fields.get("chosen", []), *fields.get("rejected", [])]
    others = [turn.get(key) for turn in turns for key in ("reasoning_content", "tool_calls") if turn.get(key)]
    return [
        *((turn["role"], content_text(turn)) for turn in turns),
        *(("", json.dumps(one, sort_keys=True)) for one in [*others, fields.get("tools")] if one),
    ]


def _text(row: Row, name: str) -> str:
    if _is_nested(row.get(name)):
        raise UnreadableRowError(f"{name}_is_not_text")
    return scalar_text(row.get(name))


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | Mapping)


def _trimmed(value: str, name: str) -> str:
    first_line, _, more = value.strip("\n").partition("\n")
    # an answer of several lines may be code with an indented first line
    return value.strip("\n").rstrip() if name in _ANSWERS and more.strip() and first_line.strip() else value.strip()


def _unread(row: Row, kind: DatasetKind) -> list[str]:
    """The row's fields that its format does not read."""
    if kind is DatasetKind.CORPUS:
        return []
    if kind is DatasetKind.PREFERENCES:
        prompts = [name for name in ("instruction", *CONVERSATION_COLUMNS) if name in row]
        return prompts[1:] + [name for name in row if name in CHECKED_COLUMNS]
    chat = _format_of(row)
    read = {*CHECKED_COLUMNS, *PROVENANCE, "prompt"}
    if chat is RowFormat.PROMPT_COMPLETION:
        read |= {"instruction", "output"}
    unread = [name for name in unread_columns(row, chat) if name not in read]
    return [*unread, "kwargs"] if "kwargs" in row and "instruction_id_list" not in row else unread


def _unread_keys(row: Row) -> set[str]:
    holders = (*CONVERSATION_COLUMNS, "instruction", "output", "chosen", "rejected")
    return {key for name in holders for key in unread_message_keys(row.get(name))}
