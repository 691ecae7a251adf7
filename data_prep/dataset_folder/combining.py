"""Concatenate sets of rows: files of a folder, or parts of a mixture, each with its own row format."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data_prep.conversation import (
    Conversation,
    RowFormat,
    UnreadableRowError,
    format_of_columns,
    is_conversational,
    read_row,
)
from data_prep.dataset_folder.columns import columns_of, nested_columns, table_of, with_explicit_types
from pipelines.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

Named = tuple[str, "Dataset"]


def combined(parts: Sequence[Named]) -> "Dataset":
    """Return the rows of all `parts`, (name, rows) pairs, in order; a column that a part lacks is null there.

    Conversations of several formats become rows of `messages`. Raises `UserError`, with each part's columns, if only
    some parts are conversations.
    """
    from datasets import concatenate_datasets

    formats = {name: format_of_columns(rows.column_names) for name, rows in parts}
    if len(parts) == 1:
        return parts[0][1]
    if len(set(formats.values())) > 1:
        _refuse_unlike(parts, formats)
        parts = [(name, _as_messages(rows, formats[name])) for name, rows in parts]
    return concatenate_datasets(_of_equal_types([rows for _, rows in parts]))


def _refuse_unlike(parts: Sequence[Named], formats: dict[str, RowFormat | None]) -> None:
    def is_chat(name: str, rows: "Dataset") -> bool:
        known = formats[name]
        return known is not None and is_conversational(known, rows, name)

    if not all(is_chat(name, rows) for name, rows in parts):
        columns = "; ".join(f"{name}: {', '.join(rows.column_names)}" for name, rows in parts)
        raise UserError(
            f"only some of the datasets or files read together are conversations, others plain text ({columns})",
            "train on one after the other, or choose common columns with `columns: [...]` in each entry",
        )


def _as_messages(rows: "Dataset", kind: RowFormat | None) -> "Dataset":
    from datasets import Dataset
    from datasets.table import InMemoryTable

    if kind is RowFormat.MESSAGES or kind is None:
        return rows
    converted = [_row_of_messages(row, kind) for row in rows]
    columns = columns_of([*converted, {"messages": None}])
    return Dataset(InMemoryTable(table_of(converted, columns, {"messages", *nested_columns(converted)})))


def _row_of_messages(row: dict, kind: RowFormat) -> dict:
    try:
        read = read_row(row, kind)
    except UnreadableRowError:
        return {"messages": row.get(kind.value)}  # training reads it again and writes the reason to the ledger
    return read.as_row() if isinstance(read, Conversation) else {"messages": None}


def _of_equal_types(parts: Sequence["Dataset"]) -> list["Dataset"]:
    from datasets import Features, Json, Value

    as_json = {name for rows in parts for name, feature in rows.features.items() if isinstance(feature, Json)}
    typed = [with_explicit_types(rows, as_json) for rows in parts]
    long, short = Value("large_string"), Value("string")
    wanted = [Features({name: long if one == short else one for name, one in rows.features.items()}) for rows in typed]
    return [rows.cast(new) if rows.features != new else rows for rows, new in zip(typed, wanted, strict=True)]
