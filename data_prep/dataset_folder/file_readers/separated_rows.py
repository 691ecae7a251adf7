"""Stream the rows of a CSV or TSV file; the separator is found in its first megabyte."""

import csv
import io
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from data_prep.dataset_folder.file_readers.bad_rows import BadRow, Read, UnreadableFile, row_not_utf8, row_over_limit
from data_prep.dataset_folder.file_readers.byte_blocks import BLOCK_BYTES
from pipelines.files import is_utf8

_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_EXCEL_HEAD = re.compile(r"sep=(.)\r?\n")


def separated_rows(
    blocks: Iterator[bytes], path: Path, max_bytes: int, separator: str | None = None, is_quiet: bool = False
) -> Iterator[Read]:
    """Yield the rows of UTF-8 `blocks`, whose first row has the names of the columns."""
    head = b""
    while len(head) < BLOCK_BYTES and (block := next(blocks, b"")):
        head += block
    text = head.decode("utf-8", "surrogateescape")
    excel = _EXCEL_HEAD.match(text)
    if excel:
        head, separator = head[excel.end() :], excel[1]
    separator = separator or found_separator(text, path, is_quiet)
    csv.field_size_limit(max_bytes)
    lines = _Lines(chain([head], blocks), max_bytes, n_lines=1 if excel else 0)
    reader = csv.reader(lines, delimiter=separator)
    header = _header(reader, path)
    if lines.take_not_utf8():
        bad = row_not_utf8(f"the first row of {path}")
        raise UnreadableFile(bad.problem, bad.fix, reason=bad.reason)
    while True:
        first_line, lines.n_quotes = lines.n_lines + 1, 0
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.skip_open_quote()
            yield _bad_row(error, path, first_line, max_bytes)
            continue
        if lines.take_not_utf8():
            yield row_not_utf8(f"the row on line {first_line} of {path}", line=first_line)
        elif lines.has_ended:  # only a value that is not complete makes the reader ask for more lines
            problem = f"a quote that is open in the row on line {first_line} of {path} is not closed"
            yield BadRow("unclosed_quote", problem, "close it", {"line": first_line, "last_line": lines.n_lines})
        elif len(values) > len(header):
            place = f"line {lines.n_lines} of {path}"
            problem = f"{place} has {len(values)} values, expected {len(header)} as in its header"
            fix = f"quote values that hold {_SEPARATORS.get(separator, separator)}"
            yield BadRow("too_many_values", problem, fix, {"line": lines.n_lines})
        elif values:
            yield dict(zip_longest(header, values))


def _header(reader: Iterator[list[str]], path: Path) -> list[str]:
    """Return the first row that is not blank. Raises `UnreadableFile` if it cannot be read or has a name twice."""
    try:
        header = next((row for row in reader if row), [])
    except csv.Error as error:
        problem = f"{path} is not CSV: the names of its columns cannot be read ({error})"
        raise UnreadableFile(problem, "write the names of the columns into the first line", reason="not_csv") from error
    for name in header:
        if name and header.count(name) > 1:
            problem = f"{path} has {header.count(name)} columns named {name}"
            raise UnreadableFile(problem, "give each column its own name", reason="columns_of_one_name")
    return header


def _bad_row(error: csv.Error, path: Path, line: int, max_bytes: int) -> BadRow:
    if "field limit" in str(error):
        return row_over_limit(f"the row on line {line} of {path}", max_bytes, line=line)
    return BadRow("not_csv", f"{path} is not valid CSV: {error} on line {line}", "fix that line", {"line": line})


def found_separator(text: str, path: Path, is_quiet: bool = False) -> str:
    """Return the comma, semicolon, tab or bar that the header has. If it has several, the first that gives every row
    as many values as the header. Any other than a comma is printed unless `is_quiet`."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # the default is 131,072 characters
    head = next(iter(text.splitlines()), "")
    possible = [separator for separator in _SEPARATORS if len(next(csv.reader([head], delimiter=separator), [])) > 1]
    if len(possible) > 1:
        whole_lines = text.rpartition("\n")[0] if len(text) >= BLOCK_BYTES else text
        possible = [one for one in possible if _is_regular(whole_lines, one)] or possible
    separator = possible[0] if possible else ","
    if separator != "," and not is_quiet:
        print(f"{path}: values are separated by {_SEPARATORS[separator]}", file=sys.stderr, flush=True)
    return separator


def _is_regular(text: str, separator: str) -> bool:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return len({len(row) for row in rows if row}) == 1


class _Lines(Iterator[str]):
    """The lines of UTF-8 blocks with their ends, as `csv.reader` wants them; a longer line than `max_bytes` raises
    `csv.Error` and is skipped."""

    def __init__(self, blocks: Iterator[bytes], max_bytes: int, n_lines: int) -> None:
        buffered = io.BufferedReader(_BlockFile(blocks), BLOCK_BYTES)
        text = io.TextIOWrapper(buffered, encoding="utf-8", errors="surrogateescape", newline="")
        self._read, self._max = partial(text.readline, max_bytes), max_bytes
        self._is_utf8 = True
        self.n_lines, self.has_ended = n_lines, False
        self.n_quotes = 0

    def __next__(self) -> str:
        line = self._read()
        if not line:
            self.has_ended = True
            raise StopIteration
        self.n_lines += 1
        self.n_quotes += line.count('"')
        if not line.isascii() and not is_utf8(line):
            self._is_utf8 = False
        if len(line) < self._max or line[-1] in "\r\n":
            return line
        while len(line) == self._max and line[-1] not in "\r\n":
            line = self._read()
            self.n_quotes += line.count('"')
        raise csv.Error("line larger than field limit")

    def skip_open_quote(self) -> None:
        """Skip the lines of a quoted value that the reader gave up; a value has an even number of quotes."""
        while self.n_quotes % 2 and not self.has_ended:
            with suppress(StopIteration, csv.Error):
                next(self)
        self.take_not_utf8()

    def take_not_utf8(self) -> bool:
        """Whether a line since the last call had bytes that are not UTF-8."""
        taken, self._is_utf8 = not self._is_utf8, True
        return taken


class _BlockFile(io.RawIOBase):
    """Blocks of bytes as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        n_bytes = min(len(buffer), len(self._rest))
        buffer[:n_bytes] = self._rest[:n_bytes]
        self._rest = self._rest[n_bytes:]
        return n_bytes
