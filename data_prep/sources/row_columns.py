"""Raw rows (dicts with any column names) to the dataset's own columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.dataset_folder import DatasetKind, RejectedRow
from data_prep.sources.messages import text_of_messages
from data_prep.sources.rows import SourceRow, group_of_text, holds_lone_surrogate, normalised
from pipelines.errors import UserError

# own name first: a file that has both `output` and `answer` means `output`
ALIASES: dict[str, tuple[str, ...]] = {
    "instruction": ("instruction", "prompt", "question"),
    "input": ("input", "context"),
    "output": ("output", "response", "answer", "completion"),
    "text": ("text", "content"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
}
WANTED = {
    DatasetKind.INSTRUCTIONS: ("instruction", "input", "output"),
    DatasetKind.CORPUS: ("text",),
    DatasetKind.PREFERENCES: ("instruction", "input", "chosen", "rejected"),
}
_OPTIONAL = ("input",)
_ANSWERS = ("output", "chosen", "rejected")
_SPEAKERS = {"instruction": "user", "chosen": "assistant", "rejected": "assistant"}
_CONVERSATION = "conversations"  # where preference sets of the from/value form keep the prompt


def parse_column_map(text: str | None, kind: DatasetKind) -> dict[str, str]:
    """`"instruction=question,output=answer"` as a dict. Raises `UserError` for anything else."""
    pairs = [pair.partition("=") for pair in (text or "").split(",") if pair.strip()]
    column_map = {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
    if any(ours not in WANTED[kind] or not theirs for ours, theirs in column_map.items()):
        raise UserError(
            expected=f"--column_map of {', '.join(WANTED[kind])} to column names, such as {WANTED[kind][-1]}=answer",
            got=repr(text),
            remedy="write ours=theirs pairs with commas between",
        )
    return column_map


def choose_columns(
    rows: Sequence[Mapping[str, Any]], column_map: Mapping[str, str], kind: DatasetKind, source: str
) -> dict[str, str]:
    """Which column of `rows` gives each of ours. Raises `UserError` if a named or a needed one is nowhere."""
    present = list(dict.fromkeys(name for row in rows for name in row))
    chosen = {}
    for ours in WANTED[kind]:
        candidates = (column_map[ours],) if ours in column_map else _names_of(ours, kind)
        theirs = next((name for name in candidates if name in present), None)
        if theirs is not None:
            chosen[ours] = theirs
        elif ours in column_map or ours not in _OPTIONAL:
            raise UserError(
                expected=f"a column for {ours} in {source} ({' or '.join(candidates)})",
                got=f"columns {', '.join(present)}",
                remedy=f"say which one it is with --column_map {ours}=NAME",
            )
    return chosen


def read_columns(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], kind: DatasetKind, source: str, file: str = ""
) -> tuple[list[SourceRow], list[RejectedRow]]:
    """The rows in our columns without white space around the values, and those that hold no text.

    `source_row` is the row's number from 1, after `file` if the source is a folder of files.
    """
    kept, rejected = [], []
    for number, row in enumerate(rows, start=1):
        source_row = f"{file}:{number}" if file else str(number)
        values = {ours: _value_of(row.get(columns[ours]), ours) if ours in columns else "" for ours in WANTED[kind]}
        fields = {ours: _trimmed(value, ours) for ours, value in values.items() if value is not None}
        if len(fields) < len(values):
            no_text = next(ours for ours, value in values.items() if value is None)
            rejected.append(RejectedRow(source, source_row, f"{no_text}_is_not_text"))
        elif any(holds_lone_surrogate(value) for value in fields.values()):
            rejected.append(RejectedRow(source, source_row, "not_unicode"))
        else:
            group = group_of_text(fields[WANTED[kind][0]])
            same_as = "\0".join(normalised(value) for value in fields.values())
            kept.append(SourceRow(fields, source, source_row, group, same_as))
    return kept, rejected


def _names_of(ours: str, kind: DatasetKind) -> tuple[str, ...]:
    return (*ALIASES[ours], *((_CONVERSATION,) if (ours, kind) == ("instruction", DatasetKind.PREFERENCES) else ()))


def _value_of(value: Any, ours: str) -> str | None:
    if isinstance(value, (dict, list)) and ours in _SPEAKERS:
        return text_of_messages(value, _SPEAKERS[ours])
    return _as_text(value)


def _trimmed(value: str, ours: str) -> str:
    if ours == "text":
        return value.strip("\n")
    first_line, _, more = value.strip("\n").partition("\n")
    # an answer of several lines may be code whose first line is indented
    return value.strip("\n").rstrip() if ours in _ANSWERS and more.strip() and first_line.strip() else value.strip()


def _as_text(value: Any) -> str | None:
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None
