"""Read one file of rows (JSON, JSONL, CSV, TSV, Parquet, Arrow; the text formats also compressed) as a stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.columns import with_explicit_types
from data_prep.dataset_folder.file_readers.arrow_rows import arrow_rows, parquet_rows
from data_prep.dataset_folder.file_readers.bad_rows import BadRow, Read
from data_prep.dataset_folder.file_readers.byte_blocks import BLOCK_BYTES, COMPRESSED_SUFFIXES, byte_blocks
from data_prep.dataset_folder.file_readers.json_rows import json_rows
from data_prep.dataset_folder.file_readers.separated_rows import found_separator, separated_rows
from data_prep.dataset_folder.file_readers.text_encodings import TextEncoding, utf8_blocks
from pipelines.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset
    from pyarrow import Table

MAX_ROW_BYTES = 1 << 30
_SAME_FORMAT = {".ndjson": ".jsonl"}

ROW_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow")


def row_suffix(path: Path) -> str:
    """Return the suffix that gives the format, without that of a compression: `rows.json.gz` gives `.json`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED_SUFFIXES:
        suffixes.pop()
    last = "".join(suffixes[-1:])
    return _SAME_FORMAT.get(last, last)


@dataclass(frozen=True)
class FilePart:
    """Part of a file: bytes of a plain JSONL file, or row groups of a Parquet file."""

    start: int = 0
    stop: int | None = None
    first_line: int = 1


WHOLE_FILE = FilePart()


def iter_rows(
    path: Path,
    suffix: str | None = None,
    max_row_bytes: int = MAX_ROW_BYTES,
    part: FilePart = WHOLE_FILE,
    encoding: TextEncoding | None = None,
    is_quiet: bool = False,
) -> Iterator[Read]:
    """Yield the rows of `path`, in order, each a dict or the `BadRow` in its place; one row and a block are in memory.

    `suffix` overrides the suffix of the name; an `encoding` without a name gets the one that is found. The separator
    of a CSV file is printed unless `is_quiet`. Raises `UnreadableFile` where nothing more can be read.
    """
    suffix = suffix or row_suffix(path)
    if suffix == ".parquet":
        return iter(parquet_rows(path, part.start, part.stop))
    if suffix == ".arrow":
        return iter(arrow_rows(path))
    blocks = utf8_blocks(byte_blocks(path, max_row_bytes, part.start, part.stop), path, encoding)
    if suffix in (".csv", ".tsv"):
        separator = "\t" if suffix == ".tsv" else None
        return separated_rows(blocks, path, max_row_bytes, separator, is_quiet)
    return json_rows(blocks, path, max_row_bytes, lines=suffix == ".jsonl", first_line=part.first_line)


def read_row_file(path: Path, suffix: str | None = None) -> list[dict[str, Any]]:
    """Return all rows of `path`, in order; `suffix` overrides the suffix of the name.

    Raises `UserError` with the file, and the line if there is one, for what cannot be read.
    """
    return [_good(row) for row in iter_rows(path, suffix)]


def _good(row: Read) -> dict[str, Any]:
    if isinstance(row, BadRow):
        raise row.error()
    return row


def csv_separator(path: Path) -> str:
    """Return the separator of a CSV or TSV file, from its first megabyte."""
    head = next(utf8_blocks(byte_blocks(path, BLOCK_BYTES), path), b"").decode("utf-8", "replace")
    return "\t" if row_suffix(path) == ".tsv" else found_separator(head, path)


def read_parquet(path: Path) -> "Dataset":
    """Return the file's rows with explicit types. Raises `UserError` like `read_parquet_table`."""
    from datasets import Dataset
    from datasets.table import InMemoryTable

    return with_explicit_types(Dataset(InMemoryTable(read_parquet_table(path))))


def read_parquet_table(path: Path) -> "Table":
    """Return the file as an Arrow table. Raises `UserError` if it is missing or not a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise UserError(f"{path} does not exist", "check the path")
    try:
        return pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        problem = f"{path} is not a Parquet file: {str(error).split('. ')[0]}"
        raise UserError(problem, "write the file again") from error
