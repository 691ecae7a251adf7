"""Map the columns of one file of raw rows to ours, by name or by `--column_map`."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.conversation import CHECKED_COLUMNS, holds_messages
from data_prep.dataset_folder import DatasetKind
from pipelines.errors import UserError

Row = Mapping[str, Any]
Columns = Mapping[str, Sequence[str]]

# own name first: a file that has both `output` and `answer` means `output`
ALIASES: dict[str, tuple[str, ...]] = {
    "instruction": ("instruction", "prompt", "question"),
    "input": ("input", "context"),
    "output": ("output", "response", "answer", "completion"),
    "text": ("text", "content"),
}
WANTED = {
    DatasetKind.INSTRUCTIONS: ("instruction", "input", "output"),
    DatasetKind.CORPUS: ("text",),
    DatasetKind.PREFERENCES: ("instruction", "input", "chosen", "rejected"),
}
# columns of whole conversations, in place of those wanted
CONVERSATION_COLUMNS = ("messages", "conversations")
_OF_A_CONVERSATION = ("system", "tools", "chat_template_kwargs")
_ANSWERS = ("chosen", "rejected")
PROVENANCE = ("source", "group")  # a row's own values replace the file's name and the hash of its question
OPTIONAL = {
    DatasetKind.INSTRUCTIONS: (*CONVERSATION_COLUMNS, *_OF_A_CONVERSATION, "history", *CHECKED_COLUMNS, *PROVENANCE),
    DatasetKind.CORPUS: PROVENANCE,
    DatasetKind.PREFERENCES: (*CONVERSATION_COLUMNS, *_OF_A_CONVERSATION, *PROVENANCE),
}


def parse_column_map(text: str | None, kind: DatasetKind) -> dict[str, str]:
    """Parse `"instruction=question,output=answer"` as a dict. Raises `UserError` for anything else."""
    pairs = [pair.partition("=") for pair in (text or "").split(",") if pair.strip()]
    column_map = {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
    known = (*WANTED[kind], *OPTIONAL[kind])
    if any(ours not in known or not theirs for ours, theirs in column_map.items()):
        raise UserError(
            f"--column_map is {text!r}, expected pairs with {', '.join(WANTED[kind])} before each =",
            f"write it like {WANTED[kind][-1]}=answer; before = can also be {', '.join(OPTIONAL[kind])}",
        )
    return column_map


def choose_columns(rows: Sequence[Row], column_map: Mapping[str, str], kind: DatasetKind, source: str) -> Columns:
    """Return the columns of one file's `rows` for each of ours; in each row the first that is not null counts.

    Raises `UserError` if a column of `column_map`, or a required one, is missing.
    """
    present = list(dict.fromkeys(name for row in rows for name in row))
    chosen: dict[str, list[str]] = {}
    for ours in (*WANTED[kind], *OPTIONAL[kind]):
        candidates = (column_map[ours],) if ours in column_map else ALIASES.get(ours, (ours,))
        if theirs := [name for name in candidates if name in present]:
            chosen[ours] = theirs
        elif ours in column_map:
            raise _no_column(ours, candidates, source, present)
    needed = [ours for ours in WANTED[kind] if ours != "input"]
    are_whole = any(holds_messages(row.get(name)) for row in rows for name in chosen.get("chosen", ()))
    if are_whole or any(ours in chosen for ours in CONVERSATION_COLUMNS):
        needed = [ours for ours in needed if ours in _ANSWERS and kind is DatasetKind.PREFERENCES]
    for ours in needed:
        if ours not in chosen:
            raise _no_column(ours, ALIASES.get(ours, (ours,)), source, present)
    if {"test", "entry_point"} <= chosen.keys() and "prompt" in present:
        chosen["prompt"] = ["prompt"]  # HumanEval: the head of a function that its tests complete
    return chosen


def column_in(row: Row, candidates: Sequence[str]) -> str:
    """Return the first of `candidates` that is not null in `row`."""
    return next((name for name in candidates if row.get(name) is not None), candidates[0])


def has_value(value: Any) -> bool:
    """Whether a value is not null, NaN or empty."""
    return value is not None and value == value and value not in ("", [], {})  # NaN is unlike itself


def _no_column(ours: str, candidates: Sequence[str], source: str, present: Sequence[str]) -> UserError:
    or_messages = ", or messages=NAME for a column of messages" if ours == "instruction" else ""
    return UserError(
        f"{source} has no column for {ours} ({' or '.join(candidates)}), only {', '.join(present)}",
        f"name it with --column_map {ours}=NAME{or_messages}",
    )
