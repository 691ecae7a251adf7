"""Convert raw rows to rows of a dataset folder with provenance, groups and keys of duplicates, one by one."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.conversation import (
    CHECKED_COLUMNS,
    CONVERSATION_COLUMNS,
    RowFormat,
    UnreadableRowError,
    content_text,
    scalar_text,
    unread_columns,
    unread_message_keys,
)
from data_prep.dataset_folder import DatasetKind, RejectedRow, unstorable_reason
from data_prep.sources.row_columns import PROVENANCE, Columns, Row, RowConversion, column_in, columns_for, has_value
from data_prep.sources.row_fields import format_of, instruction_fields, is_nested, pair_fields, text_fields, trimmed
from data_prep.sources.rows import Item, SourceRow, digest, group_of_text
from pipelines.files import is_utf8

_TEXTS_BY_SPEAKER = ("instruction", "input", "output", "chosen", "rejected", "system")
_PLAIN = {DatasetKind.INSTRUCTIONS: ("instruction", "input", "output"), DatasetKind.CORPUS: ("text",)}
_MAX_SHAPES = 1000  # rows whose keys are data (a dictionary from name to value) have a new shape each


@dataclass(frozen=True, slots=True)
class _Shape:
    """What rows with the same keys have in common: their columns for each of ours, and those that are never read.

    `plain` has (our name, their name) of the texts, if besides these there are only `checked` columns and `own` ones
    of provenance. An input that is missing has None.
    """

    columns: Columns
    never_read: tuple[str, ...]
    plain: tuple[tuple[str, str | None], ...]
    checked: tuple[tuple[str, str], ...]
    own: tuple[tuple[str, str], ...]


def read_raw_rows(
    rows: Iterable[tuple[str, Row]], conversion: RowConversion, source: str, unread: Counter[str]
) -> Iterator[Item]:
    """Yield each of the (source_row, row) in the fields of its kind, or as a rejected row.

    `unread` counts for each column that is not read the rows with a value there.
    """
    foreign, kind = conversion.foreign_format, conversion.kind
    shapes: dict[tuple[str, ...], _Shape] = {}
    for source_row, row in foreign.convert(rows, kind) if foreign else rows:
        if isinstance(row, str):
            yield RejectedRow(source, source_row, row)
            continue
        keys = tuple(row)
        shape = shapes.get(keys)
        if shape is None:
            if len(shapes) == _MAX_SHAPES:
                shapes.clear()
            shape = shapes[keys] = _shape_of(keys, conversion)
        item = _read_plain(row, shape, source, source_row, unread)
        yield item or _read_any(row, shape.columns, kind, source, source_row, unread)


def _shape_of(keys: tuple[str, ...], conversion: RowConversion) -> _Shape:
    columns = columns_for(keys, conversion.column_map, conversion.kind)
    checked = tuple((name, columns[name][0]) for name in columns if name in CHECKED_COLUMNS and name != "kwargs")
    own = tuple((name, columns[name][0]) for name in PROVENANCE if name in columns)
    texts = _PLAIN.get(conversion.kind, ())
    others = columns.keys() - {*texts, *dict(checked), *dict(own)}
    is_sure = all(len(candidates) == 1 for candidates in columns.values())
    is_plain = not others and is_sure and columns.keys() >= {*texts} - {"input"}
    plain = tuple((name, columns[name][0] if name in columns else None) for name in texts) if is_plain else ()
    read = {name for candidates in columns.values() for name in candidates}
    return _Shape(columns, tuple(name for name in keys if name not in read), plain, checked, own)


def _read_plain(row: Row, shape: _Shape, source: str, source_row: str, unread: Counter[str]) -> SourceRow | None:
    """Read texts that are all of a row as `_read_any` does, several times as fast; None for any other row."""
    if not shape.plain:
        return None
    fields, texts = {}, []
    for name, column in shape.plain:
        text = "" if column is None else row[column]
        if text is None and name == "input":
            text = ""
        if type(text) is not str or not (text.isascii() or is_utf8(text)):
            return None
        fields[name] = text = trimmed(text, name)
        texts.append(text)
    if texts[0].startswith(("[", "{")) and len(texts) > 1:
        return None  # may be messages
    for name, column in shape.checked:
        if has_value(row[column]):
            if type(row[column]) is not str or not is_utf8(row[column]):
                return None
            fields[name] = row[column]
    group = ""
    for name, column in shape.own:
        if has_value(row[column]):
            if type(row[column]) is not str or not is_utf8(row[column]):
                return None
            if name == "source":
                source, source_row = row[column], f"{source}:{source_row}"
            else:
                group = row[column]
    for name in shape.never_read:
        if has_value(row[name]):
            unread[name] += 1
    return SourceRow(fields, source, source_row, group or group_of_text(texts[0]), _key_of(texts))


def _read_any(
    row: Row, columns: Columns, kind: DatasetKind, source: str, source_row: str, unread: Counter[str]
) -> Item:
    theirs = {name: column_in(row, candidates) for name, candidates in columns.items()}
    ours = {name: row[column] for name, column in theirs.items() if has_value(row.get(column))}
    try:
        fields = _FIELDS_OF.get(kind, instruction_fields)(ours)
        own = {name: scalar_text(ours[name]) for name in PROVENANCE if name in ours and not is_nested(ours[name])}
        if reason := unstorable_reason({**fields, **own}):
            raise UnreadableRowError(reason)
    except UnreadableRowError as error:
        return RejectedRow(source, source_row, str(error))
    not_read = _unread(ours, kind)
    used = {theirs[name] for name in ours if name not in not_read}
    unread.update([name for name, value in row.items() if name not in used and has_value(value)])
    if keys := _unread_keys(ours):
        unread.update(f"messages.{key}" for key in keys)
    return _with_provenance(fields, own, source, source_row)


_FIELDS_OF = {DatasetKind.CORPUS: text_fields, DatasetKind.PREFERENCES: pair_fields}


def _with_provenance(fields: dict[str, Any], own: Mapping[str, str], source: str, source_row: str) -> SourceRow:
    """Add provenance; a row's own `source` and `group` win over the file's name and the hash of its question."""
    if "source" in own:
        source_row = f"{source}:{source_row}"
    group = own.get("group") or group_of_question(fields)
    return SourceRow(fields, own.get("source", source), source_row, group, same_as_of(fields))


def same_as_of(fields: Row) -> bytes:
    """Return the key of a row's duplicates: all that is said in it. Case and indentation count, as in code."""
    return _key_of([text for _, text in _spoken_texts(fields)])


def group_of_question(fields: Row) -> str:
    """Return the group of a row without one of its own: that of its first question."""
    said = _spoken_texts(fields)
    return group_of_text(next((text for speaker, text in said if speaker == "user"), said[0][1]))


def _key_of(texts: Sequence[str]) -> bytes:
    return digest("\0".join([text.strip() for text in texts]))


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
    return {key for name in holders if name in row for key in unread_message_keys(row[name])}
