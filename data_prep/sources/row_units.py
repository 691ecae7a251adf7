"""Plan the units of files of rows: how the rows of each file are converted, and its parts."""

import hashlib
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import RejectedRow
from data_prep.dataset_folder.file_readers.arrow_rows import row_groups
from data_prep.dataset_folder.file_readers.bad_rows import BadRow, Row, UnreadableFile
from data_prep.dataset_folder.file_readers.byte_blocks import is_compressed
from data_prep.dataset_folder.file_readers.json_values import is_object
from data_prep.dataset_folder.file_readers.text_encodings import UTF8, TextEncoding, byte_order_mark, is_wide
from data_prep.dataset_folder.row_files import FilePart, iter_rows
from data_prep.sources.formats import ROW_FORMATS
from data_prep.sources.row_columns import RowConversion, choose_conversion
from data_prep.sources.row_formats.registry import FOREIGN_FORMATS
from data_prep.sources.source_files.line_ranges import line_ranges
from data_prep.sources.units import ReadOptions, Unit
from pipelines.errors import UserError
from pipelines.files import sha256_of_file, sha256_of_text

HEAD_ROWS, HEAD_BYTES = 1000, 4 << 20
TEXT_FORMATS = ("json", "jsonl", "csv", "tsv")
_UNIT_BYTES, _UNIT_ROWS = 16 << 20, 20_000  # of the row groups of a Parquet file


@dataclass(frozen=True)
class RowFile:
    """A file of rows; `name` goes before the row number, "" if the source is one file."""

    path: Path
    name: str
    format: str  # a name in ROW_FORMATS


@dataclass(frozen=True)
class _Head:
    """What the first rows of a file say: how its rows are converted, and why they cannot be. An empty file has neither;
    a file of rows that cannot be read has both."""

    conversion: RowConversion | None = None
    error: UserError | None = None


