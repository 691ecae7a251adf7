"""Third pass: write the chosen rows to the files of each split, and every other row with its reason."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.building.choosing import Choice, Fate
from data_prep.building.job import Shard
from data_prep.building.mixture import MixturePart, phrased
from data_prep.building.shards import Shards, rows_of
from data_prep.dataset_folder import (
    PROVENANCE_COLUMNS,
    REJECTED_NAME,
    SPLITS,
    DatasetKind,
    RejectedRow,
    SplitFiles,
    rows_at_places,
    text_array,
    text_table,
)
from data_prep.dataset_folder.lengths import LengthCounts
from data_prep.sources import as_conversation, as_pair_of_messages

if TYPE_CHECKING:
    from pyarrow import Table

Row = dict[str, Any]
_ROLES = {"output": "answer", "chosen": "chosen", "rejected": "rejected", "text": "document"}
_JOIN_CHARS = len("\n\n")  # between an instruction and its input
_WITHOUT_CONTENT = (Fate.NOT_SAMPLED, Fate.OVER_LIMIT, Fate.OVER_GROUP_LIMIT, Fate.OVERLAPS_HELD_OUT)


@dataclass(frozen=True)
class FinalForm:
    """The kind and the columns that all rows of a folder have."""

    kind: DatasetKind
    columns: tuple[str, ...]
    nested: frozenset[str]

    def converted(self, row: Row) -> Row:
        """Return `row` as a conversation or a pair of messages if the folder has such."""
        if self.kind is DatasetKind.CONVERSATIONS and "messages" not in row:
            return as_conversation(row)
        if self.kind is DatasetKind.PREFERENCES and "prompt" in self.columns and "prompt" not in row:
            return as_pair_of_messages(row)
        return row

    def converts(self, shard: Shard) -> bool:
        """Whether rows of `shard` are in another form: plain instructions or pairs among messages."""
        of_messages = self.kind is DatasetKind.CONVERSATIONS or "prompt" in self.columns
        return of_messages and self.kind is not DatasetKind.INSTRUCTIONS and not shard.all_messages


@dataclass(frozen=True)
class Written:
    """Rows and content hash of each split, and the lengths of all rows."""

    n_rows: dict[str, int]
    content_sha256: dict[str, str]
    lengths: dict[str, Any]


def final_form(kind: DatasetKind, shards: Sequence[Shard]) -> FinalForm:
    """Return the form of the folder: if any row is a conversation (or a pair of messages), all become such."""
    dropped: tuple[str, ...] = ()
    found = dict.fromkeys(column for shard in shards for column in shard.columns)
    nested = frozenset[str]().union(*(shard.nested for shard in shards))
    if kind is DatasetKind.INSTRUCTIONS and "messages" in found:
        kind, dropped = DatasetKind.CONVERSATIONS, ("instruction", "input", "output", "system")
        found = dict.fromkeys(("messages", *found))
    elif kind is DatasetKind.PREFERENCES and "prompt" in found:
        found, dropped = dict.fromkeys(("prompt", *found)), ("instruction", "input", "system")
    columns = [name for name in found if name not in (*dropped, *PROVENANCE_COLUMNS)]
    return FinalForm(kind, (*columns, *PROVENANCE_COLUMNS), nested - {*dropped})


def write_rows(
    folder: Path, shards: Shards, choice: Choice, form: FinalForm, parts: Sequence[MixturePart], seed: int
) -> Written:
    """Write the files of each split, and append the rows left out to rejected.jsonl."""
    lengths = LengthCounts()
    with ExitStack() as stack:
        files = [stack.enter_context(SplitFiles(folder, split, form.columns, form.nested)) for split in SPLITS]
        rejected = stack.enter_context((folder / REJECTED_NAME).open("a", encoding="utf-8"))
        for place, shard in enumerate(shards.shards):
            rows = _ShardRows(shard, shards.table(place), int(shards.starts[place]), choice)
            for line in rows.rejected():
                rejected.write(json.dumps(line.to_json(), ensure_ascii=False) + "\n")
            for split, file in enumerate(files):
                table = rows.table_of_split(split, form, parts[shard.source].phrasings, seed)
                if table is not None:
                    file.add(table)
                    count_lengths(table, form.nested, lengths)
    by_split = dict(zip(SPLITS, files, strict=True))
    return Written(
        {split: file.n_rows for split, file in by_split.items()},
        {split: file.content_sha256() for split, file in by_split.items()},
        lengths.to_json(),
    )


class _ShardRows:
    """The rows of one shard with what was chosen for them."""

    def __init__(self, shard: Shard, table: "Table", start: int, choice: Choice) -> None:
        here = slice(start, start + shard.n_rows)
        self._shard, self._table, self._start, self._choice = shard, table, start, choice
        self._fates, self._splits, self._copies = choice.fates[here], choice.splits[here], choice.copies[here]

    def rejected(self) -> Iterator[RejectedRow]:
        """Yield the rows that are left out, with their content if it is short and new."""
        left_out = (self._fates != Fate.KEPT).nonzero()[0]
        rows = rows_of(rows_at_places(self._table, left_out), self._shard.nested) if len(left_out) else []
        for place, row in zip(left_out.tolist(), rows, strict=True):
            fate = Fate(self._fates[place])
            content: Row | None = {name: value for name, value in row.items() if name not in PROVENANCE_COLUMNS}
            if fate in _WITHOUT_CONTENT or "text" in row:
                content = None
            details = {"step": fate.step} if fate.step else {}
            details |= self._choice.details.get(self._start + place, {})
            yield RejectedRow(row["source"], row["source_row"], fate.name.lower(), content, details)

    def table_of_split(self, split: int, form: FinalForm, phrasings: Sequence[str], seed: int) -> "Table | None":
        """Return the rows of one split in the folder's form, copies one after the other; None if there are none."""
        import numpy as np

        places = ((self._fates == Fate.KEPT) & (self._splits == split)).nonzero()[0]
        if not len(places):
            return None
        copies = self._copies[places]
        as_it_is = not phrasings and copies.max() == 1 and not self._choice.groups and not form.converts(self._shard)
        if as_it_is and not (form.nested & {*self._shard.columns}) - self._shard.nested:
            is_whole = len(places) == self._table.num_rows
            return _with_columns(self._table if is_whole else rows_at_places(self._table, places), form.columns)
        rows = rows_of(rows_at_places(self._table, np.repeat(places, copies)), self._shard.nested)
        numbers = np.repeat(self._start + places, copies).tolist()
        return text_table(list(self._final_rows(rows, numbers, form, phrasings, seed)), form.columns, form.nested)

    def _final_rows(
        self, rows: Sequence[Row], numbers: Sequence[int], form: FinalForm, phrasings: Sequence[str], seed: int
    ) -> Iterator[Row]:
        copy, last = 1, -1
        for row, number in zip(rows, numbers, strict=True):
            copy, last = (copy + 1 if number == last else 1), number
            row = {**row, "group": self._choice.groups.get(number, row["group"])}
            if phrasings:
                row = phrased(row, phrasings, copy, seed)
            if copy > 1:
                row["source_row"] = f"{row['source_row']}#{copy}"
            yield form.converted(row)


