"""Convert raw rows to rows of a dataset folder with provenance, groups and keys of duplicates, one by one."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from data_prep.conversation import (
    CHECKED_COLUMNS,
    RowFormat,
    UnreadableRowError,
    content_text,
    scalar_text,
    unread_columns,
    unread_message_keys,
)
from data_prep.dataset_folder import DatasetKind, RejectedRow, unstorable_reason
from data_prep.sources.row_columns import (
    CONVERSATION_COLUMNS,
    PROVENANCE,
    Columns,
    Row,
    RowConversion,
    column_in,
    columns_for,
    has_value,
)
from data_prep.sources.row_fields import format_of, instruction_fields, is_nested, pair_fields, text_fields
from data_prep.sources.rows import Item, SourceRow, digest, group_of_normalized, normalized

_TEXTS_BY_SPEAKER = ("instruction", "input", "output", "chosen", "rejected", "system")
_MAX_SHAPES = 1000  # rows whose keys are data (a dictionary from name to value) have a new shape each


def read_raw_rows(
    rows: Iterable[tuple[str, Row]], conversion: RowConversion, source: str, unread: Counter[str]
) -> Iterator[Item]:
    """Yield each of the (source_row, row) in the fields of its kind, or as a rejected row.

    `unread` counts for each column that is not read the rows with a value there.
    """
    foreign, kind = conversion.foreign_format, conversion.kind
    fields_of = {DatasetKind.CORPUS: text_fields, DatasetKind.PREFERENCES: pair_fields}.get(kind, instruction_fields)
    shapes: dict[tuple[str, ...], Columns] = {}
    for source_row, row in foreign.convert(rows, kind) if foreign else rows:
        if isinstance(row, str):
            yield RejectedRow(source, source_row, row)
            continue
        shape = tuple(row)
        columns = shapes.get(shape)
        if columns is None:
            if len(shapes) == _MAX_SHAPES:
                shapes.clear()
            columns = shapes[shape] = columns_for(shape, conversion.column_map, kind)
        theirs = {name: column_in(row, candidates) for name, candidates in columns.items()}
        ours = {name: row[column] for name, column in theirs.items() if has_value(row.get(column))}
        try:
            fields = fields_of(ours)
            if reason := unstorable_reason(fields):
                raise UnreadableRowError(reason)
        except UnreadableRowError as error:
            yield RejectedRow(source, source_row, str(error))
            continue
        used = {theirs[name] for name in ours if name not in _unread(ours, kind)}
        unread.update(name for name, value in row.items() if name not in used and has_value(value))
        unread.update(f"messages.{key}" for key in _unread_keys(ours))
        yield _with_provenance(fields, ours, source, source_row)


def _with_provenance(fields: dict[str, Any], row: Row, source: str, source_row: str) -> SourceRow:
    """Add provenance; a row's own `source` and `group` win over the file's name and the hash of its question."""
    own = {name: scalar_text(row[name]) for name in PROVENANCE if name in row and not is_nested(row[name])}
    if "source" in own:
        source_row = f"{source}:{source_row}"
    said = _spoken_texts(fields)
    texts = [normalized(text) for _, text in said]
    asked = next((number for number, (speaker, _) in enumerate(said) if speaker == "user"), 0)
    group = own.get("group") or group_of_normalized(texts[asked])
    return SourceRow(fields, own.get("source", source), source_row, group, digest("\0".join(texts)))


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


def _unread(row: Row, kind: DatasetKind) -> list[str]:
    """The row's fields that its format does not read."""
    if kind is DatasetKind.CORPUS:
        return []
    if kind is DatasetKind.PREFERENCES:
        prompts = [name for name in ("instruction", *CONVERSATION_COLUMNS) if name in row]
        return prompts[1:] + [name for name in row if name in CHECKED_COLUMNS]
    chat = format_of(row)
    read = {*CHECKED_COLUMNS, *PROVENANCE, "prompt"}
    if chat is RowFormat.PROMPT_COMPLETION:
        read |= {"instruction", "output"}
    unread = [name for name in unread_columns(row, chat) if name not in read]
    return [*unread, "kwargs"] if "kwargs" in row and "instruction_id_list" not in row else unread


def _unread_keys(row: Row) -> set[str]:
    holders = (*CONVERSATION_COLUMNS, "instruction", "output", "chosen", "rejected")
    return {key for name in holders for key in unread_message_keys(row.get(name))}
