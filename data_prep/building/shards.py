"""Rows between the passes: Arrow files of text, with a NumPy array of numbers about each row."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.building.job import Shard
from data_prep.cleaning.duplicates.minhash import comparison_text
from data_prep.cleaning.duplicates.near_duplicates import NearDuplicateOptions, band_hashes
from data_prep.cleaning.row_texts import RowText
from data_prep.dataset_folder import (
    PROVENANCE_COLUMNS,
    columns_of,
    nested_columns,
    position_in_group,
    position_of,
    rows_at_places,
    text_table,
)
from data_prep.sources import SourceRow

if TYPE_CHECKING:
    from numpy import ndarray
    from pyarrow import Table

CLUSTERS_NAME = "clusters.npy"
# Numbers of a row: key of exact duplicates, position of its group, and whether it overlaps the rows of --held_out.
ROW_NUMBERS = [("key", "V16"), ("group", "u8"), ("overlaps", "?")]


def write_shard(
    folder: Path, name: str, source: int, rows: Sequence[SourceRow], overlaps: Sequence[bool], seed: int
) -> Shard:
    """Write `rows` as one Arrow file and their numbers as one array."""
    import numpy as np
    import pyarrow

    fields = [row.columns() for row in rows]
    columns, nested = columns_of(fields), nested_columns(fields)
    table = text_table(fields, columns, nested)
    with pyarrow.OSFile(str(folder / f"{name}.arrow"), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    numbers = np.zeros(len(rows), ROW_NUMBERS)
    numbers["key"] = np.frombuffer(b"".join(row.same_as for row in rows), "V16")
    numbers["group"] = [position_of(row.group, seed) for row in rows]
    numbers["overlaps"] = overlaps
    np.save(folder / f"{name}.npy", numbers)
    all_messages = all(isinstance(row.get("messages", row.get("prompt")), list) for row in fields)
    return Shard(name, source, len(rows), tuple(columns), frozenset(nested), all_messages)


class Shards:
    """All shards of a build in order; rows are numbered through from 0."""

    def __init__(self, folder: Path, shards: Sequence[Shard]) -> None:
        import numpy as np

        self.folder, self.shards = folder, list(shards)
        sizes = [shard.n_rows for shard in self.shards]
        self.starts = np.cumsum([0, *sizes])
        self.n_rows = int(self.starts[-1])
        self._open = lru_cache(maxsize=64)(self._read)

    def numbers(self) -> "ndarray":
        """Return the numbers of all rows, 25 bytes a row."""
        import numpy as np

        parts = [np.load(self.folder / f"{shard.name}.npy") for shard in self.shards]
        return np.concatenate(parts) if parts else np.zeros(0, ROW_NUMBERS)

    def sources(self) -> "ndarray":
        """Return the number of each row's source."""
        import numpy as np

        numbers = np.array([shard.source for shard in self.shards], np.uint16)
        return np.repeat(numbers, [shard.n_rows for shard in self.shards])

    def bands(self) -> "ndarray":
        """Return the band hashes of all rows, of shape (rows, bands), in a file: one band's hashes lie together."""
        import numpy as np

        parts = [self.folder / f"{shard.name}.bands.npy" for shard in self.shards]
        first = np.load(parts[0], mmap_mode="r")
        whole = np.memmap(self.folder / "bands", first.dtype, "w+", shape=(first.shape[1], self.n_rows))
        for start, part in zip(self.starts, parts, strict=False):
            bands = np.load(part)
            whole[:, start : start + len(bands)] = bands.T
        return whole.T

    def clusters(self) -> "ndarray":
        """Return the number of each row's cluster of possible near duplicates, -1 for none."""
        import numpy as np

        return np.load(self.folder / CLUSTERS_NAME)

    def table(self, place: int) -> "Table":
        """Return the table of one shard; it stays on disk until its values are read."""
        return self._open(place)

    def positions(self, numbers: "ndarray", seed: int, *, in_group: bool = False) -> "ndarray":
        """Return the positions of some rows by their names, or `in_group` by their names within their groups."""
        import numpy as np

        found = np.zeros(len(numbers), np.uint64)
        places = np.searchsorted(self.starts, numbers, side="right") - 1
        for place in np.unique(places):
            here = np.flatnonzero(places == place)
            table = self.table(place).select(list(PROVENANCE_COLUMNS))
            names = rows_at_places(table, numbers[here] - self.starts[place])
            found[here] = [
                position_in_group(row["group"], row["source"], row["source_row"], seed) if in_group
                else position_of(f"{row['source']}\0{row['source_row']}", seed)
                for row in names.to_pylist()
            ]  # fmt: skip
        return found

    def row(self, number: int) -> dict[str, Any]:
        """Return one row as it was written, with its nested columns."""
        import numpy as np

        place = int(np.searchsorted(self.starts, number, side="right")) - 1
        return rows_of(self.table(place).slice(number - int(self.starts[place]), 1), self.shards[place].nested)[0]

    def _read(self, place: int) -> "Table":
        import pyarrow

        with pyarrow.memory_map(str(self.folder / f"{self.shards[place].name}.arrow")) as file:
            return pyarrow.ipc.open_file(file).read_all()


def rows_of(table: "Table", nested: frozenset[str]) -> list[dict[str, Any]]:
    """Return the rows of a `text_table` with their nested values, without columns that are null."""
    rows = table.to_pylist()
    return [
        {name: json.loads(value) if name in nested else value for name, value in row.items() if value is not None}
        for row in rows
    ]


def write_bands(folder: Path, name: str, texts: Sequence[Sequence[RowText]], options: NearDuplicateOptions) -> None:
    """Write the band hashes of the rows of one shard, for the search for near duplicates."""
    import numpy as np

    np.save(folder / f"{name}.bands.npy", band_hashes([comparison_text(one) for one in texts], options))