def count_lengths(table: "Table", nested: frozenset[str], lengths: LengthCounts) -> None:
    """Add the lengths of the rows of a `text_table` to `lengths`."""
    import numpy as np

    if nested:
        for row in rows_of(table, nested):
            lengths.add_row(row)
        return
    n_chars = {
        name: np.array([len(text or "") for text in table[name].to_pylist()])
        for name in table.column_names
        if name in (*_ROLES, "instruction", "input")
    }
    if "instruction" in n_chars:
        given = n_chars.get("input", 0)
        lengths.add_all("question", n_chars["instruction"] + given + _JOIN_CHARS * (given > 0))
    for name, role in _ROLES.items():
        if name in n_chars:
            lengths.add_all(role, n_chars[name])


def _with_columns(table: "Table", columns: Sequence[str]) -> "Table":
    """Return the table with these columns in order; one that it lacks is null."""
    import pyarrow

    nulls = None
    arrays = []
    for name in columns:
        if name in table.column_names:
            arrays.append(table[name])
        else:
            nulls = nulls or text_array([None] * table.num_rows)
            arrays.append(nulls)
    return pyarrow.table(arrays, names=list(columns))


def join_lines(folder: Path, suffix: str, target: Path) -> None:
    """Append the files of all units that end in `suffix` to `target`, in order."""
    with target.open("ab") as out:
        for part in sorted(folder.glob(f"*{suffix}")):
            with part.open("rb") as file:
                shutil.copyfileobj(file, out)