class RowUnits:
    """Plans files of rows; `rejected` gets the files that cannot be read, `entry` the hash of all."""

    def __init__(
        self, files: Sequence[RowFile], root: Path, options: ReadOptions, entry: dict[str, Any],
        rejected: list[RejectedRow],
    ) -> None:  # fmt: skip
        self._files, self._root, self._options, self._entry, self._rejected = files, root, options, entry, rejected
        self._heads: dict[RowFile, _Head] = {}

    def check(self) -> None:
        """Raise `UserError` unless a file has rows with the columns that are wanted."""
        errors = []
        for file in self._files:
            head = self._heads[file] = self._head(file)
            if head.error is not None:
                errors.append(head.error)
            elif head.conversion is not None:
                return
        name = self._entry["name"]
        if not errors:
            raise UserError(f"{name} has no rows", "name another --source")
        if len(errors) == 1:
            raise errors[0]
        problem = f"none of the {len(errors)} files of {name} can be read, the first because {errors[0].problem}"
        raise UserError(problem, errors[0].fix)

    def units(self) -> Iterator[Unit]:
        """Yield the units of all files, in order."""
        hashes: list[tuple[str, str]] = []
        for file in self._files:
            try:
                head = self._heads.pop(file, None) or self._head(file)
                if head.conversion is None and head.error is not None:
                    raise head.error
                hashed = yield from self._units_of(file, head.conversion)
                hashes.append((file.name, hashed))
            except OSError as error:
                reason = str(error.strerror).lower()
                self._reject(file, UnreadableFile(f"cannot read {file.path}: {reason}", "check the file"))
            except UserError as error:
                self._reject(file, error)
        lines = [f"{hashed}  {name}\n" for name, hashed in hashes]
        is_one_file = len(hashes) == 1 and hashes[0][0] == ""
        self._entry["sha256"] = hashes[0][1] if is_one_file else sha256_of_text("".join(lines))

    def _reject(self, file: RowFile, error: UserError) -> None:
        if self._options.strict:
            raise error
        reason, details = "columns_not_found", dict[str, Any]()
        if isinstance(error, UnreadableFile):
            reason, details = error.reason, dict(error.details)
        self._rejected.append(RejectedRow(self._entry["name"], file.name or file.path.name, reason, None, details))

    def _head(self, file: RowFile) -> _Head:
        """Read the first rows that can be read: in the first megabytes, or else anywhere."""
        name, kind = self._entry["name"], self._options.kind
        try:
            rows, bad = ([], None) if is_compressed(file.path) else self._first_rows(file, HEAD_BYTES)
            if not rows:
                rows, bad = self._first_rows(file, None)
            if not rows:
                return _Head() if bad is None else _Head(RowConversion(kind), bad.error())
            foreign = self._options.format if self._options.format in FOREIGN_FORMATS else None
            place = f"{name}/{file.name}" if file.name else name
            conversion = choose_conversion(rows, kind, self._options.column_map, place, foreign)
        except UnreadableFile as error:
            return _Head(error=error)
        except UserError as error:  # names of columns may have several lines
            return _Head(error=UserError(" ".join(error.problem.split()), error.fix))
        self._note_format(file, conversion)
        return _Head(conversion)

    def _note_format(self, file: RowFile, conversion: RowConversion) -> None:
        """Name a foreign format in the manifest, and print it where it was recognized."""
        chosen = conversion.foreign_format
        if chosen is None or chosen.name in self._entry.get("row_formats", ()):
            return
        self._entry.setdefault("row_formats", []).append(chosen.name)
        if self._options.format != chosen.name:
            print(f"{file.path}: read as {chosen.name} ({chosen.description})", file=sys.stderr, flush=True)

    def _first_rows(self, file: RowFile, stop: int | None) -> tuple[list[Row], BadRow | None]:
        """Return the first rows that can be read, and the first row that cannot."""
        rows, n_chars, bad = list[Row](), 0, None
        limit, encoding = self._options.max_row_bytes, TextEncoding(self._options.encoding)
        part = FilePart(stop=stop if file.format in TEXT_FORMATS else None)
        try:
            for row in iter_rows(file.path, ROW_FORMATS[file.format], limit, part, encoding, is_quiet=True):
                if isinstance(row, BadRow):
                    bad = bad or row
                    continue
                rows.append(row)
                n_chars += sum(len(str(value)) for value in row.values())
                if len(rows) == HEAD_ROWS or n_chars > HEAD_BYTES:
                    break
        except UnreadableFile:
            if not rows and stop is None:
                raise
        self._note_encoding(file, encoding)
        return rows, bad

    def _note_encoding(self, file: RowFile, encoding: TextEncoding) -> None:
        if encoding.name not in (None, UTF8):
            self._entry.setdefault("encodings", {})[file.name or file.path.name] = encoding.name

    def _units_of(self, file: RowFile, conversion: RowConversion | None) -> Generator[Unit, None, str]:
        """Yield the units of one file, and return its hash."""
        whole = Unit(
            self._entry["name"],
            self._root,
            (file.path,),
            file.name,
            file.format,
            encoding=self._options.encoding,
            conversion=conversion,
        )
        can_be_cut = conversion is not None and not conversion.needs_whole_file
        if (
            can_be_cut
            and file.format in ("json", "jsonl")
            and not is_compressed(file.path)
            and _has_lines(file, self._options.encoding)
        ):
            digest, encoding = hashlib.sha256(), TextEncoding(self._options.encoding)
            for part in line_ranges(file.path, digest, encoding):
                yield replace(whole, format="jsonl", encoding=encoding.name or UTF8, **asdict(part))
            self._note_encoding(file, encoding)
            return digest.hexdigest()
        if can_be_cut and file.format == "parquet":
            yield from _parts_of_parquet(whole)
        elif conversion is not None:
            yield whole
        return sha256_of_file(file.path)


def _has_lines(file: RowFile, encoding: str | None) -> bool:
    """Whether a plain file has JSON lines, in bytes: it may be an array, one object over several lines, or UTF-16."""
    if is_wide(encoding or ""):
        return False
    with file.path.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
    mark = byte_order_mark(head)
    if mark is not None:
        head = head[mark[1] :] if mark[0] == UTF8 else b"["
    if file.format == "jsonl":
        return head.lstrip()[:1] != b"["
    first_line, is_whole, _ = head.lstrip().partition(b"\n")
    return is_whole == b"\n" and is_object(first_line)


def _parts_of_parquet(whole: Unit) -> Iterator[Unit]:
    first_group = n_rows = n_bytes = 0
    first_row = 1
    groups = row_groups(whole.files[0])
    for number, (rows_of_group, bytes_of_group) in enumerate(groups, start=1):
        n_rows, n_bytes = n_rows + rows_of_group, n_bytes + bytes_of_group
        if n_bytes >= _UNIT_BYTES or n_rows >= _UNIT_ROWS or number == len(groups):
            yield replace(whole, start=first_group, stop=number, first_row=first_row)
            first_row, first_group, n_rows, n_bytes = first_row + n_rows, number, 0, 0
