"""Read one file of rows (JSON, JSONL, CSV, TSV, Parquet; JSON and JSONL also gzipped) as a list of dicts."""

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.columns import with_explicit_types
from pipelines.errors import UserError
from pipelines.files.reading import not_an_object, not_utf8, parse_json, read_text

if TYPE_CHECKING:
    from datasets import Dataset
    from pyarrow import Table

_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}

_EXCEL_HEAD = re.compile(r"sep=(.)\r?\n")


class _WrittenFloat(float):
    """A float that keeps the digits of the file: a price of 1.10 stays 1.10."""

    def __new__(cls, text: str) -> "_WrittenFloat":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


def _constant(name: str) -> str | None:
    """Python writes NaN and infinities into JSON: NaN is read as a missing value, an infinity as its name."""
    return None if name == "NaN" else name


def row_suffix(path: Path) -> str:
    """Return the suffix that gives the format, without `.gz`: `rows.json.gz` gives `.json`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return ".jsonl" if suffixes[-1:] == [".ndjson"] else "".join(suffixes[-1:])


def read_row_file(path: Path, suffix: str | None = None) -> list[dict[str, Any]]:
    """Return all rows of `path`, in order; `suffix` overrides the suffix of the name.

    Raises `UserError` with the file, and the line if there is one, for what cannot be read.
    """
    suffix = suffix or row_suffix(path)
    if suffix == ".parquet":
        return list(read_parquet(path))
    text = _read_gzip(path) if path.suffix.lower() == ".gz" else read_text(path)
    return ROW_READERS.get(suffix, _read_json)(text, path)


def _read_gzip(path: Path) -> str:
    try:
        return gzip.decompress(path.read_bytes()).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist", "check the path") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not gzip data: {str(error).lower()}", "download or compress it again") from error
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error


def _parse(text: str, path: Path, first_line: int = 1) -> Any:
    return parse_json(text, path, first_line, parse_float=_WrittenFloat, parse_constant=_constant)


def _read_json(text: str, path: Path) -> list[dict[str, Any]]:
    if text.lstrip().startswith("{") and _is_json_object(text.lstrip().split("\n", 1)[0]):
        return _read_json_lines(text, path)  # many files named .json hold JSON lines
    rows = _parse(text, path) if text.strip() else []
    if not isinstance(rows, list):
        problem = f"{path} is a {type(rows).__name__}, expected a list of rows, [{{...}}, ...]"
        raise UserError(problem, "write the rows as a JSON list or as JSON lines")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise not_an_object(row, f"row {number} of {path}")
    return rows


def _is_json_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:
        return False


def _read_json_lines(text: str, path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            row = _parse(line, path, first_line=number)
            if not isinstance(row, dict):
                raise not_an_object(row, f"line {number} of {path}")
            rows.append(row)
    return rows


def csv_separator(path: Path) -> str:
    """Return the separator of a CSV or TSV file, from its first megabyte."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rb") as file:
        head = file.read(1 << 20).decode("utf-8-sig", "replace")
    return "\t" if row_suffix(path) == ".tsv" else _separator(head.rpartition("\n")[0] or head, path)


def _separator(text: str, path: Path) -> str:
    """Return the comma, semicolon, tab or bar that the header has. If it has several, the first that gives every row
    as many values as the header. Any other than a comma is printed."""
    head = next(iter(text.splitlines()), "")
    possible = [separator for separator in _SEPARATORS if len(next(csv.reader([head], delimiter=separator), [])) > 1]
    if len(possible) > 1:
        possible = [one for one in possible if len({*map(len, filter(None, _split(text, one)))}) == 1] or possible
    separator = possible[0] if possible else ","
    if separator != ",":
        print(f"{path}: values are separated by {_SEPARATORS[separator]}", file=sys.stderr, flush=True)
    return separator


def _read_separated(text: str, path: Path, separator: str | None = None) -> list[dict[str, Any]]:
    csv.field_size_limit(1 << 30)  # the default of 131,072 characters is too small for long answers
    head = _EXCEL_HEAD.match(text)
    separator = head[1] if head else separator or _separator(text, path)
    return _read_csv(text[head.end() :] if head else text, path, separator)


def _split(text: str, separator: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator)


def _read_csv(text: str, path: Path, separator: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    rows = []
    try:
        for row in reader:
            if None in row:
                n_columns = len(reader.fieldnames or ())
                n_values = n_columns + len(row[None])
                raise UserError(
                    f"line {reader.line_num} of {path} has {n_values} values, expected {n_columns} as in its header",
                    f"quote values that hold {_SEPARATORS.get(separator, separator)}",
                )
            rows.append(row)
    except csv.Error as error:
        raise UserError(f"{path} is not valid CSV: {error} on line {reader.line_num}", "fix that line") from error
    return rows


# How each text format is read; Parquet is not text. A new format needs an entry here.
ROW_READERS: dict[str, Callable[[str, Path], list[dict[str, Any]]]] = {
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".csv": _read_separated,
    ".tsv": partial(_read_separated, separator="\t"),
}
ROW_SUFFIXES = (*ROW_READERS, ".parquet")


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
