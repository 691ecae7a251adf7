"""One file of rows (JSON, JSONL, CSV, TSV, Parquet; JSON and JSONL also gzipped) to a list of dicts."""

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.arrow_types import with_explicit_types
from pipelines.errors import UserError
from pipelines.files import read_text

if TYPE_CHECKING:
    from datasets import Dataset
    from pyarrow import Table

ROW_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet")
_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}

_EXCEL_HEAD = re.compile(r"sep=(.)\r?\n")


class _WrittenFloat(float):
    """A float whose text is as the file has it: a price of 1.10 is not 1.1."""

    def __new__(cls, text: str) -> "_WrittenFloat":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


def _constant(name: str) -> str | None:
    """What Python writes and JSON has no word for: NaN is a missing value, an infinity its name."""
    return None if name == "NaN" else name


def row_suffix(path: Path) -> str:
    """The suffix that tells the format, looking through `.gz`: `rows.json.gz` gives `.json`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return ".jsonl" if suffixes[-1:] == [".ndjson"] else "".join(suffixes[-1:])


def read_row_file(path: Path, suffix: str | None = None) -> list[dict[str, Any]]:
    """All rows of `path`, in order; `suffix` overrides the format that the name tells.

    Raises `UserError` naming the file, and the line where there is one, for what cannot be read.
    """
    suffix = suffix or row_suffix(path)
    if suffix == ".parquet":
        return list(read_parquet(path))
    csv.field_size_limit(1 << 30)  # the default of 131,072 characters refuses long answers
    text = _read_gzip(path) if path.suffix.lower() == ".gz" else read_text(path)
    if suffix in (".csv", ".tsv"):
        told = _EXCEL_HEAD.match(text)
        separator = told[1] if told else "\t" if suffix == ".tsv" else _separator(text, path)
        return _read_csv(text[told.end() :] if told else text, path, separator)
    return _read_json_lines(text, path) if suffix == ".jsonl" else _read_json(text, path)


def _read_gzip(path: Path) -> str:
    try:
        return gzip.decompress(path.read_bytes()).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(expected=f"a file at {path}", got="no such file", remedy="check the path") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            expected=f"gzip data in {path}", got=str(error).lower(), remedy="fetch or compress the file again"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            expected=f"UTF-8 text in {path}",
            got=f"byte 0x{error.object[error.start]:02x} at offset {error.start}",
            remedy="convert it first, for example `iconv -f latin1 -t utf-8`",
        ) from error


def _parse(text: str, path: Path, first_line: int) -> Any:
    try:
        return json.loads(text, parse_float=_WrittenFloat, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise UserError(
            expected=f"valid JSON in {path}",
            got=f"{error.msg.lower()} on line {first_line + error.lineno - 1}, column {error.colno}",
            remedy="mend that line",
        ) from error


def _read_json(text: str, path: Path) -> list[dict[str, Any]]:
    if text.lstrip().startswith("{") and _is_json_object(text.lstrip().split("\n", 1)[0]):
        return _read_json_lines(text, path)  # many files named .json hold JSON lines
    rows = _parse(text, path, first_line=1) if text.strip() else []
    if not isinstance(rows, list):
        raise UserError(
            expected=f"a list of rows, [{{...}}, ...], in {path}",
            got=f"a {type(rows).__name__}",
            remedy="write the rows as a JSON list or as JSON lines",
        )
    for number, row in enumerate(rows, start=1):
        _refuse_non_object(row, f"as row {number}", path)
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
            _refuse_non_object(row, f"on line {number}", path)
            rows.append(row)
    return rows


def _refuse_non_object(row: Any, where: str, path: Path) -> None:
    if not isinstance(row, dict):
        raise UserError(
            expected=f"each row of {path} to be an object",
            got=f"a {type(row).__name__} {where}",
            remedy="write each row as {...}",
        )


def csv_separator(path: Path) -> str:
    """The character between the values of a CSV or TSV file, by its first megabyte."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rb") as file:
        head = file.read(1 << 20).decode("utf-8-sig", "replace")
    return "\t" if row_suffix(path) == ".tsv" else _separator(head.rpartition("\n")[0] or head, path)


def _separator(text: str, path: Path) -> str:
    """The character between values: the one of comma, semicolon, tab and bar that the head has. If it has several,
    the first that gives every row as many values as the head. Any other than a comma is reported."""
    head = next(iter(text.splitlines()), "")
    possible = [separator for separator in _SEPARATORS if len(next(csv.reader([head], delimiter=separator), [])) > 1]
    if len(possible) > 1:
        possible = [one for one in possible if len({*map(len, filter(None, _split(text, one)))}) == 1] or possible
    separator = possible[0] if possible else ","
    if separator != ",":
        print(f"{path}: values are separated by {_SEPARATORS[separator]}", file=sys.stderr, flush=True)
    return separator


def _split(text: str, separator: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator)


def _read_csv(text: str, path: Path, separator: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    rows = []
    try:
        for row in reader:
            if None in row:
                n_columns = len(reader.fieldnames or ())
                raise UserError(
                    expected=f"{n_columns} values on line {reader.line_num} of {path}, as in its head",
                    got=f"{n_columns + len(row[None])}",
                    remedy=f"quote values that hold {_SEPARATORS.get(separator, separator)}",
                )
            rows.append(row)
    except csv.Error as error:
        raise UserError(
            expected=f"valid CSV in {path}", got=f"{error} on line {reader.line_num}", remedy="correct that line"
        ) from error
    return rows


def read_parquet(path: Path) -> "Dataset":
    """The file's rows with explicit types. Raises `UserError` as `read_parquet_table`."""
    from datasets import Dataset
    from datasets.table import InMemoryTable

    return with_explicit_types(Dataset(InMemoryTable(read_parquet_table(path))))


def read_parquet_table(path: Path) -> "Table":
    """The file as an Arrow table. Raises `UserError` if it is missing or no Parquet file."""
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise UserError(expected=f"a file at {path}", got="no such file", remedy="check the path")
    try:
        return pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise UserError(
            expected=f"a Parquet file at {path}", got=str(error).split(". ")[0], remedy="write the file again"
        ) from error
