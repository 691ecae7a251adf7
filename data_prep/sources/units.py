"""What is read at a time: a source is planned as units, and one process reads a unit as a stream of rows."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import DatasetKind, RejectedRow
from data_prep.sources.row_columns import RowConversion

AUTO = "auto"


@dataclass(frozen=True)
class ReadOptions:
    """How sources are read."""

    kind: DatasetKind
    format: str = AUTO
    column_map: Mapping[str, str] = field(default_factory=dict)
    config: str | None = None  # of a dataset on the Hub that has several
    split: str | None = None  # splits joined by "+", or "all"; by default train, if there is one
    encoding: str | None = None  # of files of rows; by default found
    max_row_mb: int = 64  # a longer row is rejected, so that one row cannot fill the memory
    strict: bool = False  # a row or file that cannot be read is an error, not a reject

    @property
    def max_row_bytes(self) -> int:
        """Return `max_row_mb` in bytes."""
        return self.max_row_mb << 20


@dataclass(frozen=True)
class Unit:
    """A part of a source that one process reads, as a stream: part of a file, a file, or some small files."""

    source: str  # the `source` column of its rows
    root: Path
    files: tuple[Path, ...]
    file_name: str  # goes before the row number in source_row; "" if the source is one file
    format: str
    start: int = 0  # bytes of a plain JSONL file, or row groups of a Parquet file
    stop: int | None = None
    first_row: int = 1  # the number of its first row in the file
    first_line: int = 1
    encoding: str | None = None  # None: to be found
    conversion: RowConversion | None = None  # None: not a file of rows, or none of its first rows can be read

    def place(self) -> str:
        """Return the `source_row` of a reject of the whole file."""
        return self.file_name or self.files[0].name


@dataclass
class ReadCounts:
    """What `read_unit` has read: rows, rows with a value in a column that is not read, and encodings by file."""

    n_rows: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    encodings: dict[str, str] = field(default_factory=dict)  # of files that are not UTF-8


@dataclass
class SourcePlan:
    """The units of one source. `entry` (its description in the manifest) and `rejected` (skipped folders and files)
    are complete when `units` is exhausted: it is read once, while later files are still being scanned."""

    entry: dict[str, Any]
    rejected: list[RejectedRow]
    units: Iterator[Unit]
