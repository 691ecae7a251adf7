"""Read a split's Parquet files in batches, so that memory does not grow with the number of rows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.reading import split_files
from data_prep.dataset_folder.schema import SPLITS
from pipelines.errors import UserError

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyarrow.parquet import ParquetFile

_BATCH_ROWS = 1_000
_JSON_TYPE = "extension<arrow.json>"


def iter_splits(folder: Path, columns: Iterable[str] | None = None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield (split, rows) for each batch of rows, with `columns` (those that the file has) or all. JSON is parsed.

    Raises `UserError` for a broken file.
    """
    for split in SPLITS:
        for path in split_files(folder, split):
            with _opened(path) as file:
                there = file.schema_arrow.names
                wanted = None if columns is None else [name for name in columns if name in there]
                for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
                    yield split, rows_of(batch)


def rows_at(folder: Path, split: str, positions: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows at `positions` (ascending) of a split; only the row groups that hold one are read."""
    found, begin, wanted = list[dict[str, Any]](), 0, list(positions)
    for path in split_files(folder, split):
        with _opened(path) as file:
            for number in range(file.num_row_groups):
                end = begin + file.metadata.row_group(number).num_rows
                here = [position - begin for position in wanted if begin <= position < end]
                if here:
                    group = file.read_row_group(number)
                    tables = (group.slice(position, 1) for position in here)  # `take` would import pandas
                    found += [row for table in tables for batch in table.to_batches() for row in rows_of(batch)]
                begin = end
    return found


def rows_of(batch: "RecordBatch") -> list[dict[str, Any]]:
    """Return a batch as rows; values of the `Json` feature are parsed."""
    as_json = [field.name for field in batch.schema if str(field.type).startswith(_JSON_TYPE)]
    rows: list[dict[str, Any]] = batch.to_pylist()
    for row in rows if as_json else ():
        row.update({name: json.loads(row[name]) for name in as_json if row[name] is not None})
    return rows


@contextmanager
def _opened(path: Path) -> "Iterator[ParquetFile]":
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            yield file
    except (ArrowException, OSError) as error:
        raise UserError(f"{path} is not a whole Parquet file", "build the dataset folder again") from error
