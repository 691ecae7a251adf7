"""Map the columns of raw rows to ours: by a foreign format, by name, or by `--column_map`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from data_prep.conversation import ALIASES, CHECKED_COLUMNS, CONVERSATION_COLUMNS, holds_messages
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.registry import FOREIGN_FORMATS, recognize_rows
from data_prep.sources.row_formats.row_format import ForeignFormat
from pipelines.errors import UserError

Row = Mapping[str, Any]
Columns = Mapping[str, Sequence[str]]

WANTED = {
    DatasetKind.INSTRUCTIONS: ("instruction", "input", "output"),
    DatasetKind.CORPUS: ("text",),
    DatasetKind.PREFERENCES: ("instruction", "input", "chosen", "rejected"),
}
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
    check_column_map(column_map, kind, f"--column_map {text!r}")
    return column_map


def check_column_map(column_map: Mapping[str, str], kind: DatasetKind, place: str) -> None:
    """Raise `UserError` that begins with `place` unless the keys are columns of `kind`."""
    known = (*WANTED[kind], *OPTIONAL[kind])
    wrong = next((ours for ours, theirs in column_map.items() if ours not in known or not theirs), None)
    if wrong is None:
        return
    if wrong in known:
        raise UserError(f"{place} has no column for {wrong}", f"write it like {wrong}=answer")
    near = get_close_matches(wrong, known, n=1)
    fix = f"did you mean {near[0]}?" if near else "name our column first, then the one in the source"
    raise UserError(f"{place} has {wrong!r}, expected {', '.join(known)}", fix)


@dataclass(frozen=True)
class RowConversion:
    """How the rows of one file are read. It is chosen by the file's first rows, and is the same for all its parts."""

    kind: DatasetKind
    column_map: Mapping[str, str] = field(default_factory=dict)
    format_name: str | None = None  # a name in FOREIGN_FORMATS

    @property
    def foreign_format(self) -> ForeignFormat | None:
        """Return the foreign format, None if the columns are ours or other names of ours."""
        return FOREIGN_FORMATS[self.format_name] if self.format_name else None

    @property
    def needs_whole_file(self) -> bool:
        """Whether rows depend on other rows of their file: then no part of it can be read alone."""
        return self.foreign_format is not None and self.kind in self.foreign_format.whole_file_for


def choose_conversion(
    head: Sequence[Row], kind: DatasetKind, column_map: Mapping[str, str], source: str, format_name: str | None = None
) -> RowConversion:
    """Return how the rows of a file are read whose first rows are `head`.

    `format_name` is a name in `FOREIGN_FORMATS`; by default the format is recognized, unless columns are mapped.
    Raises `UserError` if a column of `column_map`, or a required one, is missing.
    """
    present = list(dict.fromkeys(name for row in head for name in row))
    if format_name is not None:
        foreign: ForeignFormat | None = FOREIGN_FORMATS[format_name]
    else:
        foreign = None if column_map else recognize_rows(present, head, kind)
    if foreign is None:
        _check_columns(head, present, column_map, kind, source)
        return RowConversion(kind, column_map)
    if kind not in foreign.kinds:
        kinds = " or ".join(one.value for one in foreign.kinds)
        raise UserError(f"--format {foreign.name} gives {kinds}, not {kind.value}", "use another program or --format")
    return RowConversion(kind, {}, foreign.name)


def columns_for(present: Iterable[str], column_map: Mapping[str, str], kind: DatasetKind) -> Columns:
    """Return the columns in `present` for each of ours; in each row the first that is not null counts.

    A name in other case counts if no column has the very name. Without an instruction, the input is the request.
    """
    names = set(present)
    by_lower_case = {name.lower(): name for name in reversed(list(names))}
    chosen: dict[str, list[str]] = {}
    for ours in (*WANTED[kind], *OPTIONAL[kind]):
        candidates = _candidates(ours, column_map)
        if ours in WANTED[kind] and ours not in column_map:  # a column that is mapped to another is not guessed
            candidates = [name for name in candidates if name not in column_map.values()]
        theirs = [name for name in candidates if name in names]
        if not theirs and ours not in column_map and ours in (*WANTED[kind], *CONVERSATION_COLUMNS):
            theirs = [by_lower_case[name] for name in candidates if name in by_lower_case]
        if theirs:
            chosen[ours] = theirs
    if kind is DatasetKind.INSTRUCTIONS and "instruction" not in chosen and {"input", "output"} <= chosen.keys():
        request, *given = chosen.pop("input")
        chosen |= {"instruction": [request], **({"input": given} if given else {})}
    if {"test", "entry_point"} <= chosen.keys() and "prompt" in names:
        chosen["prompt"] = ["prompt"]  # HumanEval: the head of a function that its tests complete
    return chosen


def _candidates(ours: str, column_map: Mapping[str, str]) -> Sequence[str]:
    return (column_map[ours],) if ours in column_map else ALIASES.get(ours, (ours,))


def _check_columns(
    head: Sequence[Row], present: Sequence[str], column_map: Mapping[str, str], kind: DatasetKind, source: str
) -> None:
    chosen = columns_for(present, column_map, kind)
    needed = [ours for ours in WANTED[kind] if ours != "input"]
    are_whole = any(holds_messages(row.get(name)) for row in head for name in chosen.get("chosen", ()))
    if are_whole or any(ours in chosen for ours in CONVERSATION_COLUMNS):
        needed = [ours for ours in needed if ours in _ANSWERS and kind is DatasetKind.PREFERENCES]
    if len(set(column_map.values())) < len(column_map):
        raise UserError(f"{source}: two columns are read from one: {dict(column_map)}", "correct --column_map")
    for ours in (*column_map, *needed):
        if ours not in chosen:
            raise _no_column(ours, _candidates(ours, column_map), source, present)


def column_in(row: Row, candidates: Sequence[str]) -> str:
    """Return the first of `candidates` that is not null in `row`."""
    return next((name for name in candidates if row.get(name) is not None), candidates[0])


def has_value(value: Any) -> bool:
    """Whether a value is not null, NaN or empty."""
    if type(value) is str:
        return value != ""
    return value is not None and value == value and value not in ("", [], {})  # NaN is unlike itself


def _no_column(ours: str, candidates: Sequence[str], source: str, present: Sequence[str]) -> UserError:
    wanted = " or ".join(candidates)
    if len(candidates) == 1 and (near := get_close_matches(candidates[0], present, 2)):
        fix = f"did you mean {' or '.join(near)}?"
    else:
        or_messages = ", or messages=NAME for a column of messages" if ours == "instruction" else ""
        fix = f"name it with --column_map {ours}=NAME{or_messages}"
        if ours == "instruction" and any(name in present for name in ALIASES["text"]):
            fix += "; for texts without a question use data_prep/build_corpus.py"
    return UserError(f"{source} has no column for {ours} ({wanted}), only {', '.join(present)}", fix)
